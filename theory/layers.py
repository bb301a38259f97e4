"""What each layer of a balanced network keeps: Grams, weight spectra and layer spectra."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.alignment import psd_power, symmetric_eigenvalues
from theory.arrays import Arr, Grams, Matrix, Scalar, Vector, require_float64


def fractional_gram(gram: Matrix, fraction: float | Scalar) -> Matrix:
    """Gram G^t at fractional depth t of a balanced network: 0 is the range of G, 1 is G itself.

    Eigenvalues at the rounding level of the largest are outside the range.
    """
    require_float64(gram=gram)
    return psd_power(gram, fraction, tolerance=gram.shape[0] * jnp.finfo(gram.dtype).eps)


def layer_grams(gram: Matrix, depth: int) -> Float[Arr, "depth dim dim"]:
    r"""Layer Grams :math:`G_l = P_l^\top P_l = G^{l/L}` of a balanced network of depth L.

    Holds at every time of training from a balanced start, for every loss of the product of the
    layers, and at the minimum-norm factorization of any optimum.

    Args:
      gram: End-to-end Gram G = WᵀW.
      depth: Number of layers L, at least 1.

    Returns:
      Grams of layers 1 to L.

    Raises:
      InputError: The Gram is not float64.

    Accuracy:
      Exact for balanced layers. Eigenvalues of G below dim × machine precision × the largest
      cannot be told from zero and are left out.

    Source:
      Derived: balance W_{l+1}ᵀW_{l+1} = W_lW_lᵀ makes every layer Gram a power of the first.

    Example:
      Before the head of a two-layer network a weight is the square root of the one after it:

      >>> with jax.enable_x64(True):
      ...     layer_grams(jnp.diag(jnp.array([1.0, 0.0625])), 2)[:, 1, 1].tolist()
      [0.25, 0.0625]
    """
    exponents = jnp.arange(1, depth + 1) / depth
    return jax.vmap(fractional_gram, in_axes=(None, 0))(gram, exponents)


def weight_spectra(grams: Grams) -> Float[Arr, "depth dim"]:
    """Weight spectra: eigenvalues of each layer Gram, descending."""
    require_float64(grams=grams)
    return jax.vmap(symmetric_eigenvalues)(grams)


def layer_spectra(covariance: Matrix, grams: Grams) -> Float[Arr, "layers dim"]:
    """Layer spectra: eigenvalues of Σ^½ G_l Σ^½ for l = 0, …, L with G_0 the identity, descending.

    These are the eigenvalues of the covariance of layer l, padded by zeros.
    """
    require_float64(covariance=covariance, grams=grams)
    root = psd_power(covariance, 0.5, tolerance=0.0)
    outputs = jax.vmap(lambda gram: symmetric_eigenvalues(root @ gram @ root))(grams)
    return jnp.concatenate([symmetric_eigenvalues(covariance)[None, :], outputs])


def geometric_mean(
    start: Matrix, end: Matrix, fraction: float | Scalar, *, tolerance: float = 1e-10
) -> Matrix:
    """Weighted geometric mean X #_t Y = X^½ (X^-½ Y X^-½)^t X^½, on the range of X."""
    root = psd_power(start, 0.5, tolerance=tolerance)
    inverse = psd_power(start, -0.5, tolerance=tolerance)
    rounding = start.shape[0] * jnp.finfo(start.dtype).eps
    inner = psd_power(inverse @ end @ inverse, fraction, tolerance=rounding)
    return root @ inner @ root


def feature_weight(gram: Matrix, feature: Vector, fraction: float | Scalar = 1.0) -> Scalar:
    """Weight ‖P_l u‖ = √(uᵀG^{l/L}u) of a unit feature u at fractional depth l/L."""
    require_float64(gram=gram, feature=feature)
    return jnp.sqrt(feature @ fractional_gram(gram, fraction) @ feature)
