"""Features brought to mean 0 and, where asked, variance 1 before a probe is fitted to them."""

from typing import NamedTuple

import numpy as np

from ssljax.system.arrays import Float


class Standardization(NamedTuple):
    """``(features - mean) / scale`` is what a probe is fitted to.

    Attributes:
        mean: of each feature.
        scale: its standard deviation, or 1 where features are not divided.
    """

    mean: Float[np.ndarray, " dim"]
    scale: Float[np.ndarray, " dim"]


def standardization(features: Float[np.ndarray, "n dim"], *, divide: bool) -> Standardization:
    """Mean and, if `divide`, standard deviation of each feature; constant features keep scale 1."""
    mean = np.asarray(np.mean(features, axis=0, dtype=np.float64))
    if not divide:
        return Standardization(mean, np.ones_like(mean))
    deviation = np.std(features, axis=0, dtype=np.float64)
    # A constant feature is left alone rather than blown up to unit variance.
    constant = deviation <= 1e-6 * max(float(np.max(deviation)), 1e-30)
    return Standardization(mean, np.where(constant, 1.0, deviation))


def standardized(
    change: Standardization, features: Float[np.ndarray, "n dim"]
) -> Float[np.ndarray, "n dim"]:
    """The features that a probe sees, float32."""
    return ((features - change.mean) / change.scale).astype(np.float32)


def unfolded(
    change: Standardization,
    kernel: Float[np.ndarray, "dim outputs"],
    bias: Float[np.ndarray, " outputs"],
) -> tuple[Float[np.ndarray, "dim outputs"], Float[np.ndarray, " outputs"]]:
    """The same linear map for features as given, float64."""
    kernel = np.asarray(kernel, np.float64) / change.scale[:, None]
    return kernel, np.asarray(bias, np.float64) - change.mean @ kernel


def folded(
    change: Standardization,
    kernel: Float[np.ndarray, "dim outputs"],
    bias: Float[np.ndarray, " outputs"],
) -> tuple[Float[np.ndarray, "dim outputs"], Float[np.ndarray, " outputs"]]:
    """The inverse of :func:`unfolded`, float32: a map of given features, for standardized ones."""
    started = np.asarray(bias + change.mean @ kernel, np.float32)
    return np.asarray(kernel * change.scale[:, None], np.float32), started
