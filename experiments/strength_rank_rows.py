"""Claim 11 by each definition of rank, and claim 9 on transferred tasks."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.embedding_ranks import DEFINITIONS
from experiments.results import Row
from experiments.rows import bound_row, kendall, monotone_row
from experiments.strength_cells import SweepOutcome
from experiments.strength_rows import ABSTRACT
from ssljax.system.arrays import Float


class RankOutcome(NamedTuple):
    """Ranks over a sweep of the strength, on clean held-out images; layers feature, embedding.

    Attributes:
      strengths: Augmentation strengths of training.
      clean: Rank by each of `experiments.embedding_ranks.DEFINITIONS`.
      local: Effective rank (squared singular values) of the head's slope, mean over images.
      embedding_values: Singular values of the centered embeddings on the sphere.
      slope_values: Singular values of the head's slope, mean over images.
    """

    strengths: Float[np.ndarray, " strengths"]
    clean: Float[np.ndarray, "seeds strengths definitions layers"]
    local: Float[np.ndarray, "seeds strengths"]
    embedding_values: Float[np.ndarray, "seeds strengths dim"]
    slope_values: Float[np.ndarray, "seeds strengths out"]


def transfer_rows(
    transfers: Mapping[str, Float[np.ndarray, "seeds strengths layers"]], label: str
) -> tuple[Row, ...]:
    """The feature against the embedding on other data sets.

    Args:
      transfers: Probe accuracies, by the data set's name.
      label: Trained on what, and which head, for the claims' text.

    Returns:
      One row of claim 9 for each data set.
    """
    rows = []
    for name, accuracies in transfers.items():
        over = "worst difference over strengths" if accuracies.shape[1] > 1 else "difference"
        rows.append(
            bound_row(
                9,
                f"{label}, transferred to {name}: the feature is never less accurate than the"
                f" embedding ({over})",
                ABSTRACT,
                0.0,
                np.min(accuracies[..., 0] - accuracies[..., 1], axis=1),
                tolerance=0.01,
            )
        )
    return tuple(rows)


def rank_rows(ranks: RankOutcome, outcome: SweepOutcome, label: str) -> tuple[Row, ...]:
    """Whether each rank of the embedding, and of the head's slope, falls with the strength.

    The definition can decide the sign: none is left out.

    Args:
      ranks: On clean images.
      outcome: For the ranks over views of the training strength.
      label: Which head, for the claims' text.

    Returns:
      Rows of claim 11.
    """

    def row(what: str, values: np.ndarray) -> Row:
        low, high = np.mean(values[:, 0]), np.mean(values[:, -1])
        return monotone_row(
            11,
            f"{label}: {what} falls with strength (Kendall's tau; from {low:.1f} to {high:.1f})",
            ABSTRACT,
            [kendall(ranks.strengths, -each) for each in values],
        )

    return (
        *(
            row(f"clean embeddings, {name},", ranks.clean[:, :, index, 1])
            for index, name in enumerate(DEFINITIONS)
        ),
        row("embeddings of views, effective rank (variances),", outcome.ranks[..., 1]),
        row("embeddings of views, singular values above 0.01,", outcome.threshold_ranks[..., 1]),
        row("local effective rank of the head's slope", ranks.local),
    )
