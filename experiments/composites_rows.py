"""The claims about digits on natural images; every rule was set before a laptop run."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.results import Row
from experiments.rows import bound_row, kendall, monotone_row

SOURCE = "Xue et al. 2024, digits on CIFAR-10; direction from the linear theory (re-derived)"
Accuracies = Float[np.ndarray, "seeds cells layers"]


class CompositeSweep(NamedTuple):
    """Networks along one property of the digits; layers are feature and embedding.

    Attributes:
      values: Strength, or drop probability, ascending.
      digit: Accuracy of the digit.
      background: Accuracy of the background's class.
      narrowed: Accuracy of the digit through a random map of the feature to the embedding's width.
      untrained: Accuracy of the digit in the network before its first step.
    """

    values: Float[np.ndarray, " cells"]
    digit: Accuracies
    background: Accuracies
    narrowed: Float[np.ndarray, "seeds cells"]
    untrained: Accuracies

    @property
    def gaps(self) -> Float[np.ndarray, "seeds cells"]:
        """Digit accuracy before the head less after it."""
        return self.digit[..., 0] - self.digit[..., 1]


def composite_rows(strengths: CompositeSweep, drops: CompositeSweep, label: str) -> tuple[Row, ...]:
    """Trends of the gap, its sign, and what the nulls leave of it.

    Args:
      strengths: Strength of digits that are never dropped.
      drops: Drop probability of digits of strength 1.
      label: The images.

    Returns:
      Rows.
    """
    disrupted = [kendall(drops.values, row) for row in drops.gaps]
    weak = [kendall(-strengths.values, row) for row in strengths.gaps]
    dropped, thin = (100 * np.mean(sweep.gaps, axis=0) for sweep in (drops, strengths))
    every = np.concatenate([drops.gaps, strengths.gaps], axis=1)
    beyond = drops.narrowed[:, -1] - drops.digit[:, -1, 1]
    learned = drops.digit[:, 0, 0] - drops.untrained[:, 0, 0]
    return (
        monotone_row(
            4,
            f"{label}: the gap feature − embedding in digit accuracy grows with the probability"
            f" that a view loses its digit (Kendall's tau; from {dropped[0]:+.1f} to"
            f" {dropped[-1]:+.1f} points at {drops.values[-1]:g})",
            SOURCE,
            disrupted,
        ),
        monotone_row(
            4,
            f"{label}: that gap grows as the digit gets fainter (Kendall's tau; from"
            f" {thin[-1]:+.1f} points at strength 1 to {thin[0]:+.1f} at {strengths.values[0]:g})",
            SOURCE,
            weak,
        ),
        bound_row(
            4,
            f"{label}: digits are read from the feature no worse than from the embedding, in every"
            " network (smallest gap)",
            SOURCE,
            0.0,
            np.min(every, axis=1),
            tolerance=0.01,
        ),
        bound_row(
            4,
            f"{label}, digits dropped most often: the embedding has lost more of them than a random"
            " map of the feature to its width loses (digit accuracy of the map less the"
            " embedding's)",
            SOURCE,
            0.0,
            beyond,
        ),
        bound_row(
            4,
            f"{label}, digits never dropped: training teaches the feature digits (accuracy less"
            " that of the untrained network)",
            SOURCE,
            0.0,
            learned,
        ),
    )
