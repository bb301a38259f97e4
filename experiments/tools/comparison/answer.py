"""Whether theory explains a head, in sentences that need no other."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.core.intervals import half_width
from experiments.tools.comparison.heads import HeadOutcome
from experiments.tools.comparison.sources import HeadSource
from theory.comparison.verdict import Bars

BARS = Bars()
SETTLE = " Add --settle to compare a head that is."
LARGE_MEAN = 0.3
"""Share of the second moment above which the mean of the features is worth a sentence."""


class Compared(NamedTuple):
    """A head of a source, as trained or settled, and what the comparison gave."""

    source: HeadSource
    outcome: HeadOutcome
    weight_decay: float
    is_settled: bool

    @property
    def word(self) -> str:
        """`explained`, `not explained` or `cannot tell`: all criteria together."""
        verdict = self.outcome.verdict
        if self.source.is_predicted:
            decided = [name for name in verdict.criteria if name != "distance"]
            if not all(verdict.criteria[name] for name in decided):
                return "not explained"
            words = {"holds": "explained", "fails": "not explained"}
            return words.get(verdict.verdict, "cannot tell")
        if len(self.source.weights) < 2:
            return "cannot tell"
        return "explained" if not failed_criteria(self) else "not explained"


class Criterion(NamedTuple):
    """One thing that has to hold.

    Attributes:
      name: In words.
      found: What was found, in words.
      accepted: What would be accepted, in words.
      holds: Whether it does; None where nothing is asked.
    """

    name: str
    found: str
    accepted: str
    holds: bool | None


def list_criteria(head: Compared) -> tuple[Criterion, ...]:
    """Return what has to hold for theory to explain a head."""
    outcome, verdict = head.outcome, head.outcome.verdict
    agreement, depth = verdict.agreement, len(head.source.weights)
    rows = []
    if head.source.is_predicted:
        rows += [
            Criterion(
                "number of modes",
                f"{verdict.predicted_count} predicted, {verdict.measured_count} found",
                f"{BARS.modes} apart",
                verdict.criteria["count"],
            ),
            Criterion(
                "sizes of modes, median relative error",
                f"{percent(outcome.size_error)} ({_rival_words(outcome)})",
                "",
                None,
            ),
            *(
                Criterion(
                    f"layer {layer + 1}: distance of its Gram from the prediction",
                    _number(agreement.distances[layer]),
                    f"{_number(outcome.accepted_distances[layer])} (best rival"
                    f" {_number(agreement.best_null[layer])})",
                    bool(agreement.distances[layer] <= outcome.accepted_distances[layer]),
                )
                for layer in range(depth)
            ),
        ]
    for layer in range(depth - 1):
        accepted = outcome.accepted_distances[layer]
        rows += [
            Criterion(
                f"layer {layer + 1}: distance of its Gram from a power of the whole map",
                _number(agreement.law_distances[layer]),
                f"{_number(accepted)} (best rival {_number(agreement.best_null[layer])})",
                None
                if head.source.is_predicted
                else bool(agreement.law_distances[layer] <= accepted),
            ),
            Criterion(
                f"layer {layer + 1}: exponent of that power",
                _number(agreement.exponents[layer]),
                f"{(layer + 1) / depth:.3g} ± {BARS.exponent:g}",
                bool(abs(agreement.exponents[layer] - (layer + 1) / depth) <= BARS.exponent),
            ),
            Criterion(
                f"layers {layer + 1} and {layer + 2}: imbalance, relative",
                _number(verdict.balance[layer]),
                f"{BARS.balance:g}",
                bool(verdict.balance[layer] <= BARS.balance),
            ),
        ]
    return tuple(rows)


def failed_criteria(head: Compared) -> tuple[Criterion, ...]:
    """Return the criteria that do not hold."""
    return tuple(row for row in list_criteria(head) if row.holds is False)


def answer(heads: Sequence[Compared]) -> tuple[str, ...]:
    """Return whether theory explains some heads, the answer first, then why not.

    Args:
      heads: As trained and, where that was asked for, settled; of one loss and depth.
    """
    settled = [head for head in heads if head.is_settled]
    trained = [head for head in heads if not head.is_settled]
    if not settled:
        return (_first_sentence(trained), *_spread_sentence(trained), *_reasons(trained))
    as_trained = _first_sentence(trained)
    return (
        _first_sentence(settled),
        *_spread_sentence(settled),
        *_reasons(settled),
        f"As trained: {as_trained[0].lower()}{as_trained[1:]}",
        *(reason.removesuffix(SETTLE) for reason in _reasons(trained)),
    )


def _first_sentence(heads: Sequence[Compared]) -> str:
    explained = [head for head in heads if head.word == "explained"]
    if not heads[0].source.is_predicted:
        return _law_sentence(heads, explained)
    if explained:
        return f"Theory explains {_which(heads, explained)}: {_sizes_clause(explained)}."
    if all(head.word == "cannot tell" for head in heads):
        return (
            f"The comparison cannot tell whether theory explains {_which(heads, heads)}:"
            f" {_sizes_clause(heads)}, but all modes have nearly the same gain, so that layers of"
            " equal gains are as near as the predicted ones."
        )
    if len(heads) == 1:
        return f"Theory does not explain {_which(heads, heads)}: {_misses(heads)}."
    return f"Theory explains none of the {len(heads)} {_noun(heads)}s: {_misses(heads)}."


def _law_sentence(heads: Sequence[Compared], explained: Sequence[Compared]) -> str:
    loss = heads[0].source.loss
    start = f"Theory does not predict where the loss {loss} ends, so only the layer law is tested"
    if len(heads[0].source.weights) < 2:
        return f"{start}, which says nothing about a head of one layer."
    distance, rival = (
        float(np.mean([np.max(values(head)) for head in heads]))
        for values in (
            lambda head: head.outcome.verdict.agreement.law_distances[:-1],
            lambda head: head.outcome.verdict.agreement.best_null[:-1],
        )
    )
    if explained:
        return (
            f"{start}; it holds for {_which(heads, explained)}: hidden layers are"
            f" {_number(distance)} away from powers of the whole map (root mean square of log"
            f" ratios), the best rival {_number(rival)}."
        )
    which = _which(heads, heads) if len(heads) == 1 else f"any of the {len(heads)} {_noun(heads)}s"
    return f"{start}; it does not hold for {which}: {_misses(heads)}."


def _which(heads: Sequence[Compared], chosen: Sequence[Compared]) -> str:
    if len(heads) == 1:
        return f"this {_noun(heads)}"
    number = f"all {len(heads)}" if len(chosen) == len(heads) else f"{len(chosen)} of {len(heads)}"
    return f"{number} {_noun(heads)}s"


def _noun(heads: Sequence[Compared]) -> str:
    return "settled head" if heads[0].is_settled else "head"


def _sizes_clause(heads: Sequence[Compared]) -> str:
    counts = sorted({head.outcome.verdict.num_modes for head in heads})
    modes = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    own = float(np.mean([head.outcome.size_error for head in heads]))
    name, rival = _best_rival(heads)
    clause = f"it predicts the sizes of {modes} modes to {percent(own)}"
    if rival > own:
        return f"{clause}, where the best rival ({name}) is off by {percent(rival)}"
    return f"{clause}, but {name} does so to {percent(rival)}"


def _best_rival(heads: Sequence[Compared]) -> tuple[str, float]:
    names = heads[0].outcome.rival_errors
    means = {
        name: float(np.mean([head.outcome.rival_errors.get(name, math.nan) for head in heads]))
        for name in names
    }
    name = min(means, key=lambda key: means[key])
    return name, means[name]


def _spread_sentence(heads: Sequence[Compared]) -> tuple[str, ...]:
    """Return how many times the best rival is as wrong over seeds, from three heads on."""
    if len(heads) < 3 or not heads[0].source.is_predicted:
        return ()
    errors = [(head.outcome.size_error, head.outcome.rival_errors) for head in heads]
    if any(not rivals or not own > 0 for own, rivals in errors):
        return ()
    ratios = np.log([min(rivals.values()) / own for own, rivals in errors])
    middle, half = float(np.mean(ratios)), float(half_width(ratios))
    low, high = math.exp(middle - half), math.exp(middle + half)
    return (
        f"Over {len(heads)} seeds the best rival is {math.exp(middle):.2g} [{low:.2g}, {high:.2g}]"
        " times as wrong about the sizes (95 % interval for new seeds).",
    )


def _misses(heads: Sequence[Compared]) -> str:
    """Return what is wrong with the head that fails most criteria, the plainest first."""
    worst = max(heads, key=lambda head: len(failed_criteria(head)))
    place = f"in {worst.source.name} " if len(heads) > 1 else ""
    return f"{place}{_miss(worst)}"


def _miss(head: Compared) -> str:
    verdict = head.outcome.verdict
    agreement, accepted = verdict.agreement, head.outcome.accepted_distances
    if verdict.measured_count == verdict.predicted_count == 0:
        return "no mode is alive, in theory or in the head, so that there is nothing to compare"
    if verdict.measured_count == 0:
        return f"it has no mode, where {verdict.predicted_count} are predicted"
    if head.source.is_predicted and not verdict.criteria["count"]:
        return (
            f"it has {verdict.measured_count} modes, where {verdict.predicted_count} are predicted"
        )
    found = agreement.distances if head.source.is_predicted else agreement.law_distances[:-1]
    if np.any(found > accepted[: len(found)]):
        layer = int(np.argmax(found / accepted[: len(found)]))
        what = "its prediction" if head.source.is_predicted else "a power of the whole map"
        return (
            f"the Gram of layer {layer + 1} is {_number(found[layer])} away from {what} (root mean"
            f" square of log ratios), where {_number(accepted[layer])} would be accepted"
        )
    if verdict.balance.size and np.max(verdict.balance) > BARS.balance:
        return (
            f"adjacent layers are out of balance by {percent(float(np.max(verdict.balance)))} of"
            f" their size, where {percent(BARS.balance)} would be accepted"
        )
    return "its layers are other powers of the whole map than l/L"


def _reasons(heads: Sequence[Compared]) -> tuple[str, ...]:
    """Return what probably stands in the way of heads that theory does not explain."""
    worst = next((head for head in heads if head.word != "explained"), None)
    if worst is None:
        return ()
    found = []
    balance = worst.outcome.verdict.balance
    if worst.outcome.verdict.measured_count == 0 and worst.weight_decay > 0:
        found.append(
            f"Weight decay {worst.weight_decay:g} is more than any mode of these features can bear;"
            " check the coefficient, or the scale of the features."
        )
    elif balance.size and not np.max(balance) <= BARS.balance:
        found.append(_balance_reason(worst))
    if worst.outcome.mean_share > LARGE_MEAN and not worst.is_settled:
        found.append(
            "The features are not centered: their mean holds"
            f" {percent(worst.outcome.mean_share)} of their second moment and takes a mode for"
            " itself."
        )
    return (*found, *worst.source.doubts) if not worst.is_settled else tuple(found)


def _balance_reason(head: Compared) -> str:
    if head.is_settled:
        return (
            "Adjacent layers are still out of balance after settling: modes may have died on the"
            " way, as they do under a large weight decay or gradient noise."
        )
    if head.weight_decay == 0:
        return (
            "Adjacent layers are out of balance. Without weight decay they keep the imbalance that"
            " they started with; give --weight-decay if the head was trained with one."
        )
    return (
        "Adjacent layers are out of balance: weight decay has not had the time to make the head"
        " forget its start, it is not settled." + SETTLE
    )


def percent(error: float) -> str:
    """Return a fraction in percent with two digits, or "–" where there is none."""
    if not math.isfinite(error):
        return "–"
    return f"{100 * error:.2g} %" if error < 0.995 else f"{100 * error:.0f} %"


def _rival_words(outcome: HeadOutcome) -> str:
    errors = outcome.rival_errors
    return ", ".join(f"{name}: {percent(value)}" for name, value in errors.items())


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if math.isfinite(value) else "–"
