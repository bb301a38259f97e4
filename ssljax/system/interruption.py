"""Early ends of a run: SIGTERM saves and stops it, a watchdog ends it where nothing moves."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

EXIT_STUCK = 75
"""Temporary failure, in the numbering of sysexits.h: the same command resumes the run."""

FIRST_SECONDS = 900.0
"""What the first step may take at least: it compiles, and hosts wait for each other."""


class StopRequest:
    """While open, SIGTERM sets `requested` instead of ending the process.

    Preemptible machines send it shortly before they go. Outside the main thread, where Python
    delivers no signals, it does nothing; nor where ``listen`` is false, because JAX listens for
    all processes of a run together.
    """

    def __init__(self, *, listen: bool = True):
        self.requested = False
        self._listen = listen
        self._previous: Any = None

    def __enter__(self) -> "StopRequest":
        if self._listen and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(self, *error: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _request(self, number: int, frame: object) -> None:
        self.requested = True


class Watchdog:
    """Ends the process where no step has finished for a while.

    A step that waits for a lost host returns no error and nothing in this process can interrupt
    it, so the end is an immediate exit with code 75. Halfway there a line says so, and at the end
    `faulthandler` shows where every thread stands. (Its own timer ends a process with code 1, which
    schedulers do not take for "start it again", so the clock is a thread here; that timer stands
    behind it, for a process that no thread of Python can run in.)
    """

    def __init__(
        self,
        seconds: int | float,
        *,
        end: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Watch from `__enter__` on; ``end`` and a monotonic ``clock`` are given by tests."""
        self._seconds = seconds
        self._end = end
        self._clock = clock
        self._last = clock()
        self._what = "the first step, which compiles,"
        self._limit = float(max(seconds, FIRST_SECONDS))
        self._is_warned = False
        self._pauses = 0
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
        """Take note that everything up to this step is done: its numbers are on the host."""
        self._last = self._clock()
        self._what = f"what follows step {step}"
        self._limit = self._seconds
        self._is_warned = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Give silence no meaning while open, for work that is no step and may take long."""
        self._pauses += 1
        try:
            yield
        finally:
            self._last = self._clock()
            self._pauses -= 1

    def check(self) -> None:
        """Warn or end, if it is time; called by the thread a few times in each period."""
        if self._pauses:
            return
        silent = self._clock() - self._last
        if silent >= self._limit:
            _say(
                f"ssljax: {self._what} has been running for {silent:.0f} s: a host is lost or"
                " stuck; ended, what was saved is intact and the same command resumes"
                " (--watchdog-seconds 0 waits for ever)"
            )
            with contextlib.suppress(OSError, ValueError):  # where standard error is no file
                faulthandler.dump_traceback(sys.__stderr__ or sys.stderr)
            self._end(EXIT_STUCK)
        elif silent >= self._limit / 2 and not self._is_warned:
            self._is_warned = True
            _say(
                f"{self._what} has been running for {silent:.0f} s; ending after {self._limit:g} s"
            )

    def _watch(self) -> None:
        pause = min(self._seconds / 20, 5.0)
        try:
            while not self._closed.wait(pause):
                self.check()
                if self._end is os._exit:
                    with contextlib.suppress(OSError, ValueError):
                        error = sys.__stderr__ or sys.stderr
                        faulthandler.dump_traceback_later(
                            2 * self._limit + pause, exit=True, file=error
                        )
        finally:
            faulthandler.cancel_dump_traceback_later()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
