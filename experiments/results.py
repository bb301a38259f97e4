"""What an experiment found: rows of claims, each with its verdict, as one JSON file.

A row's numbers go to `results.json` as numbers. JSON has no infinity: an infinite one is written
as the largest double, so that the verdict can be recomputed from the file alone, and read back as
infinite. A number that could not be measured (NaN) is written as JSON's null.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.errors import InputError
from experiments.files import write_bytes

Verdict = Literal["holds", "fails", "inconclusive"]
Number = float | int | np.floating | np.integer
NUMBERS = ("predicted", "measured", "error", "null", "tolerance", "spread")
_LARGEST = sys.float_info.max


def verdict(error: Number, null: Number, tolerance: Number, spread: Number) -> Verdict:
    """The verdict on one claim.

    A claim holds when the measurement is within tolerance even at the unlucky end of its spread,
    and the tolerance is one that the best null, at the lucky end of the spread, does not meet.
    It fails when even the lucky end is out of tolerance. Everything else, and every row with a
    number that could not be measured, is inconclusive.

    Args:
      error: Distance of the measurement from the prediction, >= 0.
      null: Smallest such distance of any null, >= 0; infinite where no null applies.
      tolerance: Largest error accepted, fixed before the run, >= 0.
      spread: Uncertainty of the error over seeds, >= 0.

    Returns:
      "holds" iff error + spread <= tolerance < null - spread; "fails" iff
      error - spread > tolerance; else "inconclusive".

    Example:
      >>> verdict(error=0.02, null=0.40, tolerance=0.10, spread=0.01)
      'holds'
      >>> verdict(error=0.02, null=0.10, tolerance=0.10, spread=0.01)  # the null would pass too
      'inconclusive'
    """
    if any(math.isnan(number) for number in (error, null, tolerance, spread)):
        return "inconclusive"
    if error - spread > tolerance:
        return "fails"
    if error + spread <= tolerance < null - spread:
        return "holds"
    return "inconclusive"


@dataclass(frozen=True)
class Row:
    """One claim: what was predicted, what came out, and how far a null would have been.

    Attributes:
      id: Number of the claim, 1 to 20; 0 for a row that belongs to none.
      claim: The claim in a sentence.
      source: Where it comes from.
      predicted: The predicted number; NaN where none exists.
      measured: The measured number, over seeds.
      error: Distance of the measurement from the prediction, in the metric the claim names, >= 0.
      null: Smallest such distance of any null, >= 0; None where no null applies, which counts as
        infinitely far.
      tolerance: Largest error accepted, fixed before the run, >= 0 and finite.
      spread: Uncertainty of the error over seeds, >= 0.
    """

    id: int
    claim: str
    source: str
    predicted: Number
    measured: Number
    error: Number
    null: Number | None
    tolerance: Number
    spread: Number = 0.0
    verdict: Verdict = field(init=False)

    def __post_init__(self) -> None:
        for name in NUMBERS:
            given = getattr(self, name)
            if given is None and name == "null":
                continue
            if isinstance(given, bool) or not isinstance(given, Number):
                raise InputError(f"the row {self.claim!r} has {name} {given!r}; pass a number")
            number = float(given)
            object.__setattr__(self, name, number)  # NumPy's numbers would not fit in a file
            if name not in ("predicted", "measured") and number < 0:
                raise InputError(
                    f"the row {self.claim!r} has {name} {number}; pass a distance, zero or more"
                )
        if not math.isfinite(self.tolerance):
            raise InputError(
                f"the row {self.claim!r} has tolerance {self.tolerance}; pass a finite one"
            )
        if self.null is not None and math.isinf(self.null):
            object.__setattr__(self, "null", None)
        if not 0 <= self.id <= 20:
            raise InputError(f"the row {self.claim!r} has id {self.id}; pass 1 to 20, or 0")
        null = math.inf if self.null is None else self.null
        object.__setattr__(self, "verdict", verdict(self.error, null, self.tolerance, self.spread))


@dataclass(frozen=True)
class Results:
    """Everything an experiment found.

    Attributes:
      experiment: Its name on the command line.
      scale: "smoke", "laptop" or "paper".
      seeds: The random seeds the numbers are over.
      environment: Where it ran, from `experiments.environment`.
      rows: The claims.
    """

    experiment: str
    scale: str
    seeds: tuple[int, ...]
    environment: Mapping[str, Any]
    rows: tuple[Row, ...]


def write_results(path: Path, results: Results) -> None:
    """Write `results.json`, complete or not at all.

    Args:
      path: The file.
      results: What to write.

    Raises:
      InputError: It cannot be written.
    """
    document = {
        "experiment": results.experiment,
        "scale": results.scale,
        "seeds": list(results.seeds),
        "environment": dict(results.environment),
        "rows": [_row_as_json(row) for row in results.rows],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_results(path: Path) -> Results:
    """Read a `results.json`, checking every number and every verdict.

    Args:
      path: The file.

    Returns:
      Its content.

    Raises:
      InputError: The file is missing, damaged, or a verdict does not follow from its numbers.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}); run the experiment") from error
    except ValueError as error:
        raise InputError(f"{path} is not a results file ({error}); run it again") from error
    try:
        return Results(
            experiment=_checked(document, "experiment", str),
            scale=_checked(document, "scale", str),
            seeds=tuple(int(seed) for seed in _checked(document, "seeds", list)),
            environment=_checked(document, "environment", dict),
            rows=tuple(_row_from_json(row) for row in _checked(document, "rows", list)),
        )
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a results file: {error}; run it again") from error


def _row_as_json(row: Row) -> dict[str, Any]:
    numbers = {name: _number_as_json(getattr(row, name)) for name in NUMBERS}
    return {
        "id": row.id,
        "claim": row.claim,
        "source": row.source,
        **numbers,
        "verdict": row.verdict,
    }


def _number_as_json(number: Number | None) -> float | None:
    if number is None:
        return _LARGEST
    if math.isnan(number):
        return None
    return math.copysign(_LARGEST, number) if math.isinf(number) else float(number)


def _row_from_json(document: object) -> Row:
    numbers = {name: _number_from_json(document, name) for name in NUMBERS}
    row = Row(
        id=_checked(document, "id", int),
        claim=_checked(document, "claim", str),
        source=_checked(document, "source", str),
        **numbers,
    )
    given = _checked(document, "verdict", str)
    if given != row.verdict:
        raise InputError(
            f"the row {row.claim!r} says {given!r} where its numbers say {row.verdict!r}"
        )
    return row


def _number_from_json(document: object, name: str) -> float:
    given = _checked(document, name, int, float, type(None))
    if given is None:
        return math.nan
    if isinstance(given, bool) or not math.isfinite(given):
        raise InputError(f"{name!r} is {given!r}, wanted a finite number or null")
    return math.copysign(math.inf, given) if abs(given) >= _LARGEST else float(given)


def _checked(document: object, name: str, *types: type) -> Any:
    if not isinstance(document, dict) or name not in document:
        raise InputError(f"{name!r} is missing")
    value = document[name]
    if not isinstance(value, types):
        wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
        raise InputError(f"{name!r} is {value!r}, wanted {wanted}")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
