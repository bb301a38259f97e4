"""Claims about networks trained on coarse classes, by rules fixed before the runs shown."""

from typing import NamedTuple

import numpy as np

from experiments.coarse_cells import CoarseCell, DiagonalCell
from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row

XUE = "Xue et al. 2024, abstract (coarse-to-fine); rule ours"
COLLAPSE = "class collapse of linear supervised contrastive networks, derived"
FIXED_HEAD = "Xue et al. 2024, fixed reweighting head; rule ours"
LEAST_GAP = 0.02
SAME_ACCURACY = 0.02
LEAST_REDUCTION = 0.05
FORECAST_TOLERANCE = 0.25


class Outcome(NamedTuple):
    """Every network, a list over seeds for each training.

    Attributes:
      contrastive: Supervised contrastive loss, perceptron as head.
      entropy: Cross-entropy, perceptron as head.
      reweighted: Supervised contrastive loss, fixed reweighting head.
    """

    contrastive: list[CoarseCell]
    entropy: list[CoarseCell]
    reweighted: list[DiagonalCell]


def coarse_rows(outcome: Outcome) -> tuple[Row, ...]:
    """Rows of claim 5, and the one of claim 8 that the same networks answer.

    Args:
      outcome: Measurements.

    Returns:
      The rows.
    """
    return (
        *_loss_rows(outcome.contrastive, "supervised contrastive"),
        *_loss_rows(outcome.entropy, "cross-entropy"),
        *_forecast_rows(outcome.contrastive),
        *_fixed_head_rows(outcome),
    )


def ends(cells: list[CoarseCell], part: str, quantity: str) -> np.ndarray:
    """A quantity at feature and embedding of one part of the cells, (seeds, 2)."""
    return np.array([getattr(cell, part).ends(quantity) for cell in cells])


def _fall(values: np.ndarray) -> np.ndarray:
    """By which share a quantity is smaller at the embedding than at the feature."""
    return 1.0 - values[:, 1] / values[:, 0]


def _loss_rows(cells: list[CoarseCell], label: str) -> tuple[Row, ...]:
    def gap(part: str, quantity: str) -> np.ndarray:
        values = ends(cells, part, quantity)
        return values[:, 0] - values[:, 1]

    fine, coarse = gap("layers", "fine"), gap("layers", "coarse")
    null = float(max(np.max(gap("random_head", "fine")), np.max(gap("untrained", "fine"))))
    bound = max(LEAST_GAP, 2.0 * null)
    return (
        bound_row(
            5,
            f"{label}: fine classes are told apart better before the head than after it, by twice"
            " what a head with random weights costs and at least 0.02 of accuracy",
            XUE,
            bound,
            fine,
            null=bound - null,
        ),
        error_row(
            5,
            f"{label}: coarse classes are told apart equally well (difference of accuracy before"
            " and after the head; null: that of the fine classes)",
            XUE,
            np.abs(coarse),
            max(float(np.min(fine)), 0.0),
            SAME_ACCURACY,
        ),
        *(
            _fall_row(cells, label, quantity, text)
            for quantity, text in (
                ("inside", "the share of variance inside coarse classes"),
                (
                    "subclass",
                    "variance between the fine classes of a coarse one, over that between"
                    " coarse ones,",
                ),
            )
        ),
        monotone_row(
            5,
            f"{label}: the share of variance inside coarse classes falls from layer to layer"
            " (Kendall's tau)",
            COLLAPSE,
            [kendall(np.arange(len(cell.layers.inside)), -cell.layers.inside) for cell in cells],
        ),
    )


def _fall_row(cells: list[CoarseCell], label: str, quantity: str, text: str) -> Row:
    falls = _fall(ends(cells, "layers", quantity))
    null = max(
        float(np.max(_fall(ends(cells, part, quantity)))) for part in ("random_head", "untrained")
    )
    return bound_row(
        5,
        f"{label}: {text} is smaller after the head than before it, on images not trained on"
        " (by which share; nulls: heads with random weights)",
        COLLAPSE,
        LEAST_REDUCTION,
        falls,
        null=max(LEAST_REDUCTION - null, 0.0),
    )


def _forecast_rows(cells: list[CoarseCell]) -> tuple[Row, ...]:
    rows = []
    for quantity, forecast, text in (
        ("inside", [c.forecast.inside for c in cells], "variance inside coarse classes, its share"),
        ("subclass", [c.forecast.fine for c in cells], "variance between fine over coarse classes"),
    ):
        measured = ends(cells, "layers", quantity)
        rows.append(
            error_row(
                5,
                f"supervised contrastive: {text}, after the head, forecast from the feature's class"
                " moments for a linear head (log error; null: the feature's own)",
                COLLAPSE,
                _log_errors(np.array(forecast), measured[:, 1]),
                float(np.min(_log_errors(measured[:, 0], measured[:, 1]))),
                FORECAST_TOLERANCE,
            )
        )
    return tuple(rows)


def _log_errors(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """|log ratio|; NaN, and so inconclusive, where sampling made a variance negative."""
    known = (predicted > 0) & (measured > 0)
    ratio = np.where(known, predicted, 1.0) / np.where(known, measured, 1.0)
    return np.where(known, np.abs(np.log(ratio)), np.nan)


def _fixed_head_rows(outcome: Outcome) -> tuple[Row, ...]:
    fixed = np.array([cell.one_scale for cell in outcome.reweighted])
    undone = np.array([cell.standardized for cell in outcome.reweighted])
    trained = ends(outcome.contrastive, "layers", "fine")
    gap, lost = fixed[:, 0] - fixed[:, 1], np.abs(undone[:, 0] - undone[:, 1])
    distance = np.abs(undone[:, 0] - trained[:, 0])
    return (
        bound_row(
            5,
            "fixed reweighting head, supervised contrastive: fine classes are told apart better"
            " before the head (probe of one scale; null: the probe that standardizes)",
            XUE,
            LEAST_GAP,
            gap,
            null=max(LEAST_GAP - float(np.max(lost)), 0.0),
        ),
        error_row(
            8,
            "coarse to fine: before the fixed head fine classes are told apart as well as before"
            " the trained one (difference of accuracy; null: after the trained one)",
            FIXED_HEAD,
            distance,
            float(np.min(np.abs(trained[:, 1] - trained[:, 0]))),
            SAME_ACCURACY,
        ),
    )
