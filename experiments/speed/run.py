"""`python -m experiments speed`: every benchmark in turn, then the file, the table, the figure."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.core.progress import experiment_progress
from experiments.errors import InputError
from experiments.figures.speed import Comparison, speed_figure
from experiments.files import make_folder
from experiments.speed.benchmarks import SCALE, Benchmark, Peer, chosen
from experiments.speed.contest import Clock, Missing, costs_in_turn
from experiments.speed.environment import find_version, read_environment
from experiments.speed.rows import SpeedRow, compared, write_speed
from experiments.speed.scale import ROUNDS, scale_rows
from experiments.speed.table import print_speed

INSTALL = "install the peers with: pip install -e '.[bench]'"
PEER_PACKAGES = ("torch", "torchvision", "lightly", "kornia", "stable-pretraining")


def run(
    out: Path,
    *,
    only: str | None = None,
    rounds: int = 7,
    clock: Clock = "wall",
    large: bool = False,
) -> tuple[SpeedRow, ...]:
    """Measure, write `speed.json` and `speed.png`, print the table.

    Args:
      out: Folder, created.
      only: Names or groups, with commas; None: all.
      rounds: Turns of each contender.
      clock: Clock of the costs that are times.
      large: Also what takes gigabytes and minutes.

    Returns:
      The rows.

    Raises:
      InputError: A name or number that cannot be used, a folder that cannot be written, or a
        contender that broke.
    """
    started = time.perf_counter()
    if rounds < 1:
        raise InputError(f"--rounds {rounds} given; wanted 1 or more")
    benchmarks, with_scale = chosen(only)
    make_folder(out)
    has_gpu = jax.default_backend() == "gpu"
    rows: list[SpeedRow] = []
    notes: list[str] = []
    total = len(benchmarks) + with_scale
    with experiment_progress(float(total), "starting") as advance:
        for number, one in enumerate(benchmarks):
            advance(" ".join(filter(None, (one.what, one.case))), float(number > 0))
            if one.gpu and not has_gpu:
                notes.append(f"{one.what} is left out: it needs a GPU that JAX can use")
            elif one.large and not large:
                notes.append(f"{one.what} ({one.case}) is left out: ask for it with --large")
            else:
                found, missing = measured(one, rounds, clock)
                rows += found
                notes += missing
        if with_scale:
            advance("scale", 1.0)
            rows += [SpeedRow(**row) for row in scale_rows()]
    found = read_environment(time.perf_counter() - started)
    found |= {name: find_version(name) for name in PEER_PACKAGES}
    found |= {"rounds": rounds, "scale_rounds": ROUNDS, "clock": clock, "load": _load()}
    write_speed(out / "speed.json", found, rows)
    compared_rows = comparisons(rows)
    if compared_rows:
        speed_figure(out / "speed.png", compared_rows)
    print_speed(rows, out / "speed.json")
    for note in dict.fromkeys(notes):
        print(note, file=sys.stderr)
    return tuple(rows)


def comparisons(rows: Sequence[SpeedRow]) -> list[Comparison]:
    """What the figure shows: every row that was compared, those of `scale` apart."""
    return [
        Comparison(
            f"{', '.join(filter(None, (row.what, row.case)))}: {row.peer or 'target'}",
            row.ratio,
            row.low,
            row.high,
            row.wanted,
        )
        for row in rows
        if row.ratio is not None
        and row.low is not None
        and row.high is not None
        and row.what != SCALE
    ]


def measured(one: Benchmark, rounds: int, clock: Clock) -> tuple[list[SpeedRow], list[str]]:
    """The rows of one benchmark, and what could not be compared.

    Args:
      one: The benchmark.
      rounds: Turns of each contender.
      clock: Clock of the costs.

    Returns:
      A row for each peer that is installed, one for the target where there is one or no peer is
      left; and a line for each peer that is missing.

    Raises:
      InputError: Our own task is missing something, or a contender broke.
    """
    tasks = (one.task, *(peer.task for peer in one.peers))
    ours, *theirs = costs_in_turn(tasks, one.threads, min(rounds, one.rounds), clock)
    if isinstance(ours, Missing):
        raise InputError(f"{one.what} cannot run here ({ours.reason}): {INSTALL}")
    own = [cost * one.factor for cost in ours]
    rows, notes = [], []
    for peer, costs in zip(one.peers, theirs, strict=True):
        if isinstance(costs, Missing):
            notes.append(f"{one.what} beside {peer.name} is left out ({costs.reason}): {INSTALL}")
            continue
        rows.append(_row(one, own, [cost * one.factor for cost in costs], peer))
    if one.target is not None or not rows:
        rows.append(_row(one, own, [one.target] * len(own) if one.target else None, None))
    return rows, notes


def _row(one: Benchmark, own: list[float], other: list[Any] | None, peer: Peer | None) -> SpeedRow:
    ratio, low, high = compared(own, other) if other else (None, None, None)
    return SpeedRow(
        what=one.what,
        case=one.case,
        ours=sorted(own)[len(own) // 2],
        peer=peer.name if peer else None,
        peer_version=find_version(peer.package) if peer else None,
        unit=one.unit,
        ratio=ratio,
        low=low,
        high=high,
        wanted=peer.wanted if peer else (1.0 if other else None),
    )


def _load() -> list[float] | None:
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
