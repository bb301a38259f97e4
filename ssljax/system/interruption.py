"""Being asked to stop: SIGTERM ends a run at the next step, with everything saved."""

import signal
import threading
from typing import Any


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
