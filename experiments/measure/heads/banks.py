"""Features of augmented views in two banks: heads train on one, moments come from the other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.moments.moments import Moments, moments_from_views

Views = Float[np.ndarray, "images views width"]

RANGE_TOLERANCE = 1e-6
"""Features are float32: directions below this share of the largest variance are rounding."""


class Banks(NamedTuple):
    """Features of the same images in other views.

    Attributes:
      training: What heads are trained on.
      prediction: What moments are measured on; training never sees these views.
    """

    training: Views
    prediction: Views


def scale_banks(training: Views, prediction: Views) -> Banks:
    """Return both banks, centered and scaled by what the training bank says.

    An unnormalized loss would spend its first mode on the mean. Scaled so that the largest
    eigenvalue of the covariance is one, features of every encoder have learning rates and weight
    decays in the same unit.

    Args:
      training: Features as the encoder puts them out.
      prediction: Other views of the same images.
    """
    center = training.mean(axis=(0, 1), keepdims=True)
    centered = Banks(training - center, prediction - center)
    flat = centered.training.reshape(-1, training.shape[-1]).astype(np.float64)
    largest = np.linalg.eigvalsh(flat.T @ flat / len(flat))[-1]
    factor = np.float32(largest**-0.5)
    return Banks(centered.training * factor, centered.prediction * factor)


def measure_moments(views: Views) -> Moments:
    """Return second moments of views in float64; call inside ``jax.enable_x64(True)``."""
    return moments_from_views(jnp.asarray(views, jnp.float64))


def as_float64(weights: tuple[np.ndarray, ...]) -> tuple[jax.Array, ...]:
    """Return the layers of a head as theory takes them; call inside ``jax.enable_x64(True)``."""
    return tuple(jnp.asarray(weight, jnp.float64) for weight in weights)
