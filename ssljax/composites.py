r"""Digits on natural images: two features of one image, one of which augmentation may remove.

An image is a background with a handwritten digit in its middle; where the digit has ink (pixels
above 0) the composite is ``(1 - s) background + s digit``, elsewhere the background. In training
each view loses its digit with a given probability before it is augmented. Background and digit
are kept apart and blended on the fly, so that a view without its digit is the clean background
whatever the digit strength s, also at s = 1 where a blend could not be undone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.arrays import Array, Bool, Float, Int, PRNGKeyArray, UInt8
from ssljax.augment import Policy, augment
from ssljax.datasets import Dataset, Progress, load_dataset
from ssljax.errors import UsageError

DIGIT_SIDE = 16


class Composites(NamedTuple):
    """Backgrounds with the digits that go onto them, not yet blended.

    Attributes:
        backgrounds: color images.
        digits: ink of each digit, placed on an image of the same size, 0 elsewhere.
        digit_labels: class of each digit, the downstream label.
        background_labels: class of each background.
        pixel_scale: ``images * pixel_scale`` are floats from 0 to 1.
    """

    backgrounds: UInt8[np.ndarray, "n height width 3"]
    digits: UInt8[np.ndarray, "n height width"]
    digit_labels: Int[np.ndarray, " n"]
    background_labels: Int[np.ndarray, " n"]
    pixel_scale: float


def make_composites(backgrounds: Dataset, digits: Dataset) -> Composites:
    """The i-th digit, resized to 16 pixels and padded, with the i-th background.

    Args:
        backgrounds: color images of at least 16 pixels a side (CIFAR-10).
        digits: gray images of digits on a black ground (MNIST).

    Returns:
        As many composites as the smaller of the two sets has images.

    Raises:
        UsageError: if the backgrounds are not color images of at least 16 pixels.
    """
    count = min(len(backgrounds.images), len(digits.images))
    _, height, width, channels = backgrounds.images.shape
    if channels != 3 or min(height, width) < DIGIT_SIDE:
        raise UsageError(
            f"backgrounds of {height}x{width} pixels and {channels} channels; wanted color images "
            f"of at least {DIGIT_SIDE} pixels a side, for instance cifar10"
        )
    ink = np.zeros((count, height, width), np.uint8)
    top, left = (height - DIGIT_SIDE) // 2, (width - DIGIT_SIDE) // 2
    ink[:, top : top + DIGIT_SIDE, left : left + DIGIT_SIDE] = resized(
        digits.images[:count, :, :, 0], DIGIT_SIDE
    )
    return Composites(
        backgrounds.images[:count],
        ink,
        digits.labels[:count],
        backgrounds.labels[:count],
        backgrounds.pixel_scale,
    )


def load_composites(
    split: str, data_dir: str | None = None, *, progress: Progress | None = None
) -> Composites:
    """MNIST digits on CIFAR-10 images; arguments as for :func:`ssljax.datasets.load_dataset`."""
    return make_composites(
        load_dataset("cifar10", split, data_dir, progress=progress),
        load_dataset("mnist", split, data_dir, progress=progress),
    )


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


def blended(
    backgrounds: Float[Array, "batch height width 3"],
    digits: Float[Array, "batch height width"],
    digit_strength: float | int | Float[Array, ""],
    present: Bool[Array, " batch"],
) -> Float[Array, "batch height width 3"]:
    """Composites: ``(1 - s) background + s digit`` where a present digit has ink.

    Args:
        backgrounds: color images.
        digits: ink, on the same scale.
        digit_strength: s, from 0 (invisible) to 1 (opaque).
        present: whether each image shows its digit.

    Returns:
        Blended images; exactly the backgrounds where the digit is absent or has no ink.
    """
    ink = digits[..., None]
    inside = (ink > 0) & present[:, None, None, None]
    return jnp.where(inside, (1 - digit_strength) * backgrounds + digit_strength * ink, backgrounds)


def composite_views(
    key: PRNGKeyArray,
    step: int | Int[Array, ""],
    indices: Int[Array, " batch"],
    backgrounds: Float[Array, "batch height width 3"],
    digits: Float[Array, "batch height width"],
    policy: Policy,
    strength: float | int | Float[Array, ""],
    *,
    digit_strength: float | int | Float[Array, ""],
    drop_probability: tuple[float, float] = (0.0, 0.0),
) -> Float[Array, "batch 2 height width 3"]:
    """Two augmented views of each composite, each without its digit by chance.

    Args:
        key: root key, as for :func:`ssljax.augment.two_views`.
        step: training step.
        indices: what identifies each example within the step.
        backgrounds: color images.
        digits: ink.
        policy: ranges at strength 1.
        strength: scale of all ranges.
        digit_strength: opacity of the digit.
        drop_probability: probability that the first view, and that the second view, loses its
            digit, independently.

    Returns:
        Views, a function of (key, step, index) alone.
    """
    step_key = jax.random.fold_in(key, step)
    keys = jax.vmap(lambda index: jax.random.split(jax.random.fold_in(step_key, index)))(indices)

    def view(which):
        view_keys = keys[:, which]
        drop_keys = jax.vmap(lambda k: jax.random.fold_in(k, 2))(view_keys)
        chance = jax.vmap(jax.random.uniform)(drop_keys)
        images = blended(backgrounds, digits, digit_strength, chance >= drop_probability[which])
        return augment(view_keys, images, policy, strength)

    return jnp.stack([view(0), view(1)], axis=1)


def composite_dataset(composites: Composites, digit_strength: float) -> Dataset:
    """Every composite with its digit, labeled by the digit: what probes are trained and tested on.

    Pixels are rounded to uint8, so that they differ from the blend by at most half a level.
    """
    ink = composites.digits[..., None].astype(np.float32)
    background = composites.backgrounds.astype(np.float32)
    mixed = np.where(ink > 0, (1 - digit_strength) * background + digit_strength * ink, background)
    return Dataset(
        np.floor(mixed + 0.5).astype(np.uint8),
        composites.digit_labels,
        composites.pixel_scale,
        int(composites.digit_labels.max()) + 1,
        f"digits of strength {digit_strength:g} on images",
    )
