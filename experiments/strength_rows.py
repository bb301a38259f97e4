"""The claims about a sweep of the augmentation strength, with rules fixed before the runs shown."""

import numpy as np

from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row
from experiments.strength_cells import SweepOutcome

ABSTRACT = "Cosentino et al. 2022, abstract"
WATER_FILLING = "water-filling optimum of a linear projector under cosine InfoNCE, derived"
SWEEP_TOLERANCE = 0.25
LEAST_LOSS = 0.1
CLEAR = 1.1
"""A ratio this far from 1 counts as different from it."""


def sweep_rows(
    outcome: SweepOutcome, label: str, untrained: SweepOutcome | None = None
) -> tuple[Row, ...]:
    """Suppression, information, forecasts from encoder statistics, and accuracy.

    Args:
      outcome: The sweep.
      label: Which head, for the claims' text.
      untrained: The networks before training, at one strength, as a null.

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
            null=_untrained_shortfall(untrained),
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


def trend_rows(outcome: SweepOutcome, label: str, untrained: SweepOutcome) -> tuple[Row, ...]:
    """Where R stands at both ends, and what else is ordered by the strength.

    Args:
      outcome: The sweep.
      label: Which head, for the claims' text.
      untrained: The networks before training, at one strength.

    Returns:
      Rows of claims 10, 11 and 19.
    """
    suppression = outcome.probe_defects[..., 1] / outcome.probe_defects[..., 0]
    before = untrained.probe_defects[..., 1] / untrained.probe_defects[..., 0]
    known = f"untrained heads have R = {np.mean(before):.2f}"
    lost = np.mean([pair[..., 0] - pair[..., 1] for pair in outcome.information.values()], axis=0)
    return (
        bound_row(
            10,
            f"{label}: at the weakest strength the head amplifies what augmentation changes,"
            f" R >= {CLEAR:g} ({known})",
            WATER_FILLING,
            CLEAR,
            suppression[:, 0],
            null=max(CLEAR - float(np.max(before)), 0.0),
        ),
        bound_row(
            10,
            f"{label}: at the strongest it suppresses it, 1/R >= {CLEAR:g} ({known})",
            ABSTRACT,
            CLEAR,
            1 / suppression[:, -1],
            null=max(CLEAR - float(np.max(1 / before)), 0.0),
        ),
        monotone_row(
            11,
            f"{label}: the loss of R² from feature to embedding grows with strength (Kendall's"
            f" tau; from {np.mean(lost[:, 0]):.2f} to {np.mean(lost[:, -1]):.2f})",
            ABSTRACT,
            [kendall(outcome.strengths, row) for row in lost],
        ),
        *_order_rows(outcome, label),
    )


def _untrained_shortfall(untrained: SweepOutcome | None) -> float:
    """What an untrained network's loss of R² from feature to embedding falls short of the bound."""
    if untrained is None:
        return LEAST_LOSS
    losses = [pair[..., 0] - pair[..., 1] for pair in untrained.information.values()]
    return max(LEAST_LOSS - float(np.max(np.mean(losses, axis=0))), 0.0)


def _order_rows(outcome: SweepOutcome, label: str) -> tuple[Row, ...]:
    """The trend of the forecasts over the strengths: all that a nonlinear head promises."""

    def agreement(predicted: np.ndarray, measured: np.ndarray) -> list[float]:
        known = np.where(outcome.valid, predicted, np.nan)
        return [kendall(one, other) for one, other in zip(known, measured)]

    return tuple(
        monotone_row(
            19,
            f"{label}: {what} of the embedding over the strengths is ordered as forecast from"
            " encoder statistics (Kendall's tau)",
            WATER_FILLING,
            agreement(predicted, measured),
        )
        for what, predicted, measured in (
            ("defect", outcome.predicted_defects, outcome.training_defects[..., 1]),
            ("effective rank", outcome.predicted_ranks, outcome.ranks[..., 1]),
        )
    )


def _log_errors(predicted: np.ndarray, measured: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Median over strengths of |log ratio|, where the forecast is valid, for each seed."""
    errors = np.abs(np.log(predicted / measured))
    return np.array([np.median(row[ok]) if ok.any() else np.nan for row, ok in zip(errors, valid)])
