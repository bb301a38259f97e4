"""Two shortcuts in one picture: the design of UrbanCars, made of CIFAR-10 and MNIST.

An object (an automobile or a truck, the class to learn) stands in the middle, half as wide as the
picture, before a background (another image: sky and sea, or forest and field), with a
co-occurring digit (a zero or a one) below it, a quarter as wide. In the training images
background and digit each go with the class as often as chosen; in the test images all eight
combinations are equally frequent.
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from ssljax.data.composites import resized
from ssljax.data.sources import Dataset, Progress, in_memory
from ssljax.data.tfds import open_split
from ssljax.system.arrays import Int, UInt8
from ssljax.system.errors import UsageError

OBJECT_CLASSES = ((1,), (9,))
"""CIFAR-10 classes of the object: automobile, truck."""
BACKGROUND_CLASSES = ((0, 8), (4, 6))
"""CIFAR-10 classes of the background: airplane and ship, deer and frog."""
DIGIT_CLASSES = ((0,), (1,))
GROUP_NAMES = tuple(
    f"{car}, {background} background, digit {digit}"
    for car, background, digit in itertools.product(
        ("automobile", "truck"), ("sky", "land"), ("zero", "one")
    )
)
NUM_GROUPS = len(GROUP_NAMES)


class Design(NamedTuple):
    """How many images, and how often each shortcut goes with the class.

    Attributes:
        per_class: images of each class.
        background: fraction of a class's images with its own background.
        digit: fraction with its own digit, independently of the background.
    """

    per_class: int
    background: float
    digit: float


DESIGNS = {
    "train": Design(4000, 0.95, 0.95),
    "val": Design(500, 0.5, 0.5),
    "test": Design(500, 0.5, 0.5),
}
"""UrbanCars' numbers."""

_HELD_OUT = 1000
"""Objects of each class, the last of CIFAR-10's training images, that only validation shows."""


def load_two_shortcuts(split: str, data_dir: str | None, progress: Progress | None) -> Dataset:
    """The set of :data:`DESIGNS`, from CIFAR-10 and MNIST.

    Training and validation objects are different training images of CIFAR-10; test images use
    only test images of both sets.

    Args:
        split: "train", "val" or "test".
        data_dir: where the TFDS directories of both are.
        progress: called while they are read.

    Returns:
        The images; groups are ``4 object + 2 background + digit``.

    Raises:
        UsageError: for another split, and for data that is missing or damaged.
    """
    if split not in DESIGNS:
        raise UsageError(f"two_shortcuts has no {split} split; it has {', '.join(DESIGNS)}")
    part = "test" if split == "test" else "train"
    images, digits = (
        in_memory(open_split(name, part, "label", data_dir, 0), progress=progress)
        for name in ("cifar10", "mnist")
    )
    if split != "test":
        images = objects_divided(images, _HELD_OUT)[split == "val"]
    made = make_two_shortcuts(images, digits, DESIGNS[split], seed=list(DESIGNS).index(split))
    return dataclasses.replace(made, name="two_shortcuts")


def objects_divided(images: Dataset, held_out: int) -> tuple[Dataset, Dataset]:
    """Images for training and for validation that show different objects.

    Args:
        images: CIFAR-10, or color images with its class numbers.
        held_out: objects of each class, the last ones, that only validation shows.

    Returns:
        Those to train on and those to validate with; backgrounds are in both.

    Raises:
        UsageError: if a class has no more objects than that.
    """
    held = np.zeros(len(images), bool)
    objects = np.isin(images.labels, OBJECT_CLASSES)
    for classes in OBJECT_CLASSES:
        rows = np.flatnonzero(np.isin(images.labels, classes))
        if not 0 < held_out < len(rows):
            raise UsageError(
                f"{held_out} objects held out of {len(rows)}; wanted at least one and not all"
            )
        held[rows[-held_out:]] = True

    def part(keep):
        return dataclasses.replace(images, images=images.images[keep], labels=images.labels[keep])

    return part(~held), part(held | ~objects)


def make_two_shortcuts(
    images: Dataset, digits: Dataset, design: Design, *, seed: int, side: int = 32
) -> Dataset:
    """Pictures of an object with two shortcuts, a function of the arguments alone.

    Args:
        images: CIFAR-10, or color images with its class numbers.
        digits: MNIST, or gray images of digits on a black ground.
        design: numbers and correlations.
        seed: decides which images are put together.
        side: height and width of the pictures; a multiple of 4.

    Returns:
        ``2 design.per_class`` pictures, by group; counts in a group are rounded to the nearest
        whole image. Objects are all different where the set has enough of them.

    Raises:
        UsageError: for correlations outside [0, 1], a side that is no multiple of 4, or a set
            without one of the classes.
    """
    if not (0 <= design.background <= 1 and 0 <= design.digit <= 1) or design.per_class < 1:
        raise UsageError(f"{design}: wanted fractions from 0 to 1 and at least one image a class")
    if side % 4 or side < 8:
        raise UsageError(f"side is {side}; wanted a multiple of 4, at least 8")
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(NUM_GROUPS), group_counts(design))
    labels, backgrounds, shapes = groups // 4, groups // 2 % 2, groups % 2
    pictures = _scaled(images.images[_drawn(images, BACKGROUND_CLASSES, backgrounds, rng)], side)
    objects = _scaled(images.images[_drawn(images, OBJECT_CLASSES, labels, rng)], side // 2)
    ink = resized(digits.images[_drawn(digits, DIGIT_CLASSES, shapes, rng), :, :, 0], side // 4)
    quarter = side // 4
    pictures[:, quarter : 3 * quarter, quarter : 3 * quarter] = objects
    # The digit is as bright as its ink where it has any, so that no frame betrays it.
    below = pictures[:, 3 * quarter :, (side - quarter) // 2 : (side + quarter) // 2]
    below[:] = np.where(ink[..., None] > 0, ink[..., None], below)
    return Dataset(
        pictures,
        labels.astype(np.int32),
        images.pixel_scale,
        2,
        f"two shortcuts of {images.name} and {digits.name}",
        groups=groups.astype(np.int32),
        group_names=GROUP_NAMES,
    )


def group_counts(design: Design) -> Int[np.ndarray, " groups"]:
    """Images in each of the eight groups; those of a class add up to ``per_class``."""
    own = design.per_class * np.array([design.background, 1 - design.background])
    both = np.floor(np.outer(own, [design.digit, 1 - design.digit]) + 0.5).astype(int).ravel()
    # Rounding is made up for in the largest group.
    both[np.argmax(both)] += design.per_class - both.sum()
    return np.concatenate([both, both[::-1]])


def _drawn(dataset, classes, wanted, rng):
    """Rows of images of each wanted class: in random order, repeated only when all are used up."""
    rows = np.empty(len(wanted), int)
    for which, labels in enumerate(classes):
        places = np.flatnonzero(wanted == which)
        pool = np.flatnonzero(np.isin(dataset.labels, labels))
        if not len(pool):
            raise UsageError(f"{dataset.name} has no images of class {labels[0]}: give a full set")
        rounds = -(-len(places) // len(pool)) if len(places) else 0
        order = [rng.permutation(pool) for _ in range(rounds)]
        rows[places] = np.concatenate([np.empty(0, int), *order])[: len(places)]
    return rows


def _scaled(
    images: UInt8[np.ndarray, "n h w channels"], side: int
) -> UInt8[np.ndarray, "n side side channels"]:
    """Color images at another size."""
    if images.shape[1:3] == (side, side):
        return images.copy()
    return np.stack([resized(images[..., c], side) for c in range(images.shape[3])], axis=-1)
