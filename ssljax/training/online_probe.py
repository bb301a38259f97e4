"""A linear probe that is trained in the same step as the network and leaves no trace in it."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ssljax.system.arrays import Array
from ssljax.training.observers import Observer


def online_probe(
    layer: str, dim: int, num_classes: int, *, learning_rate: float = 1e-3
) -> Observer:
    """An observer that trains a linear classifier on a layer's views and reports its accuracy.

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
