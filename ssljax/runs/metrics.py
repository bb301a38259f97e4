"""Metrics of a run: from the device, one call late, to ``metrics.jsonl`` and TensorBoard."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ssljax.runs.events import EventFile
from ssljax.system.files import read_json_lines, write_text
from ssljax.system.progress import TrainingProgress, notice

METRICS_FILE = "metrics.jsonl"


class NonFiniteMetrics(RuntimeError):
    """A loss or gradient that is not finite; the message names the step and the last finite one."""


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; a half-written last line is left out."""
    return read_json_lines(workdir / METRICS_FILE)


class MetricsWriter:
    """Appends metrics to ``metrics.jsonl`` and, where tensorboardX is installed, to its events.

    Lines later than ``step`` are dropped first, atomically: after a resume every step is there at
    most once. Each line is flushed, so a killed process loses none that it reported.
    """

    def __init__(self, workdir: Path, step: int, history: bytes | None = None):
        """Keep the lines up to ``step``: those saved with its checkpoint, where they were."""
        path = workdir / METRICS_FILE
        if history is not None:
            write_text(path, history.decode())
        kept = [line for line in read_metrics(workdir) if line["step"] <= step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._last = kept[-1]["step"] if kept else 0
        self._path = path
        self._file = path.open("a")
        self._events = _event_file(workdir, step)
        if self._events is None:
            notice("tensorboardX is not installed: no TensorBoard events, metrics.jsonl has all")

    def write(self, step: int, scalars: Mapping[str, Any]) -> None:
        """One line; a step that is already there is left as it is."""
        if step <= self._last:
            return
        self._last = step
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()
        if self._events is not None:
            numbers = {k: v for k, v in scalars.items() if isinstance(v, int | float)}
            self._events.write(step, numbers)

    def history(self) -> bytes:
        """Everything written so far, by now on the disk."""
        os.fsync(self._file.fileno())
        return self._path.read_bytes()

    def close(self) -> None:
        """Flush and close the files."""
        try:
            self._file.close()
        finally:
            if self._events is not None:
                self._events.close()


def _event_file(workdir: Path, step: int) -> EventFile | None:
    try:
        return EventFile(workdir / "events", step)
    except ImportError:
        return None


class MetricsReport:
    """Reads metrics back while the device computes the next call, checks and writes them.

    Reading the newest metrics would wait for the device; those of the call before are there.
    """

    def __init__(
        self,
        writer: MetricsWriter | None,
        bar: TrainingProgress,
        log_every: int,
        num_steps: int,
        learning_rates: np.ndarray,
        *,
        best_metric: str = "loss",
        finished: Callable[[int], None] = lambda step: None,
    ):
        """Report to a writer (none: only check) and a bar; ``finished`` hears of every call."""
        self._writer = writer
        self._bar = bar
        self._log_every = log_every
        self._num_steps = num_steps
        self._learning_rates = learning_rates
        self._best_metric = best_metric
        self._finished = finished
        self._sum, self._count = 0.0, 0
        self._pending: tuple[int, Mapping[str, jax.Array | np.ndarray]] | None = None
        self._last_finite = "none before it in this run"

    def add(self, step: int, metrics: Mapping[str, jax.Array | np.ndarray]) -> None:
        """Take the metrics of a call that was only dispatched, and write those of the last."""
        previous, self._pending = self._pending, (step, metrics)
        if previous is not None:
            self._write(*previous)

    def flush(self) -> None:
        """Write what is pending; waits for the device."""
        previous, self._pending = self._pending, None
        if previous is not None:
            self._write(*previous)

    def interval_mean(self) -> float | None:
        """Mean of the metric that decides which checkpoint is best, since the last time asked."""
        mean = self._sum / self._count if self._count else None
        self._sum, self._count = 0.0, 0
        return mean

    def _write(self, start: int, metrics: Mapping[str, jax.Array | np.ndarray]) -> None:
        values = jax.device_get(dict(metrics))
        count = len(values["loss"])
        self._finished(start + count)
        best = values.get(self._best_metric)
        if best is not None and best.ndim == 1:
            self._sum, self._count = (
                self._sum + float(np.sum(best, dtype=np.float64)),
                count + self._count,
            )
        finite = np.isfinite(values["loss"]) & np.isfinite(values["gradient_norm"])
        last = count if finite.all() else int(np.argmin(finite))
        for index in range(last):
            step = start + index + 1
            is_logged = step % self._log_every == 0 or step == self._num_steps
            if is_logged and self._writer is not None:
                self._writer.write(step, self._scalars(values, index, step))
        if last:
            scalars = self._scalars(values, last - 1, start + last)
            self._last_finite = f"step {start + last}: " + ", ".join(
                f"{name} {value:.6g}" for name, value in scalars.items() if _is_scalar(value)
            )
        if last < count:
            step = start + last + 1
            raise NonFiniteMetrics(
                f"step {step} gave loss {values['loss'][last]:.6g} and gradient norm"
                f" {values['gradient_norm'][last]:.6g}; last finite metrics, {self._last_finite};"
                " lower --optimizer.learning-rate or raise --optimizer.warmup-steps, in another"
                " --workdir"
            )
        self._bar.update(start + count, float(values["loss"][-1]))

    def _scalars(self, values: Mapping[str, np.ndarray], index: int, step: int) -> dict[str, Any]:
        scalars = {name: value[index].tolist() for name, value in values.items()}
        return scalars | {"learning_rate": float(self._learning_rates[step - 1])}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
