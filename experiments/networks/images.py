"""The images of a tier: what networks are trained on, and what probes of a task read.

Images of other sizes than a tier's are averaged over squares of pixels. The smoke tier makes every
set of scikit-learn's handwritten digits, tinted, so that it runs without any download.
"""

import dataclasses
import zlib
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from experiments.errors import InputError
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from ssljax.data.clean_images import clean_dataset
from ssljax.data.composites import (
    OBJECT_CLASSES,
    Design,
    divide_objects,
    make_two_shortcuts,
    overlay_digits,
)
from ssljax.data.datasets import Dataset, load_dataset

SIDE = 32
ALIGNED = 0.95
"""Share of a class's training pictures with its own background, and with its own digit."""


class Labeled(NamedTuple):
    """Images of a task, in stored order, with their labels, and their groups where there are any.

    Groups are ``4 class + 2 background + digit``; test images of a group are in the order of their
    objects, which are the same in all four groups of a class.
    """

    images: UInt8[np.ndarray, "images height width channels"]
    labels: Int[np.ndarray, " images"]
    groups: Int[np.ndarray, " images"] | None = None


class Split(NamedTuple):
    """What a probe of a task is fitted on and tested on.

    Attributes:
      train: As many training images as the tier has labels for probes; of groups, the pictures
        that networks were trained on, whose shortcuts go with the class.
      test: All test images.
      validation: Of groups: pictures of held-out training objects, all groups alike frequent.
    """

    train: Labeled
    test: Labeled
    validation: Labeled | None = None


class Counts(NamedTuple):
    """Pictures and objects of groups, of each class."""

    train: int
    objects: int


COUNTS = Counts(train=4000, objects=1000)
SMOKE_COUNTS = Counts(train=64, objects=20)
GROUP_TASKS = ("object", "group", "aligned", "misled")
SOURCES = {
    "cifar10": "cifar10",
    "corruptions": "cifar10_stored",
    "fine": "cifar100",
    "coarse": "cifar100_coarse",
    "mnist": "mnist",
    "parity": "mnist_parity",
    "digits": "digits",
    "digit": "mnist_on_cifar",
    "background": "mnist_on_cifar",
    **dict.fromkeys(GROUP_TASKS, "two_shortcuts"),
}
"""Images of each task; those of `corruptions` are clean and as large as they are stored, because
the formulas of corruptions are made for that size."""


def load_training_images(network: str, tier: str) -> Dataset:
    """Return the images that a network of the table is trained on.

    Args:
      network: A name of `TRAININGS`.
      tier: A name of `SIZES`.

    Raises:
      UsageError: A data set is missing or damaged.
    """
    training = TRAININGS[network]
    return _load_images(training.data, tier, "train", training.digit_side)


def load_task(task: str, network: str, tier: str) -> Split:
    """Return the images of a task as a network is probed on it.

    Args:
      task: A name of `SOURCES`; `group:3` is all of `group`.
      network: A name of `TRAININGS`; it says how digits on images are shown.
      tier: A name of `SIZES`.

    Raises:
      InputError: There is no such task.
      UsageError: A data set is missing or damaged.
    """
    name = task.partition(":")[0]
    if name not in SOURCES:
        raise InputError(f"no images of '{task}'; the tasks are {', '.join(SOURCES)}")
    training = TRAININGS[network]
    return _load_split(name, tier, training.digit_side, training.digit_strength)


@cache
def _load_split(task: str, tier: str, digit_side: int, digit_strength: float) -> Split:
    def labeled(split: str, count: int | None = None) -> Labeled:
        dataset = _load_images(SOURCES[task], tier, split, digit_side)
        dataset = clean_dataset(take_first(dataset, count), digit_strength)
        labels, groups = dataset.labels, dataset.groups
        if task == "background":
            assert groups is not None
            labels = groups % 10
        return Labeled(dataset.images, labels, groups if task in GROUP_TASKS else None)

    if task in GROUP_TASKS:
        return Split(labeled("train"), labeled("test"), labeled("val"))
    return Split(labeled("train", SIZES[tier].probe_labels), labeled("test"))


@cache
def _load_images(data: str, tier: str, split: str, digit_side: int) -> Dataset:
    """All images of a split, at the side of the tier."""
    if data == "cifar10_stored":
        return _read_first("cifar10", tier, split)
    if data == "digits":
        images = load_dataset("digits", "all" if split == "train" else split)
        return take_first(images, _count(tier, split))
    if data == "two_shortcuts":
        return _make_groups(tier, split)
    side = SIZES[tier].side
    if data == "mnist_on_cifar":
        backgrounds, digits = (_read_first(name, tier, split) for name in ("cifar10", "mnist"))
        return average_pixels(overlay_digits(backgrounds, digits, digit_side), side)
    if data in ("mnist", "mnist_parity"):
        digits = _read_first("mnist", tier, split)
        digits = dataclasses.replace(digits, images=pad_in_color(digits.images, SIDE))
        if data == "mnist_parity":
            digits = dataclasses.replace(digits, labels=digits.labels % 2, num_classes=2)
        return average_pixels(digits, side)
    return average_pixels(_read_first(data, tier, split), side)


@cache
def _make_groups(tier: str, split: str) -> Dataset:
    size = SIZES[tier]
    counts = COUNTS if size.judged else SMOKE_COUNTS
    stored = "test" if split == "test" else "train"
    images = average_pixels(_read_images("cifar10", tier, stored), size.side)
    digits = _read_images("mnist", tier, stored)
    if split == "test":
        images = keep_objects(images, counts.objects)
    else:
        images = divide_objects(images, counts.objects)[split == "val"]
    balanced = Design(4 * counts.objects, 0.5, 0.5)
    design = Design(counts.train, ALIGNED, ALIGNED) if split == "train" else balanced
    seed = ("train", "val", "test").index(split)
    return make_two_shortcuts(images, digits, design, seed=seed, side=size.side)


def _count(tier: str, split: str) -> int:
    return SIZES[tier].num_train if split == "train" else SIZES[tier].num_test


def _read_first(name: str, tier: str, split: str) -> Dataset:
    return take_first(_read_images(name, tier, split), _count(tier, split))


@cache
def _read_images(name: str, tier: str, split: str) -> Dataset:
    """Images as they are stored, or their stand-in."""
    return load_dataset(name, split) if SIZES[tier].judged else _tint_digits(name, split)


@cache
def _tint_digits(name: str, split: str) -> Dataset:
    """Handwritten digits of 32 pixels, in the shape of another data set.

    Ink and ground have random colors where that set is in color; coarse classes are two digits.
    """
    digits = load_dataset("digits", split)
    large = np.repeat(np.repeat(digits.images, 4, axis=1), 4, axis=2)
    ink = large.astype(np.float32) / 16
    if name == "mnist":
        images = np.floor(255 * ink + 0.5).astype(np.uint8)
    else:
        draw = np.random.default_rng(zlib.crc32(f"{name} {split}".encode()))
        colors = draw.uniform(0, 255, (2, len(ink), 1, 1, 3))
        images = np.floor(ink * colors[0] + (1 - ink) * colors[1] + 0.5).astype(np.uint8)
    labels = digits.labels // 2 if name == "cifar100_coarse" else digits.labels
    return dataclasses.replace(
        digits,
        images=images,
        labels=labels,
        pixel_scale=1 / 255,
        num_classes=20 if name == "cifar100_coarse" else 10,
        name=name,
    )


def take_first(dataset: Dataset, count: int | None) -> Dataset:
    """Return the first images of a data set, with their labels and groups; None takes all."""
    return dataclasses.replace(
        dataset,
        images=dataset.images[:count],
        labels=dataset.labels[:count],
        groups=None if dataset.groups is None else dataset.groups[:count],
    )


def keep_objects(images: Dataset, count: int) -> Dataset:
    """Return images with the first objects of each class of `OBJECT_CLASSES` and all others.

    Raises:
      InputError: A class has fewer objects.
    """
    kept = ~np.isin(images.labels, OBJECT_CLASSES)
    for classes in OBJECT_CLASSES:
        rows = np.flatnonzero(np.isin(images.labels, classes))
        if len(rows) < count:
            raise InputError(
                f"{images.name} has {len(rows)} objects of class {classes[0]}, {count} are needed"
            )
        kept[rows[:count]] = True
    return dataclasses.replace(images, images=images.images[kept], labels=images.labels[kept])


def average_pixels(dataset: Dataset, side: int) -> Dataset:
    """Return a data set whose images are averaged over squares of pixels, as `average_squares`."""
    return dataclasses.replace(dataset, images=average_squares(dataset.images, side))


def average_squares(
    images: UInt8[np.ndarray, "n height width channels"], side: int
) -> UInt8[np.ndarray, "n side side channels"]:
    """Return images averaged over squares of pixels and rounded.

    Args:
      images: Square; ink in a last channel is averaged like a color.
      side: Height and width wanted, a divisor of the stored ones.

    Raises:
      InputError: The side does not divide.
    """
    count, height, width, channels = images.shape
    if height != width or side < 1 or height % side:
        raise InputError(
            f"images of {height}x{width} pixels cannot be averaged to {side}x{side}; give a side"
            f" that divides {height}"
        )
    if side == height:
        return images
    factor = height // side
    squares = images.reshape(count, side, factor, side, factor, channels)
    means: Float[np.ndarray, "n h w c"] = squares.mean(axis=(2, 4), dtype=np.float32)
    return np.floor(means + 0.5).astype(np.uint8)


def pad_in_color(
    images: UInt8[np.ndarray, "n h w 1"], side: int
) -> UInt8[np.ndarray, "n side side 3"]:
    """Return gray images in the middle of a black square, in three equal channels."""
    missing = side - images.shape[1]
    spread = (missing // 2, missing - missing // 2)
    square = np.pad(images, ((0, 0), spread, spread, (0, 0)))
    return np.repeat(square, 3, axis=3)


def fingerprint(dataset: Dataset) -> str:
    """Return eight characters that change with any pixel, label or group."""
    code = zlib.crc32(np.ascontiguousarray(dataset.images).tobytes())
    code = zlib.crc32(np.ascontiguousarray(dataset.labels).tobytes(), code)
    if dataset.groups is not None:
        code = zlib.crc32(np.ascontiguousarray(dataset.groups).tobytes(), code)
    return f"{code:08x}"
