"""The quickstart's claims, with rules that were fixed before the runs shown."""

import numpy as np

from experiments.head_rows import distance_row, head_rows, law_rows
from experiments.quickstart.linear_layers import LinearOutcome
from experiments.quickstart.scales import LEADING_MODES
from experiments.quickstart.settled_head import SettledOutcome
from experiments.results import Row
from experiments.rows import error_row, kendall, spread_of

FORECAST = "balanced gradient flow from the data's moments, derived"
SIZE_TOLERANCE = 0.05
ORDER_TOLERANCE = 0.10


def linear_rows(outcome: LinearOutcome) -> tuple[Row, ...]:
    """Part A: the layer law, the layers' Grams, the modes' sizes, courses and order."""
    final = outcome.measured_mode_sizes[:, -1]
    sizes = np.median(np.abs(final / outcome.mode_sizes[-1][None] - 1.0), axis=1)
    courses = outcome.measured_mode_sizes[:, 1:] / outcome.mode_sizes[None, 1:]
    course_errors = np.median(np.abs(courses - 1.0), axis=(1, 2))
    # Two nulls of the courses: nothing is ever learned, and one layer less.
    nulls = [
        np.min(np.median(np.abs(null / outcome.measured_mode_sizes[:, 1:] - 1.0), axis=(1, 2)))
        for null in (outcome.mode_sizes[None, :1], outcome.shallow_mode_sizes[None, 1:])
    ]
    known = np.isfinite(outcome.half_times)
    order = [
        kendall(outcome.half_times[known], measured[known])
        for measured in outcome.measured_half_times
    ]
    by_alignment = [
        kendall(-outcome.alignments[known], measured[known])
        for measured in outcome.measured_half_times
    ]
    errors = 1.0 - np.array(order)
    return (
        *law_rows(outcome.verdicts, "linear model"),
        distance_row(
            17,
            f"linear model: Gram of every layer, {outcome.num_modes} modes, from the data alone",
            FORECAST,
            np.array([verdict.agreement.distances for verdict in outcome.verdicts]),
            np.array([verdict.agreement.best_null for verdict in outcome.verdicts]),
        ),
        distance_row(
            17,
            f"linear model: Gram of every layer, {LEADING_MODES} strongest modes",
            FORECAST,
            np.array([verdict.agreement.distances for verdict in outcome.leading_verdicts]),
            np.array([verdict.agreement.best_null for verdict in outcome.leading_verdicts]),
        ),
        error_row(
            17,
            "linear model: final size of each mode (median relative error)",
            FORECAST,
            sizes,
            float(min(np.min(errors) for errors in outcome.null_errors.values())),
            SIZE_TOLERANCE,
        ),
        error_row(
            17,
            "linear model: size of each mode all through training (median relative error)",
            FORECAST,
            course_errors,
            float(min(nulls)),
            SIZE_TOLERANCE,
        ),
        Row(
            id=17,
            claim="linear model: order in which modes are learned (Kendall's tau)",
            source=FORECAST,
            predicted=1.0,
            measured=float(np.mean(order)),
            error=float(np.mean(errors)),
            null=float(1.0 - np.max(by_alignment)),
            tolerance=ORDER_TOLERANCE,
            spread=spread_of(errors),
        ),
        _progressive_row(outcome),
    )


def _progressive_row(outcome: LinearOutcome) -> Row:
    """Claim 1: along the modes each layer weights features more unequally than the one before."""
    inequality = np.array(
        [np.std(np.log(np.maximum(gains, 1e-12)), axis=1) for gains in outcome.measured_gains]
    )
    steps = np.diff(inequality, axis=1)
    predicted = np.std(np.log(outcome.gains), axis=1)
    ratio = inequality / predicted[None]
    errors = np.max(np.abs(ratio - 1.0), axis=1)
    return Row(
        id=1,
        claim=(
            "linear model: inequality of the feature weights grows by equal steps from layer to"
            f" layer (smallest measured step {np.min(steps):.3f})"
        ),
        source="Xue et al. 2024, layer-wise progressive feature weighting (statement re-derived)",
        predicted=float(predicted[-1]),
        measured=float(np.mean(inequality[:, -1])),
        error=float(np.mean(errors)),
        null=1.0,
        tolerance=0.15,
        spread=spread_of(errors),
    )


def settled_rows(outcome: SettledOutcome) -> tuple[Row, ...]:
    """Part B: the settled head, and the unsettled one beside it."""
    return (
        *head_rows(outcome.settled, "settled"),
        *head_rows(outcome.unsettled, "jointly trained, unsettled"),
    )
