"""Each operation against Pillow's, on 8-bit images: what its rounding leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from ssljax.augment.augment import apply_changes
from ssljax.augment.color import apply_color, gray_map, jitter_map
from ssljax.augment.filters import solarize
from ssljax.augment.policies import Policy
from tests.ssljax.augment.test_augment import no_changes

SIDE = 16
# Away from black and white, where Pillow clips and we do not.
LEVELS = np.random.default_rng(0).integers(60, 170, (3, SIDE, SIDE, 3)).astype(np.uint8)
PIXELS = jnp.asarray(LEVELS, jnp.float32) / 255
PICTURES = [Image.fromarray(levels) for levels in LEVELS]
changed = jax.jit(apply_changes, static_argnames="policy")


@jax.jit
def jittered(brightness, contrast, saturation):
    mean = jnp.mean(PIXELS, axis=(1, 2))
    zeros = jnp.zeros(3)
    factors = (jnp.broadcast_to(value, (3,)) for value in (brightness, contrast, saturation))
    return 255 * apply_color(PIXELS, jitter_map(mean, *factors, zeros, zeros.astype(int)))


@pytest.mark.parametrize("factor", [0.7, 1.3])
@pytest.mark.parametrize(
    ("enhance", "which", "bound"),
    [
        (ImageEnhance.Brightness, 0, 1.0),
        # Pillow rounds the mean gray to a level, and the gray of every pixel.
        (ImageEnhance.Contrast, 1, 1.3),
        (ImageEnhance.Color, 2, 1.3),
    ],
)
def test_jitter_is_pillows_enhancement(enhance, which, factor, bound):
    factors = np.ones(3, np.float32)
    factors[which] = factor
    ours = jittered(*jnp.asarray(factors))
    for mine, picture in zip(ours, PICTURES):
        theirs = np.asarray(enhance(picture).enhance(factor), float)
        assert np.abs(mine - theirs).max() <= bound


def test_grayscale_is_pillows_to_its_rounding():
    ours = 255 * apply_color(PIXELS, gray_map(3, 3))
    for mine, picture in zip(ours, PICTURES):
        assert np.abs(mine[..., 0] - np.asarray(picture.convert("L"), float)).max() <= 1.0


def test_solarization_is_pillows_at_its_default_threshold():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    ours = 255 * solarize(jnp.asarray(ramp, jnp.float32) / 255, jnp.array([True]))
    theirs = np.asarray(ImageOps.solarize(Image.fromarray(ramp[0, :, :, 0])), float)
    np.testing.assert_allclose(ours[0, :, :, 0], theirs, atol=1e-4)


def test_a_random_resized_crop_with_aspect_and_flip_is_pillows_resizing_of_its_box():
    height, width = np.array([0.5, 0.33, 0.9]), np.array([0.7, 0.81, 0.45])
    top, left = np.array([0.1, 0.6, 0.07]), np.array([0.21, 0.0, 0.5])
    flip = np.array([0.0, 1.0, 0.0])
    values = {
        "crop_height": height,
        "crop_width": width,
        "crop_top": top,
        "crop_left": left,
        "flip": flip,
    }
    changes = no_changes(3)._replace(
        **{name: jnp.asarray(value, jnp.float32) for name, value in values.items()}
    )
    ours = 255 * changed(PIXELS, changes, Policy(crop_area=0.9, crop_log_aspect=0.3, flip=0.5))
    for b, picture in enumerate(PICTURES):
        box = np.array([left[b], top[b], left[b] + width[b], top[b] + height[b]]) * SIDE
        theirs = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=tuple(box))
        if flip[b]:
            theirs = ImageOps.mirror(theirs)
        # Pillow keeps what lies beyond the box's border pixels' centers, we repeat them; inside,
        # it rounds after each axis.
        inside = slice(2, -2)
        difference = np.abs(ours[b] - np.asarray(theirs, float))[inside, inside]
        assert difference.max() <= 1.01


@pytest.mark.parametrize("degrees", [17.0, -40.0])
def test_a_rotation_is_pillows_inside_the_picture(degrees):
    angle = jnp.full(3, np.deg2rad(degrees), jnp.float32)
    ours = 255 * changed(PIXELS, no_changes(3)._replace(rotation=angle), Policy(rotation=1.0))
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    inside = np.hypot(x, y) < SIDE / 2 - 1.5
    for mine, picture in zip(ours, PICTURES):
        theirs = np.asarray(picture.rotate(degrees, Image.Resampling.BILINEAR), float)
        # Pillow's coordinates are fixed-point numbers of 16 bits.
        assert np.abs(mine - theirs)[inside].max() <= 1.1
