"""The claims about the fixed reweighting head, by rules fixed before the runs shown."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments.fixed_head_cells import (
    AppliedHead,
    HeadCell,
    kept_coordinates,
    log_slope,
    used_coordinates,
)
from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row
from ssljax.system.arrays import Float
from theory.layers.reweighting import last_coordinate, reweighted_weights

XUE = "Xue et al. 2024, fixed reweighting head; rule ours"
WEIGHTS = "weights of least norm under the fixed head, derived"
SQUARES = np.array([1.0, 0.7, 0.5, 0.3, 0.15])
LINEAR_RATIOS = (1.2, 1.5)
WEIGHT_TOLERANCE = 0.02
SLOPE_TOLERANCE = 0.25
PUBLISHED_RATIO = 1.05
SAME_ACCURACY = 0.02
LEAST_GAIN = 0.005
LEAST_LEAD = 0.02
IDENTITY_TOLERANCE = 0.003
ORDER_RATIO = 1.2


class Outcome(NamedTuple):
    """Everything measured.

    Attributes:
      linear: By κ, weights of the features before and after the head, over seeds.
      fixed: By κ, the networks trained under the fixed head; κ = 1 is no head.
      trained: The networks trained under a perceptron.
      applied: Heads put on the trained networks' features afterwards.
      ratios: κ of those.
    """

    linear: Mapping[float, Float[np.ndarray, "seeds two modes"]]
    fixed: Mapping[float, Sequence[HeadCell]]
    trained: Sequence[HeadCell]
    applied: Sequence[AppliedHead]
    ratios: tuple[float, ...]


def predicted_weights(ratio: float) -> Float[np.ndarray, "two modes"]:
    """Weights before and after the head by the closed form, for `SQUARES`."""
    with jax.enable_x64(True):
        return np.asarray(reweighted_weights(np.sqrt(SQUARES), ratio))


def reweighting_rows(outcome: Outcome) -> tuple[Row, ...]:
    """Rows of claim 8.

    Args:
      outcome: Measurements.

    Returns:
      The rows: linear weights, the network's weights, accuracy, and the standardizing probe.
    """
    return (
        *(_linear_row(outcome, ratio) for ratio in LINEAR_RATIOS),
        *(_slope_row(outcome, ratio) for ratio in outcome.fixed if ratio > 1),
        _control_row(outcome),
        _order_row(outcome),
        *_accuracy_rows(outcome),
        *_standardization_rows(outcome),
    )


def _linear_row(outcome: Outcome, ratio: float) -> Row:
    before, after = predicted_weights(ratio)
    measured = outcome.linear[ratio][:, 0]

    def error(predicted: np.ndarray) -> np.ndarray:
        return np.max(np.abs(measured / predicted - 1), axis=1)

    return error_row(
        8,
        f"linear network, κ = {ratio:g}: gradient descent gives the i-th strongest feature the"
        " weight s_i κ^(i−1) before the head (largest relative error; nulls: s_i, and √s_i of a"
        " trained linear head)",
        WEIGHTS,
        error(before),
        float(min(np.min(error(after)), np.min(error(np.sqrt(after))))),
        WEIGHT_TOLERANCE,
    )


def slope_rise(outcome: Outcome, ratio: float) -> Float[np.ndarray, " seeds"]:
    """Slope of log size against coordinate under a head, less that without one."""
    cells = outcome.fixed[ratio]
    count = kept_coordinates(len(cells[0].sizes), ratio)
    without = [log_slope(cell.sizes, count) for cell in outcome.fixed[1.0]]
    return np.array([log_slope(cell.sizes, count) for cell in cells]) - np.array(without)


def _slope_row(outcome: Outcome, ratio: float) -> Row:
    rise = slope_rise(outcome, ratio)
    errors = np.abs(rise / np.log(ratio) - 1)
    return Row(
        id=8,
        claim=(
            f"network, κ = {ratio:g}: coordinates before the head grow by κ each, so that the head"
            " is made up for (slope of log size against index, over that without a head; error"
            " relative; null: they do not grow)"
        ),
        source=WEIGHTS,
        predicted=float(np.log(ratio)),
        measured=float(np.mean(rise)),
        error=float(np.mean(errors)),
        null=1.0,
        tolerance=SLOPE_TOLERANCE,
        spread=float(np.ptp(errors)) / 2 if np.all(np.isfinite(errors)) else 0.0,
    )


def used(outcome: Outcome) -> Float[np.ndarray, "seeds ratios"]:
    """Coordinates the embedding uses, for each κ in order."""
    return np.array(
        [
            [used_coordinates(cell.sizes, ratio) for cell in cells]
            for ratio, cells in sorted(outcome.fixed.items())
        ]
    ).T


def _control_row(outcome: Outcome) -> Row:
    counts = used(outcome)
    return monotone_row(
        8,
        "network: the number of coordinates that the embedding uses falls with κ (participation"
        f" ratio, from {np.mean(counts[:, 0]):.1f} without a head to"
        f" {np.mean(counts[:, -1]):.1f} at κ = {max(outcome.fixed):g}; Kendall's tau)",
        WEIGHTS,
        [kendall(np.arange(len(row)), -row) for row in counts],
    )


def _order_row(outcome: Outcome) -> Row:
    def leads(cells: Sequence[HeadCell]) -> np.ndarray:
        return np.array([cell.first - cell.random for cell in cells])

    null = float(np.max(leads(outcome.fixed[1.0])))
    return bound_row(
        8,
        f"network, κ = {ORDER_RATIO:g}: coordinates are in order of use, the first eighth tells"
        f" classes apart better than a random eighth, by {LEAST_LEAD:g} of accuracy (null: without"
        " a head)",
        XUE,
        LEAST_LEAD,
        leads(outcome.fixed[ORDER_RATIO]),
        null=max(LEAST_LEAD - null, 0.0),
    )


def _accuracy_rows(outcome: Outcome) -> tuple[Row, ...]:
    def before(cells: Sequence[HeadCell]) -> np.ndarray:
        return np.array([cell.standardized[0] for cell in cells])

    fixed, none = before(outcome.fixed[PUBLISHED_RATIO]), before(outcome.fixed[1.0])
    trained = before(outcome.trained)
    return (
        error_row(
            8,
            f"accuracy before a fixed head (κ = {PUBLISHED_RATIO:g}, as published) is that before a"
            " trained one (difference; null: a network without a head)",
            XUE,
            np.abs(fixed - trained),
            float(np.min(np.abs(none - trained))),
            SAME_ACCURACY,
        ),
        bound_row(
            8,
            f"accuracy before a fixed head (κ = {PUBLISHED_RATIO:g}) is higher than without a head,"
            f" by {LEAST_GAIN:g}",
            XUE,
            LEAST_GAIN,
            fixed - none,
            null=LEAST_GAIN,
        ),
    )


def _standardization_rows(outcome: Outcome) -> tuple[Row, ...]:
    width = len(outcome.trained[0].sizes)
    held = [place for place, ratio in enumerate(outcome.ratios) if width <= last_coordinate(ratio)]
    undone = [np.max(np.abs(cell.standardized[held] - cell.none[0])) for cell in outcome.applied]
    seen = [np.max(np.abs(cell.one_scale[held] - cell.none[1])) for cell in outcome.applied]
    small = [cell for ratio in (1.05, 1.2) for cell in outcome.fixed[ratio]]
    gaps = np.array([[_gap(cell.standardized), _gap(cell.one_scale)] for cell in small])
    return (
        error_row(
            8,
            "a probe that divides coordinates by their deviation undoes a fixed head exactly, as"
            f" long as float32 holds all {width} coordinates (accuracy after it less before, heads"
            " put on a trained feature; null: one scale for all)",
            "derived",
            undone,
            float(np.min(seen)),
            IDENTITY_TOLERANCE,
        ),
        error_row(
            8,
            "so it shows no difference between before and after the fixed head of the networks"
            " trained under κ = 1.05 and 1.2 (null: one scale for all)",
            "derived",
            gaps[:, 0],
            float(np.min(gaps[:, 1])),
            IDENTITY_TOLERANCE,
        ),
    )


def _gap(pair: np.ndarray) -> float:
    return abs(float(pair[0] - pair[1]))
