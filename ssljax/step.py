"""One training step, written once for the global batch: no devices, no files, no host."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from ssljax.arrays import Array, Float, PyTree, UInt8
from ssljax.augment import Policy, two_views
from ssljax.batches import batch_indices
from ssljax.mesh import GLOBAL, Placement
from ssljax.network import Network
from ssljax.observers import Observer
from ssljax.state import TrainState

Loss = Callable[[Float[Array, "batch dim"], Float[Array, "batch dim"]], Float[Array, ""]]
Metrics = dict[str, Float[Array, ""]]


def make_step(
    network: Network,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    policy: Policy,
    batch_size: int,
    sampling: Literal["epoch", "replacement"],
    pixel_scale: float,
    *,
    observers: tuple[Observer, ...] = (),
    placement: Placement = GLOBAL,
    dtype: Any = jnp.float32,
) -> Callable[[TrainState, UInt8[Array, "n h w c"], Float[Array, ""]], tuple[TrainState, Metrics]]:
    """The training step: sample, augment, forward, loss, gradient, update.

    Every random number is a function of (root key, step, example), so that the step is the same on
    any number of devices and after any interruption.

    Args:
      network: Pure ``init`` and ``apply``.
      loss: Of the embeddings of the first and second views.
      optimizer: Update rule.
      policy: Augmentation per unit of strength.
      batch_size: Images a step, over all devices.
      sampling: ``epoch`` or ``replacement``.
      pixel_scale: Factor from stored pixels to floating point.
      observers: Looked at after the gradient, before the update.
      placement: How several devices share the batch.
      dtype: Floating-point type of the views.

    Returns:
      ``step(state, images, strength) -> (state, metrics)``, pure; ``images`` is the whole data
      set, ``strength`` is traced so that a sweep never recompiles.
    """
    layers = tuple(dict.fromkeys(name for observer in observers for name in observer.layers))

    def step(
        state: TrainState, images: UInt8[Array, "n h w c"], strength: Float[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        batch_key, view_key = jax.random.split(state.key)
        indices = batch_indices(batch_key, state.step, images.shape[0], batch_size, sampling)
        # Drawn with replacement, one image can come twice in a batch: its views must differ.
        identity = indices if sampling == "epoch" else jnp.arange(batch_size, dtype=indices.dtype)
        indices, identity = placement.shard(indices), placement.shard(identity)
        batch = images[indices].astype(dtype) * jnp.asarray(pixel_scale, dtype)
        views = two_views(view_key, state.step, identity, batch, policy, strength)
        views = views.reshape(-1, *images.shape[1:])

        def objective(params: PyTree) -> tuple[Float[Array, ""], tuple[PyTree, PyTree]]:
            outputs, statistics = network.apply(
                params, state.statistics, views, train=True, layers=layers
            )
            pairs = {
                name: placement.gather(value.reshape(-1, 2, *value.shape[1:]))
                for name, value in outputs.items()
            }
            embedding = pairs["embedding"]
            return loss(embedding[:, 0], embedding[:, 1]), (pairs, statistics)

        (value, (pairs, statistics)), gradients = jax.value_and_grad(objective, has_aux=True)(
            state.params
        )
        value, gradients = placement.average((value, gradients))
        metrics = {"loss": value, "gradient_norm": optax.tree.norm(gradients)}
        observed = []
        for observer, own in zip(observers, state.observer_states, strict=True):
            own, scalars = observer.observe(state.params, gradients, pairs, own)
            observed.append(own)
            metrics |= scalars
        updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, state.params)
        return TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            statistics=statistics,
            optimizer_state=optimizer_state,
            key=state.key,
            observer_states=tuple(observed),
        ), metrics

    return step
