"""Losses that use labels: contrastive ones over classes, cross entropy, squared error."""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ssljax.losses.contrastive import log_normalizers
from ssljax.losses.embeddings import (
    at_least_float32,
    check_temperature,
    check_views,
    unit_rows,
)
from ssljax.losses.multiview import check_stack, mean_not_below_zero, stack_pair
from ssljax.losses.objective import Layers, LossContext, Objective
from ssljax.losses.spectral import mean_square_apart
from ssljax.system.arrays import Array, Bool, Float, Int
from ssljax.system.errors import UsageError
from ssljax.system.settings import Settings


def supervised_contrastive(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    labels: Int[Array, "batch"],
    temperature: float | Float[Array, ""],
) -> Float[Array, ""]:
    r"""Return the supervised contrastive loss (SupCon, positives outside the logarithm).

    For the 2N rows z of both views on the unit sphere, P(a) all other rows of a's class (its
    own other view among them),

    .. math:: L = \frac{1}{2N}\sum_a\Big[\log\sum_{b\neq a}e^{z_a\cdot z_b/T}
              - \frac{1}{|P(a)|}\sum_{p\in P(a)} z_a\cdot z_p/T\Big].

    Sums run over the global batch. The loss is not multiplied by T / 0.07 as in the authors'
    code. With all labels different it is NT-Xent.

    Args:
      first: Embeddings of one view of N images; need not be normalized.
      second: Embeddings of the other view, row i from the same image.
      labels: Class of each image; any integers.
      temperature: T > 0.

    Returns:
      The loss; everything in at least float32.

    Raises:
      UsageError: If the shapes differ, or the temperature is not positive.

    Source:
      Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020, equation 2.
    """
    check_labels(first, second, labels)
    return multi_view_supervised_contrastive(stack_pair(first, second), labels, temperature)


def multi_view_supervised_contrastive(
    views: Float[Array, "batch views dim"],
    labels: Int[Array, "batch"],
    temperature: float | Float[Array, ""],
) -> Float[Array, ""]:
    r"""Return `supervised_contrastive` of V >= 1 views of each image.

    .. math:: L = \frac{1}{|A|}\sum_{a\in A}\Big[\log\sum_{b\neq a}e^{z_a\cdot z_b/T}
              - \frac{1}{|P(a)|}\sum_{p\in P(a)} z_a\cdot z_p/T\Big],

    A the rows that have a positive. With one view of each image a row that is alone in its class
    has none: it stays a negative of the others and does not count as an anchor.

    Args:
      views: Embeddings, the views of an image beside each other.
      labels: Class of each image; any integers.
      temperature: T > 0.

    Returns:
      The loss over the global batch, in at least float32; 0 where no row has a positive.

    Raises:
      UsageError: The shapes do not match, or the temperature is not positive.

    Source:
      Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020, equation 2; the mean over
      anchors with a positive is the convention of later implementations, stated here.
    """
    check_labeled_stack(views, labels)
    check_temperature(temperature)
    rows = unit_rows(at_least_float32(views.reshape(-1, views.shape[-1])))
    agreement, is_anchor = class_agreement(rows, labels, views.shape[1])
    normalizers = log_normalizers(rows, temperature)
    return mean_over_anchors(normalizers, agreement / temperature, is_anchor)


def class_agreement(
    rows: Float[Array, "rows dim"], labels: Int[Array, "batch"], views: int
) -> tuple[Float[Array, "rows"], Bool[Array, "rows"] | None]:
    """Return each row's mean inner product with the other rows of its class, and who has any.

    Computed from the sums of the classes, so memory and time are linear in the rows.

    Args:
      rows: batch x views rows, the views of an image beside each other.
      labels: Class of each image.
      views: Views of each image.

    Returns:
      The means, 0 where a row is alone; whether it is not alone, None where none can be.
    """
    labels = jnp.repeat(labels, views)
    classes = jnp.searchsorted(jnp.sort(labels), labels)
    sums = jax.ops.segment_sum(rows, classes, num_segments=rows.shape[0])
    sizes = jax.ops.segment_sum(jnp.ones(rows.shape[0]), classes, num_segments=rows.shape[0])
    others = sums[classes] - rows
    count = jnp.maximum(sizes[classes] - 1, 1).astype(rows.dtype)
    means = jnp.sum(rows * others, axis=1) / count
    return means, None if views > 1 else sizes[classes] > 1


def mean_over_anchors(
    normalizers: Float[Array, "rows"],
    positives: Float[Array, "rows"],
    is_anchor: Bool[Array, "rows"] | None,
) -> Float[Array, ""]:
    """Return the mean of normalizer minus positive over anchors; None: every row is one."""
    if is_anchor is None:
        return mean_not_below_zero(normalizers, positives)
    share = jnp.sum(is_anchor) / is_anchor.shape[0]
    kept = mean_not_below_zero(
        jnp.where(is_anchor, normalizers, 0.0), jnp.where(is_anchor, positives, 0.0)
    )
    return kept / jnp.where(share > 0, share, 1.0).astype(kept.dtype)


def supervised_spectral(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    labels: Int[Array, "batch"],
) -> Float[Array, ""]:
    r"""Return the spectral contrastive loss whose positives are different images of one class.

    .. math:: \hat L = -\frac{2}{|A|}\sum_{i\in A}\frac{1}{n_{y_i}-1}
              \sum_{j\neq i,\;y_j=y_i} z_i\cdot z_j^+
              + \frac{1}{n(n-1)}\sum_{i\neq j}(z_i\cdot z_j^+)^2,

    A the images that are not alone in their class in the global batch. An image is never its
    own positive: for a linear map the first term estimates -2 tr(F M) with
    M = Σ_y p_y μ_y μ_yᵀ, classes weighted by their frequency among A.

    Args:
      first: Embeddings of one view of n images, not normalized.
      second: Embeddings of the other view, row i from the same image.
      labels: Class of each image; any integers.

    Returns:
      The loss; everything in at least float32. Exchanging the views leaves it.

    Raises:
      UsageError: If the shapes differ or there are fewer than two pairs.

    Source:
      HaoChen et al., NeurIPS 2021, for the loss; positives by class are derived.
    """
    check_labels(first, second, labels, least=2)
    first, second = at_least_float32(first), at_least_float32(second)
    count = first.shape[0]
    classes = jnp.searchsorted(jnp.sort(labels), labels)
    sums = jax.ops.segment_sum(second, classes, num_segments=count)
    sizes = jax.ops.segment_sum(jnp.ones(count), classes, num_segments=count)[classes]
    others = (sums[classes] - second) / jnp.maximum(sizes - 1, 1).astype(second.dtype)[:, None]
    paired = sizes > 1
    agreement = jnp.where(paired, jnp.sum(first * others, axis=1), 0.0)
    positive = jnp.sum(agreement) / jnp.maximum(jnp.sum(paired), 1)
    return -2 * positive + mean_square_apart(first, second)


def cross_entropy(
    logits: Float[Array, "batch classes"], labels: Int[Array, "batch"]
) -> Float[Array, ""]:
    """Return the mean negative log-likelihood of labels under softmax(logits), at least float32.

    Args:
      logits: One row of scores for each image.
      labels: Class of each image, from 0 to classes - 1.

    Returns:
      Mean over the global batch of log Σ_c exp(logit_c) - logit_label; NaN where labels that are
      traced (inside ``jax.jit``) are out of range, which the trainer refuses beforehand.

    Raises:
      UsageError: Labels that are known are out of range.
    """
    logits = at_least_float32(logits)
    labels = check_classes(labels, logits.shape[1])
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1, mode="fill")[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)


def check_classes(labels: Int[Array, "batch"], classes: int) -> Int[Array, "batch"]:
    """Refuse known labels out of range; return traced ones, those below 0 moved above the range.

    An index below 0 counts from the end: it would silently choose another class.
    """
    if not isinstance(labels, Tracer):
        low, high = int(jnp.min(labels)), int(jnp.max(labels))
        if low < 0 or high >= classes:
            raise UsageError(
                f"labels from {low} to {high} given for {classes} classes; give labels from 0 to "
                f"{classes - 1}, or more classes"
            )
    return jnp.where(labels < 0, classes, labels)


def mean_squared_error(
    outputs: Float[Array, "batch dim"], targets: Float[Array, "batch dim"]
) -> Float[Array, ""]:
    """Return half the global batch's mean of ‖output - target‖², in at least float32.

    Args:
      outputs: One row for each image.
      targets: What they should be; for classes the one-hot rows.

    Returns:
      (1 / 2n) Σ_i ‖output_i - target_i‖²; the sum over coordinates is not averaged.
    """
    difference = at_least_float32(outputs) - at_least_float32(targets)
    return 0.5 * jnp.sum(difference**2) / outputs.shape[0]


def check_labeled_stack(views: Array, labels: Array) -> None:
    """Refuse a stack without views, or labels that do not name each of the images."""
    check_stack(views, least=1)
    _check_count(labels, views.shape[0])


def check_labels(first: Array, second: Array, labels: Array, *, least: int = 1) -> None:
    """Refuse views that do not pair up, or labels that do not name each of the images."""
    check_views(first, second, least=least)
    _check_count(labels, first.shape[0])


def _check_count(labels: Array, images: int) -> None:
    if labels.shape != (images,):
        raise UsageError(
            f"labels of shape {labels.shape} given for {images} images; "
            "give one label for each image"
        )


def cross_entropy_objective(settings: Settings, context: LossContext) -> Objective:
    """Return the cross-entropy of the scores, every view an example of its own."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        return cross_entropy(*_examples(layers[context.scores], labels))

    return Objective(value, _add_to_embedding(context.scores))


def mean_squared_error_objective(settings: Settings, context: LossContext) -> Objective:
    """Return half the squared distance of the scores from the one-hot labels, view by view."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        scores, labels = _examples(layers[context.scores], labels)
        return mean_squared_error(scores, jax.nn.one_hot(labels, scores.shape[1]))

    return Objective(value, _add_to_embedding(context.scores))


def _add_to_embedding(layer: str) -> tuple[str, ...]:
    return () if layer == "embedding" else (layer,)


def _examples(scores: Array, labels: Array) -> tuple[Array, Array]:
    """Return views as rows of their own, each with its image's label."""
    views = scores.shape[1]
    return scores.reshape(-1, scores.shape[-1]), jnp.repeat(labels, views)
