"""Optimum and layer spectra of networks much narrower than their input, without d × d Grams."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Float

from theory.linalg.arrays import Arr, Factor, Matrix, Spectrum, require_float64
from theory.linalg.checks import require_depth, require_rank
from theory.linalg.errors import InputError
from theory.linalg.powers import leading_power
from theory.linalg.spectral import derivative_from, factor_modes, symmetric_eigenvalues
from theory.losses.quadratic import QuadraticLoss


def low_rank_layer_spectra(
    covariance: Matrix, factor: Factor, *, depth: int
) -> Float[Arr, "depth rank"]:
    r"""Return the nonzero part of the layer spectra of layers 1..L, in O(rank · dim²).

    With FᵀF = V E Vᵀ: eigenvalues of :math:`E^{l/2L} V^\top \Sigma V E^{l/2L}`.

    Args:
      covariance: Σ over views.
      factor: End-to-end factor F, ``(rank, dim)``.
      depth: Number of layers L, at least 1.

    Returns:
      Eigenvalues, each row descending, ``(depth, rank)``.

    Raises:
      InputError: An argument is not float64, or the depth below 1.

    Accuracy:
      About rank × machine precision × the largest of each row. Derivatives as in
      `theory.linalg.spectral.symmetric_eigenvalues`, right at equal modes too; zeros stay zero.

    Source:
      Derived: AB and BA share their nonzero eigenvalues.

    Example:
      >>> with jax.enable_x64(True):
      ...     factor = jnp.array([[0.0, 0.5, 0.0]])
      ...     print(low_rank_layer_spectra(2.0 * jnp.eye(3), factor, depth=2).round(12))
      [[1. ]
       [0.5]]
    """
    require_float64(covariance=covariance, factor=factor)
    require_depth(depth)
    return _spectra_at(covariance, factor, np.arange(1, depth + 1) / depth)


@jax.jit
def _spectra_at(covariance, factor, fractions):
    values, vectors = jax.lax.stop_gradient(factor_modes(factor))
    inner = vectors.T @ jax.lax.stop_gradient(covariance) @ vectors

    def spectrum(fraction):
        alive = values > 0
        roots = jnp.where(alive, jnp.where(alive, values, 1.0) ** (0.5 * fraction), 0.0)
        return symmetric_eigenvalues(roots[:, None] * inner * roots[None, :])

    found = jax.vmap(spectrum)(fractions)
    return derivative_from(_spectra_of_grams, found, covariance, factor, fractions)


def _spectra_of_grams(covariance, factor, fractions):
    """Return the spectra through powers of FFᵀ, differentiable at equal singular values too."""
    inner, moved = factor @ factor.T, factor @ covariance @ factor.T
    active = jnp.sum(factor_modes(factor).values > 0)

    def spectrum(fraction):
        root = leading_power(inner, 0.5 * (fraction - 1.0), active)
        return symmetric_eigenvalues(root @ moved @ root)

    return jax.vmap(spectrum)(fractions)


class LowRankOptimum(NamedTuple):
    """Optimum of a quadratic loss by its factor alone.

    Attributes:
      factor: F with gram = FᵀF, strongest mode first; rows of dropped modes are zero.
      values: Eigenvalues of Q^-½BQ^-½ that belong to the rows, descending.
      loss: The loss there.
      active: Number of modes kept.
    """

    factor: Factor
    values: Spectrum
    loss: float
    active: int


def low_rank_optimum(loss: QuadraticLoss, rank: int) -> LowRankOptimum:
    """Return the rank-limited optimum through its leading eigenpairs only.

    For wide, regular moments: the same as `theory.optimum.quadratic.quadratic_optimum`, several
    times faster for rank ≪ dim and with three matrices of memory. Runs in SciPy, outside of
    compiled code.

    Args:
      loss: Quadratic part Q, positive definite, and linear part B.
      rank: Number of modes, between 1 and dim.

    Returns:
      `LowRankOptimum`.

    Raises:
      InputError: Q is singular to machine precision (use `quadratic_optimum`), or the rank is out
        of range.

    Accuracy:
      Machine precision × condition number of Q.

    Source:
      Derived: generalized eigenproblem B v = n Q v by Cholesky's factor of Q.

    Example:
      >>> with jax.enable_x64(True):
      ...     loss = QuadraticLoss(jnp.diag(jnp.array([4.0, 1.0])), jnp.diag(jnp.array([1.0, 0.5])))
      ...     low_rank_optimum(loss, 1).factor.round(6).tolist()
      [[0.0, 0.707107]]
    """
    quadratic, linear = np.asarray(loss.quadratic), np.asarray(loss.linear)
    linear = 0.5 * (linear + linear.T)
    require_float64(quadratic=quadratic, linear=linear)
    dim = quadratic.shape[0]
    require_rank(rank, dim)
    try:
        values, vectors = scipy.linalg.eigh(
            linear, quadratic, subset_by_index=[dim - rank, dim - 1]
        )
    except np.linalg.LinAlgError:
        raise InputError(
            "the quadratic part is singular to machine precision, low_rank_optimum wants it"
            " positive definite: use quadratic_optimum"
        ) from None
    values, columns = values[::-1], vectors[:, ::-1]
    rounding = 4.0 * dim * np.finfo(float).eps * np.max(np.abs(linear))
    kept = values > rounding * np.sum(columns**2, axis=0)
    roots = np.where(kept, np.sqrt(np.maximum(values, 0.0)), 0.0)
    # Signs are arbitrary; the largest entry of each row is made positive.
    signs = np.sign(columns[np.argmax(np.abs(columns), axis=0), np.arange(rank)])
    return LowRankOptimum(
        factor=(columns * (roots * signs)[None, :]).T,
        values=values,
        loss=-float(np.sum(values[kept] ** 2)),
        active=int(np.sum(kept)),
    )
