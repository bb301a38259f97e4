import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.data.batches import batch_indices
from ssljax.data.sources import Damaged, Dataset, Example, ImageSource, wrap_dataset
from ssljax.data.streaming import Stream, ahead_on_device
from ssljax.system.errors import UsageError

SIZE, BATCH, STEPS = 50, 12, 11
RNG = np.random.default_rng(0)
DATA = Dataset(
    RNG.integers(0, 256, (SIZE, 4, 4, 3)).astype(np.uint8), np.arange(SIZE) % 7, 1 / 255, 7, "some"
)
SOURCE = wrap_dataset(DATA)
KEY = jax.random.key(5)
indices_of = jax.jit(lambda step: batch_indices(KEY, step, SIZE, BATCH, "epoch"))


def streamed(source=SOURCE, batch_size=BATCH, **options):
    with Stream(source, KEY, batch_size, STEPS, threads=3, **options) as stream:
        return list(stream), stream


def test_a_stream_gives_the_batches_of_resident_data_in_their_order():
    batches, stream = streamed()
    assert len(batches) == STEPS  # two epochs of four, and three steps
    for step, batch in enumerate(batches):
        indices = np.asarray(indices_of(jnp.int32(step)))
        np.testing.assert_array_equal(batch.identity, indices)
        np.testing.assert_array_equal(batch.images, DATA.images[indices])
        np.testing.assert_array_equal(batch.labels, DATA.labels[indices])
    assert stream.images == STEPS * BATCH
    assert stream.waited >= 0


@pytest.mark.parametrize("batch_size", [BATCH, 34])  # one chunk a batch, and seventeen
def test_a_stream_resumes_from_its_step_alone(batch_size):
    whole, _ = streamed(batch_size=batch_size)
    for start in (1, 6):
        rest, _ = streamed(batch_size=batch_size, start=start)
        assert len(rest) == STEPS - start
        for one, other in zip(rest, whole[start:]):
            for mine, theirs in zip(one, other):
                np.testing.assert_array_equal(mine, theirs)


def test_processes_read_their_own_rows_of_the_same_batches():
    whole, _ = streamed()
    parts = [streamed(rows=rows)[0] for rows in ((0, 4), (4, 8), (8, 12))]
    for step, batch in enumerate(whole):
        for name in batch._fields:
            mine = np.concatenate([getattr(part[step], name) for part in parts])
            np.testing.assert_array_equal(mine, getattr(batch, name))


def read_with_damage(indices):
    """Records 3 and 4 are damaged; decoding takes longer the later the record."""
    time.sleep(0.001 * (indices[0] % 5))
    return [
        Damaged(f"record {i}", "cut short") if i in (3, 4) else Example(DATA.images[i], i)
        for i in indices
    ]


DAMAGED = ImageSource(read_with_damage, SIZE, (4, 4, 3), SIZE, "scratched", 0)


def test_the_place_of_a_damaged_image_is_taken_by_the_next_and_it_is_named_once():
    told = []
    batches, stream = streamed(DAMAGED, on_damaged="skip", notice=told.append)
    assert sorted(stream.damaged) == ["record 3", "record 4"]
    assert len(told) == 2
    for step, batch in enumerate(batches):
        indices = np.asarray(indices_of(jnp.int32(step)))
        np.testing.assert_array_equal(batch.identity, indices)
        shown = np.where((indices == 3) | (indices == 4), 5, indices)
        np.testing.assert_array_equal(batch.labels, shown)
        np.testing.assert_array_equal(batch.images, DATA.images[shown])


def test_a_damaged_image_ends_the_stream_where_it_is_not_to_be_skipped():
    with pytest.raises(UsageError, match=r"record [34] cannot be decoded \(cut short\)"):
        streamed(DAMAGED)


def test_a_set_of_which_nothing_can_be_decoded_is_refused():
    def nothing(indices):
        return [Damaged(f"record {i}", "gone") for i in indices]

    source = ImageSource(nothing, SIZE, (4, 4, 3), SIZE, "scratched", 0)
    with pytest.raises(UsageError, match="none of the images of scratched"):
        streamed(source, on_damaged="skip")


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(UsageError, match="exceeds the 50 images of some"):
        Stream(SOURCE, KEY, 51, 1)


def test_batches_are_on_the_device_before_they_are_asked_for():
    placed = []

    def place(number):
        placed.append(number)
        return number

    batches = ahead_on_device(iter(range(6)), place, depth=2)
    assert next(batches) == 0
    assert placed == [0, 1, 2]
    assert next(batches) == 1
    assert placed == [0, 1, 2, 3]
    assert list(batches) == [2, 3, 4, 5]


@pytest.mark.slow
def test_worker_processes_give_the_same_batches():
    whole, _ = streamed()
    batches, _ = streamed(processes=2)
    for one, other in zip(batches, whole, strict=True):
        for mine, theirs in zip(one, other):
            np.testing.assert_array_equal(mine, theirs)
