"""Rows of claim 17: courses, collapse, orders."""

from collections.abc import Sequence

import numpy as np

from experiments.forecast_cells import Forecast, half_times
from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, spread_of

FLOW = "balanced gradient flow from the features' moments, derived"
CURVE = "universal curve of independent modes, derived"
COURSE_TOLERANCE = 0.05
COLLAPSE_TOLERANCE = 0.01
ORDER_TOLERANCE = 0.1
LEAST_MARGIN = 0.2
# A mode has arrived when theory says it has this share of its end.
ARRIVED = 0.95


def forecast_rows(found: Sequence[Forecast], depth: int, label: str) -> tuple[Row, ...]:
    """Everything claim 17 says, over seeds.

    Args:
      found: One per seed.
      depth: Layers of the heads.
      label: Which features, for the claims' text.

    Returns:
      The rows.
    """
    modes = sorted({len(one.alignments) for one in found})
    what = (
        f"{label}, {depth} layers, {' to '.join(map(str, modes[:: max(len(modes) - 1, 1)]))} modes"
    )
    errors = np.array([course_error(one.predicted, one.measured) for one in found])
    commuting = np.array([course_error(one.commuting, one.measured) for one in found])
    nulls = [
        course_error(null, one.measured)
        for one in found
        for null in (
            one.shallow,
            one.shuffled,
            np.broadcast_to(one.measured[:1], one.measured.shape),
        )
    ]
    collapses = [collapse(one, one.measured) for one in found]
    orders = np.array([_learning_orders(one) for one in found])
    ends = np.array([_final_orders(one) for one in found])
    return (
        error_row(
            17,
            f"{what}: size of each mode all through training (median relative error; nulls: one"
            " layer less, shuffled pairs, nothing learned)",
            FLOW,
            errors,
            float(min(nulls)),
            COURSE_TOLERANCE,
        ),
        bound_row(
            17,
            f"{what}: the matrix flow is closer than modes that learn independently (their error"
            f" over its; commutator {np.mean([one.commutator for one in found]):.2f})",
            FLOW,
            1.0,
            commuting / errors,
        ),
        error_row(
            17,
            f"{what}: all courses collapse on one curve (1 − R² of ρ; null: one common clock)",
            CURVE,
            [1.0 - r2 for r2, _ in collapses],
            float(min(1.0 - null for _, null in collapses)),
            COLLAPSE_TOLERANCE,
        ),
        _order_row(
            f"{what}: modes are learned in the order of 1/(s a) (Kendall's tau of half-times; null:"
            " the better of the orders by s and by a)",
            orders,
        ),
        bound_row(
            17,
            f"{what}: that order is better than the orders by s and by a (margin in tau)",
            CURVE,
            LEAST_MARGIN,
            orders[:, 0] - orders[:, 1],
            null=LEAST_MARGIN,
        ),
        _order_row(
            f"{what}: modes that have arrived end in the order of a (Kendall's tau; null: the order"
            " by s a)",
            ends,
        ),
    )


def course_error(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Median over modes and times after the start of |measured / predicted − 1|."""
    return float(np.median(np.abs(measured[1:] / predicted[1:] - 1.0)))


def _learning_orders(one: Forecast) -> tuple[float, float]:
    """Kendall's tau of measured half-times with 1/(s a), and the better of those by s and by a."""
    product = kendall(one.halves, 1.0 / (one.scales * one.alignments))
    others = (kendall(one.halves, 1.0 / one.scales), kendall(one.halves, 1.0 / one.alignments))
    return product, max(others)


def _final_orders(one: Forecast) -> tuple[float, float]:
    """Kendall's tau of the last sizes with a, and with s a, of modes that have arrived."""
    arrived = one.predicted[-1] > ARRIVED * one.alignments
    last, a, s = one.measured[-1][arrived], one.alignments[arrived], one.scales[arrived]
    return kendall(last, a), kendall(last, s * a)


def collapse(one: Forecast, courses: np.ndarray) -> tuple[float, float]:
    """R² of ρ = (n/a)^½ of some courses on the universal curve, and with one clock for all modes.

    Args:
      one: The curve and the alignments.
      courses: n(t), measured or predicted, (times, modes).

    Returns:
      Both.
    """
    fractions = np.sqrt(np.maximum(courses, 0.0) / one.alignments[None, :])
    total = np.sum((fractions - np.mean(fractions)) ** 2)
    missed = np.sum((fractions - one.curve) ** 2)
    common = np.median(one.curve, axis=1, keepdims=True)
    return 1.0 - float(missed / total), 1.0 - float(np.sum((fractions - common) ** 2) / total)


def flow_order(one: Forecast) -> float:
    """Kendall's tau of the half-times that the matrix flow forecasts with the measured ones."""
    return kendall(half_times(one.times, one.predicted, 0.5 * one.alignments), one.halves)


def _order_row(claim: str, orders: np.ndarray) -> Row:
    errors = 1.0 - orders[:, 0]
    return Row(
        id=17,
        claim=claim,
        source=CURVE,
        predicted=1.0,
        measured=float(np.mean(orders[:, 0])),
        error=float(np.mean(errors)),
        null=float(1.0 - np.max(orders[:, 1])),
        tolerance=ORDER_TOLERANCE,
        spread=spread_of(errors),
    )
