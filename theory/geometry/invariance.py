"""How invariant a representation is to augmentation, and along which directions."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int

from theory.linalg.arrays import Arr, Matrix, Scalar, Vector, compiled, require_float64
from theory.linalg.errors import InputError
from theory.linalg.whitening import generalized_eigenpairs

Views = Float[Arr, "images views dim"]


class OrbitCovariances(NamedTuple):
    """Covariance split into what augmentation adds and what distinguishes images.

    Attributes:
      within: Σ_w, mean covariance of the views of one image.
      between: Σ_b, covariance of the images' augmentation means.
    """

    within: Matrix
    between: Matrix


class AugmentationFractions(NamedTuple):
    """Generalized spectrum of (Σ_w, S): how much of each direction is augmentation noise.

    Attributes:
      values: ρ, ascending; 1 outside the range of S.
      directions: Columns g with gᵀSg = 1 and gᵀΣ_w g = ρ; zero outside the range of S.
      rank: Dimension of the range of S.
    """

    values: Vector
    directions: Matrix
    rank: Int[Arr, ""]


@compiled()
def orbit_covariances(views: Views) -> OrbitCovariances:
    r"""Return unbiased within-orbit and between-image covariances from views.

    :math:`\hat\Sigma_w = \frac{1}{n(V-1)}\sum_{iv}(x_{iv}-\bar x_i)(x_{iv}-\bar x_i)^\top` and
    :math:`\hat\Sigma_b = \mathrm{Cov}_{n-1}(\bar x_i) - \hat\Sigma_w / V`.

    Args:
      views: Representations of V views of each of n images; views of one row are of one image.

    Returns:
      `OrbitCovariances`; the unbiased between covariance can have negative eigenvalues of the
      size of its sampling error.

    Raises:
      InputError: Fewer than two images or two views.

    Accuracy:
      Unbiased; standard errors of order 1/√(n(V-1)) and 1/√n.

    Source:
      Derived: one-way analysis of variance with the image as the class.

    Example:
      Two images, two views each, moved by augmentation along the second axis only:

      >>> import jax, numpy as np
      >>> views = np.array([[[1.0, 1.0], [1.0, -1.0]], [[-1.0, 1.0], [-1.0, -1.0]]])
      >>> with jax.enable_x64(True):
      ...     split = orbit_covariances(views)
      ...     print(split.within.diagonal(), split.between.diagonal())
      [0. 2.] [ 2. -1.]
    """
    require_float64(views=views)
    num_images, num_views, dim = views.shape
    if num_images < 2 or num_views < 2:
        raise InputError(
            f"orbit covariances of {num_images} images with {num_views} views: give at least two"
            " images and two views of each"
        )
    views = jnp.asarray(views)
    means = jnp.mean(views, axis=1)
    residual = (views - means[:, None, :]).reshape(-1, dim)
    within = residual.T @ residual / (num_images * (num_views - 1))
    spread = means - jnp.mean(means, axis=0, keepdims=True)
    return OrbitCovariances(within, spread.T @ spread / (num_images - 1) - within / num_views)


def within_covariance(covariance: Matrix, cross_covariance: Matrix) -> Matrix:
    """Return the within-orbit covariance Σ_w = Σ − M of raw or centered second moments."""
    require_float64(covariance=covariance, cross_covariance=cross_covariance)
    return covariance - 0.5 * (cross_covariance + cross_covariance.T)


@compiled()
def invariance_defect(
    covariance: Matrix, cross_covariance: Matrix, mean: Vector | None = None
) -> Scalar:
    r"""Return the share of a representation's variance that is augmentation.

    0 is invariant, 1 pure noise.

    :math:`I = \mathrm{tr}\,\Sigma_w / \mathrm{tr}\,S` with :math:`\Sigma_w = \Sigma - M` and the
    total covariance :math:`S = \Sigma - \mu\mu^\top`. Free of scale.

    Args:
      covariance: Σ = E[x xᵀ] of views of the representation.
      cross_covariance: M = E[x x⁺ᵀ] of positive pairs.
      mean: μ = E[x], subtracted from the raw moments; without it they are taken as centered,
        and an uncentered representation looks more invariant than it is.

    Returns:
      The defect I, shape ().

    Accuracy:
      Exact for population moments; for sample moments over all pairs of views numerator is
      unbiased and the ratio's bias O(1/images).

    Source:
      Derived; the trace form of `augmentation_fractions`.

    Example:
      A direction that augmentation redraws (correlation 0) next to one it never touches:

      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(float(invariance_defect(np.diag([3.0, 1.0]), np.diag([3.0, 0.0]))))
      0.25
    """
    require_float64(covariance=covariance, cross_covariance=cross_covariance, mean=mean)
    offset = 0.0 if mean is None else jnp.vdot(mean, mean)
    return trace_invariance_defect(jnp.trace(covariance), jnp.trace(cross_covariance), offset)


def trace_invariance_defect(square: Scalar, product: Scalar, offset: float | Scalar = 0) -> Scalar:
    """Return the invariance defect from traces, in the precision of a training step.

    Args:
      square: E‖x‖², the trace of the covariance.
      product: E x·x⁺ of positive pairs, the trace of the cross-covariance.
      offset: ‖E x‖²; 0 for a centered representation.

    Returns:
      (square − product) / (square − offset), shape ().

    Accuracy:
      Exact to rounding, which counts where the offset is most of the square: center first then.

    Source:
      Derived, see `invariance_defect`.

    Example:
      >>> round(float(trace_invariance_defect(jnp.float32(4.0), jnp.float32(3.0))), 6)
      0.25
    """
    return (square - product) / (square - offset)


@compiled()
def view_invariance_defect(views: Views) -> Scalar:
    r"""Return the invariance defect from views, with unbiased numerator and denominator.

    :math:`I = \mathrm{tr}\,\hat\Sigma_w / \mathrm{tr}(\hat\Sigma_w + \hat\Sigma_b)` with
    `orbit_covariances`: the within sum carries the factor V/(V-1), without which two views would
    halve the defect.

    Args:
      views: Representations, (images, views, dim), at least two images and two views;
        they need not be centered.

    Returns:
      The defect, shape ().

    Raises:
      InputError: Fewer than two images or two views.

    Accuracy:
      Ratio of unbiased traces, bias O(1/images); twelve views or more keep its spread small.

    Source:
      Derived.

    Example:
      >>> import jax, numpy as np
      >>> rng = np.random.default_rng(0)
      >>> views = rng.standard_normal((4000, 1, 2)) + rng.standard_normal((4000, 2, 2))
      >>> with jax.enable_x64(True):
      ...     print(round(float(view_invariance_defect(views)), 1))
      0.5
    """
    within, between = orbit_covariances(views)
    return jnp.trace(within) / (jnp.trace(within) + jnp.trace(between))


@compiled()
def augmentation_fractions(
    within: Matrix, covariance: Matrix, *, range_tolerance: float | Scalar = 1e-10
) -> AugmentationFractions:
    r"""Return the fraction of each generalized direction's variance that is augmentation noise.

    Eigenpairs of :math:`S^{-1/2}\Sigma_w S^{-1/2} = U\rho U^\top` with directions
    :math:`g_k = S^{-1/2}U_k`. For centered moments :math:`\rho = 1 - a` with the alignment a, and
    (1 - ρ)/ρ are the eigenvalues of linear discriminant analysis of images against views.

    Args:
      within: Σ_w, within-orbit covariance.
      covariance: S = Σ_w + Σ_b, total covariance (centered).
      range_tolerance: Directions whose eigenvalue of S is at or below this fraction of the
        largest are outside the data: 1e-10 exact, 1e-6 for moments accumulated in float32.

    Returns:
      `AugmentationFractions`, the most invariant direction first.

    Accuracy:
      Values to about machine precision times 1 + condition of S on its range; absolute, so a
      fraction near 0 has few relative digits. Sampled moments can exceed 1.

    Source:
      Derived: generalized eigenproblem Σ_w g = ρ S g.

    Example:
      The strong direction is half noise, the weak one clean, so the weak one comes first:

      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(augmentation_fractions(np.diag([2.0, 0.0]), np.diag([4.0, 1.0])).values)
      [0.  0.5]
    """
    require_float64(within=within, covariance=covariance)
    covariance = jnp.asarray(covariance)
    aligned = generalized_eigenpairs(
        covariance, covariance - within, range_tolerance=range_tolerance
    )
    return AugmentationFractions(1.0 - aligned.values, aligned.vectors, aligned.rank)
