"""Augmented pixels as a linear network sees them: moments in the directions that pairs share."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from experiments.networks.variant import PIXEL_SCALE
from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.measure.moments import layer_moments, mean_image, pixel_layer


class PixelData(NamedTuple):
    """Moments of augmented images, and the coordinates they are in.

    Attributes:
      covariance: In the directions that positive pairs share most of, at mean variance 1; float64.
      cross_covariance: Of positive pairs, in the same directions.
      mean: Mean image, in pixels between 0 and 1.
      basis: Maps flattened centered pixels to these coordinates.
    """

    covariance: Float[np.ndarray, "directions directions"]
    cross_covariance: Float[np.ndarray, "directions directions"]
    mean: Float[np.ndarray, "height width channels"]
    basis: Float[np.ndarray, "pixels directions"]


def measure_pixels(
    images: UInt8[np.ndarray, "images height width channels"],
    seed: int,
    *,
    strength: float,
    views: int,
    directions: int,
) -> PixelData:
    """Return the moments of augmented views, the mean of the clean images subtracted.

    Args:
      images: Clean.
      seed: Draws the views.
      strength: Factor on SimCLR's policy.
      views: Of each image.
      directions: How many are kept, of the largest eigenvalues of the cross-covariance.
    """
    mean = mean_image(images, PIXEL_SCALE)
    found = layer_moments(
        pixel_layer,
        None,
        mean,
        images,
        PIXEL_SCALE,
        jax.random.key(seed),
        SIMCLR_POLICY,
        strength,
        views=views,
        layers=("input",),
    )["input"]
    _, vectors = np.linalg.eigh(found["cross_covariance"])
    leading = vectors[:, ::-1][:, :directions]
    scale = np.sqrt(np.trace(leading.T @ found["covariance"] @ leading) / directions)
    basis = leading / scale
    covariance, shared = (
        basis.T @ found[name] @ basis for name in ("covariance", "cross_covariance")
    )
    return PixelData(covariance, shared, mean, basis)


def project_images(
    data: PixelData, images: UInt8[np.ndarray, "images height width channels"]
) -> Float[np.ndarray, "images directions"]:
    """Return clean images in the coordinates of the moments."""
    centered = images * PIXEL_SCALE - data.mean.astype(np.float64)
    return centered.reshape(len(images), -1) @ data.basis
