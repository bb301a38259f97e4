"""Where the steps of a run get their batches: data on the device, or a stream from the host.

The training loop sees one thing, a feed that advances the state.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax

from ssljax.data.sources import ImageSource, OnDamaged
from ssljax.data.streaming import Stream, ahead_on_device
from ssljax.system.arrays import Array
from ssljax.training.mesh import Parallel, compiled
from ssljax.training.state import TrainState
from ssljax.training.step import Metrics, Update

INPUT_FILE = "input.json"


class Feed(Protocol):
    """Advances a run from the step it was opened at; the state passed in is given up."""

    def advance(
        self, state: TrainState, strength: Array, num_steps: int
    ) -> tuple[TrainState, Metrics]:
        """Take some steps; metrics have a leading axis of steps."""
        ...

    def remark(self) -> str:
        """What the progress line says about the input; may be empty."""
        ...

    def summary(self) -> dict[str, Any]:
        """Throughput and damage so far, as in ``input.json``."""
        ...


OpenFeed = Callable[..., contextlib.AbstractContextManager[Feed]]
"""``open_feed(state, step, notice)``: a feed from that step on, closed at the end; ``notice`` is
told about damaged records."""


class _Pace:
    """Images trained on a second, from the end of the first call, which compiled."""

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._images, self._since = 0, None

    def advanced(self, num_steps: int) -> bool:
        """Count some steps; whether they were the first."""
        if self._since is None:
            self._since = time.monotonic()
            return True
        self._images += num_steps * self._batch_size
        return False

    @property
    def seconds(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def images_per_second(self) -> float | None:
        return self._images / self.seconds if self._images else None


class _Resident:
    """Batches are drawn on the device, inside the compiled call."""

    def __init__(self, advance: Callable[..., Any], batch_size: int):
        self._advance = advance
        self._pace = _Pace(batch_size)

    def advance(self, state: TrainState, strength: Array, num_steps: int) -> Any:
        state, metrics = self._advance(state, strength, num_steps)
        self._pace.advanced(num_steps)
        return state, metrics

    def remark(self) -> str:
        return ""

    def summary(self) -> dict[str, Any]:
        return {"kind": "resident", "images_per_second": self._pace.images_per_second}


def resident_feed(advance: Callable[..., Any], batch_size: int) -> OpenFeed:
    """A feed of data that stay on the device.

    Args:
      advance: ``advance(state, strength, num_steps) -> (state, metrics)``, compiled.
      batch_size: Images a step.
    """

    @contextlib.contextmanager
    def open_feed(
        state: TrainState, step: int, notice: Callable[[str], None] | None = None
    ) -> Iterator[Feed]:
        del state, step, notice
        yield _Resident(advance, batch_size)

    return open_feed


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


class _Streamed:
    """Each step takes the next batch of a stream, already on the device."""

    def __init__(
        self, stream: Stream, step: Callable[..., Any], parallel: Parallel, batch_size: int
    ):
        self._stream = stream
        self._step = step
        self._batches = ahead_on_device(iter(stream), parallel.place_batch)
        self._pace = _Pace(batch_size)
        self._waited_before = 0.0

    def advance(self, state: TrainState, strength: Array, num_steps: int) -> Any:
        if num_steps != 1:
            raise ValueError(f"a stream advances step by step, not {num_steps} at once")
        state, metrics = self._step(state, next(self._batches), strength)
        if self._pace.advanced(1):
            self._waited_before = self._stream.waited
        return state, metrics

    def _waited(self) -> float:
        return (self._stream.waited - self._waited_before) / max(self._pace.seconds, 1e-9)

    def remark(self) -> str:
        return f", input waited for {100 * self._waited():.0f} % of the time"

    def summary(self) -> dict[str, Any]:
        return {
            "kind": "streamed",
            "images_per_second": self._pace.images_per_second,
            "waited_fraction": self._waited(),
            "damaged": sorted(self._stream.damaged),
        }


def streamed_feed(
    source: ImageSource,
    update: Update,
    parallel: Parallel,
    *,
    batch_size: int,
    num_steps: int,
    readers: Readers,
) -> OpenFeed:
    """A feed of data that are read while training.

    The batch of a step is that of the same step on resident data, so a run is resumed from its
    step alone.

    Args:
      source: Where the images are.
      update: The step on a batch that is given.
      parallel: How a batch is spread over the devices.
      batch_size: Images a step, over all processes.
      num_steps: Steps of the whole run.
      readers: How the images are read.
    """

    def step(state: TrainState, batch: Any, strength: Array) -> Any:
        images, labels, identity = batch
        state, metrics = update(state, images, labels, identity, strength)
        return state, {name: value[None] for name, value in metrics.items()}

    programs: list[Any] = []

    @contextlib.contextmanager
    def open_feed(
        state: TrainState, start: int, notice: Callable[[str], None] | None = None
    ) -> Iterator[Feed]:
        if not programs:
            programs.append(compiled(step, parallel, parallel.state_shardings(state), divided=True))
        # The keys of `ssljax.training.step.make_draw`; the key is the same on every device.
        batch_key, _ = jax.random.split(parallel.host_key(state.key))
        with Stream(
            source,
            batch_key,
            batch_size,
            num_steps,
            start=start,
            rows=parallel.local_rows(batch_size),
            threads=readers.threads,
            processes=readers.processes,
            on_damaged=readers.on_damaged,
            notice=notice,
        ) as stream:
            yield _Streamed(stream, programs[0], parallel, batch_size)

    return open_feed
