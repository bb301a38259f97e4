"""From a configuration and images to a `Training`: network, objective, optimizer, data, step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ssljax.config.config import Config
from ssljax.data.clean_images import clean_dataset
from ssljax.data.datasets import Dataset, ImageSource
from ssljax.losses.table import LOSSES
from ssljax.nets.initialization import read_head_weights, start_network_at
from ssljax.nets.input_normalization import (
    InputNormalization,
    add_input_normalization,
    measure_normalization,
)
from ssljax.nets.network import Network, layer_dims, resolve_layers
from ssljax.system.arrays import Array
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
from ssljax.training.compiled import Training, split_steps
from ssljax.training.feed import Readers
from ssljax.training.observers import Observer, make_online_probes
from ssljax.training.parallel import Parallel, make_mesh, make_parallel
from ssljax.training.state import TrainState, make_state
from ssljax.training.step import ResidentData, Update, make_draw, make_step, make_update

__all__ = ["Training", "input_normalization", "is_normalized", "make_training", "split_steps"]


def make_training(
    config: Config,
    dataset: Dataset,
    *,
    source: ImageSource | None = None,
    observers: tuple[Observer, ...] = (),
    normalization: InputNormalization | None = None,
) -> Training:
    """Build the network, the step and the data that a configuration names.

    Args:
      config: What to train. Its seed and strength are defaults of the command line only: here
        both are arguments of the methods.
      dataset: Images to train on; they stay on the devices as uint8. With a source: a sample of
        its images, which the normalization is measured from.
      source: Images to train on that are streamed.
      observers: Compiled into the step; the configuration's online probes join them.
      normalization: Mean image and factor, measured from the data by default.

    Returns:
      The training; nothing has run yet.

    Raises:
      UsageError: The batch does not divide over the devices or exceeds the data set, or a part of
        the network cannot be built.
    """
    mesh = make_mesh(config.devices, config.mesh)
    parallel = make_parallel(mesh, config.parallel, config.batch_size)
    _check_batch(config, dataset, source)
    if normalization is None:
        normalization = input_normalization(config, dataset)

    def build_network_on(axis_name: str | None) -> Network:
        # Under pmap a program sees the batch of one device, otherwise that of all.
        groups = 1 if axis_name is not None else parallel.mesh.size
        network = build_network(config, dataset.image_shape, axis_name, batch_groups=groups)
        if config.head.weights:
            network = start_network_at(network, read_head_weights(config.head.weights))
        return add_input_normalization(network, normalization) if is_normalized(config) else network

    network = build_network_on(None)
    _check_labels(config, dataset, network)
    for observer in observers:
        resolve_layers(network, observer.layers)
    probe = config.online_probe
    observers += make_online_probes(
        network, dataset.image_shape, probe.layers, dataset.num_classes, probe.learning_rate
    )
    optimizer, average_decay = build_optimizer(config), build_average_decay(config)
    update = make_update(
        build_network_on(parallel.placement.axis_name),
        build_objective(config, _ring(parallel)),
        optimizer,
        build_views(config, dataset),
        dataset.pixel_scale,
        average_decay=average_decay,
        accumulate=config.accumulate,
        unroll=has_slow_loops(config),
        observers=observers,
        placement=parallel.placement,
        dtype=float_type(config),
        frozen=config.freeze,
        matmul_precision=config.matmul_precision,
    )
    data, take_step = None, _step_on_a_batch(update)
    if source is None:
        draw = make_draw(config.batch_size, config.sampling, placement=parallel.placement)
        take_step = make_step(draw, update)
        data = ResidentData(
            images=parallel.place_constant(dataset.images),
            labels=parallel.place_constant(dataset.labels.astype(np.int32)),
        )
    return Training(
        network,
        lambda seed: make_state(
            network, optimizer, seed, observers, averaged=average_decay is not None
        ),
        take_step,
        parallel,
        data=data,
        source=source,
        readers=Readers(config.reader_threads, config.reader_processes, config.on_damaged),
        batch_size=config.batch_size,
        learning_rates=_learning_rates(config),
        steps_per_call=steps_per_call(config) if source is None else 1,
        dtype=float_type(config),
    )


def _step_on_a_batch(update: Update) -> Callable[[TrainState, Any, Array], Any]:
    """Return the step of a stream, whose batch is given."""

    def take_step(state: TrainState, batch: Any, strength: Array) -> Any:
        images, labels, identity = batch
        return update(state, images, labels, identity, strength)

    return take_step


def is_normalized(config: Config) -> bool:
    """Return whether the network subtracts a mean image or rescales its input."""
    return config.mean_image != "none" or config.input_scale != 1.0


def input_normalization(config: Config, dataset: Dataset) -> InputNormalization:
    """Return the mean image and factor that a configuration asks for."""
    return measure_normalization(
        clean_dataset(dataset, config.digit_strength),
        config.policy,
        config.strength,
        mean=config.mean_image,
        scale=config.input_scale,
    )


def _check_batch(config: Config, dataset: Dataset, source: ImageSource | None) -> None:
    num_images = len(dataset if source is None else source)
    if config.batch_size > num_images:
        raise UsageError(
            f"batch-size {config.batch_size} exceeds the {num_images} images of"
            f" {dataset.name}: use at most {num_images}"
        )
    if source is not None and config.sampling != "epoch":
        raise UsageError(
            f"sampling {config.sampling!r} needs the data in memory, {source.name} is streamed:"
            " give --sampling epoch or --stream never"
        )


def _check_labels(config: Config, dataset: Dataset, network: Network) -> None:
    """Refuse data without labels, or too few scores for its classes, where they are needed."""
    name = config.loss.name
    reader = f"the loss {name}" if LOSSES[name].labels else "an online probe"
    if dataset.labels.min() < 0 and (LOSSES[name].labels or config.online_probe.layers):
        raise UsageError(
            f"{dataset.name} has images without a class, {reader} needs one for each: give"
            " another --split, or a --loss.name and --online-probe.layers= that need no labels"
        )
    if not LOSSES[name].scores:
        return
    layer = "predictor" if config.head.classes else "embedding"
    found = layer_dims(network, dataset.image_shape, (layer,))[layer]
    if found < dataset.num_classes:
        raise UsageError(
            f"{found} scores for the {dataset.num_classes} classes of {dataset.name}: give"
            f" --head.classes {dataset.num_classes}"
        )


def _ring(parallel: Parallel) -> Mesh | None:
    """Return the mesh that blocks of a loss travel over, or None."""
    mesh = parallel.mesh
    is_ring = parallel.mode == "jit" and mesh.size > 1 and len(mesh.axis_names) == 1
    return mesh if is_ring else None


def _learning_rates(config: Config) -> np.ndarray:
    schedule = build_schedule(config)
    steps = jnp.arange(config.num_steps)
    return np.asarray(jax.jit(jax.vmap(lambda step: jnp.asarray(schedule(step))))(steps))
