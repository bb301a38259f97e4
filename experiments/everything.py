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


def run_all(
    out: Path, scale: str, say: Callable[[str], None], *, again: bool = False
) -> dict[str, Results]:
    """Run every experiment of a scale that has no results yet, then write ``index.html``.

    Args:
      out: Folder; each experiment has its own in it, ``NAME-SCALE``.
      scale: "smoke", "laptop" or "paper".
      say: Told what runs now and how long the rest will take.
      again: Run those that have results, too.

    Returns:
      Results by name.

    Raises:
      InputError: A folder cannot be written.
      UsageError: A data set is not there.
    """
    make_folder(out)
    found = (
        {} if again else {name: done for name in EXPERIMENTS if (done := _done(out, name, scale))}
    )
    left = [name for name in EXPERIMENTS if name not in found]
    started, worked = time.perf_counter(), 0.0
    for number, name in enumerate(left, 1):
        rest = sum(EXPERIMENTS[other].minutes for other in left[number - 1 :])
        elapsed = time.perf_counter() - started
        ahead = f", about {elapsed / worked * rest / 60:.0f} minutes left" if worked else ""
        say(f"[{number} of {len(left)}] {name}: {EXPERIMENTS[name].question}{ahead}")
        module = importlib.import_module(f"experiments.{name}")
        found[name] = module.run(out / f"{name}-{scale}", scale)
        worked += EXPERIMENTS[name].minutes
    say(f"index: {write_index(out)}")
    return found


def _done(out: Path, name: str, scale: str) -> Results | None:
    """The results of an experiment that was run to its end; damaged ones are made again."""
    path = out / f"{name}-{scale}" / "results.json"
    if not path.is_file():
        return None
    try:
        return read_results(path)
    except InputError:
        return None
