"""A run that does not move says so, and ends rather than hang for ever."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

EXIT_STUCK = 75
"""Temporary failure, in the numbering of sysexits.h: the same command resumes the run."""

FIRST_SECONDS = 900.0
"""What the first step may take at least: it compiles, and hosts wait for each other."""


class Watchdog:
    """Ends the process where no step has finished for a while.

    A step that waits for a lost host returns no error: nothing in this process can interrupt it,
    so the end is an immediate exit, after one line. Halfway there is a warning.

    The clock is monotonic: a system clock that is set, also backwards, changes nothing.
    """

    def __init__(
        self,
        seconds: int | float,
        *,
        end: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Watch from `__enter__` on; ``end`` and ``clock`` are given by tests."""
        self._seconds = seconds
        self._end = end
        self._clock = clock
        self._last = clock()
        self._what = "the first step, which compiles,"
        self._limit = float(max(seconds, FIRST_SECONDS))
        self._is_warned = False
        self._is_paused = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        if self._seconds > 0:
            self._last = self._clock()
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def finished(self, step: int) -> None:
        """Everything up to this step is done: its numbers are on the host."""
        self._last = self._clock()
        self._what = f"what follows step {step}"
        self._limit = self._seconds
        self._is_warned = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While open, for work that is no step and may take long, silence means nothing."""
        self._is_paused = True
        try:
            yield
        finally:
            self._last = self._clock()
            self._is_paused = False

    def check(self) -> None:
        """Warn or end, if it is time; called by the thread a few times in each period."""
        if self._is_paused:
            return
        silent = self._clock() - self._last
        if silent >= self._limit:
            _say(
                f"ssljax: {self._what} has been running for {silent:.0f} s: a host is lost or"
                " stuck; ended, what was saved is intact and the same command resumes"
                " (--watchdog-seconds 0 waits for ever)"
            )
            self._end(EXIT_STUCK)
        elif silent >= self._limit / 2 and not self._is_warned:
            self._is_warned = True
            _say(
                f"{self._what} has been running for {silent:.0f} s; ending after {self._limit:g} s"
            )

    def _watch(self) -> None:
        while not self._closed.wait(min(self._seconds / 20, 5.0)):
            self.check()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
