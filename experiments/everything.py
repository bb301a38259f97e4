"""`python -m experiments all`: one scale through, what is there is kept, one page at the end."""

import importlib
import time
from collections.abc import Callable
from pathlib import Path

from experiments.catalog import EXPERIMENTS
from experiments.errors import InputError
from experiments.files import make_folder
from experiments.index_page import write_index
from experiments.results import Results, read_results
from experiments.side_by_side import run_side_by_side


def run_all(
    out: Path, scale: str, say: Callable[[str], None], *, again: bool = False, jobs: int = 1
) -> dict[str, Results]:
    """Run every experiment of a scale that has no results yet, then write ``index.html``.

    Args:
      out: Folder; each experiment has its own in it, ``NAME-SCALE``.
      scale: "smoke", "laptop" or "paper".
      say: Told what runs now and how long the rest will take.
      again: Run those that have results, too.
      jobs: How many run at a time, each in a process of its own where it is more than one.

    Returns:
      Results by name.

    Raises:
      InputError: A folder cannot be written, ``jobs`` is not positive, or one of several at a time
        failed.
      UsageError: A data set is not there.
    """
    if jobs < 1:
        raise InputError(f"{jobs} jobs cannot run anything: give --jobs 1 or more")
    make_folder(out)
    found = (
        {} if again else {name: done for name in EXPERIMENTS if (done := _done(out, name, scale))}
    )
    left = [name for name in EXPERIMENTS if name not in found]
    started, worked = time.perf_counter(), 0.0

    def announce(number: int, name: str, rest: float) -> None:
        elapsed = time.perf_counter() - started
        ahead = f", about {elapsed / worked * rest / 60:.0f} minutes left" if worked else ""
        say(f"[{number} of {len(left)}] {name}: {EXPERIMENTS[name].question}{ahead}")

    if jobs == 1:
        for number, name in enumerate(left, 1):
            announce(number, name, _minutes(left[number - 1 :]))
            module = importlib.import_module(f"experiments.{name}")
            found[name] = module.run(out / f"{name}-{scale}", scale)
            worked += EXPERIMENTS[name].minutes
    elif left:

        def shown(name: str, printed: str) -> None:
            nonlocal worked
            print(printed, end="")
            found[name] = read_results(out / f"{name}-{scale}" / "results.json")
            worked += EXPERIMENTS[name].minutes
            ended = sum(other in found for other in left)
            announce(ended, name, _minutes([other for other in left if other not in found]))

        say(f"{len(left)} experiments, {jobs} at a time; each is shown when it has ended")
        longest_first = sorted(left, key=lambda name: -EXPERIMENTS[name].minutes)
        folders = {name: out / f"{name}-{scale}" for name in longest_first}
        run_side_by_side(folders, scale, jobs, shown)
    say(f"index: {write_index(out)}")
    return found


def _minutes(names: list[str]) -> float:
    return sum((EXPERIMENTS[name].minutes for name in names), 0.0)


def _done(out: Path, name: str, scale: str) -> Results | None:
    """The results of an experiment that was run to its end; damaged ones are made again."""
    path = out / f"{name}-{scale}" / "results.json"
    if not path.is_file():
        return None
    try:
        return read_results(path)
    except InputError:
        return None
