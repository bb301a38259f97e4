"""Descent of deep linear networks on the spectral loss of exact moments, full batch, float64."""

import functools

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from theory.dynamics.descent import descend
from theory.layers.chain import end_to_end_map
from theory.losses.quadratic import QuadraticLoss, quadratic_value, spectral_loss
from theory.moments.moments import Moments

Weights = tuple[Float[Array, "_ _"], ...]


def draw_orthogonal_layers(key: PRNGKeyArray, dim: int, depth: int, scale: float) -> Weights:
    """Return layers that are multiples of random orthogonal matrices.

    They are balanced, W_{l+1}ᵀW_{l+1} = W_lW_lᵀ, and weigh all features alike.

    Args:
      key: Draws the orthogonal matrices.
      dim: Width of every layer.
      depth: Number of layers.
      scale: Singular value of every layer.
    """
    return tuple(
        scale * jnp.linalg.qr(jax.random.normal(part, (dim, dim), float))[0]
        for part in jax.random.split(key, depth)
    )


def population_loss(moments: Moments) -> Partial:
    """Return the spectral contrastive loss as a function of the end-to-end map."""
    return Partial(_map_loss, spectral_loss(moments.covariance, moments.cross_covariance))


def descend_layers(
    moments: Moments, weights: Weights, rate: float, steps: int, *, weight_decay: float = 0.0
) -> Weights:
    """Return the layers after full-batch gradient descent.

    Args:
      moments: Of the data.
      weights: W_1 … W_L at the start.
      rate: Learning rate.
      steps: How many.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
    """
    path = descend(population_loss(moments), weights, rate, steps, weight_decay=weight_decay)
    return tuple(layer[-1] for layer in path)


@functools.partial(jax.jit, static_argnames="steps")
def descend_by_adam(moments: Moments, weights: Weights, rate: float | Array, steps: int) -> Weights:
    """Return the layers after full-batch Adam, whose rate falls to zero along a cosine.

    Args:
      moments: Of the data.
      weights: W_1 … W_L at the start.
      rate: First learning rate.
      steps: How many.
    """
    optimizer = optax.scale_by_adam()
    loss = population_loss(moments)

    def step(carry: tuple[Weights, optax.OptState], number: Array):
        layers, state = carry
        slopes = jax.grad(lambda given: loss(end_to_end_map(given)))(layers)
        updates, state = optimizer.update(slopes, state)
        now = rate * 0.5 * (1.0 + jnp.cos(jnp.pi * number / steps))
        return (jax.tree.map(lambda w, move: w - now * move, layers, updates), state), None

    (layers, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), jnp.arange(steps))
    return layers


def _map_loss(loss: QuadraticLoss, end_to_end: Array) -> Array:
    return jnp.asarray(quadratic_value(loss, end_to_end.T @ end_to_end))
