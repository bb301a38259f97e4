"""What is shown of image files, the same from folders, TFDS directories and streams."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ssljax.data.decoding import (
    exact_image,
    photograph,
    show_squeezed,
    split_squeezed,
    squeeze_photograph,
)

SIDE = 16


def file_of(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_gray_of_16_bits_is_divided_by_257_and_a_ramp_stays_a_ramp():
    flat = Image.fromarray(np.full((SIDE, SIDE), 32768, np.uint16))
    assert (photograph(file_of(flat), SIDE) == 128).all()
    ramp = np.linspace(0, 65535, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)
    for kind in ("PNG", "TIFF"):
        shown = photograph(file_of(Image.fromarray(ramp), kind), SIDE)
        np.testing.assert_array_equal(shown[..., 0], np.round(ramp / 257))
        assert (shown == shown[..., :1]).all()
        np.testing.assert_array_equal(
            exact_image(file_of(Image.fromarray(ramp), kind), (SIDE, SIDE, 1))[..., 0],
            np.round(ramp / 257),
        )


def turned_files():
    """One picture, and the eight files that a camera held otherwise would have written."""
    picture = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    picture[:6] //= 4
    undo = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: np.swapaxes(x, 0, 1),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.swapaxes(np.rot90(x, 2), 0, 1),
        8: lambda x: np.rot90(x, -1),
    }
    for tag, turn in undo.items():
        exif = Image.Exif()
        exif[0x0112] = tag
        stored = Image.fromarray(np.ascontiguousarray(turn(picture)))
        yield picture, file_of(stored, "PNG", exif=exif), file_of(stored, "TIFF", exif=exif)


def test_photographs_are_upright_whatever_the_camera_wrote():
    for picture, png, tiff in turned_files():
        for data in (png, tiff):
            np.testing.assert_array_equal(photograph(data, 12), picture)
            np.testing.assert_array_equal(squeeze_photograph(data, 12)[:12], picture)
            np.testing.assert_array_equal(exact_image(data, (12, 12, 3)), picture)


def test_transparency_is_composed_onto_black_before_anything_is_scaled():
    colors = np.zeros((8, 8, 4), np.uint8)
    colors[..., :3] = (200, 100, 50)
    colors[:, :4, 3] = 255
    colors[:, 4:6, 3] = 128
    colors[:, 6:, :3] = (255, 0, 255)  # invisible, and must stay so
    shown = photograph(file_of(Image.fromarray(colors)), 8)
    np.testing.assert_array_equal(shown[:, :4], np.broadcast_to((200, 100, 50), (8, 4, 3)))
    assert (
        np.abs(shown[:, 4:6].astype(int) - np.round(np.array((200, 100, 50)) * 128 / 255)).max()
        <= 1
    )
    assert (shown[:, 6:] == 0).all()
    small = photograph(file_of(Image.fromarray(colors)), 2)
    assert small[0, 1].max() < 80  # the magenta does not leak in

    gray = Image.fromarray(np.stack([np.full((8, 8), 90), np.eye(8) * 255], -1).astype(np.uint8))
    assert gray.mode == "LA"
    np.testing.assert_array_equal(photograph(file_of(gray), 8)[..., 1], 90 * np.eye(8))

    palette = Image.fromarray((np.arange(64).reshape(8, 8) % 2).astype(np.uint8), "P")
    palette.putpalette([10, 20, 30, 250, 240, 230])
    np.testing.assert_array_equal(
        photograph(file_of(palette), 8)[0, :2], [(10, 20, 30), (250, 240, 230)]
    )
    for transparency in (1, b"\xff\x00"):
        data = file_of(palette, transparency=transparency)
        np.testing.assert_array_equal(photograph(data, 8)[0, :2], [(10, 20, 30), (0, 0, 0)])


def test_one_bit_and_cmyk_are_colors_and_floats_are_refused_by_name():
    bits = Image.fromarray(np.eye(8) > 0)
    assert bits.mode == "1"
    np.testing.assert_array_equal(photograph(file_of(bits), 8)[..., 2], 255 * np.eye(8))
    cmyk = Image.new("RGB", (8, 8), (200, 100, 50)).convert("CMYK")
    for kind in ("JPEG", "TIFF"):
        shown = photograph(file_of(cmyk, kind), 8)
        assert np.abs(shown.astype(int) - (200, 100, 50)).max() <= 3
    for dtype, what in ((np.float32, "floating-point"), (np.int32, "32-bit")):
        with pytest.raises(ValueError, match=f"{what} pixels have no known white"):
            photograph(file_of(Image.fromarray(np.ones((8, 8), dtype)), "TIFF"), 8)


@pytest.mark.parametrize(("width", "height"), [(80, 60), (60, 80), (70, 70), (150, 50)])
def test_a_squeezed_photograph_shows_all_of_it_and_remembers_its_aspect(width, height):
    y, x = np.mgrid[:height, :width]
    picture = np.stack([255 * x / (width - 1), 255 * y / (height - 1), 0 * x], -1).astype(np.uint8)
    data = file_of(Image.fromarray(picture))
    stored = squeeze_photograph(data, 50)
    assert stored.shape == (51, 50, 3)
    assert stored[:50, 0, 0].max() < 10  # the outermost columns and rows are there
    assert stored[:50, -1, 0].min() > 245
    assert stored[0, :, 1].max() < 10
    pixels, log_aspect = split_squeezed(jnp.asarray(stored[None] / 255, jnp.float32))
    np.testing.assert_allclose(255 * pixels[0], stored[:50], atol=1e-3)
    np.testing.assert_allclose(log_aspect, np.log(width / height), atol=2e-4)
    middle, direct = show_squeezed(stored, 40), photograph(data, 40)
    assert np.abs(middle.astype(int) - direct).max() <= 4


def test_a_panorama_is_cut_to_four_to_one():
    picture = np.zeros((10, 100, 3), np.uint8)
    picture[:, 30:70] = 255
    stored = squeeze_photograph(file_of(Image.fromarray(picture)), 8)
    assert (stored[:8] == 255).all()
    _, log_aspect = split_squeezed(jnp.asarray(stored[None] / 255, jnp.float32))
    np.testing.assert_allclose(log_aspect, np.log(4), atol=2e-4)
