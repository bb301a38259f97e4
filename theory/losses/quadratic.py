"""Losses quadratic in the Gram WᵀW of a linear network: their type and value."""

import dataclasses

import jax
import jax.numpy as jnp

from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class QuadraticLoss:
    """Loss tr(QGQG) − 2 tr(BG) of the Gram G = WᵀW of a linear network; a pytree.

    Attributes:
      quadratic: Q, positive semi-definite, ``(dim, dim)``.
      linear: B, symmetric, ``(dim, dim)``.
      covariance: Σ of what the network receives, ``(dim, dim)``, for layer spectra; ``None`` where
        Q is Σ.
      range_tolerance: Eigenvalues of Q at or below this fraction of the largest are outside the
        data.
      name: Which loss of `theory.losses.family` it is; ``"quadratic"`` for any other.
    """

    quadratic: Arr
    linear: Arr
    covariance: Arr | None = None
    range_tolerance: float | Arr = 1e-10
    name: str = dataclasses.field(default="quadratic", metadata={"static": True})

    @property
    def inputs(self) -> Arr:
        """Return Σ of what the network receives."""
        return self.quadratic if self.covariance is None else self.covariance


def quadratic_value(loss: QuadraticLoss, gram: Matrix) -> Scalar:
    """Return the value tr(QGQG) − 2 tr(BG) of a quadratic loss at a Gram; exact.

    Args:
      loss: Q and B.
      gram: G = WᵀW of the network, ``(dim, dim)``.

    Returns:
      The loss, ``()``.

    Raises:
      InputError: The loss or the Gram is not float64.
    """
    require_float64(quadratic=loss.quadratic, linear=loss.linear, gram=gram)
    product = loss.quadratic @ gram
    return jnp.sum(product * product.T) - 2.0 * jnp.sum(loss.linear * gram.T)


def spectral_loss(covariance: Matrix, cross_covariance: Matrix) -> QuadraticLoss:
    """Return the spectral contrastive loss of two moments; see `theory.losses.family.spectral`."""
    require_float64(covariance=covariance, cross_covariance=cross_covariance)
    return QuadraticLoss(covariance, cross_covariance, name="spectral")
