"""Metrics of a run: read from the device late, written to ``metrics.jsonl`` and the sinks."""

import collections
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.runs.sinks import Sink
from ssljax.system.arrays import Array, PyTree
from ssljax.system.files import read_json_lines, write_text
from ssljax.system.progress import TrainingProgress

METRICS_FILE = "metrics.jsonl"

_MOST_PENDING = 3


class NonFiniteMetrics(RuntimeError):
    """A loss or gradient that is not finite; the message names the step and the last finite one."""


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``; a half-written last line is left out."""
    return read_json_lines(workdir / METRICS_FILE)


class MetricsFile:
    """Appends metrics to ``metrics.jsonl``, the record of a run.

    Lines later than ``step`` are dropped first, atomically: after a resume every step is there at
    most once. Each line is flushed, so a killed process loses none that it reported.
    """

    def __init__(self, workdir: Path, step: int, history: bytes | None = None):
        """Keep the lines up to ``step``: those saved with its checkpoint, where they were."""
        self._path = workdir / METRICS_FILE
        if history is not None:
            write_text(self._path, history.decode())
        kept = [line for line in read_metrics(workdir) if line["step"] <= step]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._last = kept[-1]["step"] if kept else 0
        self._file = self._path.open("a")

    def write(self, step: int, values: Mapping[str, Any]) -> bool:
        """Write one line; return whether the step is a new one, others are left as they are."""
        if step <= self._last:
            return False
        self._last = step
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        return True

    def history(self) -> bytes:
        """Return everything written so far, by now on the disk."""
        os.fsync(self._file.fileno())
        return self._path.read_bytes()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()


class MetricsReport:
    """Reads metrics back while the device computes later calls, checks and writes them.

    A call's metrics are read when they are there, or when the host is three calls ahead: reading
    those of the newest call would make the device wait for the host.
    """

    def __init__(
        self,
        file: MetricsFile | None,
        sinks: Sequence[Sink],
        bar: TrainingProgress,
        log_every: int,
        learning_rates: np.ndarray,
        *,
        best_metric: str = "loss",
        finished: Callable[[int], None] = lambda step: None,
    ):
        """Report to a file (none: only check), to sinks and a bar.

        Args:
          file: The record.
          sinks: Given the numbers of every line.
          bar: Shown the loss.
          log_every: Steps between lines; the last step has one too.
          learning_rates: Of every step.
          best_metric: Averaged by `interval_mean`.
          finished: Told the last step of every call whose metrics were read.
        """
        self._file = file
        self._sinks = sinks
        self._bar = bar
        self._log_every = log_every
        self._learning_rates = learning_rates
        self._best_metric = best_metric
        self._finished = finished
        self._sum, self._count = 0.0, 0
        self._pending: collections.deque[tuple[int, Mapping[str, Any]]] = collections.deque()
        self._last_finite = "none before it in this run"

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take the metrics of a call that was only started, and write those that are there."""
        self._pending.append((step, metrics))
        while len(self._pending) > 1 and (
            len(self._pending) > _MOST_PENDING or _is_ready(self._pending[0][1])
        ):
            self._write(*self._pending.popleft())

    def flush(self, measure: Callable[[], Mapping[str, float]] | None = None) -> None:
        """Write what is pending; waits for the device.

        Args:
          measure: Called once the metrics of all steps are known to be finite; what it returns
            joins the line of the last step, which is written even between two logged ones.
        """
        if measure is not None and not self._pending:
            measure()  # before the first step, which has no line
        while self._pending:
            call = self._pending.popleft()
            self._write(*call, measure=None if self._pending else measure)

    def interval_mean(self) -> float | None:
        """Return the mean of the metric that decides which checkpoint is best, since last asked."""
        mean = self._sum / self._count if self._count else None
        self._sum, self._count = 0.0, 0
        return mean

    def _write(
        self,
        start: int,
        metrics: Mapping[str, Any],
        measure: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        values = jax.device_get(dict(metrics))
        count = len(values["loss"])
        self._finished(start + count)
        best = values.get(self._best_metric)
        if best is not None and best.ndim == 1:
            self._sum += float(np.sum(best, dtype=np.float64))
            self._count += count
        finite = np.isfinite(values["loss"]) & np.isfinite(values["gradient_norm"])
        last = count if finite.all() else int(np.argmin(finite))
        measured = {} if measure is None or last < count else measure()
        for index in range(last):
            step, joined = start + index + 1, measured if index == count - 1 else {}
            if step % self._log_every == 0 or step == len(self._learning_rates) or joined:
                self._record(step, {**self._scalars(values, index, step), **joined})
        if last:
            scalars = _numbers(self._scalars(values, last - 1, start + last))
            self._last_finite = f"step {start + last}: " + ", ".join(
                f"{name} {value:.6g}" for name, value in scalars.items() if math.isfinite(value)
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

    def _record(self, step: int, scalars: Mapping[str, Any]) -> None:
        if self._file is not None and self._file.write(step, scalars):
            for write in self._sinks:
                write(step, _numbers(scalars))

    def _scalars(self, values: Mapping[str, np.ndarray], index: int, step: int) -> dict[str, Any]:
        scalars = {name: value[index].tolist() for name, value in values.items()}
        return scalars | {"learning_rate": float(self._learning_rates[step - 1])}


def _is_ready(metrics: Mapping[str, Any]) -> bool:
    return all(getattr(value, "is_ready", lambda: True)() for value in metrics.values())


def _numbers(values: Mapping[str, Any]) -> dict[str, float | int]:
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


@jax.jit
def _all_finite(params: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))


def check_finite(params: PyTree, step: int) -> None:
    """Refuse parameters that cannot be gone back to: the loss of a step does not see its update.

    Raises:
      NonFiniteMetrics: A parameter is not finite.
    """
    if not _all_finite(params):
        raise NonFiniteMetrics(
            f"step {step} left parameters that are not finite; lower --optimizer.learning-rate or"
            " raise --optimizer.warmup-steps, in another --workdir"
        )
