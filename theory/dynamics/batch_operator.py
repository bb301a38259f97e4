"""The gradient of one batch of the spectral loss, exactly, and what batch normalization does to it.

The loss of a batch of B pairs is −(2/B) Σ_i h_iᵀF h'_i + (1/B(B−1)) Σ_{i≠j} (h_iᵀF h'_j)², with
F = WᵀW of the head. For independent samples its mean is −2 tr(FM) + tr(FΣFΣ). Batch normalization
in training mode couples the samples of a batch, and the mean of the second term is then about
(1 − κ/B) of that, with κ around 5 to 9 in measured networks: moments alone predict a head with
errors of several percent in every mode.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64

Batch = Float[Arr, "batch dim"]
Batches = Float[Arr, "batches batch dim"]


def moment_gradient(covariance: Matrix, cross_covariance: Matrix, gram: Matrix) -> Matrix:
    """Return −2M + 2ΣFΣ, the gradient of the spectral loss of moments in the Gram F; exact."""
    return 2.0 * (covariance @ gram @ covariance - cross_covariance)


def batch_gradient(first: Batch, second: Batch, gram: Matrix) -> Matrix:
    r"""Return the gradient of the spectral loss of one batch in the Gram F of the head.

    .. math:: -2 M_b + \frac{2B}{B-1} \operatorname{sym}(C_1 F C_2) - \frac{2}{B(B-1)}
        \operatorname{sym} \sum_i d_i h_i h_i'^\top, \qquad d_i = h_i^\top F h_i',

    with C₁, C₂ and M_b the second moments of the batch.

    Args:
      first: h, features of the first views, at least 2 of them.
      second: h', of the second views.
      gram: F = WᵀW of the head, symmetric.

    Returns:
      The symmetric gradient, ``(dim, dim)``.

    Raises:
      InputError: Not float64.

    Accuracy:
      Exact.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     views = jnp.array([[1.0], [1.0]])
      ...     batch_gradient(views, views, jnp.array([[0.5]])).item()
      -1.0
    """
    require_float64(first=first, second=second, gram=gram)
    count = first.shape[0]
    product, own, shared = _batch_parts(first, second, gram)
    pairs = (count * product - own) / (count - 1)
    return 2.0 * (pairs - shared)


def mean_batch_gradient(first: Batches, second: Batches, gram: Matrix) -> Matrix:
    """Return the mean of `batch_gradient` over batches, the operator that training has met."""
    return jnp.mean(jax.vmap(batch_gradient, in_axes=(0, 0, None))(first, second, gram), axis=0)


def batch_correction(first: Batches, second: Batches, gram: Matrix) -> Matrix:
    r"""Return what batches add to the gradient of their mean moments.

    .. math:: K = \frac{2J}{J-1} (X - P) - \frac{2}{B-1} (D - X)

    with :math:`X = \overline{\operatorname{sym}(C_1 F C_2)}` over J batches, :math:`P` the same of
    the mean moments, and :math:`D = \overline{\tfrac1B \operatorname{sym} \sum_i d_i h_i
    h_i'^\top}`: the covariance of the two moments of a batch, less the pairs i = j.

    Args:
      first: Features of the first views in some batches, at least 2 batches.
      second: Of the second views.
      gram: F = WᵀW of the head.

    Returns:
      K, ``(dim, dim)``, for `moment_gradient` of the moments of all batches.

    Raises:
      InputError: Not float64.

    Accuracy:
      Unbiased; of mean 0 for independent samples, whatever their tails. Its noise falls as 1/√J.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     views = jnp.ones((2, 3, 1))
      ...     batch_correction(views, views, jnp.eye(1)).item()
      0.0
    """
    require_float64(first=first, second=second, gram=gram)
    batches, count = first.shape[:2]
    products, own, _ = jax.vmap(_batch_parts, in_axes=(0, 0, None))(first, second, gram)
    mean_product, mean_own = jnp.mean(products, axis=0), jnp.mean(own, axis=0)
    moments = [jnp.einsum("jbd,jbe->de", views, views) for views in (first, second)]
    flat = _symmetric(moments[0] @ gram @ moments[1]) / (batches * count) ** 2
    between = 2.0 * batches / (batches - 1) * (mean_product - flat)
    return between - 2.0 / (count - 1) * (mean_own - mean_product)


def gaussian_closure(cross_covariance: Matrix, gram: Matrix, weight: float | Scalar) -> Matrix:
    r"""Return :math:`-2 w (\operatorname{tr}(FM) M + M F M)`, the pairs i = j of Gaussian features.

    With moments of single raw batches w = 1/(B − 1). With means over windows w = c/(B − 1) and c
    measured; it repairs the size of modes under batch normalization, not the Gram.

    Args:
      cross_covariance: M.
      gram: F = WᵀW of the head.
      weight: w.

    Returns:
      A term for `moment_gradient`, ``(dim, dim)``.

    Accuracy:
      Exact for Gaussian features; measured ones have heavier tails.

    Source:
      Derived: fourth moments of Gaussian vectors.
    """
    shared = jnp.asarray(cross_covariance)
    return -2.0 * weight * (jnp.sum(gram * shared) * shared + shared @ gram @ shared)


def _batch_parts(first, second, gram):
    """Return sym(C₁FC₂), (1/B) sym Σ d h h'ᵀ and the cross-covariance of one batch."""
    count = first.shape[0]
    product = (first.T @ first) @ gram @ (second.T @ second) / count**2
    agreement = jnp.sum((first @ gram) * second, axis=1)
    own = (first * agreement[:, None]).T @ second / count
    return _symmetric(product), _symmetric(own), _symmetric(first.T @ second / count)


def _symmetric(matrix):
    return 0.5 * (matrix + matrix.T)
