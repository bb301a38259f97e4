"""Batches of a data set that is too large for memory, read ahead of the training loop.

Grain reads and decodes in threads, or in processes that read in threads. What a step sees is a
function of (key, step) alone and the same as on resident data: the order of an epoch is that of
`ssljax.data.batches`, evaluated in the readers. So a run resumes from its step, on any number of
hosts, each of which reads its own rows of every batch.
"""

import collections
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ssljax.data.batches import epoch_constants, permute_on_host
from ssljax.data.sources import Damaged, ImageSource, OnDamaged, damage_error
from ssljax.system.arrays import Int, PRNGKeyArray, UInt8, UInt32
from ssljax.system.errors import UsageError

_CHUNK = 16
_AHEAD = 2


class FedBatch(NamedTuple):
    """One process's rows of the batch of a step, on the host.

    Attributes:
        images: pixels as stored.
        labels: class of each image.
        identity: index of each example in the data set, also where a damaged image's place is
            taken by the next one: views depend on it.
    """

    images: UInt8[np.ndarray, "rows height width channels"]
    labels: Int[np.ndarray, " rows"]
    identity: Int[np.ndarray, " rows"]


class _Chunk(NamedTuple):
    batch: FedBatch
    damaged: tuple[Damaged, ...]


@dataclasses.dataclass(frozen=True)
class _ChunkReader:
    """Reads the n-th chunk of a run; what a worker process is sent."""

    source: ImageSource
    constants: UInt32[np.ndarray, "epochs rounds 2"]
    batch_size: int
    rows: tuple[int, int]
    chunk: int

    def __call__(self, number: int) -> _Chunk:
        first, last = self.rows
        step, place = divmod(number, (last - first) // self.chunk)
        size = self.source.num_images
        epoch, within = divmod(step, size // self.batch_size)
        start = within * self.batch_size + first + place * self.chunk
        positions = np.arange(start, start + self.chunk)
        indices = permute_on_host(self.constants[epoch], positions, size)
        examples, damaged = read_intact(self.source, indices)
        images = np.stack([example.image for example in examples])
        labels = np.array([example.label for example in examples], np.int32)
        return _Chunk(FedBatch(images, labels, indices.astype(np.int32)), damaged)


def read_intact(
    source: ImageSource, indices: Int[np.ndarray, " n"]
) -> tuple[list[Any], tuple[Damaged, ...]]:
    """Read examples at some indices; each damaged one is replaced by the next intact one.

    Args:
        source: where the images are.
        indices: which ones.

    Returns:
        As many examples as indices, a function of the indices alone; and what was damaged.

    Raises:
        UsageError: if nothing can be decoded.
    """
    examples, damaged = list(source.read([int(index) for index in indices])), []
    hopeless = f"none of the images of {source.name} can be decoded: restore them"
    for place, index in enumerate(indices):
        for further in range(1, source.num_images + 1):
            found = examples[place]
            if not isinstance(found, Damaged):
                break
            if further == source.num_images:
                raise UsageError(hopeless)
            damaged.append(found)
            examples[place] = source.read([(int(index) + further) % source.num_images])[0]
    return examples, tuple(damaged)


class Stream:
    """Batches of consecutive steps, read ahead; closes its readers on exit.

    Attributes:
        damaged: names of the damaged records met so far, in the order of their first appearance.
        images: images handed out so far.
        waited: seconds that the caller waited for them, without those for the first batch.
    """

    def __init__(
        self,
        source: ImageSource,
        key: PRNGKeyArray,
        batch_size: int,
        num_steps: int,
        *,
        start: int = 0,
        rows: tuple[int, int] | None = None,
        threads: int = 16,
        processes: int = 0,
        on_damaged: OnDamaged = "refuse",
        notice: Callable[[str], None] | None = None,
    ):
        """Keep the arguments; nothing is opened before the first batch is asked for.

        Args:
            source: where the images are.
            key: root key of the run's sampling, as for `ssljax.data.batches.batch_indices`.
            batch_size: images a step, over all processes.
            num_steps: steps of the whole run.
            start: steps already taken.
            rows: first and last row (exclusive) of each batch that this process reads; all.
            threads: decoding threads (in each worker process).
            processes: worker processes; 0 decodes in threads of this one.
            on_damaged: whether a damaged image ends the run, or the next one takes its place.
            notice: told of every damaged record once.

        Raises:
            UsageError: for a batch that exceeds the data set.
        """
        if batch_size > source.num_images:
            raise UsageError(
                f"batch-size {batch_size} exceeds the {source.num_images} images of {source.name}:"
                f" use at most {source.num_images}"
            )
        self.damaged: dict[str, str] = {}
        self.images = 0
        self.waited = 0.0
        self._on_damaged = on_damaged
        self._notice = notice
        self._rows = rows or (0, batch_size)
        local = self._rows[1] - self._rows[0]
        chunk = max(n for n in range(1, min(_CHUNK, local) + 1) if local % n == 0)
        self._chunks_per_batch = local // chunk
        epochs = -(-num_steps // (source.num_images // batch_size))
        self._reader = _ChunkReader(
            source, np.asarray(epoch_constants(key, epochs)), batch_size, self._rows, chunk
        )
        self._span = (start * self._chunks_per_batch, num_steps * self._chunks_per_batch)
        self._threads, self._processes = threads, processes
        self._chunks: Any = None

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *error: object) -> None:
        if self._chunks is not None:
            self._chunks.close()
            self._chunks = None  # now, while the modules it needs to end well are there

    def __iter__(self) -> Iterator[FedBatch]:
        """Yield the batches, in order of their steps.

        Raises:
            UsageError: for a damaged record that is not to be skipped.
        """
        self._chunks = self._open()
        for _ in range(self._span[0], self._span[1], self._chunks_per_batch):
            asked = time.monotonic()
            chunks = [next(self._chunks) for _ in range(self._chunks_per_batch)]
            if self.images:
                self.waited += time.monotonic() - asked
            for chunk in chunks:
                for damaged in chunk.damaged:
                    self._report_damaged(damaged)
            self.images += self._rows[1] - self._rows[0]
            batch = FedBatch(*(np.concatenate(part) for part in zip(*(c.batch for c in chunks))))
            del chunks  # of worker processes: shared memory, given back before the next is asked
            yield batch

    def _open(self):
        import grain  # noqa: PLC0415

        numbers = grain.MapDataset.range(*self._span)
        ahead = max(self._threads, _AHEAD * self._chunks_per_batch)
        dataset = numbers.map(self._reader).to_iter_dataset(
            grain.ReadOptions(num_threads=self._threads, prefetch_buffer_size=ahead)
        )
        if self._processes:
            from absl import flags  # noqa: PLC0415

            if not flags.FLAGS.is_parsed():  # Grain asks for a flag of its own, and has a default
                flags.FLAGS.mark_as_parsed()
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=self._processes, per_worker_buffer_size=2)
            )
        return iter(dataset)

    def _report_damaged(self, damaged: Damaged) -> None:
        if self._on_damaged == "refuse":
            raise damage_error(damaged)
        if damaged.record not in self.damaged:
            self.damaged[damaged.record] = damaged.why
            if self._notice is not None:
                self._notice(f"{damaged.record} cannot be decoded ({damaged.why}); left out")


def ahead_on_device(
    batches: Iterator[FedBatch], place: Callable[[FedBatch], Any], depth: int = _AHEAD
) -> Iterator[Any]:
    """Yield batches that are put on the device before they are needed.

    Args:
        batches: on the host.
        place: starts the copy of one to the device, without waiting for it.
        depth: batches on the device besides the one in use.

    Returns:
        Placed batches, in order.
    """
    queue: collections.deque[Any] = collections.deque()
    for batch in batches:
        queue.append(place(batch))
        if len(queue) > depth:
            yield queue.popleft()
    yield from queue
