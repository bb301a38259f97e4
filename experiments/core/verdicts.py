"""The word of each claim, and `verdicts.json`: pure functions of the table and the contrasts."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.core.contrasts import Contrast, Judged, judge_contrast, rules_digest
from experiments.core.experiment import Claim, Experiment
from experiments.core.intervals import reject_by_holm
from experiments.core.measurements import Table, read_table
from experiments.files import write_bytes

Word = Literal["reproduced", "partly", "contradicted", "open", "not testable here", "not run"]
WORDS: dict[Word, str] = {
    "reproduced": "the effect is there, and may be as large as matters",
    "partly": "the sign is there, but the effect is smaller than what matters; or the effect is"
    " there and a further prediction of the claim is excluded",
    "contradicted": "an effect as large as matters is excluded",
    "open": "the interval allows no effect and one that matters",
    "not testable here": "the network lacks what the claim is about, or an instrument fails",
    "not run": "a network that the claim needs was not trained in this tier",
}
VERDICTS = "verdicts.json"
UNJUDGED = {"smoke": "the smoke tier tests the machinery, not claims"}
_CHANCE = {"two_sided": 0.05, "identity": 0.0}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the table says to a claim.

    Attributes:
      claim: The claim.
      experiment: The name of the experiment that tests it.
      word: Its verdict.
      reason: What the word follows from, where the primary alone does not show it.
      remarks: Secondaries that are open, untestable or not run, named after the word.
      primary: The contrast that decides.
      gates: Of the whole claim, in order.
      secondary: Contrasts that can lower the word.
      controls: Controls.
      noted: Shown without a word.
      survives: Whether the primary survives Holm's correction over all sampled primaries.
      changed: Dates of runs after which a rule of the claim was changed.
    """

    claim: Claim
    experiment: str
    word: Word
    reason: str
    remarks: tuple[str, ...]
    primary: Judged
    gates: tuple[Judged, ...]
    secondary: tuple[Judged, ...]
    controls: tuple[Judged, ...]
    noted: tuple[Judged, ...]
    survives: bool = True
    changed: tuple[str, ...] = ()

    @property
    def gate(self) -> Judged | None:
        """The gate that decides: the first that does not pass, else the first."""
        needed = needed_gates(self.primary.contrast, self.primary.contrast, self.gates)
        shut = [gate for gate in needed if gate.status != "passed"]
        return (shut or list(needed) or [None])[0]

    @property
    def is_tested(self) -> bool:
        """Whether the word says something about the claim."""
        return self.word not in ("not run", "not testable here")


def judge(experiments: Mapping[str, Experiment], table: Table) -> tuple[Verdict, ...]:
    """Return the verdict of every claim of some experiments, in the order of their numbers.

    Args:
      experiments: By name.
      table: What was measured.

    Raises:
      InputError: The table holds what it should not (see `measurements`).
    """
    verdicts = [
        judge_claim(claim, name, experiment.contrasts_of(claim.id), table)
        for name, experiment in experiments.items()
        for claim in experiment.claims
    ]
    return _mark_survivors(sorted(verdicts, key=lambda verdict: verdict.claim.id))


def judge_claim(
    claim: Claim, experiment: str, contrasts: Sequence[Contrast], table: Table
) -> Verdict:
    """Return the verdict of one claim; its primary counts as surviving Holm's correction.

    Args:
      claim: The claim.
      experiment: Name of the experiment that tests it.
      contrasts: Of this claim; exactly one is primary.
      table: What was measured.
    """
    judged = [judge_contrast(contrast, table) for contrast in contrasts]
    by_role = {
        role: tuple(result for result in judged if result.contrast.role == role)
        for role in ("primary", "gate", "secondary", "control", "noted")
    }
    (primary,) = by_role["primary"]
    gates, controls = by_role["gate"], by_role["control"]
    secondary = tuple(_behind_gates(row, primary.contrast, gates) for row in by_role["secondary"])
    word, reason = _word(primary, gates, controls, secondary)
    if table.tier() in UNJUDGED:
        word, reason = "not testable here", UNJUDGED[table.tier()]
    remarks = tuple(
        f"{status}: {row.contrast.name}"
        for status in ("open", "not testable here", "not run")
        for row in secondary
        if row.status == status
    )
    return Verdict(
        claim,
        experiment,
        word,
        reason,
        remarks if word in ("reproduced", "partly") else (),
        primary,
        gates,
        secondary,
        controls,
        by_role["noted"],
        changed=_changed_after(claim, contrasts, table),
    )


def needed_gates(
    contrast: Contrast, primary: Contrast, gates: Sequence[Judged]
) -> tuple[Judged, ...]:
    """Return the gates that a contrast needs open: its own, else the primary's, else all."""
    names = contrast.needs if contrast.needs is not None else primary.needs
    return tuple(gate for gate in gates if names is None or gate.contrast.name in names)


def expected_by_chance(verdicts: Sequence[Verdict]) -> float:
    """Return how many claims would be called reproduced if no effect existed.

    A primary with sampling error has an interval above zero in 2.5 % of such cases, one that asks
    for a change in either direction in 5 %.
    """
    chances = [_CHANCE.get(v.primary.contrast.kind, 0.025) for v in verdicts if v.is_tested]
    return float(sum(chances))


def count_words(verdicts: Sequence[Verdict]) -> dict[Word, int]:
    """Return how many claims end with each word."""
    return {word: sum(verdict.word == word for verdict in verdicts) for word in WORDS}


def verdicts_json(verdicts: Sequence[Verdict], table: Table) -> bytes:
    """Return `verdicts.json`: the same table gives the same bytes."""
    content = {
        "tier": table.tier(),
        "environment": describe_environment(table),
        "claims": [
            {
                "id": verdict.claim.id,
                "claim": verdict.claim.statement,
                "source": verdict.claim.source,
                "verdict": verdict.word,
                "gate": None if verdict.gate is None else row_json(verdict.gate),
                "primary": row_json(verdict.primary),
                "secondary": [row_json(row) for row in verdict.secondary],
                "controls": [row_json(row) for row in verdict.controls],
                "noted": [row_json(row) for row in verdict.noted],
            }
            for verdict in verdicts
        ],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_verdicts(experiments: Mapping[str, Experiment], folder: Path) -> tuple[Verdict, ...]:
    """Write `verdicts.json` of a folder from its tables; return the verdicts.

    Raises:
      InputError: The tables are missing or damaged, or nothing can be written.
    """
    table = read_table(folder)
    verdicts = judge(experiments, table)
    write_bytes(folder / VERDICTS, verdicts_json(verdicts, table))
    return verdicts


def row_json(row: Judged) -> dict[str, Any]:
    """Return a judged contrast as a row of `verdicts.json`; logarithms as factors."""
    contrast = row.contrast
    margin = contrast.at_least if contrast.role == "gate" else contrast.smallest_effect
    numbers = {
        "effect": row.effect,
        "low": row.low,
        "high": row.high,
        "margin": None if margin is None or contrast.role == "noted" else margin,
    }
    shown = {
        name: None
        if number is None or not math.isfinite(number)
        else float(f"{row.shown(number):.6g}")
        for name, number in numbers.items()
    }
    return {
        "name": contrast.name,
        "what": contrast.says.replace("{}", "…"),
        "effect": shown["effect"],
        "low": shown["low"],
        "high": shown["high"],
        "unit": contrast.unit,
        "seeds": len(row.seeds),
        "margin": shown["margin"],
        "status": row.status or None,
    }


def describe_environment(table: Table) -> dict[str, Any]:
    """Return where the networks of a table were trained: distinct values, sorted."""
    runs = table.runs.values()
    return {
        "commits": sorted({run.commit for run in runs if run.commit}),
        "dirty": any(run.dirty for run in runs),
        "versions": sorted({run.versions for run in runs if run.versions}),
        "devices": sorted({run.device for run in runs if run.device}),
        "dates": sorted({run.date[:10] for run in runs if run.date}),
    }


def _behind_gates(row: Judged, primary: Contrast, gates: Sequence[Judged]) -> Judged:
    """Return a secondary whose word is taken away where its gate is shut."""
    shut = [
        gate.contrast.name
        for gate in needed_gates(row.contrast, primary, gates)
        if gate.status != "passed"
    ]
    if not shut or row.status == "not run":
        return row
    return dataclasses.replace(
        row, status="not testable here", reason=f"gate not passed: {', '.join(shut)}"
    )


def _word(
    primary: Judged,
    gates: Sequence[Judged],
    controls: Sequence[Judged],
    secondary: Sequence[Judged],
) -> tuple[Word, str]:
    """Return the first word whose rule applies, and what it follows from."""
    needed = needed_gates(primary.contrast, primary.contrast, gates)
    for row in (primary, *needed):
        if row.status == "not run":
            return "not run", row.reason
    for row in (*needed, *(row for row in controls if row.contrast.instrument)):
        if row.status != "passed":
            return "not testable here", f"{row.contrast.name}: {row.reason or row.status}"
    if primary.status == "not testable here":
        return "not testable here", primary.reason
    if primary.status == "excluded":
        return "contradicted", ""
    if primary.status == "open":
        return "open", ""
    if primary.status == "small":
        return "partly", "sign only"
    excluded = [row.contrast.name for row in secondary if row.status == "excluded"]
    return ("partly", f"did not hold: {', '.join(excluded)}") if excluded else ("reproduced", "")


def _mark_survivors(verdicts: list[Verdict]) -> tuple[Verdict, ...]:
    """Return the verdicts, told which primaries survive Holm's correction at 5 %."""
    sampled = [v for v in verdicts if v.is_tested and math.isfinite(v.primary.p)]
    survived = reject_by_holm(np.array([verdict.primary.p for verdict in sampled]))
    lost = {verdict.claim.id for verdict, kept in zip(sampled, survived) if not kept}
    return tuple(dataclasses.replace(v, survives=v.claim.id not in lost) for v in verdicts)


def _changed_after(claim: Claim, contrasts: Sequence[Contrast], table: Table) -> tuple[str, ...]:
    """Return the dates of runs that were made under another rule of the claim."""
    digest = rules_digest(contrasts)
    networks = {row.network for contrast in contrasts for row in contrast.value.rows()}
    dates = set()
    for (network, _), run in table.runs.items():
        rules = dict(pair.split(":", 1) for pair in run.rules.split())
        if network in networks and rules.get(str(claim.id), digest) != digest:
            dates.add(run.date[:10])
    return tuple(sorted(dates))
