"""Real images made small enough for two cores: fewer of them, at fewer pixels.

A bare machine has scikit-learn's digits only; the smoke scale runs on them.
"""

import dataclasses
import zlib
from typing import NamedTuple

import numpy as np

from experiments.errors import InputError
from ssljax.data.datasets import Dataset, open_dataset
from ssljax.data.sources import read_into_memory
from ssljax.system.arrays import UInt8


class Pair(NamedTuple):
    """Images to train on and images to test on, of one data set."""

    train: Dataset
    test: Dataset


def load_small(name: str, side: int, num_train: int, num_test: int) -> Pair:
    """The first images of a data set's two splits, averaged down to a side.

    Args:
      name: As for `ssljax.data.datasets.load_dataset`.
      side: Height and width; a divisor of the stored one.
      num_train: Training images, at most; the published order is a random one.
      num_test: Test images, at most.

    Returns:
      Both splits.

    Raises:
      InputError: The side does not divide the stored one.
      UsageError: The data set is not there.
    """
    return Pair(
        *(
            shrunk(first(_opened(name, split, count), count), side)
            for split, count in (("train", num_train), ("test", num_test))
        )
    )


def _opened(name: str, split: str, count: int) -> Dataset:
    """A split, of which no more than needed is decoded."""
    opened = open_dataset(name, split)
    if isinstance(opened, Dataset):
        return opened
    return read_into_memory(opened, indices=range(min(count, len(opened))))


def first(dataset: Dataset, count: int) -> Dataset:
    """The first images of a data set, with their labels and groups."""
    return dataclasses.replace(
        dataset,
        images=dataset.images[:count],
        labels=dataset.labels[:count],
        groups=None if dataset.groups is None else dataset.groups[:count],
    )


def shrunk(dataset: Dataset, side: int) -> Dataset:
    """A data set whose images are averaged over squares of pixels.

    Args:
      dataset: Square images.
      side: Wanted height and width, a divisor of the stored ones.

    Returns:
      The same examples; pixels are rounded to the nearest integer.

    Raises:
      InputError: The side does not divide.
    """
    count, height, width, channels = dataset.images.shape
    if height != width or side < 1 or height % side:
        raise InputError(
            f"images of {height}x{width} pixels cannot be averaged to {side}x{side}; give a side"
            f" that divides {height}"
        )
    if side == height:
        return dataset
    factor = height // side
    squares = dataset.images.reshape(count, side, factor, side, factor, channels)
    means = squares.mean(axis=(2, 4), dtype=np.float32)
    return dataclasses.replace(dataset, images=np.floor(means + 0.5).astype(np.uint8))


def padded(images: UInt8[np.ndarray, "n h w c"], side: int) -> UInt8[np.ndarray, "n s s 3"]:
    """Images in the middle of a black square, gray ones in three equal channels."""
    missing = side - images.shape[1]
    before = missing // 2
    spread = (before, missing - before)
    square = np.pad(images, ((0, 0), spread, spread, (0, 0)))
    return (
        np.broadcast_to(square, (*square.shape[:3], 3)).copy() if square.shape[3] == 1 else square
    )


def fingerprint(dataset: Dataset) -> str:
    """Eight characters that change with any pixel, label or group."""
    code = zlib.crc32(np.ascontiguousarray(dataset.images).tobytes())
    code = zlib.crc32(np.ascontiguousarray(dataset.labels).tobytes(), code)
    if dataset.groups is not None:
        code = zlib.crc32(np.ascontiguousarray(dataset.groups).tobytes(), code)
    return f"{code:08x}"
