"""The spectral contrastive loss and its estimators."""

import jax.numpy as jnp

from ssljax.losses.embeddings import at_least_float32, check_views, inner_products
from ssljax.system.arrays import Array, Float


def spectral_contrastive(
    first: Float[Array, "batch dim"], second: Float[Array, "batch dim"]
) -> Float[Array, ""]:
    r"""Return an unbiased estimate of the spectral contrastive loss from positive pairs.

    .. math:: \hat L = -\frac2n \sum_i z_i\cdot z_i^+
              + \frac{1}{n(n-1)} \sum_{i\neq j} (z_i\cdot z_j^+)^2.

    For a linear map with F = WᵀW its expectation is -2 tr(F M) + tr(F Σ F Σ), whatever the
    batch size, if images are drawn independently (with replacement). Keeping i = j would add a
    bias of order 1/n. Exchanging the views gives the same number. The mean over i != j runs
    over the global batch.

    Args:
      first: Embeddings of one view of n images, not normalized.
      second: Embeddings of the other view, row i from the same image.

    Returns:
      The loss, computed in float32 (float64 for float64 embeddings).

    Raises:
      UsageError: If the shapes differ or there are fewer than two pairs.

    Accuracy:
      Rounding only. For n <= 2 dim the squares are summed with the diagonal left out. For
      larger n the sum is tr(C C⁺) minus the diagonal, C and C⁺ the dim x dim second moments:
      then the diagonal is at most about dim / n of the total and the difference loses nothing,
      at a cost that grows with n instead of n².

    Source:
      HaoChen et al., *Provable Guarantees for Self-Supervised Deep Learning with Spectral
      Contrastive Loss*, NeurIPS 2021, for the loss; the unbiased estimator is derived.
    """
    check_views(first, second, least=2)
    first, second = at_least_float32(first), at_least_float32(second)
    return -2 * jnp.mean(jnp.sum(first * second, axis=1)) + mean_square_apart(first, second)


def mean_square_apart(
    first: Float[Array, "batch dim"], second: Float[Array, "batch dim"]
) -> Float[Array, ""]:
    """Return the mean over i != j of (first_i · second_j)²: an unbiased estimate of tr C²."""
    count, dim = first.shape
    if count <= 2 * dim:
        products = inner_products(first, second)
        total = jnp.sum(jnp.where(jnp.eye(count, dtype=bool), 0.0, products) ** 2)
    else:
        moments = inner_products(first.T, first.T), inner_products(second.T, second.T)
        total = jnp.sum(moments[0] * moments[1]) - jnp.sum(jnp.sum(first * second, axis=1) ** 2)
    return total / (count * (count - 1))


def spectral_cross_view_biased(
    first: Float[Array, "batch dim"], second: Float[Array, "batch dim"]
) -> Float[Array, ""]:
    r"""Return the spectral contrastive loss with i = j kept, between the views.

    .. math:: \hat L = -\frac2n \sum_i z_i\cdot z_i^+ + \frac{1}{n^2}\sum_{i,j}(z_i\cdot z_j^+)^2.

    The second term exceeds the unbiased one by ((1/n) Σ_i (z_i·z_i⁺)² - tr C²) / n in
    expectation, which shrinks every mode and drops none. For comparison with published code
    and for measuring that bias; train with `spectral_contrastive`.

    Args:
      first: Embeddings of one view of n images, not normalized.
      second: Embeddings of the other view, row i from the same image.

    Returns:
      The loss over the global batch, in at least float32.

    Raises:
      UsageError: If the shapes differ.

    Source:
      Derived.
    """
    check_views(first, second)
    first, second = at_least_float32(first), at_least_float32(second)
    moments = [inner_products(view.T, view.T) / view.shape[0] for view in (first, second)]
    positive = jnp.mean(jnp.sum(first * second, axis=1))
    return -2 * positive + jnp.sum(moments[0] * moments[1])


def spectral_within_view_biased(
    first: Float[Array, "batch dim"], second: Float[Array, "batch dim"]
) -> Float[Array, ""]:
    r"""Return the spectral contrastive loss with the squared norm of each view's second moment.

    .. math:: \hat L = -\frac2n \sum_i z_i\cdot z_i^+
              + \tfrac12\lVert \hat C\rVert_F^2 + \tfrac12\lVert \hat C^+\rVert_F^2,
              \quad \hat C = \frac1n\sum_i z_i z_i^\top.

    Keeping i = j inside a view adds (E‖z‖⁴ - tr C²) / n in expectation, which acts on the
    modes like a soft threshold (T / n for Gaussian data, T the embedding's total variance):
    weak modes are dropped at small batches.

    Args:
      first: Embeddings of one view of n images, not normalized.
      second: Embeddings of the other view, row i from the same image.

    Returns:
      The loss over the global batch, in at least float32.

    Raises:
      UsageError: If the shapes differ.

    Source:
      Derived.
    """
    check_views(first, second)
    first, second = at_least_float32(first), at_least_float32(second)
    moments = [inner_products(view.T, view.T) / view.shape[0] for view in (first, second)]
    positive = jnp.mean(jnp.sum(first * second, axis=1))
    return -2 * positive + 0.5 * sum(jnp.sum(moment**2) for moment in moments)
