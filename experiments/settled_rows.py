"""Rows of claims 15 and 16: the layer law and the decayed spectrum of settled heads."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.head_comparison import HeadOutcome
from experiments.head_rows import (
    BALANCE_TOLERANCE,
    EXPONENT_TOLERANCE,
    LAW,
    LAW_DISTANCE,
    NULL_RATIO,
    OPTIMUM,
    distance_row,
    law_rows,
)
from experiments.results import Row
from experiments.rows import bound_row, error_row
from experiments.settled_cells import SettledCell
from theory.comparison.replication import combine_verdicts

Cells = Sequence[Mapping[tuple[int, float], SettledCell]]
"""One mapping per seed."""

FIT_TOLERANCE = 0.02
COUNT_TOLERANCE = 1.0
GAP_TOLERANCE = 0.02


def gap_fraction(depth: int) -> float:
    """Least n/a of a mode that weight decay can keep: (L − 1)/(2L − 1), 0 for one layer."""
    return (depth - 1) / (2 * depth - 1)


def layer_law_rows(cells: Cells, depth: int, decay: float, label: str) -> tuple[Row, ...]:
    """Claim 15 at one depth: distance, balance, exponents, their interval, all jointly."""
    verdicts = [found[depth, decay].outcome.verdict for found in cells]
    together = combine_verdicts(verdicts)
    layers = np.arange(1, depth)
    ends = np.stack([together.low[:-1], together.high[:-1]])
    reach = float(np.max(np.abs(ends - layers[None] / depth)))
    # Distance of the interval from the exponents of one layer less and one more.
    others = [layers / other for other in (depth - 1, depth + 1)]
    gaps = [np.maximum(np.maximum(ends[0] - o, o - ends[1]), 0.0) for o in others]
    return (
        *law_rows(verdicts, f"{label}, depth {depth}"),
        Row(
            id=15,
            claim=(
                f"{label}, depth {depth}: 95 % interval of the exponents (Student, over seeds)"
                " stays near l/L and off l/(L ± 1) (error: its farthest end, worst hidden layer)"
            ),
            source=LAW,
            predicted=1 / depth,
            measured=float(together.exponents[0]),
            error=reach,
            null=float(np.min(gaps)),
            tolerance=EXPONENT_TOLERANCE,
        ),
        Row(
            id=15,
            claim=(
                f"{label}, depth {depth}: the joint criterion (balance, distance beside the best"
                " null, exponents, number of modes, all at once) holds in every head (share)"
            ),
            source=LAW,
            predicted=1.0,
            measured=together.holding / together.heads,
            error=1.0 - together.holding / together.heads,
            null=1.0,
            tolerance=0.0,
        ),
    )


def law_violation(outcome: HeadOutcome) -> float:
    """How often a head exceeds what the law is allowed, in its worst part: above 1 it fails.

    The larger of the balance residual over its bar, and of the law's distance over what is
    accepted beside the best null.
    """
    verdict = outcome.verdict
    accepted = np.minimum(LAW_DISTANCE, verdict.agreement.best_null[:-1] / NULL_RATIO)
    distance = np.max(verdict.agreement.law_distances[:-1] / accepted)
    return float(max(np.max(verdict.balance) / BALANCE_TOLERANCE, distance))


def control_row(
    outcomes: Sequence[HeadOutcome], exact: Sequence[HeadOutcome], claim: str, source: str
) -> Row:
    """A head the law does not cover must fail it; the null is the head it does cover."""
    covered = max(map(law_violation, exact))
    return bound_row(
        15,
        claim + " (worst part over its bar, must exceed 1; null: the settled SGD head)",
        source,
        1.0,
        [law_violation(outcome) for outcome in outcomes],
        null=max(1.0 - covered, 0.0),
    )


def spectrum_rows(
    cells: Cells, depth: int, decays: tuple[float, ...], decay: float, label: str
) -> tuple[Row, ...]:
    """Claim 16 at one depth: sizes and counts over all decays, the layers' Grams at one of them.

    With few modes left all directions look alike, so that no null is far away: distances are
    judged at the decay of claim 15.
    """
    outcomes = [[found[depth, decay].outcome for decay in decays] for found in cells]
    misfits = np.array([_misfits(found, depth, decays) for found in cells])
    counts = np.array(
        [[(o.verdict.predicted_count, o.verdict.measured_count) for o in row] for row in outcomes]
    )
    alive = np.array([[np.sum(o.prediction.undecayed_modes > 1e-3) for o in r] for r in outcomes])
    verdicts = [found[depth, decay].outcome.verdict for found in cells]
    allowed = max(COUNT_TOLERANCE, 0.05 * float(np.max(counts)))
    what = f"{label}, depth {depth}, {len(decays)} decays"
    return (
        error_row(
            16,
            f"{what}: size of every mode, no free parameter (1 − R² of log n to the identity; null:"
            " the better of theory without decay and the feature's own variances)",
            OPTIMUM,
            misfits[:, 0],
            float(np.min(misfits[:, 1:])),
            FIT_TOLERANCE,
        ),
        Row(
            id=16,
            claim=f"{what}: number of modes kept (largest error of any head)",
            source=OPTIMUM,
            predicted=float(np.mean(counts[..., 0])),
            measured=float(np.mean(counts[..., 1])),
            error=float(np.max(np.abs(counts[..., 0] - counts[..., 1]))),
            null=float(np.min(np.abs(alive - counts[..., 1]))),
            tolerance=allowed,
        ),
        distance_row(
            16,
            f"{label}, depth {depth}, decay {decay:g}: every layer's Gram from the moments alone"
            " (RMS log distance)",
            OPTIMUM,
            np.array([verdict.agreement.distances for verdict in verdicts]),
            np.array([verdict.agreement.best_null for verdict in verdicts]),
        ),
    )


def gap_rows(
    cells: Cells, depths: Sequence[int], decays: tuple[float, ...], label: str
) -> tuple[Row, ...]:
    """Claim 16: two layers and more keep no mode of n/a below (L − 1)/(2L − 1); one layer does."""
    smallest = {
        depth: np.array([_smallest_fraction(found, depth, decays) for found in cells])
        for depth in depths
    }
    rows = []
    for depth in depths:
        if depth == 1:
            continue
        inside = gap_fraction(depth) - smallest[1]
        rows.append(
            bound_row(
                16,
                f"{label}, depth {depth}: no mode is kept below the gap (smallest n/a at"
                f" {len(decays)} decays; null: a single layer's shortfall)",
                OPTIMUM,
                gap_fraction(depth),
                smallest[depth],
                null=float(max(np.min(inside), 0.0)),
                tolerance=GAP_TOLERANCE,
            )
        )
    rows.append(
        bound_row(
            16,
            f"{label}, depth 1: modes are kept inside the gap of depth 2 (how deep inside)",
            OPTIMUM,
            0.0,
            gap_fraction(2) - smallest[1],
            null=float(max(np.min(smallest[2]) - gap_fraction(2), 0.0)),
        )
    )
    return tuple(rows)


def _smallest_fraction(
    found: Mapping[tuple[int, float], SettledCell], depth: int, decays: tuple[float, ...]
) -> float:
    kept = [found[depth, decay].fractions for decay in decays]
    return float(np.min(np.concatenate([*kept, [1.0]])))


def _misfits(
    found: Mapping[tuple[int, float], SettledCell], depth: int, decays: tuple[float, ...]
) -> tuple[float, float, float]:
    """1 − R² to the identity line over the modes of all decays: prediction, no decay, input."""
    measured, predicted, undecayed, scales = [], [], [], []
    for decay in decays:
        outcome = found[depth, decay].outcome
        count = outcome.verdict.num_modes
        measured.append(outcome.verdict.agreement.measured_modes)
        predicted.append(outcome.verdict.agreement.predicted_modes)
        undecayed.append(outcome.prediction.undecayed_modes[:count])
        scales.append(found[depth, decay].scales[:count])
    target = np.log(np.concatenate(measured))
    total = np.sum((target - np.mean(target)) ** 2)
    guesses = (predicted, undecayed, scales)
    missed = [np.sum((np.log(np.concatenate(guess)) - target) ** 2) for guess in guesses]
    return (*(float(m / total) for m in missed),)  # type: ignore[return-value]
