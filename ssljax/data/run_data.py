"""The images of a run: in memory, or a sample of them and where the rest is streamed from."""

from typing import Literal, NamedTuple

import numpy as np

from ssljax.data.composites import DIGIT_SIDE
from ssljax.data.datasets import (
    PHOTOGRAPH_SIDE,
    Dataset,
    ImageSource,
    OnDamaged,
    Progress,
    open_dataset,
)
from ssljax.data.sources import RESIDENT_GIB, damage_report, read_into_memory, wrap_dataset
from ssljax.system.progress import notice

SAMPLE_GIB = 0.25
SQUEEZE = 9 / 7
"""Side of the square that whole photographs are squeezed into for random crops, over the side of
the views: 288 pixels for views of 224, as many pixels as a 4:3 photograph of shorter side 250."""


class RunData(NamedTuple):
    """What a run is trained on.

    Attributes:
      dataset: All images, or an evenly spaced sample of those that are streamed.
      source: Where images are streamed from; none where all are in memory.
    """

    dataset: Dataset
    source: ImageSource | None


class Reading(NamedTuple):
    """Where images are read from, and how.

    Attributes:
      name: Data set.
      data_dir: TFDS directory; empty for the default.
      side: Height and width that photographs are decoded to.
      on_damaged: Whether damaged images are refused, or left out and named.
      stream: Whether images are read while training; ``auto`` for sets larger than the limit.
      resident_gib: Largest set kept in memory, in GiB.
      digit_side: Height and width of the digits of mnist_on_cifar.
      crops: Whether random crops are trained on. Photographs (images of many sizes) are then kept
        whole, squeezed into a square, so that a crop is taken from all of the photograph at its
        own resolution; otherwise the middle square is all that is ever shown. What is measured
        shows the middle square.
    """

    name: str
    data_dir: str = ""
    side: int = PHOTOGRAPH_SIDE
    on_damaged: OnDamaged = "refuse"
    stream: Literal["auto", "always", "never"] = "auto"
    resident_gib: float = RESIDENT_GIB
    crops: bool = False
    digit_side: int = DIGIT_SIDE


def read_training_data(reading: Reading, split: str, report: Progress | None = None) -> RunData:
    """Return the images to train on.

    Args:
      reading: Names them, and says what is streamed and what happens to damaged ones.
      split: Which split.
      report: Called with (images read, images in all).

    Returns:
      The images. Of streamed ones a sample of at most a quarter of a GiB is read: what input
      normalization and moments are measured on.

    Raises:
      UsageError: The data are missing or damaged, or too large not to be streamed.
    """
    squeezed_into = round(SQUEEZE * reading.side) if reading.crops else 0
    opened = _open(reading, split, report, squeezed_into)
    if isinstance(opened, Dataset):
        return RunData(opened, wrap_dataset(opened) if reading.stream == "always" else None)
    is_large = opened.gib > reading.resident_gib
    if reading.stream == "always" or (reading.stream == "auto" and is_large):
        gib = min(SAMPLE_GIB, reading.resident_gib)
        return RunData(_read(reading, opened, gib, report), opened)
    return RunData(_all(reading, opened, report), None)


def read_measured_images(reading: Reading, split: str, report: Progress | None = None) -> Dataset:
    """Return images of one split of a data set that features are measured on.

    Args:
      reading: Names the data set and how much of it may be in memory.
      split: Which split.
      report: Called with (images read, images in all).

    Returns:
      All of them where they fit, otherwise an evenly spaced part of them: a line says so, and
      `Dataset.available` says of how many.

    Raises:
      UsageError: The data are missing or damaged.
    """
    opened = _open(reading, split, report)
    if isinstance(opened, Dataset):
        return opened
    return _read(reading, opened, reading.resident_gib, report)


def _open(reading, split, report, squeezed_into=0):
    return open_dataset(
        reading.name,
        split,
        reading.data_dir or None,
        side=reading.side,
        squeezed_into=squeezed_into,
        digit_side=reading.digit_side,
        progress=report,
    )


def _read(reading, source, gib, report):
    count = int(source.num_images * min(1.0, gib / source.gib))
    if count == source.num_images:
        return _all(reading, source, report)
    count = max(count, min(2, source.num_images))
    spaced = np.linspace(0, source.num_images - 1, count).astype(int).tolist()
    notice(f"{source.name}: measuring on {count} of {source.num_images} images, evenly spaced")
    return _all(reading, source, report, indices=spaced, limit_gib=np.inf)


def _all(reading, source, report, **options):
    limits = {"limit_gib": reading.resident_gib, **options}
    dataset = read_into_memory(source, on_damaged=reading.on_damaged, progress=report, **limits)
    if dataset.damaged:
        notice(damage_report(dataset.damaged, source.name))
    return dataset
