"""Samplers of the augmentations of `theory.moments.augmentations`: images in, views of each out."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from theory.linalg.arrays import Arr, Scalar, require_float64
from theory.moments.augmentations import Operators, Probabilities

Images = Float[Arr, "images dim"]
Views = Float[Arr, "images views out"]


def noise_views(
    key: PRNGKeyArray, images: Images, views: int, noise_variance: float | Scalar
) -> Views:
    """Views with Gaussian noise of variance σ² added to each coordinate; see `noise_moments`."""
    require_float64(images=images, noise_variance=noise_variance)
    noise = jax.random.normal(key, (images.shape[0], views, images.shape[1]), float)
    return images[:, None, :] + jnp.sqrt(noise_variance) * noise


def mask_views(
    key: PRNGKeyArray, images: Images, views: int, keep_probability: float | Scalar
) -> Views:
    """Views of which each coordinate is kept with probability q, else zero; see `mask_moments`."""
    require_float64(images=images, keep_probability=keep_probability)
    shape = (images.shape[0], views, images.shape[1])
    return jnp.where(jax.random.bernoulli(key, keep_probability, shape), images[:, None, :], 0.0)


def complementary_mask_views(key: PRNGKeyArray, images: Images) -> Views:
    """Two views that share no coordinate; see `complementary_mask_moments`."""
    require_float64(images=images)
    kept = jax.random.bernoulli(key, 0.5, images.shape)
    return jnp.stack([jnp.where(kept, images, 0.0), jnp.where(kept, 0.0, images)], axis=1)


def gain_views(
    key: PRNGKeyArray,
    images: Images,
    views: int,
    mean_gain: float | Scalar,
    gain_variance: float | Scalar,
) -> Views:
    """Views of Gaussian random contrast; see `gain_moments`."""
    require_float64(images=images, mean_gain=mean_gain, gain_variance=gain_variance)
    normal = jax.random.normal(key, (images.shape[0], views, 1), float)
    return (mean_gain + jnp.sqrt(gain_variance) * normal) * images[:, None, :]


def operator_views(
    key: PRNGKeyArray,
    images: Images,
    views: int,
    operators: Operators,
    probabilities: Probabilities | None = None,
) -> Views:
    """Views by operators drawn with their probabilities; see `linear_operator_moments`."""
    require_float64(images=images, operators=operators, probabilities=probabilities)
    drawn = jax.random.choice(key, operators.shape[0], (images.shape[0], views), p=probabilities)
    outputs = jnp.einsum("gij,nj->ngi", operators, images)
    return jnp.take_along_axis(outputs, drawn[:, :, None], axis=1)
