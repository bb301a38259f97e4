"""Trace a few steps by JAX's profiler, for TensorBoard or Perfetto."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from ssljax.system.progress import notice

_CALLS_BEFORE = 2  # the first compiles, the second still allocates


class Profiler:
    """While open, traces some steps into a folder, after the first calls."""

    def __init__(self, folder: Path, num_steps: int):
        """Trace at least ``num_steps`` steps, 0 for none; a call of several is never divided."""
        self._folder = folder
        self._wanted = self._left = num_steps
        self._calls = 0
        self._is_tracing = False

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if self._left == self._wanted > 0 and kind is None:
            notice(
                "no profile: no step was taken after the first two calls, which compile; give more"
                " --num-steps or fewer --steps-per-call"
            )
        self._stop()

    def advance(self, num_steps: int, wait: Callable[[], Any], *, is_last: bool = False) -> None:
        """Take note of a call that was started; ``wait`` returns when it is done."""
        if self._is_tracing:
            self._left -= num_steps
            if self._left <= 0:
                wait()
                self._stop()
            return
        self._calls += 1
        if self._left > 0 and self._calls == _CALLS_BEFORE and not is_last:
            wait()
            jax.profiler.start_trace(str(self._folder))
            self._is_tracing = True

    def _stop(self) -> None:
        if self._is_tracing:
            self._is_tracing, self._left = False, 0
            jax.profiler.stop_trace()
            notice(f"profile in {self._folder}: tensorboard --logdir {self._folder}")
