"""What a network is measured on: clean images, of the size and channels it was built for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.data.decoding import show_squeezed
from ssljax.data.sources import Dataset
from ssljax.system.arrays import UInt8
from ssljax.system.errors import UsageError

_BATCH = 256


def clean_dataset(dataset: Dataset, digit_strength: float) -> Dataset:
    """Return every image as probes are trained and tested on it.

    Args:
        dataset: images. Those that need nothing are returned as they are.
        digit_strength: opacity of the ink of composites, from 0 to 1.

    Returns:
        Three-channel images. Ink is blended in and rounded to uint8: at most half a level from the
        blend. Squeezed photographs show their middle, as they would have been decoded without.
    """
    if dataset.squeezed_side:
        side = dataset.squeezed_side
        middle = np.empty((len(dataset), side, side, 3), np.uint8)
        for row, stored in enumerate(dataset.images):
            middle[row] = show_squeezed(stored, side)
        return dataclasses.replace(dataset, images=middle, squeezed_side=0)
    if not dataset.has_ink:
        return dataset
    ink = dataset.images[..., 3:]
    mixed = np.empty((*ink.shape[:3], 3), np.uint8)
    for part in np.array_split(np.arange(len(ink)), -(-len(ink) // 4096)):
        background, over = dataset.images[part, ..., :3].astype(np.float32), ink[part]
        blend = (1 - digit_strength) * background + digit_strength * over.astype(np.float32)
        mixed[part] = np.floor(np.where(over > 0, blend, background) + 0.5).astype(np.uint8)
    return dataclasses.replace(dataset, images=mixed, has_ink=False)


def resize_images_like(
    images: UInt8[np.ndarray, "n height width channels"], image_shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "n wanted_height wanted_width wanted_channels"]:
    """Resize images to the size and channels of others.

    Args:
      images: Stored pixels.
      image_shape: (height, width, channels) wanted.

    Returns:
      Images resized bilinearly (with antialiasing where they shrink) and rounded; gray images
      repeated over three channels. The images themselves where the shape is right already.

    Raises:
      UsageError: The channels cannot be made, such as gray ones of color.
    """
    if images.shape[1:] == image_shape:
        return images
    height, width, channels = image_shape
    if images.shape[3] == 1 and channels == 3:
        images = np.repeat(images, 3, axis=3)
    if images.shape[3] != channels:
        raise UsageError(
            f"images with {images.shape[3]} channels for a network trained on {channels}: name a"
            " data set with as many, or with one"
        )
    if images.shape[1:3] == (height, width):
        return images

    @jax.jit
    def resize(part: jax.Array) -> jax.Array:
        shape = (len(part), height, width, channels)
        return jnp.round(jax.image.resize(part.astype(jnp.float32), shape, "linear"))

    parts = [
        np.clip(jax.device_get(resize(images[start : start + _BATCH])), 0, 255).astype(np.uint8)
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def resize_dataset_like(dataset: Dataset, image_shape: tuple[int, int, int]) -> Dataset:
    """Return the data set with `resize_images_like` images."""
    return dataclasses.replace(dataset, images=resize_images_like(dataset.images, image_shape))
