"""Accuracies and statistics as rows, with their sampling information."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.core.blocks import decode_blocks, encode_counts, encode_without, leave_blocks_out
from experiments.core.measurements import Key, Measurement


def exact_row(key: Key, value: float, n: int = 0) -> Measurement:
    """Return a number without sampling error: of a model, an identity, a forecast.

    Args:
      key: What it is of.
      value: The number.
      n: Modes or folds behind it.
    """
    return _row(key, value, n, "")


def accuracy_row(
    key: Key, correct: Bool[np.ndarray, "repeats images"], blocks: int = 0
) -> Measurement:
    """Return an accuracy on test images, averaged over repeats on the same images.

    Args:
      key: What it is of.
      correct: Whether each test image was classified correctly, a row for each repeat (draws of a
        random head, kinds and severities of corruptions).
      blocks: Of test images; 0 for 100. Groups take 20, in the order of their objects.
    """
    return _row(key, float(correct.mean()), correct.shape[1], encode_counts(correct, blocks))


def statistic_row(
    key: Key, statistic: Callable[[Int[np.ndarray, " kept"]], float], images: int
) -> Measurement:
    """Return a statistic of test images, with its values where a block of them is left out.

    Args:
      key: What it is of.
      statistic: From indices of test images to the number.
      images: How many test images there are.
    """
    without = leave_blocks_out(statistic, images)
    return _row(key, statistic(np.arange(images)), images, encode_without(without))


def sums_row(
    key: Key,
    statistic: Callable[..., float],
    sums: Sequence[Float[np.ndarray, "blocks ..."]],
    images: int,
) -> Measurement:
    """Return a statistic that is a function of sums over test images.

    Args:
      key: What it is of.
      statistic: From sums over some images, in the order of `sums`, to the number.
      sums: Over the images of each block, as `sum_blocks` makes them.
      images: How many test images there are.
    """
    totals = [parts.sum(axis=0) for parts in sums]
    without = [
        statistic(*(total - parts[block] for total, parts in zip(totals, sums, strict=True)))
        for block in range(len(sums[0]))
    ]
    return _row(key, statistic(*totals), images, encode_without(np.array(without)))


def mean_row(key: Key, rows: list[Measurement]) -> Measurement:
    """Return the mean of statistics on the same images: of draws of a random head, of properties.

    Args:
      key: What the mean is of.
      rows: Made by `statistic_row` on the same images.
    """
    without = np.mean([decode_blocks(row.blocks, row.n) for row in rows], axis=0)
    value = float(np.mean([row.value for row in rows]))
    return _row(key, value, rows[0].n, encode_without(without))


def _row(key: Key, value: float, n: int, blocks: str) -> Measurement:
    return Measurement(
        key.network,
        key.seed,
        key.quantity,
        value,
        key.variant,
        key.layer,
        key.task,
        key.level,
        n,
        blocks,
    )
