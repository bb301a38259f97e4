"""Minimum of a quadratic loss over Grams of bounded rank, in closed form."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64
from theory.linalg.checks import require_rank
from theory.linalg.powers import leading_power, psd_power
from theory.linalg.spectral import derivative_from, symmetric_eigenpairs
from theory.linalg.whitening import generalized_eigenpairs
from theory.losses.quadratic import QuadraticLoss, quadratic_value


class Optimum(NamedTuple):
    """Minimum of a loss over Grams.

    Attributes:
      gram: G = WᵀW at the minimum.
      factor: Rows f with G = Σ f fᵀ, strongest mode first; rows of dropped modes are zero.
      loss: The loss there.
      active: Number of modes kept.
    """

    gram: Matrix
    factor: Float[Arr, "rank dim"]
    loss: Scalar
    active: Int[Arr, ""]


def quadratic_optimum(
    loss: QuadraticLoss, *, rank: int | None = None, range_tolerance: float | Scalar | None = None
) -> Optimum:
    r"""Return the minimum of a quadratic loss over Grams of bounded rank.

    .. math:: G^\star = Q^{-1/2} [Q^{-1/2} B Q^{-1/2}]_{\text{rank},+} Q^{-1/2}

    keeps the eigenpairs of :math:`Q^{-1/2} B Q^{-1/2}` that are positive and among the ``rank``
    largest. For the spectral loss these are the eigenpairs of the alignment K, not those of
    :math:`\Sigma^{-1} M \Sigma^{-1}`; nothing has to commute. Where Q is singular the Gram of
    least norm is given: zero outside the range of Q.

    With Barlow Twins, Q = B = M, all of these eigenvalues are equal and every subspace of M's
    positive part is a minimum. Given is the one that gradient descent from a vanishing start of
    size ε comes to up to :math:`\epsilon^{1 - \gamma_{p+1}/\gamma_p}`, that of the ``rank`` largest
    eigenpairs of M: :math:`G = \sum_{j \le p} \gamma_j^{-1} v_j v_j^\top`.

    Args:
      loss: Quadratic and linear part.
      rank: Narrowest width of the network; ``None`` for no limit.
      range_tolerance: Eigenvalues of Q at or below this fraction of the largest are outside the
        data; ``None`` for that of the loss.

    Returns:
      `Optimum`; the factor has ``rank`` rows (``dim`` without a limit).

    Raises:
      InputError: The loss is not float64, or the rank below 1.

    Accuracy:
      Gram and loss to about machine precision × condition number of Q on its range. Unique iff
      there is a gap between the last kept and the first dropped eigenvalue. With this gap
      derivatives of Gram, loss and FᵀF are exact in every order, equal kept eigenvalues, dropped
      modes and a singular Q included; without it they do not exist. Single rows of the factor have
      derivatives where kept eigenvalues are distinct.

    Source:
      Derived: complete the square, then Eckart–Young on positive semi-definite matrices. Barlow
      Twins: Simon et al., *On the Stepwise Nature of Self-Supervised Learning*, ICML 2023.

    Example:
      The weight of a feature is √M/Σ, here 1/2: a network shrinks what is merely large.

      >>> with jax.enable_x64(True):
      ...     optimum = quadratic_optimum(QuadraticLoss(4.0 * jnp.eye(1), 4.0 * jnp.eye(1)))
      ...     float(optimum.gram[0, 0] ** 0.5), float(optimum.loss)
      (0.5, -1.0)
    """
    require_float64(quadratic=loss.quadratic, linear=loss.linear)
    require_rank(rank)
    dim = loss.quadratic.shape[0]
    tolerance = loss.range_tolerance if range_tolerance is None else range_tolerance
    limit = dim if rank is None else min(int(rank), dim)
    return _optimum(loss, tolerance, limit=limit)


def valley_dimension(
    loss: QuadraticLoss, *, rank: int | None = None, range_tolerance: float | Scalar | None = None
) -> Int[Arr, ""]:
    """Return the dimension of the set of equal minima that the optimum of Barlow Twins lies in.

    Fewer outputs p than the rank r of M leave a valley of p (r − p) dimensions; any weight decay
    makes the minimum unique.

    Args:
      loss: Any quadratic loss; only that of Barlow Twins has a valley.
      rank: Narrowest width of the network; ``None`` for no limit.
      range_tolerance: As in `quadratic_optimum`.

    Returns:
      The dimension, 0 where the minimum is unique.

    Raises:
      InputError: The loss is not float64, or the rank below 1.

    Source:
      Derived: the Grassmannian of p-dimensional subspaces of the range.

    Example:
      >>> with jax.enable_x64(True):
      ...     shared = jnp.diag(jnp.array([0.5, 0.25, 0.125]))
      ...     int(valley_dimension(QuadraticLoss(shared, shared, name="barlow"), rank=2))
      2
    """
    require_float64(quadratic=loss.quadratic, linear=loss.linear)
    require_rank(rank)
    if loss.name != "barlow" or rank is None:
        return jnp.array(0)
    tolerance = loss.range_tolerance if range_tolerance is None else range_tolerance
    values = _symmetric_pairs(loss.linear)[0]
    total = jnp.sum(values > tolerance * jnp.max(values))
    active = jnp.minimum(rank, total)
    return active * (total - active)


@functools.partial(jax.jit, static_argnames=("limit",))
def _optimum(loss: QuadraticLoss, range_tolerance, *, limit: int) -> Optimum:
    dim = loss.quadratic.shape[0]
    parts = (loss.quadratic, loss.linear, jnp.asarray(range_tolerance, float))
    of_barlow = loss.name == "barlow"
    if of_barlow:
        values, vectors = _symmetric_pairs(loss.linear)
        kept = (values > parts[2] * jnp.max(values))[:limit]
        roots = jnp.where(kept, jnp.where(kept, values[:limit], 1.0) ** -0.5, 0.0)
        factor = roots[:, None] * vectors[:, :limit].T
    else:
        values, vectors, rank = generalized_eigenpairs(*parts[:2], range_tolerance=parts[2])
        columns, values = vectors[:, :limit], values[:limit]
        # What rounding of the given matrices alone would make of a mode that is exactly zero.
        rounding = 4.0 * dim * jnp.finfo(values.dtype).eps
        rounding = rounding * jnp.max(jnp.abs(loss.linear)) * jnp.sum(columns**2, axis=0)
        kept = (jnp.arange(limit) < rank) & (values > rounding)
        roots = jnp.where(kept, jnp.where(kept, values, 1.0) ** 0.5, 0.0)
        factor = roots[:, None] * columns.T
    active = jnp.sum(kept)
    factor, gram = jax.lax.stop_gradient((factor, factor.T @ factor))
    rows = functools.partial(_barlow_rows if of_barlow else _rows, limit=limit)
    factor = derivative_from(rows, factor, *parts, active)
    gram = derivative_from(_barlow_gram if of_barlow else _gram, gram, *parts, active)
    return Optimum(gram, factor, quadratic_value(loss, gram), active)


def _symmetric_pairs(matrix):
    """Return the eigenpairs, descending."""
    values, vectors = symmetric_eigenpairs(0.5 * (matrix + matrix.T))
    return values[::-1], vectors[:, ::-1]


def _gram(quadratic, linear, range_tolerance, active):
    """Return the Gram through functions of matrices alone, which have derivatives everywhere."""
    root = psd_power(quadratic, -0.5, tolerance=range_tolerance)
    return root @ leading_power(root @ linear @ root, 1.0, active) @ root


def _rows(quadratic, linear, range_tolerance, active, *, limit):
    """Return the factor; a block of equal eigenvalues has its root taken as a matrix."""
    _, vectors, _ = generalized_eigenpairs(quadratic, linear, range_tolerance=range_tolerance)
    columns = vectors[:, :limit]
    block = columns.T @ linear @ columns
    return leading_power(block, 0.5, active) @ columns.T


def _barlow_gram(quadratic, linear, range_tolerance, active):
    del quadratic, range_tolerance
    return leading_power(linear, -1.0, active)


def _barlow_rows(quadratic, linear, range_tolerance, active, *, limit):
    del quadratic, range_tolerance
    columns = _symmetric_pairs(linear)[1][:, :limit]
    return leading_power(columns.T @ linear @ columns, -0.5, active) @ columns.T
