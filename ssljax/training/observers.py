"""Observers: pure functions compiled into the step, which look at it and change nothing in it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ssljax.nets.network import Network, layer_dims, resolve_layers
from ssljax.system.arrays import Array, Float, PyTree


class Observer(NamedTuple):
    """A pure function of one training step, with a state of its own.

    Attributes:
      observe: ``(params, gradients, outputs, state) -> (state, scalars)``. Parameters and
        gradients are those of the step, before the update; ``outputs`` holds ``embedding``,
        the layers asked for and those the loss reads, over the global batch, shape
        ``(batch, views, …)``, and ``label`` of shape ``(batch,)``; ``scalars`` are added to the
        metrics of the step.
      initial_state: State before the first step: a pytree of arrays, empty by default.
      layers: Names of the layers that ``observe`` wants in ``outputs``.
    """

    observe: Callable[
        [PyTree, PyTree, Mapping[str, Array], PyTree],
        tuple[PyTree, Mapping[str, Float[Array, ""]]],
    ]
    initial_state: PyTree = ()
    layers: tuple[str, ...] = ()


def make_online_probe(
    layer: str, dim: int, num_classes: int, *, learning_rate: float = 1e-3
) -> Observer:
    """Return an observer that trains a linear classifier on a layer and reports its accuracy.

    Features are standardized by their batch, without a learned scale, and the classifier follows
    Adam on the cross-entropy of all views. The network's gradient is taken without it: the probe
    reads the outputs of the step and keeps weights and moments in its own state, so that training
    with it ends at the same parameters as without.

    Args:
      layer: Name of a pooled layer.
      dim: Its width.
      num_classes: Classes of the labels.
      learning_rate: Of Adam.

    Returns:
      The observer. Its scalar ``online_probe/LAYER`` is the accuracy on the batch *before* the
      probe learns from it. The images are those being trained on: it shows progress, and is not
      the accuracy on test images that the probe at the end of training gives.
    """
    optimizer = optax.adam(learning_rate)
    params = (jnp.zeros((dim, num_classes)), jnp.zeros((num_classes,)))

    def loss(params: Any, features: Array, labels: Array) -> tuple[Array, Array]:
        kernel, bias = params
        logits = jnp.matmul(features, kernel, precision="highest") + bias[None]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses), jnp.mean(jnp.argmax(logits, axis=1) == labels)

    def observe(
        weights: Any, gradients: Any, outputs: Mapping[str, Array], state: Any
    ) -> tuple[Any, dict[str, Array]]:
        del weights, gradients
        views = jax.lax.stop_gradient(outputs[layer]).astype(jnp.float32)
        batch, count = views.shape[:2]
        features = jnp.reshape(views, (batch * count, -1))
        mean = jnp.mean(features, axis=0, keepdims=True)
        variance = jnp.var(features, axis=0, keepdims=True)
        features = (features - mean) * jax.lax.rsqrt(variance + 1e-6 * jnp.max(variance) + 1e-30)
        labels = jnp.repeat(outputs["label"], count)
        probe, moments = state
        gradient, accuracy = jax.grad(loss, has_aux=True)(probe, features, labels)
        updates, moments = optimizer.update(gradient, moments, probe)
        return (optax.apply_updates(probe, updates), moments), {f"online_probe/{layer}": accuracy}

    return Observer(observe, initial_state=(params, optimizer.init(params)), layers=(layer,))


def make_online_probes(
    network: Network,
    image_shape: tuple[int, int, int],
    layers: tuple[str, ...],
    num_classes: int,
    learning_rate: float,
) -> tuple[Observer, ...]:
    """Return an online probe for each of some layers.

    Args:
      network: The network trained.
      image_shape: (height, width, channels).
      layers: Names of pooled layers; none for no probe.
      num_classes: Classes of the labels.
      learning_rate: Of the probes' Adam.

    Returns:
      One observer for each layer.

    Raises:
      UsageError: A layer does not exist.
    """
    if not layers:
        return ()
    dims = layer_dims(network, image_shape, resolve_layers(network, layers))
    return tuple(
        make_online_probe(name, dim, num_classes, learning_rate=learning_rate)
        for name, dim in dims.items()
    )
