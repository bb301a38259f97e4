"""Pictures made of CIFAR-10 and MNIST: digits on natural images, and two shortcuts in one picture.

Digits on images keep backgrounds and ink apart until a view is made. Where the digit has ink
(pixels above 0) the composite is ``(1 - s) background + s digit``, elsewhere the background; s is
the digit's strength. Blended on the fly (:func:`ssljax.augment.views.make_views`), a view without
its digit is the clean background, also at s = 1 where a blend could not be undone.

Two shortcuts follow the design of UrbanCars: an object (an automobile or a horse, the class to
learn) stands in the middle, half as wide as the picture, before a background (another image: sky
and sea, or forest and field), with a co-occurring digit (a zero or a one) below it, a quarter as
wide. In the training images background and digit each go with the class as often as chosen; in the
test images every object comes with all four combinations of the two. (An automobile and a truck,
both vehicles, are too alike for what small images show of them.)
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from ssljax.data.sources import Dataset, Progress, read_into_memory
from ssljax.data.tfds import open_split
from ssljax.system.arrays import Int, UInt8
from ssljax.system.errors import UsageError

DIGIT_SIDE = 16
BACKGROUND_POOL = 4096
"""How many of the last images are drawn from where views change their background."""

OBJECT_CLASSES = ((1,), (7,))
"""CIFAR-10 classes of the object: automobile, horse."""
BACKGROUND_CLASSES = ((0, 8), (4, 6))
"""CIFAR-10 classes of the background: airplane and ship, deer and frog."""
DIGIT_CLASSES = ((0,), (1,))
GROUP_NAMES = tuple(
    f"{thing}, {background} background, digit {digit}"
    for thing, background, digit in itertools.product(
        ("automobile", "horse"), ("sky", "land"), ("zero", "one")
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
    "val": Design(4000, 0.5, 0.5),
    "test": Design(4000, 0.5, 0.5),
}
"""UrbanCars' numbers to train on. Each of the 1,000 objects of a class that are held out, and of
those that are tested, stands in all four groups of its class, so that groups differ in nothing but
their shortcuts."""

_HELD_OUT = 1000
"""Objects of each class, the last of CIFAR-10's training images, that only validation shows."""


def load_mnist_on_cifar(
    split: str, data_dir: str | None, progress: Progress | None, *, digit_side: int = DIGIT_SIDE
) -> Dataset:
    """Load MNIST digits on CIFAR-10 images, the i-th on the i-th, as `overlay_digits` does.

    Args:
        split: "train" (50000 images) or "test" (10000).
        data_dir: where the TFDS directories of both are.
        progress: called while they are read.
        digit_side: height and width of the digits.

    Returns:
        Backgrounds with ink in a fourth channel.

    Raises:
        UsageError: for another split, and for data that is missing or damaged.
    """
    if split not in ("train", "test"):
        raise UsageError(f"mnist_on_cifar has no {split} split; it has train, test")
    backgrounds, digits = (
        read_into_memory(open_split(name, split, "label", data_dir, 0), progress=progress)
        for name in ("cifar10", "mnist")
    )
    composites = overlay_digits(backgrounds, digits, digit_side)
    return dataclasses.replace(composites, name="mnist_on_cifar")


def overlay_digits(backgrounds: Dataset, digits: Dataset, side: int = DIGIT_SIDE) -> Dataset:
    """Put the i-th digit, resized and padded, with the i-th background.

    Args:
        backgrounds: color images, at least as large as the digits (CIFAR-10).
        digits: gray images of digits on a black ground (MNIST).
        side: height and width of the digits, in the middle of the backgrounds.

    Returns:
        As many images as the smaller of the two sets has: three channels of background and a
        fourth of ink, 0 where there is none. The label is the digit; groups are
        ``background classes * digit + background``.

    Raises:
        UsageError: if the backgrounds are not color images, or smaller than the digits.
    """
    count = min(len(backgrounds), len(digits))
    _, height, width, channels = backgrounds.images.shape
    if channels != 3 or min(height, width) < side:
        raise UsageError(
            f"backgrounds of {height}x{width} pixels and {channels} channels; wanted color images "
            f"of at least {side} pixels a side, for instance cifar10"
        )
    images = np.zeros((count, height, width, 4), np.uint8)
    images[..., :3] = backgrounds.images[:count]
    top, left = (height - side) // 2, (width - side) // 2
    images[:, top : top + side, left : left + side, 3] = resize_gray(
        digits.images[:count, :, :, 0], side
    )
    return Dataset(
        images,
        digits.labels[:count],
        backgrounds.pixel_scale,
        digits.num_classes,
        f"{digits.name} on {backgrounds.name}",
        groups=backgrounds.num_classes * digits.labels[:count] + backgrounds.labels[:count],
        group_names=tuple(
            f"digit class {digit}, background class {background}"
            for digit in range(digits.num_classes)
            for background in range(backgrounds.num_classes)
        ),
        has_ink=True,
    )


def load_two_shortcuts(split: str, data_dir: str | None, progress: Progress | None) -> Dataset:
    """Make the set of :data:`DESIGNS` from CIFAR-10 and MNIST.

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
        read_into_memory(open_split(name, part, "label", data_dir, 0), progress=progress)
        for name in ("cifar10", "mnist")
    )
    if split != "test":
        images = divide_objects(images, _HELD_OUT)[split == "val"]
    made = make_two_shortcuts(images, digits, DESIGNS[split], seed=list(DESIGNS).index(split))
    return dataclasses.replace(made, name="two_shortcuts")


def divide_objects(images: Dataset, held_out: int) -> tuple[Dataset, Dataset]:
    """Divide images into those for training and those for validation, with different objects.

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
    """Make pictures of an object with two shortcuts, a function of the arguments alone.

    Args:
        images: CIFAR-10, or color images with its class numbers.
        digits: MNIST, or gray images of digits on a black ground.
        design: numbers and correlations.
        seed: decides which images are put together.
        side: height and width of the pictures; a multiple of 4.

    Returns:
        ``2 design.per_class`` pictures, by group and in a group by object, in stored order;
        counts in a group are rounded to the nearest whole image. Objects are all different where
        the set has enough of them; a design of four times as many pictures as objects, half of
        them with each shortcut, shows every object in all four groups of its class.

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
    pictures = _scale(images.images[_draw_rows(images, BACKGROUND_CLASSES, backgrounds, rng)], side)
    rows = _draw_rows(images, OBJECT_CLASSES, labels, rng)
    objects = _scale(images.images[rows[np.lexsort((rows, groups))]], side // 2)
    ink = resize_gray(
        digits.images[_draw_rows(digits, DIGIT_CLASSES, shapes, rng), :, :, 0], side // 4
    )
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
    """Return the images in each of the eight groups; those of a class add up to ``per_class``."""
    own = design.per_class * np.array([design.background, 1 - design.background])
    both = np.floor(np.outer(own, [design.digit, 1 - design.digit]) + 0.5).astype(int).ravel()
    # Rounding is made up for in the largest group.
    both[np.argmax(both)] += design.per_class - both.sum()
    return np.concatenate([both, both[::-1]])


def _draw_rows(dataset, classes, wanted, rng):
    """Draw rows of images of each wanted class in random order; repeat only when all are used."""
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


def _scale(
    images: UInt8[np.ndarray, "n h w channels"], side: int
) -> UInt8[np.ndarray, "n side side channels"]:
    """Resize color images."""
    if images.shape[1:3] == (side, side):
        return images.copy()
    return np.stack([resize_gray(images[..., c], side) for c in range(images.shape[3])], axis=-1)


def resize_gray(
    images: UInt8[np.ndarray, "n height width"], side: int
) -> UInt8[np.ndarray, "n s s"]:
    """Scale gray images to `side` pixels: bilinear with antialiasing.

    Each output pixel averages the input with a triangle as wide as the scale factor (the filter
    of Pillow's BILINEAR); rounded to the nearest integer.
    """
    rows, columns = (_triangle_weights(size, side) for size in images.shape[1:])
    out = np.einsum("si,nij,tj->nst", rows, images, columns, optimize=True)
    return np.floor(out + 0.5).astype(np.uint8)


def _triangle_weights(size, side):
    scale = size / side
    width = max(scale, 1.0)
    centers = (np.arange(side) + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(centers[:, None] - np.arange(size)[None]) / width)
    return weights / weights.sum(axis=1, keepdims=True)
