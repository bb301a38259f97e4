"""The claims about features that are absent after a head; rules set before a laptop run."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.diagonal_descent import Courses, DiagonalCheck
from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row

THEOREM = "Xue et al. 2024, diagonal networks (statement re-derived)"
DIRECTION = "Xue et al. 2024, their section 4 (statement re-derived)"
WEIGHT_TOLERANCE = 0.02
AMPLITUDE_TOLERANCE = 0.05
SLOPE_TOLERANCE = 0.02
PRESENT = 0.2
ABSENT = 0.1
BACKGROUND = 0.1


class AbsenceNetworks(NamedTuple):
    """Networks whose pairs share their digits ever less; layers are feature and embedding.

    Attributes:
      settings: What augmentation does, in words, from all shared to nothing.
      digit: Accuracy of the digit.
      background: Accuracy of the background's class.
      untrained_digit: Of the network before its first step.
      untrained_background: Likewise.
      chance: Accuracy of guessing.
    """

    settings: tuple[str, ...]
    digit: Float[np.ndarray, "seeds settings layers"]
    background: Float[np.ndarray, "seeds settings layers"]
    untrained_digit: Float[np.ndarray, "seeds layers"]
    untrained_background: Float[np.ndarray, "seeds layers"]
    chance: float

    @property
    def retained(self) -> Float[np.ndarray, "seeds settings"]:
        """Digit accuracy above chance, after the head over before it."""
        above = self.digit - self.chance
        return above[..., 1] / np.maximum(above[..., 0], 1e-3)


def diagonal_rows(check: DiagonalCheck) -> tuple[Row, ...]:
    """The diagonal model, exact.

    Args:
      check: Descent against the closed form.

    Returns:
      Rows.
    """
    slope = _late_slope(check.linear)
    miss = np.abs(check.disrupted_before / check.predicted_before - 1.0)
    linear = float(np.abs(check.linear.before[-1, 0] / 0.5 - 1.0))
    return (
        error_row(
            3,
            f"diagonal network with symmetrized ReLU, {len(check.errors)} features: descent ends at"
            " the closed form (largest error of a weight; null: the start)",
            THEOREM,
            [float(np.max(check.errors))],
            float(np.max(check.moved)),
            WEIGHT_TOLERANCE,
        ),
        error_row(
            3,
            "a feature that augmentation disrupts fully is absent after the head (largest"
            " amplitude; null: before the head)",
            THEOREM,
            [float(np.max(np.abs(check.disrupted_after)))],
            float(np.min(check.disrupted_before)),
            AMPLITUDE_TOLERANCE,
        ),
        error_row(
            3,
            "and present before it, with the predicted amplitude (largest relative error; null: a"
            " linear network for as long)",
            THEOREM,
            [float(np.max(miss))],
            linear,
            AMPLITUDE_TOLERANCE,
        ),
        Row(
            3,
            "a linear network loses it before the head as well, as time^(-1/6) (log-log slope;"
            " null: it stays)",
            "derived",
            -1 / 6,
            slope,
            abs(slope + 1 / 6),
            1 / 6,
            SLOPE_TOLERANCE,
        ),
    )


def _late_slope(courses: Courses) -> float:
    late = courses.times >= courses.times[-1] / 10
    return float(np.polyfit(np.log(courses.times[late]), np.log(courses.before[late, 0]), 1)[0])


def network_rows(networks: AbsenceNetworks, label: str) -> tuple[Row, ...]:
    """Networks with a perceptron as head, digits on natural images.

    Args:
      networks: The last setting is the one whose pairs share nothing of the digit.
      label: The images.

    Returns:
      Present before, absent after, what the nulls say, and the trend.
    """
    chance, last = networks.chance, networks.settings[-1]
    before, after = (networks.digit[:, -1, layer] - chance for layer in (0, 1))
    bare = networks.untrained_digit - chance
    places = np.arange(len(networks.settings), dtype=float)
    retained = networks.retained
    return (
        bound_row(
            3,
            f"{label}, {last}: digits are present before the head (probe accuracy above chance, at"
            " least 0.2)",
            DIRECTION,
            PRESENT,
            before,
            null=PRESENT,
        ),
        error_row(
            3,
            f"{label}, {last}: digits are absent after the head (probe accuracy above chance; null:"
            " after the untrained head)",
            DIRECTION,
            np.maximum(after, 0.0),
            float(max(np.min(bare[:, 1]), 0.0)),
            ABSENT,
        ),
        bound_row(
            3,
            f"{label}, {last}: training takes digits out of the embedding (accuracy of the"
            " untrained network less the trained one's)",
            DIRECTION,
            0.0,
            bare[:, 1] - after,
        ),
        bound_row(
            3,
            f"{label}, {last}: the embedding keeps the background, so that it is not empty (probe"
            " accuracy above chance, at least 0.1)",
            DIRECTION,
            BACKGROUND,
            networks.background[:, -1, 1] - chance,
            null=BACKGROUND,
        ),
        monotone_row(
            3,
            f"{label}: the less of the digit pairs share, the smaller the part of its accuracy"
            " above chance that passes the head (Kendall's tau; after over before, from"
            f" {np.mean(retained[:, 0]):.2f} to {np.mean(retained[:, -1]):.2f})",
            DIRECTION,
            [kendall(places, -row) for row in retained],
        ),
    )
