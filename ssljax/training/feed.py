"""Where the steps of a run get their batches: data on the devices, or a stream from the host.

The training loop sees one thing, a feed: it gives the batch of the next call and says how fast
the input was. Resident data are drawn inside the compiled step, so their feed gives nothing.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ssljax.data.sources import ImageSource, OnDamaged
from ssljax.data.streaming import Stream, ahead_on_device
from ssljax.system.arrays import PRNGKeyArray
from ssljax.training.parallel import Parallel

INPUT_FILE = "input.json"


class Readers(NamedTuple):
    """How a stream is read.

    Attributes:
      threads: Decoding threads, in each worker process if there are any.
      processes: Worker processes; 0 decodes in threads of the training process.
      on_damaged: Whether a damaged image ends the run, or the next one takes its place.
    """

    threads: int = 16
    processes: int = 0
    on_damaged: OnDamaged = "refuse"


class Feed:
    """The batches of a run from one step on, and the pace of their use."""

    def __init__(self, batch_size: int, stream: Stream | None, batches: Iterator[Any] | None):
        self._batch_size = batch_size
        self._stream = stream
        self._batches = batches
        self._images = 0
        self._since: float | None = None
        self._waited_before = 0.0

    def next_batch(self) -> Any:
        """Return the batch of the next step, on the devices; None where the step draws its own."""
        return None if self._batches is None else next(self._batches)

    def count(self, num_steps: int) -> None:
        """Take note that a call of some steps was started; the first one compiled."""
        if self._since is None:
            self._since = time.monotonic()
            self._waited_before = self._stream.waited if self._stream else 0.0
        else:
            self._images += num_steps * self._batch_size

    def remark(self) -> str:
        """Return what the progress line says about the input; may be empty."""
        share = self._measure_waiting()
        return "" if share is None else f", input waited for {100 * share:.0f} % of the time"

    def summary(self) -> dict[str, Any]:
        """Return throughput and damage so far, as in ``input.json``."""
        seconds = self._seconds()
        summary: dict[str, Any] = {
            "kind": "resident" if self._stream is None else "streamed",
            "images_per_second": self._images / seconds if self._images else None,
        }
        if self._stream is not None:
            summary |= {
                "waited_fraction": self._measure_waiting(),
                "damaged": sorted(self._stream.damaged),
            }
        return summary

    def _seconds(self) -> float:
        return 0.0 if self._since is None else max(time.monotonic() - self._since, 1e-9)

    def _measure_waiting(self) -> float | None:
        if self._stream is None:
            return None
        return (self._stream.waited - self._waited_before) / max(self._seconds(), 1e-9)


@contextlib.contextmanager
def open_feed(
    source: ImageSource | None,
    key: Callable[[], PRNGKeyArray],
    parallel: Parallel,
    *,
    batch_size: int,
    start: int,
    num_steps: int,
    readers: Readers,
    notice: Callable[[str], None] | None = None,
) -> Iterator[Feed]:
    """Open the feed of a run from one step on.

    The batch of a step is that of the same step on resident data, so a run is resumed from its
    step alone.

    Args:
      source: Where images are streamed from; none: they are on the devices.
      key: Returns the key that batches are drawn with, asked for only where there is a source.
      parallel: How a batch is spread over the devices.
      batch_size: Images a step, over all processes.
      start: Steps already taken.
      num_steps: Steps of the whole run.
      readers: How the images are read.
      notice: Told about damaged records.

    Yields:
      The feed.
    """
    if source is None:
        yield Feed(batch_size, None, None)
        return
    with Stream(
        source,
        key(),
        batch_size,
        num_steps,
        start=start,
        rows=parallel.local_rows(batch_size),
        threads=readers.threads,
        processes=readers.processes,
        on_damaged=readers.on_damaged,
        notice=notice,
    ) as stream:
        yield Feed(batch_size, stream, ahead_on_device(iter(stream), parallel.place_batch))
