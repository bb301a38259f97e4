"""The claims about shifted test sets, by rules fixed before the runs shown."""

from collections.abc import Sequence

import numpy as np

from experiments.corruption_cells import AFTER, BEFORE, NARROW, NO_HEAD, REPRESENTATIONS, ShiftCell
from experiments.results import Row
from experiments.rows import bound_row
from ssljax.system.arrays import Float

SHIFT = "Xue et al. 2024, shifted test sets (their ImageNet experiment); rule ours"
LEAST_GAP = 0.005
LEAST_SHARE = 0.9


def shift_rows(cells: Sequence[ShiftCell], label: str) -> tuple[Row, ...]:
    """Accuracy under a shift, plain and at equal clean accuracy.

    Args:
      cells: One for each seed.
      label: Data set, for the claims' text.

    Returns:
      Rows of claim 7.
    """
    shifted = np.array([np.mean(cell.shifted, axis=2) for cell in cells])

    def gap(other: str) -> np.ndarray:
        """Smallest over numbers of training images, for each seed."""
        return np.min(shifted[:, _at(BEFORE)] - shifted[:, _at(other)], axis=1)

    # What a random map to the embedding's width costs is due to its dimension alone.
    null = float(np.max(shifted[:, _at(BEFORE)] - shifted[:, _at(NARROW)]))
    bound = max(null, 0.0) + LEAST_GAP
    rows = (
        bound_row(
            7,
            f"{label}: accuracy on corrupted images is higher before the head than after it, by"
            f" {LEAST_GAP:g} more than a random map to the same width costs"
            " (at each number of training images of the probe)",
            SHIFT,
            bound,
            gap(AFTER),
            null=bound - null,
        ),
        bound_row(
            7,
            f"{label}: accuracy on corrupted images is higher before the head than in a network"
            f" trained without one, by {LEAST_GAP:g} (at each number of training images)",
            SHIFT,
            LEAST_GAP,
            gap(NO_HEAD),
            null=LEAST_GAP,
        ),
        bound_row(
            7,
            f"{label}: it is higher before the head than after it for 0.9 of all corruptions and"
            " severities (null: half of them)",
            SHIFT,
            LEAST_SHARE,
            [
                np.mean(cell.shifted[_at(BEFORE), -1] > cell.shifted[_at(AFTER), -1])
                for cell in cells
            ],
            null=LEAST_SHARE - 0.5,
        ),
    )
    return rows if cells[0].clean.shape[1] < 2 else (*rows, *_matched_rows(cells, label))


def _matched_rows(cells: Sequence[ShiftCell], label: str) -> tuple[Row, ...]:
    def gaps(other: str) -> np.ndarray:
        return np.array([matched_gap(cell, other) for cell in cells])

    null = float(np.max(gaps(NARROW)))
    return tuple(
        bound_row(
            7,
            f"{label}: at equal accuracy on clean images it is higher before the head than {text},"
            f" by {LEAST_GAP:g} (lines over the probes{nulled})",
            SHIFT,
            LEAST_GAP,
            gaps(other),
            null=max(LEAST_GAP - null, 0.0) if other == AFTER else LEAST_GAP,
        )
        for other, text, nulled in (
            (AFTER, "after it", "; null: a random map to the same width"),
            (NO_HEAD, "without one", ""),
        )
    )


def matched_gap(cell: ShiftCell, other: str) -> float:
    """Advantage of the layer before the head on corrupted images at equal clean accuracy.

    Each representation gives a point for each number of training images; least-squares lines
    through the points of both are compared midway between their mean clean accuracies.

    Args:
      cell: One seed, at least two numbers of training images.
      other: The representation compared with.

    Returns:
      Difference of accuracies.
    """
    places = [_at(BEFORE), _at(other)]
    middle = float(np.mean(cell.clean[places]))
    heights = [
        line_at(cell.clean[place], np.mean(cell.shifted[place], axis=-1), middle)
        for place in places
    ]
    return heights[0] - heights[1]


def line_at(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], at: float) -> float:
    """Height of the least-squares line through points; of their mean where all x are equal."""
    centered = x - np.mean(x)
    size = float(np.sum(centered**2))
    slope = float(np.sum(centered * y)) / size if size > 0 else 0.0
    return float(np.mean(y)) + slope * (at - float(np.mean(x)))


def _at(name: str) -> int:
    return REPRESENTATIONS.index(name)
