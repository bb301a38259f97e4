"""The alignment of positive pairs, and how much of a sampled alignment is noise."""

import jax
import jax.numpy as jnp

from theory.linalg.arrays import Scalar, Vector
from theory.linalg.errors import InputError
from theory.linalg.whitening import Alignment, generalized_eigenpairs
from theory.moments.moments import Moments, default_range_tolerance


def alignment(moments: Moments, *, range_tolerance: float | Scalar | None = None) -> Alignment:
    r"""Return the alignment of positive pairs: which directions survive augmentation.

    Eigenpairs :math:`M v = a \Sigma v` of the two moments. A value of 1 is a feature that
    augmentation never touches, 0 one that it redraws; sampled moments also give negative values,
    which are returned as they are.

    Args:
      moments: Covariance Σ over views and cross-covariance M over positive pairs.
      range_tolerance: Fraction of the largest covariance eigenvalue that is outside the data;
        ``None`` for the moments' default.

    Returns:
      `Alignment`: values ``(dim,)`` descending, vectors ``(dim, dim)`` in columns, rank ``()``.

    Raises:
      InputError: The moments are not float64.

    Accuracy:
      That of `theory.linalg.whitening.generalized_eigenpairs`.

    Source:
      Derived: generalized eigenproblem of the two second moments.

    Example:
      >>> with jax.enable_x64(True):
      ...     found = alignment(Moments(2.0 * jnp.eye(2), jnp.diag(jnp.array([1.0, 0.5]))))
      ...     found.values.round(12).tolist()
      [0.5, 0.25]
    """
    tolerance = default_range_tolerance(moments) if range_tolerance is None else range_tolerance
    return generalized_eigenpairs(
        moments.covariance, moments.cross_covariance, range_tolerance=tolerance
    )


def noise_floor(dim: int, images: int, views: int) -> float:
    r"""Return the largest alignment that sampling makes of features that views do not share.

    With N = images × views,

    .. math:: \beta = \left(\sqrt{\tfrac1V (1 - \tfrac dN)} + \sqrt{\tfrac dN (1 - \tfrac1V)}
        \right)^2, \qquad a_{\text{floor}} = \frac{V \beta - 1}{V - 1},

    and 1 where dim ≥ images × (views − 1): then some direction never varies within an orbit.

    Args:
      dim: Number of features.
      images: Number of images, at least 1.
      views: Views of each image, at least 2.

    Returns:
      Alignment between 0 and 1; what lies below it is not measured.

    Raises:
      InputError: Counts too small.

    Accuracy:
      Asymptotic in dim and images; 3–7 % from simulation at dim of some hundreds.

    Source:
      Derived: edge of the Jacobi ensemble.

    Example:
      Two views of 50 000 images leave a floor of 0.14 at 512 features; eight views are better:

      >>> round(noise_floor(512, 50_000, 2), 3), round(noise_floor(512, 50_000, 8), 3)
      (0.143, 0.028)
    """
    if dim < 1 or images < 1 or views < 2:
        raise InputError(
            f"noise_floor was given dim {dim}, images {images}, views {views}: wanted at least"
            " 1, 1 and 2"
        )
    ratio, share = dim / (images * views), 1.0 / views
    if ratio >= 1.0 - share:
        return 1.0
    edge = ((share * (1.0 - ratio)) ** 0.5 + (ratio * (1.0 - share)) ** 0.5) ** 2
    return (views * edge - 1.0) / (views - 1.0)


def crossfit_alignment(moments: Moments, *, range_tolerance: float | None = None) -> Vector:
    """Return alignments whose directions were found on other images than their values.

    Directions come from one half of the images and the ratio vᵀMv / vᵀΣv from the other; the two
    ways round are averaged, mode by mode. Free of the optimism of fitting and measuring on the
    same sample: modes that are pure noise come out near 0.

    Args:
      moments: Sampled moments with both halves.
      range_tolerance: As in `alignment`.

    Returns:
      Ratios in the order of the fitted alignments, ``(dim,)``; zero outside the range. Not sorted.

    Raises:
      InputError: No halves.

    Accuracy:
      Unbiased for the directions found; these are the true ones only well above `noise_floor`.

    Source:
      Derived: sample splitting.

    Example:
      >>> with jax.enable_x64(True):
      ...     halves = jnp.stack([jnp.eye(1), 2.0 * jnp.eye(1)])
      ...     moments = Moments(jnp.eye(1), jnp.eye(1), half_covariance=halves,
      ...                       half_cross_covariance=0.5 * halves)
      ...     crossfit_alignment(moments).tolist()
      [0.5]
    """
    covariance, cross_covariance = moments.half_covariance, moments.half_cross_covariance
    if covariance is None or cross_covariance is None:
        raise InputError(
            "moments hold no halves, cross-fitting needs half_covariance and"
            " half_cross_covariance: accumulate them, or use moments_from_views"
        )
    tolerance = default_range_tolerance(moments) if range_tolerance is None else range_tolerance
    return _crossfit(covariance, cross_covariance, tolerance)


@jax.jit
def _crossfit(covariances, cross_covariances, tolerance):
    def ratios(covariance, cross_covariance, other_covariance, other_cross_covariance):
        directions = generalized_eigenpairs(
            covariance, cross_covariance, range_tolerance=tolerance
        ).vectors
        variance = jnp.sum(directions * (other_covariance @ directions), axis=0)
        shared = jnp.sum(directions * (other_cross_covariance @ directions), axis=0)
        return jnp.where(variance > 0, shared / jnp.where(variance > 0, variance, 1.0), 0.0)

    both = jax.vmap(ratios)(
        covariances, cross_covariances, covariances[::-1], cross_covariances[::-1]
    )
    return jnp.mean(both, axis=0)
