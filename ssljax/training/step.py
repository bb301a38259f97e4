"""One training step, written once for the global batch: no devices, no files, no host.

A step has two pure parts: drawing a batch from data that stay on the device, and the update on a
batch that is given. Data too large for the device are streamed, and use the second part alone.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ssljax.augment.views import MakeViews, Views
from ssljax.data.batches import batch_indices
from ssljax.losses.objective import Objective
from ssljax.nets.network import Network
from ssljax.system.arrays import Array, Float, Int, PRNGKeyArray, PyTree, UInt8
from ssljax.training.accumulation import accumulated_gradient
from ssljax.training.observers import Observer
from ssljax.training.optimizer import moving_average
from ssljax.training.parallel import GLOBAL, Placement
from ssljax.training.state import Average, TrainState

Metrics = dict[str, Float[Array, ""]]

LABEL = "label"
TARGET = "target"


class ResidentData(NamedTuple):
    """A data set that stays on the devices.

    Attributes:
      images: Pixels as stored, shape (n, height, width, channels).
      labels: Class of each image, from 0.
    """

    images: UInt8[Array, "n h w c"]
    labels: Int[Array, "n"]


class Batch(NamedTuple):
    """The examples of one step, or one device's part of them.

    Attributes:
      images: Pixels as stored.
      labels: Class of each image.
      identity: What tells the examples of a step apart, the same however the batch is spread:
        the index in the data set, or the position in the global batch where an image can be
        drawn twice. Views are a function of (root key, step, identity).
    """

    images: UInt8[Array, "batch h w c"]
    labels: Int[Array, "batch"]
    identity: Int[Array, "batch"]


Draw = Callable[[PRNGKeyArray, Int[Array, ""], ResidentData], Batch]
Update = Callable[
    [
        TrainState,
        UInt8[Array, "batch h w c"],
        Int[Array, "batch"],
        Int[Array, "batch"],
        Float[Array, ""],
    ],
    tuple[TrainState, Metrics],
]
Step = Callable[[TrainState, ResidentData, Float[Array, ""]], tuple[TrainState, Metrics]]


def make_draw(
    batch_size: int,
    sampling: Literal["epoch", "replacement"],
    *,
    placement: Placement = GLOBAL,
) -> Draw:
    """Return the function that draws a step's batch from resident data.

    Args:
      batch_size: Images a step, over all devices.
      sampling: ``epoch`` or ``replacement``.
      placement: How several devices share the batch.

    Returns:
      ``draw(key, step, data) -> batch``, a function of the root key and the step; under pmap the
      part of the batch that this device works on.
    """

    def draw(key: PRNGKeyArray, step: Int[Array, ""], data: ResidentData) -> Batch:
        batch_key, _ = jax.random.split(key)
        indices = batch_indices(batch_key, step, data.images.shape[0], batch_size, sampling)
        # Drawn with replacement, one image can come twice in a batch: its views must differ.
        identity = indices if sampling == "epoch" else jnp.arange(batch_size, dtype=indices.dtype)
        indices, identity = placement.shard(indices), placement.shard(identity)
        return Batch(data.images[indices], data.labels[indices], identity)

    return draw


def make_update(
    network: Network,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    make_views: MakeViews,
    pixel_scale: float,
    *,
    average_decay: Callable[[Int[Array, ""]], Float[Array, ""]] | None = None,
    accumulate: int = 1,
    unroll: bool = False,
    observers: tuple[Observer, ...] = (),
    placement: Placement = GLOBAL,
    dtype: Any = jnp.float32,
    frozen: tuple[str, ...] = (),
    matmul_precision: str = "default",
) -> Update:
    """Return the update on a given batch: augment, forward, loss, gradient, update.

    Args:
      network: Pure ``init`` and ``apply``.
      objective: Loss of the named layers and the labels, over the global batch.
      optimizer: Update rule.
      make_views: Views of a batch of images.
      pixel_scale: Factor from stored pixels to floating point.
      average_decay: Decay of the moving average of parameters and statistics as a function of
        the step, where the state carries one.
      accumulate: Parts of the batch in memory one after the other. The gradient is that of the
        whole batch for every objective; only batch normalization sees each part by itself.
      unroll: Write those parts out instead of looping over them.
      observers: Looked at after the gradient, before the update.
      placement: How several devices share the batch.
      dtype: Floating-point type of the views.
      frozen: Parts of the parameters that no gradient is taken of, such as ``encoder``; their
        gradient is 0 and costs nothing. (That decay leaves them alone too is up to the optimizer.)
      matmul_precision: Of products that name none themselves.

    Returns:
      ``update(state, images, labels, identity, strength) -> (state, metrics)``, pure; strength is
      traced so that a sweep never recompiles. Under pmap the batch is one device's part.
    """
    watched = tuple(dict.fromkeys(name for observer in observers for name in observer.layers))
    judged_layers = ("embedding", *objective.layers)
    layers = tuple(dict.fromkeys((*objective.layers, *watched)))

    def compute_outputs(
        state: TrainState, strength: Float[Array, ""], params: PyTree, batch: Batch
    ):
        """Return outputs by layer, each (batch, views, …), and the new statistics."""
        _, view_key = jax.random.split(state.key)
        images = batch.images.astype(dtype) * jnp.asarray(pixel_scale, dtype)
        groups = make_views(view_key, state.step, batch.identity, images, strength)
        statistics, found = state.statistics, []
        for views in groups:
            outputs, statistics = compute_group_outputs(state, statistics, params, views)
            found.append(outputs)
        return join_groups(found), statistics

    def compute_group_outputs(state: TrainState, statistics: PyTree, params: PyTree, views: Views):
        flat = views.reshape(-1, *views.shape[2:])
        outputs, statistics = network.apply(params, statistics, flat, train=True, layers=layers)
        if objective.uses_target:
            average = state.average
            target, moved = network.apply(average.params, average.statistics, flat, train=True)
            del moved  # they follow the trained network's, like the parameters
            outputs = outputs | {TARGET: jax.lax.stop_gradient(target["embedding"])}
        paired = {
            name: value.reshape(*views.shape[:2], *value.shape[1:])
            for name, value in outputs.items()
        }
        return paired, statistics

    def compute_loss(
        outputs: Mapping[str, Array], labels: Int[Array, "batch"]
    ) -> tuple[Float[Array, ""], Mapping[str, Array]]:
        """Return the loss over the global batch, and the gathered layers it was computed from."""
        gathered = {name: placement.gather(value) for name, value in outputs.items()}
        labels = placement.gather(labels)
        return objective.value(gathered, labels), {**gathered, LABEL: labels}

    def differentiate(state: TrainState, batch: Batch, strength: Float[Array, ""]):
        def forward(params: PyTree, part: Batch):
            kept = {name: jax.lax.stop_gradient(params[name]) for name in frozen if name in params}
            return compute_outputs(state, strength, {**params, **kept}, part)

        if accumulate > 1:
            return accumulated_gradient(
                forward,
                lambda outputs: compute_loss(outputs, batch.labels),
                state.params,
                batch,
                parts=accumulate,
                layers=judged_layers,
                unroll=unroll,
            )

        def whole(params: PyTree):
            outputs, statistics = forward(params, batch)
            value, gathered = compute_loss(outputs, batch.labels)
            return value, (gathered, statistics)

        (value, (gathered, statistics)), gradients = jax.value_and_grad(whole, has_aux=True)(
            state.params
        )
        return value, gradients, gathered, statistics

    def update(
        state: TrainState,
        images: UInt8[Array, "batch h w c"],
        labels: Int[Array, "batch"],
        identity: Int[Array, "batch"],
        strength: Float[Array, ""],
    ) -> tuple[TrainState, Metrics]:
        batch = Batch(images, labels, identity)
        with _products(matmul_precision):
            value, gradients, outputs, statistics = differentiate(state, batch, strength)
        value, gradients = placement.average((value, gradients))
        metrics = {"loss": value, "gradient_norm": optax.tree.norm(gradients)}
        observed = []
        for observer, own in zip(observers, state.observer_states, strict=True):
            own, scalars = observer.observe(state.params, gradients, outputs, own)
            observed.append(own)
            metrics |= scalars
        updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average_decay is not None:
            average = moving_average(
                average, Average(params, statistics), average_decay(state.step)
            )
        return TrainState(
            step=state.step + 1,
            params=params,
            statistics=statistics,
            optimizer_state=optimizer_state,
            key=state.key,
            observer_states=tuple(observed),
            average=average,
        ), metrics

    return update


def _products(precision: str) -> contextlib.AbstractContextManager[Any]:
    return (
        contextlib.nullcontext()
        if precision == "default"
        else jax.default_matmul_precision(precision)
    )


def join_groups(groups: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Join the outputs of groups of views along the axis of views.

    Args:
      groups: Outputs by layer, each (batch, views, …), one mapping for each group.

    Returns:
      Outputs of all views; of layers whose shape depends on the size of the image (``input``,
      maps) those of the first group.
    """
    first, *rest = groups
    joined = dict(first)
    for name, value in first.items() if rest else ():
        if all(group[name].shape[2:] == value.shape[2:] for group in rest):
            joined[name] = jnp.concatenate([group[name] for group in groups], axis=1)
    return joined


def make_step(draw: Draw, update: Update) -> Step:
    """Return the training step on resident data: draw a batch, update.

    Every random number is a function of (root key, step, example), so that the step is the same on
    any number of devices and after any interruption.

    Args:
      draw: See `make_draw`.
      update: See `make_update`.

    Returns:
      ``step(state, data, strength) -> (state, metrics)``, pure.
    """

    def step(
        state: TrainState, data: ResidentData, strength: Float[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        return update(state, *draw(state.key, state.step, data), strength)

    return step
