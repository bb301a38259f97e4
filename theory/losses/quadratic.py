"""Losses quadratic in the Gram WᵀW, and their minimum in closed form."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from theory.linalg.alignment import (
    divided_differences,
    framed_eigenpairs,
    psd_power,
    whitening_frame,
)
from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64


class QuadraticLoss(NamedTuple):
    """Loss tr(QGQG) − 2 tr(BG) of the Gram G = WᵀW of a linear network.

    Attributes:
      quadratic: Q, positive semi-definite.
      linear: B, symmetric.
    """

    quadratic: Matrix
    linear: Matrix


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


def spectral_loss(covariance: Matrix, cross_covariance: Matrix) -> QuadraticLoss:
    """Spectral contrastive loss −2 E f(x)ᵀf(x⁺) + E(f(x)ᵀf(x'))² of a linear f: Q = Σ, B = M."""
    require_float64(covariance=covariance, cross_covariance=cross_covariance)
    return QuadraticLoss(covariance, cross_covariance)


def quadratic_value(loss: QuadraticLoss, gram: Matrix) -> Scalar:
    """Value tr(QGQG) − 2 tr(BG) of a quadratic loss at a Gram; exact."""
    product = loss.quadratic @ gram
    return jnp.sum(product * product.T) - 2.0 * jnp.sum(loss.linear * gram.T)


def quadratic_gradient(loss: QuadraticLoss, gram: Matrix) -> Matrix:
    """Gradient 2(QGQ − B) of a quadratic loss with respect to the Gram; symmetric, exact."""
    gradient = 2.0 * (loss.quadratic @ gram @ loss.quadratic - loss.linear)
    return 0.5 * (gradient + gradient.T)


def quadratic_optimum(
    loss: QuadraticLoss, *, rank: int | None = None, range_tolerance: float = 1e-10
) -> Optimum:
    r"""Minimum of a quadratic loss over Grams of bounded rank.

    .. math:: G^\star = Q^{-1/2} [Q^{-1/2} B Q^{-1/2}]_{\text{rank},+} Q^{-1/2}

    keeps the eigenpairs of :math:`Q^{-1/2} B Q^{-1/2}` that are positive and among the ``rank``
    largest. For the spectral loss these are the eigenpairs of the alignment K, not those of
    :math:`\Sigma^{-1} M \Sigma^{-1}`; nothing has to commute. Where Q is singular the Gram of
    least norm is given: zero outside the range of Q.

    Args:
      loss: Quadratic and linear part.
      rank: Narrowest width of the network; ``None`` for no limit.
      range_tolerance: Eigenvalues of Q at or below this fraction of the largest are outside the
        data.

    Returns:
      `Optimum`; the factor has ``rank`` rows (``dim`` without a limit).

    Raises:
      InputError: The loss is not float64.

    Accuracy:
      Gram and loss to about machine precision × condition number of Q on its range. Unique iff
      there is a gap between the last kept and the first dropped eigenvalue; the derivative of the
      Gram is exact, equal kept eigenvalues included, and does not exist without that gap.

    Source:
      Derived: complete the square, then Eckart–Young on positive semi-definite matrices.

    Example:
      The weight of a feature is √M/Σ, here 1/2: a network shrinks what is merely large.

      >>> with jax.enable_x64(True):
      ...     optimum = quadratic_optimum(spectral_loss(4.0 * jnp.eye(1), 4.0 * jnp.eye(1)))
      ...     float(optimum.gram[0, 0] ** 0.5), float(optimum.loss)
      (0.5, -1.0)
    """
    require_float64(quadratic=loss.quadratic, linear=loss.linear)
    dim = loss.quadratic.shape[0]
    return _optimum(loss, range_tolerance, limit=dim if rank is None else min(rank, dim))


@functools.partial(jax.jit, static_argnames=("limit",))
def _optimum(loss: QuadraticLoss, range_tolerance, *, limit: int) -> Optimum:
    dim = loss.quadratic.shape[0]
    frame = whitening_frame(loss.quadratic, range_tolerance)
    values, vectors, inside = framed_eigenpairs(frame, loss.linear)
    columns = frame.columns @ vectors[:, :limit]
    values, inside = values[:limit], inside[:limit]
    # What rounding of the given matrices alone would make of a mode that is exactly zero.
    rounding = 4.0 * dim * jnp.finfo(values.dtype).eps
    rounding = rounding * jnp.max(jnp.abs(loss.linear)) * jnp.sum(columns**2, axis=0)
    kept = inside & (values > jax.lax.stop_gradient(rounding))
    roots = jnp.where(kept, jnp.where(kept, values, 1.0) ** 0.5, 0.0)
    factor = roots[:, None] * columns.T
    gram = _differentiable_gram(
        factor.T @ factor, loss.quadratic, loss.linear, jnp.sum(kept), range_tolerance
    )
    return Optimum(gram, factor, quadratic_value(loss, gram), jnp.sum(kept))


@jax.custom_jvp
def _differentiable_gram(gram, quadratic, linear, active, range_tolerance):
    """The Gram itself; its derivative is taken through functions of matrices, not eigenvectors."""
    del quadratic, linear, active, range_tolerance
    return gram


@_differentiable_gram.defjvp
def _differentiable_gram_jvp(primals, tangents):
    gram, quadratic, linear, active, range_tolerance = primals
    _, quadratic_tangent, linear_tangent, _, _ = tangents

    def through_powers(quadratic, linear):
        root = psd_power(quadratic, -0.5, tolerance=range_tolerance)
        inner = root @ linear @ root
        return root @ _leading_part(0.5 * (inner + inner.T), active) @ root

    _, tangent = jax.jvp(through_powers, (quadratic, linear), (quadratic_tangent, linear_tangent))
    return gram, tangent


@jax.custom_jvp
def _leading_part(matrix, count):
    values, vectors = jnp.linalg.eigh(matrix)
    kept = jnp.arange(values.shape[0]) >= values.shape[0] - count
    return (vectors * jnp.where(kept, values, 0.0)[None, :]) @ vectors.T


@_leading_part.defjvp
def _leading_part_jvp(primals, tangents):
    matrix, count = primals
    tangent = tangents[0]
    values, vectors = jnp.linalg.eigh(matrix)
    kept = jnp.arange(values.shape[0]) >= values.shape[0] - count
    rates = divided_differences(values, jnp.where(kept, values, 0.0), kept.astype(values.dtype))
    inner = vectors.T @ (0.5 * (tangent + tangent.T)) @ vectors
    return _leading_part(matrix, count), vectors @ (rates * inner) @ vectors.T
