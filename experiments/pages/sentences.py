"""Effects, verdicts and summaries in words: the same everywhere they are shown."""

import math
import re
from collections.abc import Sequence

from experiments.core.contrasts import Judged
from experiments.core.verdicts import WORDS, Verdict, count_words, expected_by_chance

_TIMES = "times"


def effect_with_interval(row: Judged) -> str:
    """Return an effect with its interval and unit: "+1.4 [+0.7, +2.1] points".

    Of an identity, the largest error of all seeds; of a gate, a control or a noted row as of any.
    """
    if not row.is_measured:
        return "not measured"
    unit = row.contrast.unit
    if row.contrast.kind == "identity":
        return f"{_number(row.effect)} {unit}"
    numbers = _numbers([row.shown(number) for number in (row.effect, row.low, row.high)])
    if unit != _TIMES:
        numbers = [_signed(number) for number in numbers]
    effect, low, high = numbers
    words = "" if unit == "share" else f" {unit}"
    # No line ends inside an interval, or between a number and the word that it counts.
    return f"{effect} [{low},\N{NO-BREAK SPACE}{high}]{words}"


def sentence(row: Judged) -> str:
    """Return what a contrast says, with its effect in place; its name where it has none."""
    if not row.is_measured:
        name = row.contrast.name
        return f"{name[0].upper()}{name[1:]}: not measured."
    return row.contrast.says.replace("{}", effect_with_interval(row))


def seeds_words(row: Judged) -> str:
    """Return how many seeds an effect rests on."""
    return f"{len(row.seeds)}\N{NO-BREAK SPACE}seeds"


def margin_words(row: Judged) -> str:
    """Return what an effect is compared with."""
    contrast = row.contrast
    if contrast.role == "noted":
        return ""
    if contrast.role == "gate":
        least = contrast.at_least or 0.0
        bar = f"{_number(least)} {contrast.unit}" if least else "0"
        return f"one-sided 95 % end must reach {bar}"
    if contrast.kind == "identity":
        return "below 1 holds, above 10 is excluded"
    margin = _number(row.shown(contrast.smallest_effect))
    unit = "" if contrast.unit == "share" else f" {contrast.unit}"
    if contrast.kind == "equivalence":
        return f"within ±{margin}{unit}"
    if contrast.kind == "no_worse":
        return f"above −{margin}{unit}"
    if contrast.kind == "two_sided":
        return f"matters from {margin}{unit}, either way"
    return f"matters from {margin}{unit}"


def gate_mark(verdict: Verdict) -> str:
    """Return the mark of a claim's gate: passed, shut, or blank where none is needed."""
    gate = verdict.gate
    if gate is None or gate.status == "not run":
        return ""
    return "G+" if gate.status == "passed" else "G−"


def beside(verdict: Verdict) -> str:
    """Return what stands beside the primary: its gate, and what a null reaches."""
    parts = []
    gate = verdict.gate
    if gate is not None and gate.status == "not passed":
        parts.append(f"G−: {sentence(gate)[:-1]}, {margin_words(gate)}.")
    elif gate_mark(verdict):
        parts.append(f"{gate_mark(verdict)}.")
    others = (*verdict.secondary, *verdict.controls, *verdict.noted)
    parts += [sentence(row) for row in others if row.contrast.beside and row.is_measured]
    return " ".join(parts)


def verdict_words(verdict: Verdict) -> str:
    """Return the word with the dagger of a primary that does not survive Holm's correction."""
    dagger = "" if verdict.survives or verdict.word not in ("reproduced", "partly") else " †"
    return f"{verdict.word}{dagger}"


def verdict_details(verdict: Verdict) -> str:
    """Return what the word rests on, and what is left open beside it."""
    parts = [verdict.reason, *verdict.remarks]
    if verdict.changed:
        parts.append(f"rule changed after the run of {', '.join(verdict.changed)}")
    return "; ".join(part for part in parts if part)


def three_sentences(verdicts: Sequence[Verdict]) -> tuple[str, str, str]:
    """Return what is solid, what is not, and what was too small to test."""
    groups = {
        "solid": [v for v in verdicts if v.word == "reproduced"],
        "not": [v for v in verdicts if v.word in ("contradicted", "partly", "open")],
        "untested": [v for v in verdicts if not v.is_tested],
    }
    by_word = [
        f"{word}: {_claims(group)}"
        for word in ("contradicted", "partly", "open")
        if (group := [v for v in groups["not"] if v.word == word])
    ]
    small = [
        f"{word}: {_claims(group)}"
        for word in ("not testable here", "not run")
        if (group := [v for v in groups["untested"] if v.word == word])
    ]
    return (
        f"Solid: {_claims(groups['solid'])}."
        if groups["solid"]
        else "Solid: no claim was reproduced in full.",
        f"Not solid: {'; '.join(by_word)}." if by_word else "Not solid: none of the claims tested.",
        f"Too small to test: {'; '.join(small)}." if small else "Too small to test: nothing.",
    )


def answer_sentences(rows: Sequence[Judged], answers: tuple[str, str, str]) -> tuple[str, ...]:
    """Return what rows that belong to no claim say together.

    Args:
      rows: Those marked `Contrast.beside` are sorted by their intervals; the others are left out.
      answers: What it means for a row that its interval lies above zero, below it, or holds it.

    Returns:
      A sentence for each of the three that has a row, with the names of its rows.
    """
    asked = [row for row in rows if row.contrast.beside]
    groups = (
        [row for row in asked if row.low > 0],
        [row for row in asked if row.high < 0],
        [row for row in asked if row.low <= 0 <= row.high],
    )
    return tuple(
        f"{words} in {len(group)} of {len(asked)}: "
        + "; ".join(row.contrast.name for row in group)
        + "."
        for words, group in zip(answers, groups, strict=True)
        if group
    )


def counts_line(verdicts: Sequence[Verdict], tier: str, environment: dict) -> str:
    """Return counts of every word, the tier, its commit, and what chance alone would give."""
    counts = count_words(verdicts)
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    commits = ", ".join(commit[:10] for commit in environment["commits"]) or "no commit"
    dirty = ", modified" if environment["dirty"] else ""
    chance = expected_by_chance(verdicts)
    return (
        f"{len(verdicts)} claims: {words}. Tier {tier or 'none'}, commit {commits}{dirty}. If no"
        f" effect existed, {chance:.1f} would be called reproduced by chance."
    )


def words_lines() -> tuple[str, ...]:
    """Return what the words mean, a line each."""
    return (
        *(f"**{word}**: {meaning}" for word, meaning in WORDS.items()),
        "†: does not survive Holm's correction over all claims at 5 %. G+: the network has what the"
        " claim is about; G−: it has not.",
        "Intervals (95 %) speak of new seeds and new test images, not of other training sets or"
        " architectures.",
    )


def _claims(verdicts: Sequence[Verdict]) -> str:
    return ", ".join(f"{verdict.claim.short} ({verdict.claim.id})" for verdict in verdicts)


def _numbers(values: Sequence[float]) -> list[str]:
    """Return an effect and its ends with the digits that half its interval deserves.

    Two digits of the half-width where its first is 1 or 2, else one.
    """
    half = (max(values) - min(values)) / 2
    largest = max(abs(value) for value in values)
    if half <= 1e-3 * largest:
        return [f"{value:.3g}" for value in values]
    power = math.floor(math.log10(half))
    digits = (1 if half < 3 * 10.0**power else 0) - power
    if digits > 4 or largest >= 1e5:
        return [f"{value:.2g}" for value in values]
    return [f"{round(value, digits):.{max(digits, 0)}f}" for value in values]


def _number(value: float) -> str:
    return f"{value:.3g}"


def _signed(text: str) -> str:
    """Return a number with its sign, as a minus and not as a hyphen."""
    zero = not re.search(r"[1-9]", text)
    text = text.lstrip("-") if zero else text
    return text.replace("-", "−", 1) if text.startswith("-") else ("" if zero else "+") + text
