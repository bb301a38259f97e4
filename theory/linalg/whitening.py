"""Whitening by a covariance, and the eigenpairs of one symmetric matrix relative to it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from theory.linalg.arrays import Arr, Matrix, Scalar, Vector, require_float64
from theory.linalg.spectral import equal_values, rotation_rate


class Alignment(NamedTuple):
    """Eigenpairs of the alignment K = Σ^-½ M Σ^-½, restricted to the range of Σ.

    Attributes:
      values: Eigenvalues of K: descending on the range of the covariance, then zeros outside it.
      vectors: Columns v with vᵀΣv = 1 and vᵀMv = value; zero outside the range.
      rank: Dimension of the range of the covariance.
    """

    values: Vector
    vectors: Matrix
    rank: Int[Arr, ""]


class WhiteningFrame(NamedTuple):
    """Columns u/√w of the eigenpairs of a PSD matrix, and 1 or 0 for in or out of its range."""

    columns: Matrix
    inside: Float[Arr, " dim"]


def generalized_eigenpairs(
    covariance: Matrix, cross_covariance: Matrix, *, range_tolerance: float | Scalar = 1e-10
) -> Alignment:
    r"""Return the alignment of positive pairs: which directions survive augmentation.

    Solves :math:`M v = a \Sigma v` on the range of the covariance :math:`\Sigma`. A value of 1 is a
    feature that augmentation never touches, 0 one that it redraws; sampled moments also give
    negative values, which are returned as they are.

    Args:
      covariance: Σ = E[x xᵀ] over views, positive semi-definite.
      cross_covariance: M = E[x x⁺ᵀ] over positive pairs, symmetric.
      range_tolerance: Directions whose covariance eigenvalue is at or below this fraction of the
        largest are outside the data.

    Returns:
      `Alignment`: values ``(dim,)``, vectors ``(dim, dim)`` in columns, rank ``()``.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Value of a direction v: about machine precision × ‖Σ‖ ‖v‖² (graded: strong directions do not
      suffer from weak ones). Derivatives of values are exact where values are distinct, whatever
      the covariance (a multiple of the identity included); single values among equal ones have
      none, their sum has. Vectors of equal values have no derivative; here their frame does not
      rotate.

    Source:
      Derived: generalized eigenproblem of the two second moments.

    Example:
      Two features of different size, one of which augmentation halves the correlation of:

      >>> with jax.enable_x64(True):
      ...     covariance, shared = jnp.diag(jnp.array([4.0, 1.0])), jnp.diag(jnp.array([2.0, 1.0]))
      ...     found = generalized_eigenpairs(covariance, shared)
      ...     [round(float(value), 12) for value in found.values]
      [1.0, 0.5]
    """
    require_float64(covariance=covariance, cross_covariance=cross_covariance)
    return _alignment(covariance, cross_covariance, range_tolerance)


def whitening_frame(matrix: Matrix, range_tolerance: float | Scalar) -> WhiteningFrame:
    """Return a frame C with CᵀQC = 1 on the range of Q; it keeps the grading of the eigenvalues.

    Constant under differentiation: what depends on the frame's span alone is differentiated by
    `psd_power`.

    Args:
      matrix: Q, symmetric positive semi-definite, ``(dim, dim)``.
      range_tolerance: Eigenvalues at or below this fraction of the largest are outside the range.

    Returns:
      `WhiteningFrame`: columns ``(dim, dim)``, zero outside the range, and a flag for each.
    """
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(0.5 * (matrix + matrix.T)))
    inside = values > range_tolerance * jnp.max(values)
    scales = jnp.where(inside, jnp.where(inside, values, 1.0) ** -0.5, 0.0)
    return WhiteningFrame(vectors * scales[None, :], inside.astype(matrix.dtype))


@jax.jit
def _alignment(covariance, cross_covariance, range_tolerance):
    symmetric = 0.5 * (cross_covariance + cross_covariance.T)
    tolerance = jnp.asarray(range_tolerance, float)
    values, vectors, rank = _eigenpairs(0.5 * (covariance + covariance.T), symmetric, tolerance)
    return Alignment(values, vectors, rank)


@jax.custom_jvp
def _eigenpairs(covariance, cross_covariance, range_tolerance) -> Any:
    frame = whitening_frame(covariance, range_tolerance)
    inner = frame.columns.T @ cross_covariance @ frame.columns
    # Outside directions are moved below every other, or they would mix with true zeros.
    floor = -2.0 * jnp.max(jnp.abs(inner)) * inner.shape[0] - 1.0
    values, vectors = jnp.linalg.eigh(inner + jnp.diag(floor * (1.0 - frame.inside)))
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = jnp.sum(frame.inside).astype(int)
    inside = jnp.arange(inner.shape[0]) < rank
    columns = frame.columns @ jnp.where(inside[None, :], vectors, 0.0)
    return jnp.where(inside, values, 0.0), columns, rank


@_eigenpairs.defjvp
def _eigenpairs_jvp(primals, tangents):
    # With V' = V C + N, N in the kernel of Σ, and H = VᵀMV (diagonal here, a block matrix where it
    # is differentiated again): C H − H C = VᵀM'V − (VᵀΣ'V) H, and C + Cᵀ = −VᵀΣ'V.
    covariance, cross_covariance, range_tolerance = primals
    covariance_tangent, cross_tangent, _ = tangents
    values, vectors, rank = _eigenpairs(covariance, cross_covariance, range_tolerance)
    outward = covariance_tangent @ vectors @ (vectors.T @ vectors)
    outward = outward - vectors @ (vectors.T @ (covariance @ outward))
    # The projector V VᵀΣ leaves of the range only what is outside of it.
    read = cross_covariance @ vectors
    change = vectors.T @ cross_tangent @ vectors + outward.T @ read + read.T @ outward
    scale = vectors.T @ covariance_tangent @ vectors
    block = vectors.T @ read
    turned = rotation_rate(block, change - scale @ block) - 0.5 * equal_values(block) * scale
    rates = jnp.diagonal(change - scale @ block)
    tangent = (rates, vectors @ turned + outward, np.zeros((), jax.dtypes.float0))
    return (values, vectors, rank), tangent
