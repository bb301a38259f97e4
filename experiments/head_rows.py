"""The claims about a linear head, as rows whose rules were fixed before the runs shown."""

from collections.abc import Sequence

import numpy as np

from experiments.head_comparison import HeadOutcome
from experiments.results import Row
from experiments.rows import error_row, spread_of
from theory.comparison.verdict import JointVerdict

LAW_DISTANCE = 0.10
NULL_RATIO = 5.0
EXPONENT_TOLERANCE = 0.05
BALANCE_TOLERANCE = 0.05
SIZE_TOLERANCE = 0.05
LAW = "layer law of balanced networks, derived (gradient flow from balanced weights)"
OPTIMUM = "minimum with weight decay continued from zero decay, derived"


def distance_row(
    number: int,
    claim: str,
    source: str,
    distances: np.ndarray,
    nulls: np.ndarray,
) -> Row:
    """Distances that should be small in themselves and beside the nearest null.

    Accepted up to 0.10 (an RMS error of ten percent over directions) and up to a fifth of the
    null, whichever is smaller; of each seed the layer is taken that does worst by this measure.

    Args:
      number: The claim's number.
      claim: Its text.
      source: Where it comes from.
      distances: Distance of measurement and prediction, (seeds, layers).
      nulls: Distance of the measurement and its nearest null, (seeds, layers).

    Returns:
      The row.
    """
    seeds = np.arange(len(distances))
    accepted = np.minimum(LAW_DISTANCE, nulls / NULL_RATIO)
    # Where a null is as good as the measurement itself nothing is accepted: the worst there is.
    shares = np.full(distances.shape, np.inf)
    np.divide(distances, accepted, out=shares, where=accepted > 0)
    worst = np.argmax(shares, axis=1)
    error, null = distances[seeds, worst], float(np.min(nulls[seeds, worst]))
    return error_row(number, claim, source, error, null, min(LAW_DISTANCE, null / NULL_RATIO))


def law_rows(verdicts: Sequence[JointVerdict], label: str) -> tuple[Row, ...]:
    """Whether hidden layers are the powers l/L of the end-to-end map: three criteria.

    Args:
      verdicts: One per seed, all of one depth >= 2; for a single layer there is no law.
      label: Which network, for the claim's text.

    Returns:
      Rows for distance, balance and exponents.
    """
    depth = len(verdicts[0].agreement.exponents)
    if depth < 2:
        return ()
    hidden = np.arange(1, depth) / depth
    exponents = np.array([verdict.agreement.exponents[:-1] for verdict in verdicts])
    errors = np.max(np.abs(exponents - hidden[None]), axis=1)
    # A network one layer deeper or shallower would have l/(L+1) or l/(L-1) there.
    others = [np.arange(1, depth) / other for other in (depth - 1, depth + 1)]
    nulls = [np.max(np.abs(other[None] - exponents), axis=1) for other in others]
    balance = [float(np.max(verdict.balance)) for verdict in verdicts]
    return (
        distance_row(
            15,
            f"{label}: hidden layers are powers of the whole map (RMS log distance)",
            LAW,
            np.array([verdict.agreement.law_distances[:-1] for verdict in verdicts]),
            np.array([verdict.agreement.best_null[:-1] for verdict in verdicts]),
        ),
        error_row(
            15,
            f"{label}: adjacent layers are balanced (relative residual)",
            LAW,
            balance,
            None,
            BALANCE_TOLERANCE,
        ),
        Row(
            id=15,
            claim=f"{label}: exponent of layer 1 is 1/{depth} (error: worst hidden layer)",
            source=LAW,
            predicted=1 / depth,
            measured=float(np.mean(exponents[:, 0])),
            error=float(np.mean(errors)),
            null=float(min(np.min(null) for null in nulls)),
            tolerance=EXPONENT_TOLERANCE,
            spread=spread_of(errors),
        ),
    )


def head_rows(
    outcomes: Sequence[HeadOutcome], label: str, *, predictable: bool = True
) -> tuple[Row, ...]:
    """Every claim about one head over seeds.

    Args:
      outcomes: One per seed.
      label: Which head, for the claims' text.
      predictable: Whether the loss is one whose optimum theory predicts.

    Returns:
      Rows of claims 15 (layer law) and 16 (spectrum predicted with no free parameter).
    """
    verdicts = [outcome.verdict for outcome in outcomes]
    rows = law_rows(verdicts, f"{label} head")
    if not predictable:
        return rows
    predicted = np.array([verdict.predicted_count for verdict in verdicts])
    measured = np.array([verdict.measured_count for verdict in verdicts])
    alive = [np.sum(o.prediction.undecayed_modes > 1e-3) for o in outcomes]
    errors = [outcome.verdict.agreement.median_relative_error for outcome in outcomes]
    undecayed = float(np.min([outcome.undecayed_error for outcome in outcomes]))
    return (
        Row(
            id=16,
            claim=f"{label} head: number of active modes, from the moments alone",
            source=OPTIMUM,
            predicted=float(np.mean(predicted)),
            measured=float(np.mean(measured)),
            error=float(np.max(np.abs(predicted - measured))),
            null=float(np.min(np.abs(np.asarray(alive) - measured))),
            tolerance=1.0,
        ),
        error_row(
            16,
            f"{label} head: size of the active modes (median relative error)",
            OPTIMUM,
            errors,
            undecayed,
            # Theory without decay has to be at least twice as wrong.
            min(SIZE_TOLERANCE, undecayed / 2),
        ),
        distance_row(
            16,
            f"{label} head: every layer's Gram, from the moments alone (RMS log distance)",
            OPTIMUM,
            np.array([verdict.agreement.distances for verdict in verdicts]),
            np.array([verdict.agreement.best_null for verdict in verdicts]),
        ),
        *rows,
    )
