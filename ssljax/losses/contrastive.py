"""Contrastive losses of the softmax family."""

import jax
import jax.numpy as jnp

from ssljax.arrays import Array, Float
from ssljax.losses.embeddings import (
    at_least_float32,
    check_temperature,
    check_views,
    inner_products,
    interleaved,
    unit_rows,
)


def nt_xent(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    temperature: float | Float[Array, ""],
) -> Float[Array, ""]:
    r"""Normalized-temperature cross entropy of SimCLR with all 2N - 2 negatives.

    For the 2N rows z of both views on the unit sphere, p(a) the other view of row a,

    .. math:: L = \frac{1}{2N}\sum_a \Big[\log\sum_{b \neq a} e^{z_a\cdot z_b/T}
              - z_a\cdot z_{p(a)}/T\Big].

    The sum runs over the global batch: every row is a negative of every other one.

    Args:
      first: Embeddings of one view of N images; need not be normalized.
      second: Embeddings of the other view, row i from the same image.
      temperature: T > 0.

    Returns:
      The loss, in float32 (float64 for float64 embeddings) whatever the embeddings' type:
      widening, normalization, products and log-sum-exp all happen there.

    Raises:
      UsageError: If the shapes differ, or the temperature is not positive.

    Accuracy:
      Relative error of a few float32 roundings at any temperature: the largest logit is taken
      out of the exponentials. A zero row counts as a row orthogonal to all others and gets a
      zero gradient. One pair alone has no negatives: the loss is 0.

    Source:
      Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*,
      ICML 2020, equation 1 and algorithm 1.
    """
    check_views(first, second)
    check_temperature(temperature)
    rows = unit_rows(at_least_float32(interleaved(first, second)))
    count = rows.shape[0]
    logits = inner_products(rows, rows) / temperature
    itself = jnp.eye(count, dtype=bool)
    total = jax.nn.logsumexp(jnp.where(itself, -jnp.inf, logits), axis=1)
    partner = rows.reshape(-1, 2, rows.shape[-1])[:, ::-1].reshape(rows.shape)
    positive = jnp.sum(rows * partner, axis=1) / temperature
    return jnp.mean(total - positive)
