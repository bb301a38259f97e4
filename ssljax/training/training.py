"""Training in memory: no files, no progress, one compilation for many seeds and strengths."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ssljax.config.config import Config
from ssljax.data.composites import blended_dataset
from ssljax.data.datasets import Dataset, ImageSource
from ssljax.nets.initial_weights import read_head_weights, started_network
from ssljax.nets.input_normalization import (
    InputNormalization,
    measured_normalization,
    normalized_network,
)
from ssljax.nets.named_layers import named_layers
from ssljax.nets.network import Network
from ssljax.system.arrays import Array, Float, Int
from ssljax.system.errors import UsageError
from ssljax.training.build import (
    build_average_decay,
    build_network,
    build_objective,
    build_optimizer,
    build_schedule,
    build_views,
    float_type,
    has_slow_loops,
    steps_per_call,
)
from ssljax.training.feed import OpenFeed, Readers, resident_feed, streamed_feed
from ssljax.training.mesh import Parallel, compiled, make_mesh, make_parallel, repeated
from ssljax.training.observers import Observer
from ssljax.training.state import TrainState, make_state
from ssljax.training.step import ResidentData, Update, make_draw, make_step, make_update
from ssljax.training.supervision import check_labels, online_probes


class Training(NamedTuple):
    """A configuration turned into functions; nothing runs before `init` and `run` are called.

    Attributes:
      network: ``init`` and ``apply`` for global arrays, to evaluate with.
      init: ``init(seed) -> state``, the state at step 0, placed on the devices.
      make_state: The same, pure: the seed may be traced and nothing is placed.
      run: ``run(state, strength, num_steps) -> (state, metrics)``; the state passed in is given
        up. Metrics are arrays of leading axis ``num_steps``, still on the device.
      sweep: ``sweep(seeds, strengths, num_steps) -> (states, metrics)``: runs from step 0, one
        for each seed and strength, mapped over and compiled as one program; every leaf has a
        leading axis of runs, metrics are ``(runs, num_steps)``.
      advance: ``advance(state, strength, num_steps) -> (state, metrics)`` in one compiled call;
        ``strength`` comes from `place`. `run` is made of it.
      open_feed: ``open_feed(state, step)``: a context that gives a feed from that step on, the
        same for resident data and for streamed ones (`ssljax.training.feed`).
      single_state: The state without the axis of devices that pmap adds.
      place_state: Its inverse: a state read from disk, onto the devices (a copy).
      place: A constant on every device.
      learning_rates: Learning rate of every step, shape (num_steps,); its sum is the time of
        gradient flow.
      steps_per_call: Steps that `run` compiles into one call.
      dtype: Floating-point type of views, parameters and the strength.
      parallel: Mesh and mode.
    """

    network: Network
    init: Callable[[int], TrainState]
    make_state: Callable[[Any], TrainState]
    run: Callable[[TrainState, float, int], tuple[TrainState, dict[str, Array]]]
    sweep: Callable[..., tuple[TrainState, dict[str, Array]]]
    advance: Callable[[TrainState, Array, int], tuple[TrainState, dict[str, Array]]]
    open_feed: OpenFeed
    single_state: Callable[[TrainState], TrainState]
    place_state: Callable[[TrainState], TrainState]
    place: Callable[[Any], Array]
    learning_rates: Float[np.ndarray, " num_steps"]
    steps_per_call: int
    dtype: Any
    parallel: Parallel


def make_training(
    config: Config,
    dataset: Dataset,
    *,
    source: ImageSource | None = None,
    observers: tuple[Observer, ...] = (),
    normalization: InputNormalization | None = None,
) -> Training:
    """Everything needed to train on a data set, compiled on first use.

    Args:
      config: What to train. Its seed and strength are defaults of the command line only: here
        both are arguments of the functions returned.
      dataset: Images to train on; they stay on the devices as uint8. With a source: a sample of
        its images, which the normalization is measured from.
      source: Images to train on that are streamed.
      observers: Compiled into the step; the configuration's online probes join them.
      normalization: Mean image and factor, measured from the data by default.

    Returns:
      The functions.

    Raises:
      UsageError: The batch does not divide over the devices or exceeds the data set, or a part of
        the network cannot be built.
    """
    parallel = make_parallel(
        make_mesh(config.devices, config.mesh), config.parallel, config.batch_size
    )
    num_images = len(dataset if source is None else source)
    if config.batch_size > num_images:
        raise UsageError(
            f"batch-size {config.batch_size} exceeds the {num_images} images of"
            f" {dataset.name}: use at most {num_images}"
        )
    dtype = float_type(config)
    image_shape = dataset.image_shape
    if normalization is None:
        normalization = input_normalization(config, dataset)

    def network_on(axis_name: str | None) -> Network:
        # Under pmap a program sees the batch of one device, otherwise that of all.
        groups = 1 if axis_name is not None else parallel.mesh.size
        network = build_network(config, image_shape, axis_name, batch_groups=groups)
        if config.head.weights:
            network = started_network(network, read_head_weights(config.head.weights))
        return normalized_network(network, normalization) if is_normalized(config) else network

    network = network_on(None)
    check_labels(config, dataset, network)
    for observer in observers:
        named_layers(network, observer.layers)
    observers = (*observers, *online_probes(config, dataset, network))
    optimizer = build_optimizer(config)
    average_decay = build_average_decay(config)
    update = make_update(
        network_on(parallel.placement.axis_name),
        build_objective(config, _ring(parallel)),
        optimizer,
        build_views(config, has_ink=dataset.has_ink),
        dataset.pixel_scale,
        average_decay=average_decay,
        accumulate=config.accumulate,
        unroll=has_slow_loops(config),
        observers=observers,
        placement=parallel.placement,
        dtype=dtype,
    )
    call_length = steps_per_call(config) if source is None else 1
    draw = make_draw(config.batch_size, config.sampling, placement=parallel.placement)
    step, data = make_step(draw, update), None
    if source is None:
        data = ResidentData(
            images=parallel.place_constant(dataset.images),
            labels=parallel.place_constant(dataset.labels.astype(np.int32)),
        )
    calls: dict[int, Any] = {}

    def init(seed: int) -> TrainState:
        return parallel.make_placed(make, seed)

    def make(seed: Array) -> TrainState:
        return make_state(network, optimizer, seed, observers, averaged=average_decay is not None)

    def advance(state: TrainState, strength: Array, num_steps: int) -> Any:
        _check_resident(data, dataset)
        if num_steps not in calls:
            shardings = parallel.state_shardings(state)
            calls[num_steps] = compiled(repeated(step, num_steps), parallel, shardings)
        return calls[num_steps](state, data, strength)

    def run(state: TrainState, strength: float, num_steps: int) -> Any:
        placed = parallel.place_constant(np.asarray(strength, dtype))
        pieces = []
        for length in call_lengths(num_steps, call_length):
            state, metrics = advance(state, placed, length)
            pieces.append(metrics)
        return state, {name: jnp.concatenate([m[name] for m in pieces]) for name in pieces[0]}

    if source is None:
        open_feed = resident_feed(advance, config.batch_size)
    else:
        open_feed = _streamed(config, source, update, parallel)
    sweeps: dict[int, Any] = {}

    def sweep(
        seeds: Int[np.ndarray, " runs"], strengths: Float[np.ndarray, " runs"], num_steps: int
    ) -> Any:
        _check_resident(data, dataset)
        if parallel.mode == "pmap":
            raise UsageError("a sweep maps over runs, with pmap it cannot: use --parallel jit")
        if num_steps not in sweeps:

            def one(seed: Array, strength: Array, stored: ResidentData) -> Any:
                return repeated(step, num_steps)(make(seed), stored, strength)

            sweeps[num_steps] = jax.jit(jax.vmap(one, in_axes=(0, 0, None)))
        return sweeps[num_steps](
            parallel.place_constant(np.asarray(seeds)),
            parallel.place_constant(np.asarray(strengths, dtype)),
            data,
        )

    return Training(
        network=network,
        init=init,
        make_state=make,
        run=run,
        sweep=sweep,
        advance=advance,
        open_feed=open_feed,
        single_state=parallel.single_state,
        place_state=parallel.place_state,
        place=parallel.place_constant,
        learning_rates=_learning_rates(config),
        steps_per_call=call_length,
        dtype=dtype,
        parallel=parallel,
    )


def _check_resident(data: Any, dataset: Dataset) -> None:
    if data is None:
        raise UsageError(
            f"{dataset.name} is streamed, so only a run folder can be trained on it: use `ssljax"
            " train`, or --stream never"
        )


def _streamed(config: Config, source: ImageSource, update: Update, parallel: Parallel) -> OpenFeed:
    if config.sampling != "epoch":
        raise UsageError(
            f"sampling {config.sampling!r} needs the data in memory, {source.name} is streamed:"
            " give --sampling epoch or --stream never"
        )
    return streamed_feed(
        source,
        update,
        parallel,
        batch_size=config.batch_size,
        num_steps=config.num_steps,
        readers=Readers(config.reader_threads, config.reader_processes, config.on_damaged),
    )


def _ring(parallel: Parallel) -> Mesh | None:
    """The mesh that blocks of a loss travel over: where a compiler spreads rows over one axis."""
    mesh = parallel.mesh
    is_ring = parallel.mode == "jit" and mesh.size > 1 and len(mesh.axis_names) == 1
    return mesh if is_ring else None


def call_lengths(num_steps: int, length: int) -> tuple[int, ...]:
    """How a number of steps is divided into calls: full ones, then single steps.

    The remainder is not a shorter loop, which would be compiled anew for every remainder.
    """
    full, rest = divmod(num_steps, length)
    return (length,) * full + (1,) * rest


def is_normalized(config: Config) -> bool:
    """Whether the network subtracts a mean image or rescales its input."""
    return config.mean_image != "none" or config.input_scale != 1.0


def input_normalization(config: Config, dataset: Dataset) -> InputNormalization:
    """The mean image and factor a configuration asks for."""
    return measured_normalization(
        blended_dataset(dataset, config.digit_strength),
        config.policy,
        config.strength,
        mean=config.mean_image,
        scale=config.input_scale,
    )


def _learning_rates(config: Config) -> np.ndarray:
    schedule = build_schedule(config)
    steps = jnp.arange(config.num_steps)
    return np.asarray(jax.jit(jax.vmap(lambda step: jnp.asarray(schedule(step))))(steps))
