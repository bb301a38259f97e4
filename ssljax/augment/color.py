"""Color changes as one affine map of the channels per image.

Brightness, contrast, saturation and hue are affine in the pixel's color once the image's mean
color is known, and so is any sequence of them: the whole jitter, in any order, is one matrix and
one offset per image, applied in one pass over the pixels.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ssljax.system.arrays import Array, Float, Int

LUMA = (0.299, 0.587, 0.114)
"""Gray of a color (ITU-R 601-2, as in Pillow)."""

_ORDERS = np.array(
    [
        (a, b, c, 6 - a - b - c)
        for a in range(4)
        for b in range(4)
        for c in range(4)
        if len({a, b, c}) == 3
    ]
)
NUM_ORDERS = len(_ORDERS)


class ColorMap(NamedTuple):
    """``color -> matrix @ color + offset`` for each image of a batch."""

    matrix: Float[Array, "batch channels channels"]
    offset: Float[Array, "batch channels"]


def gray_weights(channels: int) -> np.ndarray:
    """Return the channels' weights in the gray value: LUMA for three channels, else equal ones."""
    weights = LUMA if channels == 3 else (1 / channels,) * channels
    return np.array(weights)


def hue_matrix(angle: Float[Array, " batch"]) -> Float[Array, "batch 3 3"]:
    """Return rotations of color space about the gray axis (1, 1, 1), by an angle in radians.

    An exact one-parameter group: angles add, gray stays gray and the channel mean is kept.
    The derivative at angle 0 exists for every color, gray included, unlike HSV's hue.
    """
    axis = np.full((3,), 1 / math.sqrt(3))
    along = jnp.asarray(np.outer(axis, axis), angle.dtype)[None]
    across = jnp.eye(3, dtype=angle.dtype)[None] - along
    turned = jnp.asarray(np.cross(axis, np.eye(3)).T, angle.dtype)[None]
    cosine, sine = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    return along + cosine * across + sine * turned


def identity_map(batch: int, channels: int) -> ColorMap:
    """Return the color map that changes nothing."""
    matrix = jnp.broadcast_to(jnp.eye(channels)[None], (batch, channels, channels))
    return ColorMap(matrix, jnp.zeros((batch, channels)))


def compose(outer: ColorMap, inner: ColorMap) -> ColorMap:
    """Return the map that applies `inner`, then `outer`."""
    # Sums written out: the matrices are tiny, and every device must add in the same order.
    matrix = jnp.sum(outer.matrix[:, :, :, None] * inner.matrix[:, None, :, :], axis=2)
    offset = jnp.sum(outer.matrix * inner.offset[:, None, :], axis=2) + outer.offset
    return ColorMap(matrix, offset)


def gray_map(batch: int, channels: int) -> ColorMap:
    """Return the map of every channel to the gray value."""
    weights = jnp.asarray(gray_weights(channels))[None, None, :]
    matrix = jnp.broadcast_to(weights, (batch, channels, channels))
    return ColorMap(matrix, jnp.zeros((batch, channels)))


def jitter_map(
    mean_color: Float[Array, "batch channels"],
    brightness: Float[Array, " batch"],
    contrast: Float[Array, " batch"],
    saturation: Float[Array, " batch"],
    hue: Float[Array, " batch"],
    order: Int[Array, " batch"],
) -> ColorMap:
    """Return brightness, contrast, saturation and hue in a given order, as one map.

    The formulas of torchvision's ColorJitter without its clipping, hue excepted (a rotation
    about the gray axis): brightness ``f x``; contrast ``f x + (1-f) * mean gray``, the mean gray
    of the image as it is when contrast's turn comes; saturation ``f x + (1-f) * gray(x)``.

    Args:
        mean_color: mean over the pixels of each image.
        brightness: factor, 1 for no change.
        contrast: factor, 1 for no change.
        saturation: factor, 1 for no change; no effect on one channel.
        hue: angle in radians, 0 for no change; no effect unless there are three channels.
        order: which of the 24 orders, from 0 to 23.

    Returns:
        One map per image.
    """
    batch, channels = mean_color.shape
    eye = jnp.eye(channels)[None]
    gray = gray_map(batch, channels).matrix
    none = jnp.zeros((batch, channels))

    def factor(values):
        return values[:, None, None]

    turn = hue_matrix(hue) if channels == 3 else jnp.broadcast_to(eye, gray.shape)
    matrices = (
        factor(brightness) * eye,
        factor(contrast) * eye,
        factor(saturation) * eye + (1 - factor(saturation)) * gray,
        turn,
    )
    turns = jnp.asarray(_ORDERS)[order]
    result = identity_map(batch, channels)
    for place in range(4):
        chosen = jnp.sum(
            jnp.stack(
                [
                    matrix * (turns[:, place] == which)[:, None, None]
                    for which, matrix in enumerate(matrices)
                ]
            ),
            axis=0,
        )
        color = jnp.sum(result.matrix * mean_color[:, None, :], axis=2) + result.offset
        mean_gray = jnp.sum(gray[:, 0, :] * color, axis=1)[:, None]
        is_contrast = (turns[:, place] == 1)[:, None]
        offset = jnp.where(is_contrast, (1 - contrast[:, None]) * mean_gray, none)
        result = compose(ColorMap(chosen, offset), result)
    return result


def apply_color(
    images: Float[Array, "batch height width channels"], color_map: ColorMap
) -> Float[Array, "batch height width channels"]:
    """Map every pixel's color by its image's map."""
    channels = images.shape[-1]
    columns = [
        sum(
            images[..., source] * color_map.matrix[:, target, source, None, None]
            for source in range(channels)
        )
        + color_map.offset[:, target, None, None]
        for target in range(channels)
    ]
    return jnp.stack(columns, axis=-1)
