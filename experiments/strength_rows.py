"""The claims about a sweep of the augmentation strength, with rules fixed before the runs shown."""

import numpy as np

from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row
from experiments.strength_cells import SweepOutcome

ABSTRACT = "Cosentino et al. 2022, abstract"
WATER_FILLING = "water-filling optimum of a linear projector under cosine InfoNCE, derived"
SWEEP_TOLERANCE = 0.25
LEAST_LOSS = 0.1


def sweep_rows(outcome: SweepOutcome, label: str) -> tuple[Row, ...]:
    """Suppression, information, forecasts from encoder statistics, and accuracy.

    Args:
      outcome: The sweep.
      label: Which head, for the claims' text.

    Returns:
      Rows of claims 9, 10, 11 and 19.
    """
    suppression = outcome.probe_defects[..., 1] / outcome.probe_defects[..., 0]
    falls = [kendall(outcome.strengths, -row) for row in suppression]
    valid = outcome.valid
    defect = _log_errors(outcome.predicted_defects, outcome.training_defects[..., 1], valid)
    same_defect = _log_errors(
        outcome.training_defects[..., 0], outcome.training_defects[..., 1], valid
    )
    rank = _log_errors(outcome.predicted_ranks, outcome.ranks[..., 1], valid)
    same_rank = _log_errors(outcome.ranks[..., 0], outcome.ranks[..., 1], valid)
    kept = np.mean([pair[..., 0] for pair in outcome.information.values()], axis=0)
    read = np.mean([pair[..., 1] for pair in outcome.information.values()], axis=0)
    lost = np.min(kept - read, axis=1)
    gap = outcome.accuracies[..., 0] - outcome.accuracies[..., 1]
    widening = [kendall(outcome.strengths, row) for row in gap]
    return (
        monotone_row(
            10,
            f"{label}: suppression R = I(embedding)/I(feature) falls with strength"
            f" (Kendall's tau; R from {np.mean(suppression[:, 0]):.2f} to"
            f" {np.mean(suppression[:, -1]):.2f})",
            ABSTRACT,
            falls,
        ),
        bound_row(
            11,
            f"{label}: augmentation parameters can be read from the feature, less from the"
            " embedding, at every strength (smallest loss of R²; shortfall from 0.1)",
            ABSTRACT,
            LEAST_LOSS,
            lost,
            null=LEAST_LOSS,
        ),
        error_row(
            19,
            f"{label}: defect of the embedding at training strength, from encoder statistics"
            " (median log error; null: the feature's own)",
            WATER_FILLING,
            defect,
            float(np.min(same_defect)),
            SWEEP_TOLERANCE,
        ),
        error_row(
            19,
            f"{label}: effective rank of the embedding, from encoder statistics"
            " (median log error; null: the feature's own)",
            WATER_FILLING,
            rank,
            float(np.min(same_rank)),
            SWEEP_TOLERANCE,
        ),
        monotone_row(
            9,
            f"{label}: accuracy gap feature − embedding widens with strength"
            f" (Kendall's tau; gap {np.mean(gap[:, 0]):+.3f} to {np.mean(gap[:, -1]):+.3f})",
            ABSTRACT,
            widening,
        ),
        bound_row(
            9,
            f"{label}: the feature is never less accurate than the embedding"
            " (worst shortfall over strengths)",
            ABSTRACT,
            0.0,
            np.min(gap, axis=1),
            tolerance=0.01,
        ),
    )


def _log_errors(predicted: np.ndarray, measured: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Median over strengths of |log ratio|, where the forecast is valid, for each seed."""
    errors = np.abs(np.log(predicted / measured))
    return np.array([np.median(row[ok]) if ok.any() else np.nan for row, ok in zip(errors, valid)])
