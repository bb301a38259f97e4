"""Deep linear networks trained by the algorithms in use, on data whose moments are known."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from theory.dynamics.descent import descend
from theory.layers.chain import chain_layer_grams, end_to_end_map
from theory.layers.grams import minimum_norm_layers
from theory.losses.quadratic import QuadraticLoss, quadratic_value, spectral_loss
from theory.moments.data_models import FeatureModel, resampling_moments, resampling_views
from theory.moments.moments import Moments

Weights = tuple[Float[Array, "_ _"], ...]

# Features of the published kind: weak, disrupted and strong ones beside the noise of a view.
STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5)
RETENTIONS = (1.0, 1.0, 0.5, 1.0, 0.3, 1.0)
VIEW_NOISE = 0.5
STRETCH = 50


class LinearData(NamedTuple):
    """Data as a linear network sees them.

    Attributes:
      name: What relates features, covariance and cross-covariance.
      moments: Exact second moments.
      features: Unit vectors of the features, in columns.
    """

    name: str
    moments: Moments
    features: Float[Array, "dim features"]


def feature_model() -> FeatureModel:
    """Six features along the axes, of `STRENGTHS` and `RETENTIONS`."""
    return FeatureModel(
        jnp.array(STRENGTHS), jnp.array(RETENTIONS), jnp.asarray(VIEW_NOISE), jnp.asarray(0.0)
    )


def data_models() -> tuple[LinearData, ...]:
    """Aligned and commuting, neither aligned, neither aligned nor commuting; exact moments.

    Aligned features are eigenvectors of both moments. Oblique ones are not orthogonal, so they
    are not eigenvectors; with every feature kept and noise alike in every direction the moments
    commute still, with retentions and noise that differ they do not.
    """
    model = feature_model()
    dim = len(STRENGTHS)
    # A fixed mixture of each axis with its neighbors.
    mixed = jnp.eye(dim) + 0.6 * jnp.eye(dim, k=1) - 0.3 * jnp.eye(dim, k=-2)
    features = mixed / jnp.linalg.norm(mixed, axis=0, keepdims=True)
    noise = jnp.linspace(0.3, 0.7, dim) ** 2

    def shared(retentions: Array) -> Array:
        return (features * (retentions * jnp.array(STRENGTHS))[None, :] ** 2) @ features.T

    every = shared(jnp.ones(dim))
    return (
        LinearData("aligned, commuting", resampling_moments(model), jnp.eye(dim)),
        LinearData(
            "oblique, commuting", Moments(every + VIEW_NOISE**2 * jnp.eye(dim), every), features
        ),
        LinearData(
            "oblique, not commuting",
            Moments(every + jnp.diag(noise), shared(jnp.array(RETENTIONS))),
            features,
        ),
    )


def balanced_start(key: PRNGKeyArray, dim: int, depth: int, scale: float) -> Weights:
    """Balanced layers whose product has singular values around scale^depth and random directions.

    Args:
      key: Draws the directions.
      dim: Width of every layer.
      depth: Layers.
      scale: Size of one layer.

    Returns:
      W_1..W_L.
    """
    left, right = (
        jnp.linalg.qr(jax.random.normal(part, (dim, dim), float))[0]
        for part in jax.random.split(key)
    )
    values = scale**depth * jnp.linspace(0.5, 1.5, dim)
    return tuple(map(jnp.asarray, minimum_norm_layers((left * values[None, :]) @ right.T, depth)))


def random_start(key: PRNGKeyArray, dim: int, depth: int, scale: float) -> Weights:
    """Gaussian layers of entries N(0, scale²/dim): nearly balanced where the scale is small."""
    return tuple(
        scale * jax.random.normal(part, (dim, dim), float) / np.sqrt(dim)
        for part in jax.random.split(key, depth)
    )


def unbalanced(weights: Weights, factor: float) -> Weights:
    """The same map by other layers: the first times a factor, the last divided by it."""
    return (factor * weights[0], *weights[1:-1], weights[-1] / factor)


def moments_loss(moments: Moments) -> Partial:
    """Spectral contrastive loss of an end-to-end map, over the whole population."""
    return Partial(_map_loss, spectral_loss(moments.covariance, moments.cross_covariance))


def descended(
    moments: Moments,
    weights: Weights,
    rate: float,
    steps: int,
    *,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Weights:
    """Layers after full-batch gradient descent on the population loss.

    Args:
      moments: Of the data.
      weights: W_1..W_L at the start.
      rate: η.
      steps: How many.
      momentum: Heavy-ball β.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².

    Returns:
      W_1..W_L at the end.
    """
    path = descend(
        moments_loss(moments), weights, rate, steps, momentum=momentum, weight_decay=weight_decay
    )
    return tuple(layer[-1] for layer in path)


@functools.partial(jax.jit, static_argnames=("batch", "steps"))
def minibatch_descended(
    key: PRNGKeyArray,
    model: FeatureModel,
    weights: Weights,
    rate: float | Array,
    batch: int,
    steps: int,
) -> Weights:
    """Layers after plain SGD on fresh pairs of views, with the unbiased loss of a batch.

    Args:
      key: Draws every batch.
      model: The data.
      weights: W_1..W_L at the start.
      rate: η.
      batch: Pairs a step.
      steps: How many, in whole stretches of `STRETCH`.

    Returns:
      W_1..W_L at the end.
    """

    def loss(layers: Weights, views: Array) -> Array:
        first, second = jnp.moveaxis(views @ end_to_end_map(layers).T, 1, 0)
        products = first @ second.T
        own = jnp.diagonal(products)
        others = jnp.sum(products**2) - jnp.sum(own**2)
        return -2.0 * jnp.mean(own) + others / (batch * (batch - 1))

    def step(layers: Weights, views: Array) -> tuple[Weights, None]:
        slopes = jax.grad(loss)(layers, views)
        return tuple(layer - rate * slope for layer, slope in zip(layers, slopes)), None

    def stretch(layers: Weights, number: Array) -> tuple[Weights, None]:
        # Many steps' views at once: drawing them one step at a time would take most of the time.
        drawn = resampling_views(jax.random.fold_in(key, number), model, STRETCH * batch, 2)
        views = jnp.reshape(jnp.asarray(drawn), (STRETCH, batch, 2, -1))
        return jax.lax.scan(step, layers, views)[0], None

    return jax.lax.scan(stretch, weights, jnp.arange(steps // STRETCH))[0]


@functools.partial(jax.jit, static_argnames="steps")
def adam_descended(moments: Moments, weights: Weights, rate: float | Array, steps: int) -> Weights:
    """Layers after full-batch Adam on the population loss, rate falling to zero on a cosine.

    Args:
      moments: Of the data.
      weights: W_1..W_L at the start.
      rate: First learning rate.
      steps: How many.

    Returns:
      W_1..W_L at the end.
    """
    optimizer = optax.scale_by_adam()
    loss = moments_loss(moments)

    def step(carry: tuple[Weights, optax.OptState], number: Array):
        layers, state = carry
        slopes = jax.grad(lambda given: loss(end_to_end_map(given)))(layers)
        updates, state = optimizer.update(slopes, state)
        now = rate * 0.5 * (1.0 + jnp.cos(jnp.pi * number / steps))
        layers = tuple(layer - now * move for layer, move in zip(layers, updates))  # type: ignore[arg-type]
        return (layers, state), None

    (layers, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), jnp.arange(steps))
    return layers


def gram_errors(
    weights: Weights, expected: Float[Array, "depth dim dim"]
) -> Float[np.ndarray, " depth"]:
    """Relative Frobenius error of each layer's Gram."""
    found = chain_layer_grams(weights)
    return np.asarray(
        jnp.linalg.norm(found - expected, axis=(1, 2)) / jnp.linalg.norm(expected, axis=(1, 2))
    )


def _map_loss(loss: QuadraticLoss, end_to_end: Array) -> Array:
    return jnp.asarray(quadratic_value(loss, end_to_end.T @ end_to_end))
