"""Another data set's images, brought to the size and channels that a network was built for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.data.datasets import Dataset
from ssljax.system.arrays import UInt8
from ssljax.system.errors import UsageError

_BATCH = 256


def images_like(
    images: UInt8[np.ndarray, "n height width channels"], image_shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "n wanted_height wanted_width wanted_channels"]:
    """The images at another size.

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
    def resized(part: jax.Array) -> jax.Array:
        shape = (len(part), height, width, channels)
        return jnp.round(jax.image.resize(part.astype(jnp.float32), shape, "linear"))

    parts = [
        np.clip(jax.device_get(resized(images[start : start + _BATCH])), 0, 255).astype(np.uint8)
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def dataset_like(dataset: Dataset, image_shape: tuple[int, int, int]) -> Dataset:
    """The data set with `images_like` images."""
    return dataclasses.replace(dataset, images=images_like(dataset.images, image_shape))
