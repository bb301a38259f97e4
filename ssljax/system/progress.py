"""Progress of a long job: a bar with rates and an ETA in a terminal, lines in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

_LINE_SECONDS = 15.0
_BAR_SECONDS = 0.1
_COUNT_SECONDS = 5.0


class TrainingProgress:
    """Progress of a training run on the error stream.

    A terminal shows a bar; elsewhere a line appears every quarter of a minute, so that a log file
    stays short. Nothing is shown when ``enabled`` is false.
    """

    def __init__(self, num_steps: int, batch_size: int, step: int, *, enabled: bool = True):
        self._num_steps = num_steps
        self._batch_size = batch_size
        self._start_step = step
        self._start: float | None = None
        self._shown = time.monotonic()
        self._enabled = enabled
        self._bar: Any = None
        self._task: Any = None
        self.remark: Callable[[], str] = lambda: ""
        if enabled and sys.stderr.isatty():
            self._bar, self._task = _bar(num_steps, step, "training")

    def __enter__(self) -> "TrainingProgress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, step: int, loss: float | None = None) -> None:
        """Show that ``step`` steps are done; cheap enough for every call of a tight loop."""
        now = time.monotonic()
        if self._start is None:  # the first call compiled; rates and ETA leave it out
            self._start, self._start_step = now, step
        pause = _BAR_SECONDS if self._bar is not None else _LINE_SECONDS
        if not self._enabled or (now - self._shown < pause and step < self._num_steps):
            return
        self._shown = now
        rate = (step - self._start_step) / max(now - self._start, 1e-9)
        text = "" if loss is None else f"loss {loss:.4f}"
        if rate > 0:
            text += f", {rate:.1f} steps/s, {_shorten(rate * self._batch_size)} images/s"
            text += self.remark()
        if self._bar is not None:
            self._bar.update(self._task, completed=step, text=text)
        else:
            if rate > 0:
                text += f", {(self._num_steps - step) / rate:.0f} s left"
            print(f"step {step}/{self._num_steps}: {text}", file=sys.stderr, flush=True)

    def notice(self, text: str) -> None:
        """Print one line that stays."""
        if not self._enabled:
            return
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, soft_wrap=True, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)


def _shorten(value: float) -> str:
    return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"


def _bar(total: int, done: int, name: str) -> tuple[Any, Any]:
    try:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    except ImportError:
        return None, None
    bar = Progress(
        TextColumn(name),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
        console=Console(stderr=True),
    )
    return bar, bar.add_task(name, total=total, completed=done, text="")


def notice(text: str) -> None:
    """Print one line on the error stream."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def open_counter(
    name: str, total: int, *, enabled: bool = True
) -> Iterator[Callable[[int, int], None] | None]:
    """Open a progress line and yield its callback ``(done, total)``; None where disabled.

    A terminal shows a bar with an ETA; elsewhere a line appears every few seconds.
    """
    if not enabled:
        yield None
        return
    if sys.stderr.isatty():
        bar, task = _bar(total, 0, name)
        if bar is not None:
            with bar:
                yield lambda done, total: bar.update(task, completed=done, total=total)
            return
    first: tuple[float, int] | None = None
    shown = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal first, shown
        now = time.monotonic()
        if first is None or done <= first[1]:
            # The first call compiled, the ETA leaves it out; a count that falls is another one.
            first = now, done
        elif now - shown > _COUNT_SECONDS:
            shown = now
            left = (now - first[0]) * (total - done) / (done - first[1])
            notice(f"{name}: {done}/{total}, {left:.0f} s left")

    yield report


def open_loading_counter(name: str, *, enabled: bool = True) -> Any:
    """Open a progress line for `ssljax.data.datasets.load_dataset`, which knows the total."""
    return open_counter(f"reading {name}", 1, enabled=enabled and name != "digits")
