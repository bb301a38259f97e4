"""Alignment of positive pairs, and functions of symmetric matrices with safe derivatives."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from theory.linalg.arrays import Arr, Matrix, Scalar, Vector, require_float64


class Alignment(NamedTuple):
    """Eigenpairs of the alignment K = Σ^-½ M Σ^-½, restricted to the range of Σ.

    Attributes:
      values: Eigenvalues of K: descending on the range of the covariance, then zeros outside it.
      directions: Columns v with vᵀΣv = 1 and vᵀMv = value; zero outside the range.
      rank: Dimension of the range of the covariance.
    """

    values: Vector
    directions: Matrix
    rank: Int[Arr, ""]


@jax.custom_jvp
def _eigh(matrix: Matrix) -> tuple[Vector, Matrix]:
    """Ascending eigenpairs; derivatives ignore rotations between equal eigenvalues."""
    return tuple(jnp.linalg.eigh(matrix))


@_eigh.defjvp
def _eigh_jvp(primals, tangents):
    (matrix,), (tangent,) = primals, tangents
    values, vectors = _eigh(matrix)
    inner = vectors.T @ (0.5 * (tangent + tangent.T)) @ vectors
    gaps = values[None, :] - values[:, None]
    distinct = jnp.abs(gaps) > 1e-12 * jnp.max(jnp.abs(values))
    rates = jnp.where(distinct, 1.0 / jnp.where(distinct, gaps, 1.0), 0.0)
    return (values, vectors), (jnp.diagonal(inner), vectors @ (rates * inner))


def symmetric_eigenvalues(matrix: Matrix) -> Vector:
    """Eigenvalues of a symmetric matrix, descending, with derivatives also where they cross."""
    return _eigh(0.5 * (matrix + matrix.T))[0][::-1]


def divided_differences(points: Vector, values: Vector, slopes: Vector) -> Matrix:
    """Matrix of (f_i − f_j)/(x_i − x_j), and the mean slope where two points coincide."""
    gaps = points[:, None] - points[None, :]
    distinct = jnp.abs(gaps) > 1e-9 * (jnp.abs(points)[:, None] + jnp.abs(points)[None, :])
    differences = values[:, None] - values[None, :]
    mean_slopes = 0.5 * (slopes[:, None] + slopes[None, :])
    return jnp.where(distinct, differences / jnp.where(distinct, gaps, 1.0), mean_slopes)


@jax.custom_jvp
def _range_power(matrix: Matrix, exponent: Scalar, tolerance: Scalar) -> Matrix:
    values, vectors = jnp.linalg.eigh(matrix)
    powers = _masked_power(values, exponent, tolerance)
    return (vectors * powers[None, :]) @ vectors.T


def _masked_power(values: Vector, exponent: Scalar, tolerance: Scalar) -> Vector:
    inside = values > tolerance * jnp.max(jnp.abs(values))
    return jnp.where(inside, jnp.where(inside, values, 1.0) ** exponent, 0.0)


@_range_power.defjvp
def _range_power_jvp(primals, tangents):
    # Daleckii–Krein: exact for equal eigenvalues too, where eigenvectors have no derivative.
    matrix, exponent, tolerance = primals
    tangent, exponent_tangent, _ = tangents
    values, vectors = jnp.linalg.eigh(matrix)
    powers = _masked_power(values, exponent, tolerance)
    slopes = exponent * _masked_power(values, exponent - 1.0, tolerance)
    logs = powers * jnp.log(jnp.where(powers > 0, jnp.where(values > 0, values, 1.0), 1.0))
    inner = vectors.T @ (0.5 * (tangent + tangent.T)) @ vectors
    moved = divided_differences(values, powers, slopes) * inner
    moved = moved + jnp.diag(logs * exponent_tangent)
    return (vectors * powers[None, :]) @ vectors.T, vectors @ moved @ vectors.T


def psd_power(
    matrix: Matrix, exponent: float | Scalar, *, tolerance: float | Scalar = 1e-10
) -> Matrix:
    r"""Power of a positive semi-definite matrix on its range.

    For eigenpairs (w, u): :math:`\sum_{w > \text{tolerance} \cdot w_{\max}} w^{e} u u^\top`, so a
    negative exponent gives the power of the pseudo-inverse and exponent 0 the projector on the
    range.

    Args:
      matrix: Symmetric, positive semi-definite.
      exponent: Any real number.
      tolerance: Eigenvalues at or below this fraction of the largest are outside the range.

    Returns:
      Symmetric matrix of the same shape.

    Raises:
      InputError: The matrix is not float64.

    Accuracy:
      Backward stable: relative error about machine precision times condition number on the range
      for negative exponents. The derivative is exact, equal eigenvalues included, where no
      eigenvalue lies at the edge of the range.

    Source:
      Derivative: Daleckii and Krein's divided-difference formula.

    Example:
      The square root of a projector is the projector itself, although it is singular:

      >>> with jax.enable_x64(True):
      ...     projector = jnp.full((2, 2), 0.5)
      ...     bool(jnp.allclose(psd_power(projector, 0.5), projector, atol=1e-15))
      True
    """
    require_float64(matrix=matrix)
    return _symmetric_power(matrix, jnp.asarray(exponent, float), jnp.asarray(tolerance, float))


@jax.jit
def _symmetric_power(matrix, exponent, tolerance):
    return _range_power(0.5 * (matrix + matrix.T), exponent, tolerance)


def fractional_gram(gram: Matrix, fraction: float | Scalar) -> Matrix:
    r"""Gram :math:`G^t` at fractional depth t of a balanced network.

    t = l/L is layer l of L; t = 0 the projector on the range of G, t = 1 the output, t > 1 a
    network that projects more than it was trained to.

    Args:
      gram: End-to-end Gram G = WᵀW, positive semi-definite.
      fraction: t, at least 0; may be traced.

    Returns:
      Gram at that depth, ``(dim, dim)``.

    Raises:
      InputError: The Gram is not float64.

    Accuracy:
      Exact for balanced layers. Eigenvalues of G below dim × machine precision × the largest
      cannot be told from zero and are left out.

    Source:
      Derived: balance W_{l+1}ᵀW_{l+1} = W_lW_lᵀ makes every layer Gram a power of the first.

    Example:
      >>> with jax.enable_x64(True):
      ...     fractional_gram(jnp.diag(jnp.array([4.0, 0.0])), 0.5).tolist()
      [[2.0, 0.0], [0.0, 0.0]]
    """
    require_float64(gram=gram)
    return psd_power(gram, fraction, tolerance=gram.shape[0] * float(jnp.finfo(gram.dtype).eps))


def alignment(
    covariance: Matrix, cross_covariance: Matrix, *, range_tolerance: float | Scalar = 1e-10
) -> Alignment:
    r"""Alignment of positive pairs: which directions survive augmentation.

    Solves :math:`M v = a \Sigma v` on the range of the covariance :math:`\Sigma`. A value of 1 is a
    feature that augmentation never touches, 0 one that it redraws; sampled moments also give
    negative values, which are returned as they are.

    Args:
      covariance: Σ = E[x xᵀ] over views, positive semi-definite.
      cross_covariance: M = E[x x⁺ᵀ] over positive pairs, symmetric.
      range_tolerance: Directions whose covariance eigenvalue is at or below this fraction of the
        largest are outside the data.

    Returns:
      `Alignment`: values ``(dim,)``, directions ``(dim, dim)`` in columns, rank ``()``.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Value of a direction v: about machine precision × ‖Σ‖ ‖v‖² (graded: strong directions do not
      suffer from weak ones). Derivatives of single directions do not exist where values coincide;
      rotations between equal values are ignored there.

    Source:
      Derived: generalized eigenproblem of the two second moments.

    Example:
      Two features of different size, one of which augmentation halves the correlation of:

      >>> with jax.enable_x64(True):
      ...     covariance, shared = jnp.diag(jnp.array([4.0, 1.0])), jnp.diag(jnp.array([2.0, 1.0]))
      ...     [round(float(value), 12) for value in alignment(covariance, shared).values]
      [1.0, 0.5]
    """
    require_float64(covariance=covariance, cross_covariance=cross_covariance)
    return _alignment(covariance, cross_covariance, range_tolerance)


@jax.jit
def _alignment(covariance, cross_covariance, range_tolerance):
    frame = whitening_frame(covariance, range_tolerance)
    values, vectors, inside = framed_eigenpairs(frame, cross_covariance)
    return Alignment(
        values=jnp.where(inside, values, 0.0),
        directions=frame.columns @ jnp.where(inside[None, :], vectors, 0.0),
        rank=jnp.sum(inside),
    )


class WhiteningFrame(NamedTuple):
    """Columns u/√w of the eigenpairs of a PSD matrix, and 1 or 0 for in or out of its range."""

    columns: Matrix
    inside: Float[Arr, " dim"]


def whitening_frame(matrix: Matrix, range_tolerance: float | Scalar) -> WhiteningFrame:
    """Frame C with CᵀQC = identity on the range of Q; keeps the grading of the eigenvalues."""
    values, vectors = _eigh(0.5 * (matrix + matrix.T))
    inside = values > range_tolerance * jnp.max(values)
    scales = jnp.where(inside, jnp.where(inside, values, 1.0) ** -0.5, 0.0)
    return WhiteningFrame(vectors * scales[None, :], inside.astype(matrix.dtype))


def framed_eigenpairs(frame: WhiteningFrame, matrix: Matrix) -> tuple[Vector, Matrix, Arr]:
    """Eigenpairs of CᵀBC, descending, those outside the range last, and which lie inside."""
    inner = frame.columns.T @ (0.5 * (matrix + matrix.T)) @ frame.columns
    # Outside directions are moved below every other, or they would mix with true zeros.
    floor = -2.0 * jnp.max(jnp.abs(inner)) * inner.shape[0] - 1.0
    values, vectors = _eigh(inner + jnp.diag(floor * (1.0 - frame.inside)))
    inside = jnp.arange(inner.shape[0]) < jnp.sum(frame.inside)
    return values[::-1], vectors[:, ::-1], inside
