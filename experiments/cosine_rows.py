"""Rows of claim 18."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.cosine_cells import Course
from experiments.noise_equilibrium import Equilibrium
from experiments.results import Row
from experiments.rows import bound_row, error_row

FLOW = "flow with decay under scale-invariant losses, derived"
NOISE = "stationary imbalance of SGD with L2, derived"
BALANCED = 0.02
RATIO = 3.0
KEPT = 0.1
LEAST_COSINE = 0.7


class Found(NamedTuple):
    """Everything measured.

    Attributes:
      frozen: Courses on the frozen encoder, by loss, one per seed.
      joint: Courses of heads that trained with their encoder, likewise.
      noises: For each seed, one comparison per setting of the noise.
      network: For each seed, that of the head that trained with its encoder.
    """

    frozen: Mapping[str, Sequence[Course]]
    joint: Mapping[str, Sequence[Course]]
    noises: Sequence[Sequence[Equilibrium]]
    network: Sequence[Equilibrium]


def cosine_rows(found: Found, label: str) -> tuple[Row, ...]:
    """Courses on the frozen encoder and beside it, then the noise."""
    return (
        *_course_rows(found.frozen, f"{label}, frozen encoder"),
        _kept_row(found.frozen, f"{label}, frozen encoder"),
        *_course_rows(found.joint, f"{label}, trained with its encoder"),
        *_noise_rows(
            found.noises, f"{label}, frozen encoder, {len(found.noises[0])} settings (worst)"
        ),
        *_noise_rows([[one] for one in found.network], f"{label}, trained with its encoder"),
    )


def _course_rows(courses: Mapping[str, Sequence[Course]], what: str) -> tuple[Row, ...]:
    ends = {loss: np.array([one.imbalance[-1] for one in found]) for loss, found in courses.items()}
    start = np.mean([one.imbalance[0] for one in courses["spectral"]])
    clock = courses["spectral"][0].clock[-1]
    return (
        error_row(
            18,
            f"{what}: decay balances a spectral head (imbalance after λ∫η = {clock:.1f}, from"
            f" {start:.2f}; null: the cosine head's)",
            FLOW,
            ends["spectral"],
            float(np.min(ends["cosine"])),
            BALANCED,
        ),
        bound_row(
            18,
            f"{what}: a cosine head stays out of balance (its imbalance over the spectral one's;"
            " null: equal)",
            FLOW,
            RATIO,
            ends["cosine"] / ends["spectral"],
            null=RATIO - 1.0,
        ),
    )


def imbalance_at(course: Course, clock: float) -> float:
    """Imbalance over the one at the start, once decay has acted so much."""
    return float(np.interp(clock, course.clock, course.imbalance) / course.imbalance[0])


def _kept_row(courses: Mapping[str, Sequence[Course]], what: str) -> Row:
    kept = {
        loss: np.array([abs(imbalance_at(one, 1.0) - 1.0) for one in found])
        for loss, found in courses.items()
    }
    return error_row(
        18,
        f"{what}: until λ∫η = 1 a cosine head conserves its imbalance (relative change; null: the"
        " spectral head's)",
        FLOW,
        kept["cosine"],
        float(np.min(kept["spectral"])),
        KEPT,
    )


def _noise_rows(found: Sequence[Sequence[Equilibrium]], what: str) -> tuple[Row, ...]:
    cosines = [min(one.cosine for one in row) for row in found]
    nulls = [max(max(one.swapped, one.early) for one in row) for row in found]

    def factor(one: Equilibrium, guess: float) -> float:
        return abs(float(np.log2(max(guess, 1e-300) / one.measured)))

    factors = [max(factor(one, one.predicted) for one in row) for row in found]
    closest = min(factor(one, one.flow) for row in found for one in row)
    return (
        bound_row(
            18,
            f"{what}: a cosine head settles where its gradient noise says (cosine of measured and"
            " predicted D; null: gradients of another time, layers exchanged)",
            NOISE,
            LEAST_COSINE,
            cosines,
            null=max(LEAST_COSINE - max(nulls), 0.0),
        ),
        error_row(
            18,
            f"{what}: and as far out of balance (|log2| of predicted over measured ‖D‖; null: what"
            " flow alone would leave)",
            NOISE,
            factors,
            closest,
            1.0,
        ),
    )
