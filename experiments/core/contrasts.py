"""A contrast: one number for each seed that decides something, fixed before the networks run.

Its role says what hangs on it, its kind how its interval is read. `judge_contrast` computes both
from the table, and nothing else; no experiment judges itself.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
from jaxtyping import Float

from experiments.core import intervals
from experiments.core.blocks import block_count, decode_blocks
from experiments.core.measurements import Key, Measurement, Table
from experiments.core.names import task_of
from experiments.core.values import Row, UndefinedError, Value, best_of

Role = Literal["primary", "secondary", "gate", "control", "noted"]
Kind = Literal["difference", "two_sided", "forecast", "equivalence", "no_worse", "identity"]
Status = Literal[
    "holds", "small", "open", "excluded", "passed", "not passed", "not testable here", "not run", ""
]

FEWEST_SEEDS = 3
MARGINS = {"points": 1.0, "times": math.log(1.1), "share": 0.1}
FORECAST_MARGIN = math.log(1.25)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast:
    """One question to the table.

    Attributes:
      claim: Number of the claim it belongs to.
      name: Short, unique within the claim.
      role: `primary` (one a claim; gives its word), `secondary` (can only lower the word), `gate`
        (whether the network has what the claim is about), `control`, `noted` (shown, no word).
      kind: `difference` (should be positive), `two_sided` (changes), `forecast` (log error of the
        best rival less that of the prediction), `equivalence` (within ± margin), `no_worse`
        (above − margin), `identity` (error over its bound).
      value: What it computes for each seed; positive is what the claim says.
      says: A sentence about the effect, with `{}` where "1.4 [0.7, 2.1] points" goes.
      unit: `points`, `times` (the value is a logarithm and is printed as a factor), `share`, or
        another unit with a margin of its own.
      margin: Smallest effect that matters, on the scale of `value`; None for that of the unit.
      at_least: Of a gate: the lower end of its one-sided 95 % interval must reach this.
      estimate_at_least: Of a gate: its mean over seeds must reach this too.
      needs: Gates that must be open; of a secondary, None for those of the primary.
      instrument: Of a control: without it the measurement means nothing, so the claim is suspended.
      beside: Shown beside the primary in the table of claims: what a null reaches.
    """

    claim: int
    name: str
    role: Role
    value: Value
    says: str
    kind: Kind = "difference"
    unit: str = "points"
    margin: float | None = None
    at_least: float | None = None
    estimate_at_least: float | None = None
    needs: tuple[str, ...] | None = None
    instrument: bool = False
    beside: bool = False

    @property
    def smallest_effect(self) -> float:
        """The smallest effect that matters, on the scale of `value`; NaN where none is stated."""
        if self.kind == "identity":
            return 1.0
        if self.margin is not None:
            return self.margin
        return FORECAST_MARGIN if self.kind == "forecast" else MARGINS.get(self.unit, math.nan)

    @property
    def digest(self) -> str:
        """Twelve characters that change with anything that decides its status."""
        rule = (
            self.role,
            self.kind,
            self.value,
            self.unit,
            None if self.role in ("gate", "noted") else self.smallest_effect,
            self.at_least,
            self.estimate_at_least,
            self.needs,
            self.instrument,
        )
        return hashlib.sha256(repr(rule).encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True)
class Judged:
    """What the table says to one contrast.

    Attributes:
      contrast: The question.
      status: A word of its role; empty for `noted`.
      reason: Why it was not run, or could not be tested; else empty.
      seeds: That have all of its rows.
      values: The contrast in each of them, on the scale of `Contrast.value`.
      effect: Mean over seeds; of an identity the largest.
      low: Lower end of the 95 % interval; of an identity the smallest of the seeds.
      high: Its upper end.
      shared: Variance that all seeds share.
      p: Of a primary: level at which the interval reaches zero; else NaN.
      rivals: Of a forecast: the best rival in each seed.
    """

    contrast: Contrast
    status: Status
    reason: str = ""
    seeds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    shared: float = 0.0
    p: float = math.nan
    rivals: tuple[str, ...] = ()

    def shown(self, value: float) -> float:
        """Return a number of the contrast as it is printed: logarithms as factors."""
        return math.exp(value) if self.contrast.unit == "times" else value

    @property
    def is_measured(self) -> bool:
        """Whether there is an effect to show."""
        return math.isfinite(self.effect)


def rules_digest(contrasts: Iterable[Contrast]) -> str:
    """Return twelve characters that change with any rule of a claim."""
    text = " ".join(sorted(f"{contrast.name}={contrast.digest}" for contrast in contrasts))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def judge_contrast(contrast: Contrast, table: Table) -> Judged:
    """Return the effect, interval and status of a contrast.

    A network that lacks a row of a seed drops that seed from the contrast; fewer than three seeds
    leave it "not run". A share or a logarithm that the numbers do not define leaves it "not
    testable here".

    Args:
      contrast: What is asked.
      table: What was measured.
    """
    rows = contrast.value.rows()
    found = {row: _by_seed(row, table) for row in rows}
    seeds = tuple(sorted(set.intersection(*(set(by_seed) for by_seed in found.values()))))
    if len(seeds) < FEWEST_SEEDS:
        return Judged(contrast, "not run", _missing(found, table), seeds)
    try:
        values = np.array([_value(contrast, found, seed) for seed in seeds])
        blocks = _blocks_by_images(contrast, found, seeds)
        shared = float(sum(intervals.shared_variance(np.stack(by_seed)) for by_seed in blocks))
    except UndefinedError as error:
        return Judged(contrast, "not testable here", str(error), seeds)
    if contrast.kind == "identity":
        effect, low, high, p = float(values.max()), float(values.min()), float(values.max()), np.nan
    else:
        effect = float(values.mean())
        half = float(intervals.half_width(values, shared))
        low, high = effect - half, effect + half
        # Only primaries are corrected for their number.
        p = intervals.p_value(values, shared) if contrast.role == "primary" else np.nan
    return Judged(
        contrast,
        _status(contrast, values, shared),
        "",
        seeds,
        tuple(float(value) for value in values),
        effect,
        low,
        high,
        shared,
        p,
        _best_rivals(contrast, found, seeds),
    )


def _status(contrast: Contrast, values: Float[np.ndarray, " seeds"], shared: float) -> Status:
    mean = values.mean()
    if contrast.role == "noted":
        return ""
    half, half90 = (intervals.half_width(values, shared, confidence=c) for c in (0.95, 0.9))
    if contrast.role == "gate":
        assert contrast.at_least is not None
        # Equal numbers in all seeds have no spread; rounding of their mean must not shut a gate.
        passed = mean - half90 >= contrast.at_least - 1e-12
        if contrast.estimate_at_least is not None:
            passed &= mean >= contrast.estimate_at_least
        return "passed" if passed else "not passed"
    margin = contrast.smallest_effect
    if contrast.kind == "identity":
        status = intervals.bound_status(values.max())
    elif contrast.kind == "two_sided":
        status = intervals.change_status(mean - half, mean + half, margin)
    elif contrast.kind in ("equivalence", "no_worse"):
        status = intervals.equality_status(
            mean - half,
            mean + half,
            mean - half90,
            mean + half90,
            margin,
            below=contrast.kind == "equivalence",
        )
    else:
        status = intervals.difference_status(mean - half, mean + half, margin)
    if contrast.role == "control":
        return "passed" if str(status) in ("holds", "small") else "not passed"
    return str(status)  # pyright: ignore[reportReturnType]


def _by_seed(row: Row, table: Table) -> dict[int, Measurement]:
    keys = {
        seed: Key(row.network, seed, row.variant, row.layer, row.task, row.quantity, row.level)
        for seed in table.seeds(row.network)
    }
    return {seed: table.rows[key] for seed, key in keys.items() if key in table.rows}


def _missing(found: dict[Row, dict[int, Measurement]], table: Table) -> str:
    """Return which network, or which row of it, is shortest of seeds, as words."""
    row, by_seed = min(found.items(), key=lambda item: len(item[1]))
    trained = len(table.seeds(row.network))
    if trained == len(by_seed) < FEWEST_SEEDS:
        return f"{row.network} has {trained or 'none'} of {FEWEST_SEEDS} seeds"
    if not by_seed:
        return f"nothing was measured of {row.describe()}"
    if len(by_seed) < FEWEST_SEEDS:
        return f"{len(by_seed)} of {FEWEST_SEEDS} seeds of {row.describe()}"
    return f"no {FEWEST_SEEDS} seeds have all of its rows; {row.describe()} has {sorted(by_seed)}"


def _value(contrast: Contrast, found: dict[Row, dict[int, Measurement]], seed: int) -> float:
    read = lambda row: np.array([found[row][seed].value])  # noqa: E731
    return float(contrast.value.evaluate(read)[0])


def _best_rivals(
    contrast: Contrast, found: dict[Row, dict[int, Measurement]], seeds: tuple[int, ...]
) -> tuple[str, ...]:
    best = best_of(contrast.value)
    if best is None:
        return ()
    return tuple(
        best.name(lambda row, seed=seed: np.array([found[row][seed].value])) for seed in seeds
    )


def _blocks_by_images(
    contrast: Contrast, found: dict[Row, dict[int, Measurement]], seeds: tuple[int, ...]
) -> list[list[np.ndarray]]:
    """Return, for each set of test images, every seed's pseudo-values of the contrast."""
    sets: dict[str, list[Row]] = {}
    for row, by_seed in found.items():
        if all(by_seed[seed].blocks for seed in seeds):
            images = task_of(row.task).images if row.task else ""
            sets.setdefault(images, []).append(row)
    return [
        [_pseudo_values(contrast, found, seed, sampled) for seed in seeds]
        for _, sampled in sorted(sets.items())
    ]


def _pseudo_values(
    contrast: Contrast,
    found: dict[Row, dict[int, Measurement]],
    seed: int,
    sampled: list[Row],
) -> Float[np.ndarray, " blocks"]:
    rows = {row: found[row][seed] for row in sampled}
    # Counts of a hundred blocks are joined where a statistic on the same images has twenty.
    blocks = min(block_count(row.blocks) for row in rows.values())

    def read(row: Row) -> Float[np.ndarray, " replicates"]:
        value = found[row][seed].value
        if row not in rows:
            return np.full(1 + blocks, value)
        return np.append(value, decode_blocks(rows[row].blocks, rows[row].n, blocks))

    return intervals.pseudo_values(contrast.value.evaluate(read))
