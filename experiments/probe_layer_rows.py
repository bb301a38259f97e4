"""Claim 20, with rules fixed before the runs shown: order, best layer, cost, level and sign."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.probe_curves import FRACTIONS
from experiments.probe_tasks import COLOR_TASKS
from experiments.results import Row
from experiments.rows import error_row
from ssljax.system.arrays import Bool, Float

RISK = "risk of a ridge probe from second moments (omniscient estimate), layers derived"
POWER = 4.0
"""Curves whose measured spread is fewer standard errors are left out: they decide nothing."""
TIE = 2.0
"""Depths whose risk is within so many standard errors of the lowest share the first place."""
RANK_TOLERANCE = 0.1
NEAR = 0.25
SHARE_TOLERANCE = 0.1
LEVEL_TOLERANCE = 0.05
RULES = {"feature": 0.0, "middle": 0.5, "embedding": 1.0}
COLOR, CROP = "color jitter alone", "crops and flips alone"

Risks = Float[np.ndarray, "seeds policies tasks counts fractions"]


class ProbeOutcome(NamedTuple):
    """Risk over depth, in units of each task's variance.

    Attributes:
      policies: Names of the augmentations that heads were settled under.
      tasks: Names of the tasks.
      counts: Numbers of labeled images.
      predicted: From moments.
      measured: Mean over draws of the labeled images.
      errors: Standard errors of these means.
      active: Number of modes alive, (seeds, policies, 2): predicted and measured.
    """

    policies: tuple[str, ...]
    tasks: tuple[str, ...]
    counts: tuple[int, ...]
    predicted: Risks
    measured: Risks
    errors: Risks
    active: Float[np.ndarray, "seeds policies both"]


def powered(outcome: ProbeOutcome) -> Bool[np.ndarray, "seeds policies tasks counts"]:
    """Curves whose spread over depth is beyond their standard errors."""
    return np.ptp(outcome.measured, axis=-1) >= POWER * np.max(outcome.errors, axis=-1)


def regrets(outcome: ProbeOutcome, choice: np.ndarray) -> np.ndarray:
    """Risk at the chosen depth above the lowest, as a share of the curve's spread.

    Args:
      outcome: The curves.
      choice: Index of a depth for each curve, or one for all.

    Returns:
      One share for each curve: 0 the best depth, 1 the worst.
    """
    choice = np.broadcast_to(choice, outcome.measured.shape[:-1])
    taken = np.take_along_axis(outcome.measured, choice[..., None], axis=-1)[..., 0]
    return (taken - np.min(outcome.measured, axis=-1)) / np.ptp(outcome.measured, axis=-1)


def misses(outcome: ProbeOutcome, choice: np.ndarray) -> np.ndarray:
    """Whether the chosen depth is further than `NEAR` from every depth that shares first place."""
    choice = np.broadcast_to(choice, outcome.measured.shape[:-1])
    lowest = np.min(outcome.measured, axis=-1, keepdims=True)
    best = outcome.measured <= lowest + TIE * outcome.errors
    distance = np.abs(FRACTIONS[choice][..., None] - FRACTIONS)
    return np.min(np.where(best, distance, np.inf), axis=-1) > NEAR + 1e-12


def rule_choices() -> dict[str, int]:
    """Index of the depth that each rule without moments always takes."""
    return {name: int(np.argmin(np.abs(FRACTIONS - at))) for name, at in RULES.items()}


def spearman(
    first: Float[np.ndarray, "... points"], second: Float[np.ndarray, "... points"]
) -> np.ndarray:
    """Spearman's rank correlation along the last axis; ties share their mean rank.

    Example:
      >>> float(spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 4.0])))
      0.5
    """
    ranks = [_ranks(values) for values in (first, second)]
    centered = [one - np.mean(one, axis=-1, keepdims=True) for one in ranks]
    norms = np.sqrt(np.prod([np.sum(one**2, axis=-1) for one in centered], axis=0))
    product = np.sum(centered[0] * centered[1], axis=-1)
    return np.divide(product, norms, out=np.zeros_like(product), where=norms > 0)


def _ranks(values: np.ndarray) -> np.ndarray:
    below = np.sum(values[..., None, :] < values[..., :, None], axis=-1)
    same = np.sum(values[..., None, :] == values[..., :, None], axis=-1)
    return below + 0.5 * (same - 1.0)


def probe_rows(outcome: ProbeOutcome, label: str) -> tuple[Row, ...]:
    """The joint criterion, one row for each of its parts.

    Args:
      outcome: The curves.
      label: Which data, for the claims' text.

    Returns:
      Rows of claim 20.
    """
    gate = powered(outcome)
    curves = f"{int(gate.sum())} of {gate.size} curves pass the power gate"
    best = np.argmin(outcome.predicted, axis=-1)
    rules = rule_choices()
    orders = (FRACTIONS, -FRACTIONS, np.abs(FRACTIONS - 0.5))
    agreement = spearman(outcome.predicted, outcome.measured)
    constant = [
        spearman(np.broadcast_to(o, outcome.measured.shape), outcome.measured) for o in orders
    ]
    level = np.abs(outcome.predicted / outcome.measured - 1.0)
    feature_level = np.abs(outcome.predicted[..., :1] / outcome.measured - 1.0)
    return (
        error_row(
            20,
            f"{label}: probe risk over depth is ordered as moments say (1 − Spearman's rho;"
            f" {curves}; null: best of three fixed orders)",
            RISK,
            1.0 - _mean(agreement, gate),
            float(np.min([np.min(1.0 - _mean(one, gate)) for one in constant])),
            RANK_TOLERANCE,
        ),
        error_row(
            20,
            f"{label}: the best depth is within {NEAR:g} of where moments say (share of misses;"
            " null: best fixed depth)",
            RISK,
            _mean(misses(outcome, best), gate),
            float(min(np.min(_mean(misses(outcome, np.array(at)), gate)) for at in rules.values())),
            SHARE_TOLERANCE,
        ),
        error_row(
            20,
            f"{label}: probing at the depth that moments say costs little (excess risk over the"
            " curve's spread; null: best fixed depth)",
            RISK,
            _mean(regrets(outcome, best), gate),
            float(
                min(np.min(_mean(regrets(outcome, np.array(at)), gate)) for at in rules.values())
            ),
            SHARE_TOLERANCE,
        ),
        error_row(
            20,
            f"{label}: level of the risk at every depth, with no free parameter (median relative"
            " error; null: the feature's prediction at all depths)",
            RISK,
            _medians(level),
            float(np.min(_medians(feature_level))),
            LEVEL_TOLERANCE,
        ),
        _sign_row(outcome, label),
        _flip_row(outcome, label),
    )


def _mean(values: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """Mean over the curves that pass, for each seed; NaN where none does."""
    return np.array(
        [np.mean(one[kept]) if kept.any() else np.nan for one, kept in zip(values, gate)]
    )


def _medians(values: np.ndarray) -> np.ndarray:
    return np.median(values.reshape(len(values), -1), axis=1)


def signs(outcome: ProbeOutcome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sign of the embedding's risk less the feature's: predicted, measured, where it is clear."""
    predicted = outcome.predicted[..., -1] - outcome.predicted[..., 0]
    measured = outcome.measured[..., -1] - outcome.measured[..., 0]
    error = np.hypot(outcome.errors[..., -1], outcome.errors[..., 0])
    return np.sign(predicted), np.sign(measured), np.abs(measured) >= POWER * error


def _sign_row(outcome: ProbeOutcome, label: str) -> Row:
    predicted, measured, clear = signs(outcome)
    wrong = _mean(predicted != measured, clear)
    share = _mean(measured > 0, clear)
    return error_row(
        20,
        f"{label}: feature or embedding, moments name the better one (share of {int(clear.sum())}"
        " clear cases that they get wrong; null: the same answer always)",
        RISK,
        wrong,
        float(np.min(np.minimum(share, 1.0 - share))),
        SHARE_TOLERANCE,
    )


def _flip_row(outcome: ProbeOutcome, label: str) -> Row:
    """Color tasks turn with the augmentation: where a flip is predicted, it is measured."""
    predicted, measured, clear = signs(outcome)
    jitter, crop = (outcome.policies.index(name) for name in (COLOR, CROP))
    chosen = [index for index, name in enumerate(outcome.tasks) if name in COLOR_TASKS]

    def pair(values: np.ndarray, policy: int) -> np.ndarray:
        return values[:, policy][:, chosen]

    expected = pair(predicted, jitter) != pair(predicted, crop)
    seen = (pair(measured, jitter) == pair(predicted, jitter)) & (
        pair(measured, crop) == pair(predicted, crop)
    )
    seen &= pair(clear, jitter) & pair(clear, crop)
    return error_row(
        20,
        f"{label}: tasks of color turn from the feature to the embedding as augmentation turns"
        f" from color to crops (share of {int(expected.sum())} predicted turns not clearly"
        " measured; null: nothing turns)",
        RISK,
        _mean(~seen, expected),
        1.0,
        SHARE_TOLERANCE,
    )


def rule_regrets(outcome: ProbeOutcome) -> dict[str, Sequence[float]]:
    """Mean regret of each rule over the curves that pass, for each seed."""
    gate = powered(outcome)
    choices = {"moments": np.argmin(outcome.predicted, axis=-1)} | {
        name: np.array(at) for name, at in rule_choices().items()
    }
    return {name: _mean(regrets(outcome, at), gate).tolist() for name, at in choices.items()}
