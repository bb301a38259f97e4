"""Eigenpairs and singular values, with the derivatives that exist at equal values too.

Eigenvectors of equal eigenvalues have no derivative. The rules here take the frame that does not
rotate within equal values: subspaces, and everything that depends on no rotation within them, have
the right derivatives of every order.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Factor, Matrix, Vector, require_float64
from theory.linalg.powers import psd_power


class FactorModes(NamedTuple):
    """Nonzero eigenpairs of a Gram G = FᵀF, of which layer l of L has the power l/L.

    Attributes:
      values: Eigenvalues, descending, ``(rank,)``.
      vectors: Their eigenvectors in columns, ``(dim, rank)``.
    """

    values: Float[Arr, " rank"]
    vectors: Float[Arr, "dim rank"]


@jax.custom_jvp
def symmetric_eigenpairs(matrix: Matrix) -> tuple[Vector, Matrix]:
    """Return the eigenvalues of a symmetric matrix, ascending, and its eigenvectors in columns.

    Args:
      matrix: Symmetric, ``(dim, dim)``; only its lower triangle counts.

    Returns:
      Eigenvalues, ``(dim,)``, and eigenvectors, ``(dim, dim)``.

    Accuracy:
      Derivatives of vectors in the frame that does not rotate within equal values (see the module);
      of values as in `symmetric_eigenvalues`.
    """
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


@symmetric_eigenpairs.defjvp
def _eigenpairs_jvp(primals, tangents):
    (matrix,), (tangent,) = primals, tangents
    values, vectors = symmetric_eigenpairs(matrix)
    inner = vectors.T @ (0.5 * (tangent + tangent.T)) @ vectors
    # As a matrix, not by its diagonal: equal values move as a block when this is differentiated.
    block = vectors.T @ matrix @ vectors
    return (values, vectors), (jnp.diagonal(inner), vectors @ rotation_rate(block, inner))


def symmetric_eigenvalues(matrix: Matrix) -> Vector:
    """Return the eigenvalues of a symmetric matrix, descending.

    Args:
      matrix: Symmetric, ``(dim, dim)``.

    Returns:
      Eigenvalues, ``(dim,)``.

    Accuracy:
      Derivatives are exact where values are distinct. Single values among equal ones have no
      derivative, they cross; their sum has, and so has every symmetric function of them, to first
      order. For second derivatives of sums at equal values take traces of `psd_power`.
    """
    return symmetric_eigenpairs(0.5 * (matrix + matrix.T))[0][::-1]


def rotation_rate(block: Matrix, change: Matrix) -> Matrix:
    r"""Return Ω with :math:`\Omega H - H \Omega = E` between different values of a diagonal H.

    Args:
      block: H, diagonal; its derivative may mix equal values.
      change: E.

    Returns:
      Ω, zero within equal values.

    Source:
      Derived: Ω_ij (h_j − h_i) = E_ij, as a linear system so that its derivatives are those of the
      equation with H a matrix.
    """
    gaps, apart = _gaps(block)
    # Between different values H stays diagonal; what its derivative has there is rounding.
    inside = jnp.where(apart, jax.lax.stop_gradient(block), block)

    def equation(rate):
        return jnp.where(apart, rate @ inside - inside @ rate, rate)

    def solution(_, right):
        return right / jnp.where(apart, gaps, 1.0)

    right = jnp.where(apart, change, 0.0)
    return jax.lax.custom_linear_solve(equation, right, solution, symmetric=True)


def equal_values(block: Matrix) -> Matrix:
    """Return 1 where two diagonal entries count as equal and 0 elsewhere."""
    return 1.0 - _gaps(block)[1].astype(block.dtype)


def _gaps(block):
    values = jax.lax.stop_gradient(jnp.diagonal(block))
    gaps = values[None, :] - values[:, None]
    rounding = 1e-12 * jnp.max(jnp.abs(values), initial=0.0)
    return gaps, jnp.abs(gaps) > rounding


def factor_modes(factor: Factor) -> FactorModes:
    """Return the eigenpairs of G = FᵀF from the factor F alone.

    Args:
      factor: F, ``(rank, dim)``.

    Returns:
      `FactorModes`; values below (dim × machine precision)² of the largest are exactly zero.

    Raises:
      InputError: The factor is not float64.

    Accuracy:
      √value to machine precision × the largest √value, twice the digits that G itself would leave
      to small values. Derivatives as in `symmetric_eigenpairs`; zero modes stay zero.

    Source:
      Derived: singular value decomposition of F.

    Example:
      >>> with jax.enable_x64(True):
      ...     factor_modes(jnp.array([[3.0, 0.0], [0.0, 1e-9]])).values.tolist()
      [9.0, 1e-18]
    """
    require_float64(factor=factor)
    return FactorModes(*_factor_modes(factor))


@jax.custom_jvp
@jax.jit
def _factor_modes(factor):
    _, singular, right = jnp.linalg.svd(factor, full_matrices=False)
    rounding = max(factor.shape) * float(jnp.finfo(singular.dtype).eps) * jnp.max(singular)
    return jnp.where(singular > rounding, singular, 0.0) ** 2, right.T


@_factor_modes.defjvp
def _factor_modes_jvp(primals, tangents):
    (factor,), (tangent,) = primals, tangents
    values, vectors = _factor_modes(factor)
    output, moved = factor @ vectors, tangent @ vectors
    block, inner = output.T @ output, output.T @ moved
    inner = inner + inner.T
    outward = factor.T @ moved + tangent.T @ output
    outward = outward - vectors @ (vectors.T @ outward)
    turned = vectors @ rotation_rate(block, inner)
    turned = turned + outward @ psd_power(block, -1.0, tolerance=1e-24)
    return (values, vectors), (jnp.where(values > 0.0, jnp.diagonal(inner), 0.0), turned)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def derivative_from(function: Callable[..., Any], value: Any, *arguments: Any) -> Any:
    """Return a value that was computed in one way and is differentiated in another.

    Args:
      function: The other way; differentiable as often as wanted.
      value: ``function(*arguments)``, more accurately or more cheaply computed.
      *arguments: Of the function.

    Returns:
      The value itself, whose derivatives are those of ``function(*arguments)``.
    """
    del function, arguments
    return value


@derivative_from.defjvp
def _derivative_from_jvp(function, primals, tangents):
    value, *arguments = primals
    _, *argument_tangents = tangents
    _, tangent = jax.jvp(function, tuple(arguments), tuple(argument_tangents))
    # Not the bare value, which is a constant to an outer derivative.
    return derivative_from(function, value, *arguments), tangent


def singular_values(matrix: Float[Arr, "rows columns"]) -> Float[Arr, " smaller"]:
    """Return the singular values of a matrix, descending.

    Args:
      matrix: Any, ``(rows, columns)``.

    Returns:
      As many values as its smaller side is long.

    Accuracy:
      Derivatives where values are distinct and not zero; of zero values they are zero, of equal
      ones as in `symmetric_eigenvalues`.
    """
    values = jnp.linalg.svd(jax.lax.stop_gradient(matrix), compute_uv=False)
    return derivative_from(_root_values, values, matrix)


def _root_values(matrix):
    values = _factor_modes(matrix)[0]
    alive = values > 0.0
    return jnp.where(alive, jnp.sqrt(jnp.where(alive, values, 1.0)), 0.0)
