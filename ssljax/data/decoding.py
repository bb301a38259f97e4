"""Pixels of image files: every image of a set at one size."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np

from ssljax.system.arrays import UInt8

_MODES = {1: "L", 3: "RGB"}


def undecodable() -> tuple[type[Exception], ...]:
    """What decoding damaged or truncated image data can raise."""
    from PIL import Image  # noqa: PLC0415

    return (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    )


def photograph(file: Path | bytes, side: int) -> UInt8[np.ndarray, "side side 3"]:
    """RGB pixels of a photograph: shorter side scaled to `side`, the middle cut out.

    Scaled with Pillow's BILINEAR, which antialiases. A JPEG file at least twice as large as
    wanted is decoded at a half, a quarter or an eighth of its size first, several times as fast.

    Args:
        file: an image file, or its bytes.
        side: height and width of the result.

    Returns:
        The pixels.

    Raises:
        One of `undecodable()`: for data that are no image, or cut short.
    """
    from PIL import Image  # noqa: PLC0415

    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
        opened.draft("RGB", (side, side))
        image = opened.convert("RGB")
    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), np.uint8)


def exact_image(
    data: bytes, shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "height width channels"]:
    """Pixels of an image of a known shape, unchanged.

    Args:
        data: bytes of the image file.
        shape: (height, width, channels).

    Returns:
        The pixels.

    Raises:
        ValueError: for an image of another shape.
        One of `undecodable()`: for data that are no image, or cut short.
    """
    from PIL import Image  # noqa: PLC0415

    with Image.open(io.BytesIO(data)) as opened:
        pixels = np.asarray(opened.convert(_MODES[shape[2]]), np.uint8)
    if pixels.shape[:2] != shape[:2]:
        found = "x".join(map(str, pixels.shape[:2]))
        raise ValueError(f"it is {found} pixels, not {shape[0]}x{shape[1]}")
    return pixels.reshape(shape)
