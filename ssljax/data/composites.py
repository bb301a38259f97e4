"""Digits on natural images, as data: backgrounds and ink kept apart until a view is made.

Where the digit has ink (pixels above 0) the composite is ``(1 - s) background + s digit``,
elsewhere the background; s is the digit's strength. Blended on the fly (see
:mod:`ssljax.augment.composites`), a view without its digit is the clean background, also at s = 1
where a blend could not be undone.
"""

import dataclasses

import numpy as np

from ssljax.data.sources import Dataset, Progress, in_memory
from ssljax.data.tfds import open_split
from ssljax.system.arrays import UInt8
from ssljax.system.errors import UsageError

DIGIT_SIDE = 16


def load_mnist_on_cifar(split: str, data_dir: str | None, progress: Progress | None) -> Dataset:
    """MNIST digits on CIFAR-10 images, the i-th on the i-th; labels and groups are `inked`'s.

    Args:
        split: "train" (50000 images) or "test" (10000).
        data_dir: where the TFDS directories of both are.
        progress: called while they are read.

    Returns:
        Backgrounds with ink in a fourth channel.

    Raises:
        UsageError: for another split, and for data that is missing or damaged.
    """
    if split not in ("train", "test"):
        raise UsageError(f"mnist_on_cifar has no {split} split; it has train, test")
    backgrounds, digits = (
        in_memory(open_split(name, split, "label", data_dir, 0), progress=progress)
        for name in ("cifar10", "mnist")
    )
    return dataclasses.replace(inked(backgrounds, digits), name="mnist_on_cifar")


def inked(backgrounds: Dataset, digits: Dataset) -> Dataset:
    """The i-th digit, resized to 16 pixels and padded, with the i-th background.

    Args:
        backgrounds: color images of at least 16 pixels a side (CIFAR-10).
        digits: gray images of digits on a black ground (MNIST).

    Returns:
        As many images as the smaller of the two sets has: three channels of background and a
        fourth of ink, 0 where there is none. The label is the digit; groups are
        ``background classes * digit + background``.

    Raises:
        UsageError: if the backgrounds are not color images of at least 16 pixels.
    """
    count = min(len(backgrounds), len(digits))
    _, height, width, channels = backgrounds.images.shape
    if channels != 3 or min(height, width) < DIGIT_SIDE:
        raise UsageError(
            f"backgrounds of {height}x{width} pixels and {channels} channels; wanted color images "
            f"of at least {DIGIT_SIDE} pixels a side, for instance cifar10"
        )
    images = np.zeros((count, height, width, 4), np.uint8)
    images[..., :3] = backgrounds.images[:count]
    top, left = (height - DIGIT_SIDE) // 2, (width - DIGIT_SIDE) // 2
    images[:, top : top + DIGIT_SIDE, left : left + DIGIT_SIDE, 3] = resized(
        digits.images[:count, :, :, 0], DIGIT_SIDE
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


def blended_dataset(dataset: Dataset, digit_strength: float) -> Dataset:
    """Every image with its ink blended in: what probes are trained and tested on.

    Args:
        dataset: images with ink; one without is returned as it is.
        digit_strength: opacity of the ink, from 0 to 1.

    Returns:
        Three-channel images, rounded to uint8: at most half a level from the blend.
    """
    if not dataset.has_ink:
        return dataset
    ink = dataset.images[..., 3:]
    mixed = np.empty((*ink.shape[:3], 3), np.uint8)
    for part in np.array_split(np.arange(len(ink)), -(-len(ink) // 4096)):
        background, over = dataset.images[part, ..., :3].astype(np.float32), ink[part]
        blend = (1 - digit_strength) * background + digit_strength * over.astype(np.float32)
        mixed[part] = np.floor(np.where(over > 0, blend, background) + 0.5).astype(np.uint8)
    return dataclasses.replace(dataset, images=mixed, has_ink=False)


def resized(images: UInt8[np.ndarray, "n height width"], side: int) -> UInt8[np.ndarray, "n s s"]:
    """Gray images scaled to `side` pixels: bilinear with antialiasing.

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
