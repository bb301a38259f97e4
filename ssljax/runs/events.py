"""Metrics as TensorBoard events, where tensorboardX is installed.

Events are written by the caller's thread: the library's own writer hands them to a thread that a
full disk ends silently, after which handing over blocks for ever.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FLUSH_SECONDS = 10.0


class EventFile:
    """One file of events; those of an earlier attempt from the same step on are hidden by it.

    Raises:
      ImportError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path, step: int):
        """Open a file in ``folder`` for the steps after ``step``."""
        from tensorboardX import proto  # noqa: PLC0415
        from tensorboardX.event_file_writer import EventsWriter  # noqa: PLC0415

        messages: Any = proto  # made at run time: no type checker knows what is in them
        self._event, self._summary = messages.event_pb2.Event, messages.summary_pb2.Summary
        folder.mkdir(exist_ok=True)
        self._writer: Any = EventsWriter(str(folder / "events"), f".{os.getpid()}")
        log = messages.event_pb2.SessionLog
        self._writer.write_event(self._event(step=step + 1, session_log=log(status=log.START)))
        self._flushed = time.monotonic()

    def write(self, step: int, scalars: Mapping[str, int | float]) -> None:
        """Numbers of one step; on the disk after some seconds.

        Raises:
          OSError: The disk cannot be written.
        """
        values = [
            self._summary.Value(tag=name, simple_value=float(value))
            for name, value in scalars.items()
        ]
        summary = self._summary(value=values)
        self._writer.write_event(self._event(step=step, wall_time=time.time(), summary=summary))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()
