"""One progress bar for an experiment: what runs now, how far it is, how long it will take."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[str, float], None]
"""Called with what comes next and how much work (in any unit) has just been finished."""


@contextmanager
def experiment_progress(total: float, first: str) -> Iterator[Advance]:
    """A bar on standard error for the time of a block.

    Args:
      total: All work of the block, in the unit that `Advance` counts in.
      first: What runs first.

    Yields:
      The function that moves it; without a terminal each new stage is a line of its own.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        done = 0.0

        def line(stage: str, work: float) -> None:
            nonlocal done
            done += work
            print(f"[{100 * min(done / total, 1):3.0f} %] {stage}", file=sys.stderr, flush=True)

        line(first, 0.0)
        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(first, total=total)

        def move(stage: str, work: float) -> None:
            bar.update(task, description=stage, advance=work)

        yield move
