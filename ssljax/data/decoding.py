"""Pixels of image files: every image of a set at one size, decoded the same wherever it is stored.

What folders, TFDS directories and streams show of a file:

* Orientation: upright, as its photographer saw it. The EXIF tag is obeyed (torchvision's image
  folders show such files as stored, lying on their side).
* Transparency: composed onto black, before anything is scaled, so that the colors of invisible
  pixels never show. This holds for RGBA, gray with alpha, and palettes with transparent entries.
* Gray of 16 bits: ``v / 257``, rounded, so that black stays 0, white becomes 255 and a ramp stays
  a ramp. Pillow gives colors of 16 bits by their upper 8.
* One bit, palettes, CMYK and YCbCr: converted to RGB as Pillow does.
* Floating-point and 32-bit pixels have no known white and are refused by name.
"""

import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ssljax.system.arrays import Array, Float, UInt8

_MODES = {1: "L", 3: "RGB"}
_ORIENTATION = 0x0112
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_LARGEST_ASPECT = 4.0
_LOG_RANGE = math.log(_LARGEST_ASPECT)


def list_decoding_errors() -> tuple[type[Exception], ...]:
    """Return what decoding damaged or truncated image data can raise."""
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
    """Read a photograph: shorter side scaled to `side`, the middle cut out.

    Scaled with Pillow's BILINEAR, which antialiases. A JPEG file at least twice as large as
    wanted is decoded at a half, a quarter or an eighth of its size first, several times as fast.

    Args:
        file: an image file, or its bytes.
        side: height and width of the result.

    Returns:
        The RGB pixels.

    Raises:
        One of `list_decoding_errors()`: for data that are no image, or cut short.
    """
    return _crop_middle_square(_visible_image(file, side).convert("RGB"), side)


def squeeze_photograph(file: Path | bytes, side: int) -> UInt8[np.ndarray, "rows side 3"]:
    """Read a whole photograph, squeezed into a square: what random crops are taken from.

    Nothing is cut off (but what makes a panorama wider than 4:1), every photograph takes the same
    room, and a crop given in fractions of the sides is the same crop of the photograph.

    Args:
        file: an image file, or its bytes.
        side: height and width of the square.

    Returns:
        The RGB pixels and, in one more row below them, the aspect of the photograph, which
        `split_squeezed` reads: shape (side + 1, side, 3).

    Raises:
        One of `list_decoding_errors()`: for data that are no image, or cut short.
    """
    from PIL import Image  # noqa: PLC0415

    image = _visible_image(file, side).convert("RGB")
    width, height = image.size
    if max(width, height) > _LARGEST_ASPECT * min(width, height):
        longest = int(_LARGEST_ASPECT * min(width, height))
        width, height = min(width, longest), min(height, longest)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    stored = np.zeros((side + 1, side, 3), np.uint8)
    stored[:side] = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    fraction = 0.5 + 0.5 * math.log(width / height) / _LOG_RANGE
    stored[side, 0, :2] = divmod(round(fraction * 65535), 256)
    return stored


def split_squeezed(
    stored: Float[Array, "batch rows side 3"],
) -> tuple[Float[Array, "batch side side 3"], Float[Array, " batch"]]:
    """Split squeezed photographs into pixels and aspects, on the device.

    Args:
        stored: what `squeeze_photograph` returns, as floats from 0 to 1.

    Returns:
        The pixels; and the logarithm of width over height of each photograph, to 1e-4.
    """
    upper, lower = stored[:, -1, 0, 0], stored[:, -1, 0, 1]
    fraction = (256 * upper + lower) / 257
    return stored[:, :-1], jnp.asarray((2 * fraction - 1) * _LOG_RANGE)


def show_squeezed(
    stored: UInt8[np.ndarray, "rows stored_side 3"], side: int
) -> UInt8[np.ndarray, "side side 3"]:
    """Return the middle of a squeezed photograph as `photograph` would show it.

    Args:
        stored: what `squeeze_photograph` returns.
        side: height and width of the result.

    Returns:
        The RGB pixels; they were scaled twice, so they are a little softer.
    """
    from PIL import Image  # noqa: PLC0415

    upper, lower = (int(value) for value in stored[-1, 0, :2])
    aspect = math.exp((2 * (256 * upper + lower) / 65535 - 1) * _LOG_RANGE)
    across, down = min(1.0, 1 / aspect), min(1.0, aspect)
    full = stored.shape[1]
    box = (
        full * (1 - across) / 2,
        full * (1 - down) / 2,
        full * (1 + across) / 2,
        full * (1 + down) / 2,
    )
    image = Image.fromarray(np.ascontiguousarray(stored[:-1]))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box), np.uint8)


def exact_image(
    data: bytes, shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "height width channels"]:
    """Read an image of a known shape, unchanged.

    Args:
        data: bytes of the image file.
        shape: (height, width, channels).

    Returns:
        The pixels.

    Raises:
        ValueError: for an image of another shape.
        One of `list_decoding_errors()`: for data that are no image, or cut short.
    """
    pixels = np.asarray(_visible_image(data).convert(_MODES[shape[2]]), np.uint8)
    if pixels.shape[:2] != shape[:2]:
        found = "x".join(map(str, pixels.shape[:2]))
        raise ValueError(f"it is {found} pixels, not {shape[0]}x{shape[1]}")
    return pixels.reshape(shape)


def _visible_image(file: Path | bytes, draft_side: int = 0) -> Any:
    """Return the image in a file as described above, upright, in Pillow's mode L or RGB."""
    from PIL import Image  # noqa: PLC0415

    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
        if draft_side:
            image.draft("RGB", (draft_side, draft_side))
        image.load()
        turn = _find_turn(image)
        if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
            kind = "floating-point" if image.mode == "F" else "32-bit"
            raise ValueError(f"{kind} pixels have no known white: save the image with 8 or 16 bits")
        if image.mode == "I" or image.mode.startswith("I;16"):
            gray = np.asarray(image).astype(np.uint32)
            image = Image.fromarray(((gray + 128) // 257).astype(np.uint8))
        elif image.mode in _ALPHA_MODES or "transparency" in image.info:
            colors = image.convert("RGBA")
            black = Image.new("RGBA", colors.size, (0, 0, 0, 255))
            image = Image.alpha_composite(black, colors).convert("RGB")
        elif image.mode != "L":
            image = image.convert("RGB")
        return image if turn is None else image.transpose(turn)


def _find_turn(image):
    """Return Pillow's operation that turns an image upright; None if it is upright."""
    from PIL import Image  # noqa: PLC0415

    method = Image.Transpose
    try:
        tag = image.getexif().get(_ORIENTATION)
    except list_decoding_errors():
        return None  # A damaged tag says nothing; the pixels are good.
    return {
        2: method.FLIP_LEFT_RIGHT,
        3: method.ROTATE_180,
        4: method.FLIP_TOP_BOTTOM,
        5: method.TRANSPOSE,
        6: method.ROTATE_270,
        7: method.TRANSVERSE,
        8: method.ROTATE_90,
    }.get(tag)


def _crop_middle_square(image, side):
    from PIL import Image  # noqa: PLC0415

    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), np.uint8)
