"""Samplers of the augmentations, features and classes whose moments theory has in closed form."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64
from theory.linalg.powers import psd_power
from theory.moments.augmentations import Operators, Probabilities
from theory.moments.data_models import FeatureModel

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


def resampling_views(key: PRNGKeyArray, model: FeatureModel, images: int, views: int) -> Views:
    """Views with signs drawn afresh; see `theory.moments.data_models.resampling_moments`."""
    keys = jax.random.split(key, 5)
    shape = (images, views, model.strength.shape[0])
    signs = jax.random.rademacher(keys[0], (images, 1, shape[2]), float)
    kept = jax.random.bernoulli(keys[1], model.retention[None, None, :], shape)
    features = jnp.where(kept, signs, jax.random.rademacher(keys[2], shape, float))
    shared = model.shared_noise * jax.random.normal(keys[3], (images, 1, shape[2]), float)
    noise = model.view_noise * jax.random.normal(keys[4], shape, float)
    return model.strength[None, None, :] * features + shared + noise


def dropping_views(key: PRNGKeyArray, model: FeatureModel, images: int, views: int) -> Views:
    """Views with features set to zero; see `theory.moments.data_models.dropping_moments`."""
    keys = jax.random.split(key, 4)
    shape = (images, views, model.strength.shape[0])
    signs = jax.random.rademacher(keys[0], (images, 1, shape[2]), float)
    kept = jax.random.bernoulli(keys[1], model.retention[None, None, :], shape)
    shared = model.shared_noise * jax.random.normal(keys[2], (images, 1, shape[2]), float)
    noise = model.view_noise * jax.random.normal(keys[3], shape, float)
    return model.strength[None, None, :] * jnp.where(kept, signs, 0.0) + shared + noise


def class_views(
    key: PRNGKeyArray,
    class_means: Float[Arr, "classes dim"],
    class_probabilities: Float[Arr, " classes"],
    within_covariance: Matrix,
    images: int,
    views: int,
) -> Views:
    """Gaussian examples of a class drawn for each image; see `supervised_moments`."""
    keys = jax.random.split(key)
    classes = jnp.arange(class_means.shape[0])
    drawn = jax.random.choice(keys[0], classes, (images,), p=jnp.asarray(class_probabilities))
    normal = jax.random.normal(keys[1], (images, views, class_means.shape[1]), float)
    return jnp.asarray(class_means)[drawn][:, None, :] + normal @ psd_power(within_covariance, 0.5)
