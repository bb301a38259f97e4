"""Contrastive losses of the softmax family, with all similarities in memory at once."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from ssljax.losses.embeddings import (
    at_least_float32,
    check_temperature,
    check_views,
    inner_products,
    unit_rows,
)
from ssljax.losses.multiview import (
    agreement_with_other_views,
    check_stack,
    mean_not_below_zero,
    stack_pair,
)
from ssljax.losses.objective import LossContext, Objective, pair_objective
from ssljax.system.arrays import Array, Float
from ssljax.system.settings import POSITIVE, Settings, setting


@dataclass(frozen=True, kw_only=True)
class SoftmaxSettings(Settings):
    """Settings of the losses made of a softmax over similarities."""

    temperature: float = setting(0.5, "temperature", POSITIVE)


def nt_xent(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    temperature: float | Float[Array, ""],
) -> Float[Array, ""]:
    r"""Return the normalized-temperature cross entropy of SimCLR with all 2N - 2 negatives.

    For the 2N rows z of both views on the unit sphere, p(a) the other view of row a,

    .. math:: L = \frac{1}{2N}\sum_a \Big[\log\sum_{b \neq a} e^{z_a\cdot z_b/T}
              - z_a\cdot z_{p(a)}/T\Big].

    The sum runs over the global batch: every row is a negative of every other one.
    `ssljax.losses.blockwise.nt_xent_blockwise` is the same number in memory linear in N.

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
      Absolute error of a few float32 roundings of 1 / T: the largest logit is taken out of the
      exponentials, and a row whose loss rounding would make negative counts as 0. A zero row
      counts as a row orthogonal to all others and gets a zero gradient. One pair alone has no
      negatives: the loss is 0.

    Source:
      Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*,
      ICML 2020, equation 1 and algorithm 1.
    """
    check_views(first, second)
    return multi_view_nt_xent(stack_pair(first, second), temperature)


def multi_view_nt_xent(
    views: Float[Array, "batch views dim"], temperature: float | Float[Array, ""]
) -> Float[Array, ""]:
    r"""Return NT-Xent of V views of each image; equal to `nt_xent` for V = 2.

    For the VN rows z on the unit sphere, P(a) the V - 1 other views of a's image,

    .. math:: L = \frac{1}{VN}\sum_a \Big[\log\sum_{b \neq a} e^{z_a\cdot z_b/T}
              - \frac{1}{V-1}\sum_{p\in P(a)} z_a\cdot z_p/T\Big].

    Args:
      views: Embeddings, the views of an image beside each other; at least two views.
      temperature: T > 0.

    Returns:
      The loss over the global batch, in at least float32.

    Raises:
      UsageError: There are fewer than two views, or the temperature is not positive.

    Source:
      SupCon (Khosla et al., NeurIPS 2020, equation 2) with each image a class of its own.
    """
    check_stack(views, least=2)
    check_temperature(temperature)
    rows = unit_rows(at_least_float32(views.reshape(-1, views.shape[-1])))
    positive = agreement_with_other_views(rows, views.shape[1]) / temperature
    return mean_not_below_zero(log_normalizers(rows, temperature), positive)


def log_normalizers(
    rows: Float[Array, "rows dim"], temperature: float | Float[Array, ""]
) -> Float[Array, "rows"]:
    """Return for each row a the log of the sum over b != a of exp(row_a · row_b / temperature).

    Its backward pass is written by hand, as in `ssljax.losses.blockwise` and for the same formula:
    logits are symmetric, so that one product serves where automatic differentiation takes two.
    Reverse mode only.
    """
    return _log_normalizers(rows / jnp.sqrt(jnp.asarray(temperature, rows.dtype)))


@jax.custom_vjp
def _log_normalizers(rows):
    return _normalizers_forward(rows)[0]


def _normalizers_forward(rows):
    logits = inner_products(rows, rows)
    itself = jnp.eye(rows.shape[0], dtype=bool)
    logits = jnp.where(itself, -jnp.inf, logits)
    logs = jax.nn.logsumexp(logits, axis=1)
    return logs, (rows, logits, logs)


def _normalizers_backward(saved, cotangent):
    rows, logits, logs = saved
    weights = cotangent[:, None] * jnp.exp(logits - logs[:, None])
    weights += cotangent[None, :] * jnp.exp(logits - logs[None, :])
    return (jnp.matmul(weights, rows, precision="highest"),)


_log_normalizers.defvjp(_normalizers_forward, _normalizers_backward)


def info_nce(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    temperature: float | Float[Array, ""],
) -> Float[Array, ""]:
    r"""Return one-sided InfoNCE with cosine similarity.

    Row i of the first view classifies its partner among all rows of the second view:

    .. math:: L = \frac1N\sum_i\Big[\log\sum_j e^{z_i\cdot z_j^+/T} - z_i\cdot z_i^+/T\Big],

    rows on the unit sphere. Not symmetric: only the second view provides negatives, N - 1 of
    them, from the global batch. Average both orders for the symmetric form.

    Args:
      first: Embeddings of the anchors.
      second: Embeddings of the other view, row i from the same image.
      temperature: T > 0.

    Returns:
      The loss; normalization, products and log-sum-exp in at least float32.

    Raises:
      UsageError: If the shapes differ, or the temperature is not positive.

    Source:
      van den Oord, Li, Vinyals, *Representation Learning with Contrastive Predictive Coding*,
      2018, for the loss; cosine similarity as in SimCLR and MoCo.
    """
    check_views(first, second)
    return dot_info_nce(
        unit_rows(at_least_float32(first)), unit_rows(at_least_float32(second)), temperature
    )


def dot_info_nce(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    temperature: float | Float[Array, ""],
) -> Float[Array, ""]:
    r"""Return one-sided InfoNCE with the plain inner product; rows are not normalized.

    The same formula as `info_nce` without the sphere. For a linear map of Gaussian data and
    N → ∞, L - log N tends to half the spectral contrastive loss of embeddings over √T.

    Args:
      first: Embeddings of the anchors.
      second: Embeddings of the other view, row i from the same image.
      temperature: T > 0.

    Returns:
      The loss; products and log-sum-exp in at least float32.

    Raises:
      UsageError: If the shapes differ, or the temperature is not positive.

    Accuracy:
      The limit holds while the variance of the logits stays well below 2 log N.

    Source:
      van den Oord, Li, Vinyals, 2018, with a bilinear score of identity weight; the limit is
      derived from the moment-generating function of a Gaussian.
    """
    check_views(first, second)
    check_temperature(temperature)
    first, second = at_least_float32(first), at_least_float32(second)
    total = jax.nn.logsumexp(inner_products(first, second) / temperature, axis=1)
    return jnp.mean(total - jnp.sum(first * second, axis=1) / temperature)


def info_nce_objective(settings: SoftmaxSettings, context: LossContext) -> Objective:
    """Return `info_nce` as an objective."""
    return pair_objective(partial(info_nce, temperature=settings.temperature))


def dot_info_nce_objective(settings: SoftmaxSettings, context: LossContext) -> Objective:
    """Return `dot_info_nce` as an objective."""
    return pair_objective(partial(dot_info_nce, temperature=settings.temperature))
