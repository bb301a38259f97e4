"""Rows of `speed.json`: what was measured, beside whom, and by how much it is better."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.errors import InputError
from experiments.files import write_bytes


class SpeedRow(NamedTuple):
    """One comparison; the fields are the keys of `speed.json`.

    Attributes:
      what: Name of the benchmark.
      case: Which of several cases of it; empty where there is one.
      ours: Our cost, the median over rounds, in `unit`.
      peer: Name of the other implementation; None: held against a target.
      peer_version: Its version.
      unit: Of the cost; less is better.
      ratio: Peer's cost over ours, or target over reached; above 1 is better.
      low: Smallest ratio of any round.
      high: Largest.
      wanted: The ratio aimed at; None where none was set.
    """

    what: str
    case: str
    ours: float
    peer: str | None
    peer_version: str | None
    unit: str
    ratio: float | None
    low: float | None
    high: float | None
    wanted: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the ratio is the one aimed at; None where nothing was compared or aimed at."""
        if self.wanted is None or self.ratio is None:
            return None
        return self.ratio >= self.wanted


def compared(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest and largest ratio of costs measured side by side, round by round.

    Args:
      ours: Our cost in each round.
      theirs: The peer's in the same rounds.

    Returns:
      Ratios peer over ours: median, low, high.

    Raises:
      InputError: The rounds do not match, there is none, or a cost is not positive.

    Example:
      >>> compared([1.0, 2.0, 1.0], [3.0, 4.0, 5.0])
      (3.0, 2.0, 5.0)
    """
    if len(ours) != len(theirs) or not ours:
        raise InputError(
            f"{len(ours)} rounds of ours beside {len(theirs)} of the peer: measure again with at"
            " least one round"
        )
    if not all(math.isfinite(cost) and cost > 0 for cost in (*ours, *theirs)):
        raise InputError("a cost was measured as zero or not at all: measure again")
    ratios = [peer / own for own, peer in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def write_speed(path: Path, environment: dict[str, Any], rows: Sequence[SpeedRow]) -> None:
    """Write `speed.json`: {"environment", "rows"}.

    Args:
      path: The file.
      environment: Where it was measured.
      rows: What was measured.

    Raises:
      InputError: The file cannot be written.
    """
    entries = []
    for row in rows:
        entry = row._asdict()
        entries.append({key: value for key, value in entry.items() if key != "case" or value})
    content = {"environment": environment, "rows": entries}
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_speed(path: Path) -> tuple[SpeedRow, ...]:
    """The rows of `speed.json`.

    Args:
      path: The file.

    Returns:
      As they were written.

    Raises:
      InputError: It is missing or is no such file.
    """
    try:
        entries = json.loads(path.read_text())["rows"]
        return tuple(SpeedRow(**({"case": ""} | entry)) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no speed.json ({error}); write one with python -m experiments speed"
        ) from error
