import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.composites import (
    blended,
    composite_dataset,
    composite_views,
    load_composites,
    make_composites,
    resized,
)
from ssljax.datasets import Dataset
from ssljax.errors import UsageError
from ssljax.policies import IDENTITY, SIMCLR_POLICY

RNG = np.random.default_rng(0)
BACKGROUNDS = Dataset(
    RNG.integers(0, 256, (6, 32, 32, 3)).astype(np.uint8), np.arange(6), 1 / 255, 10, "cifar10"
)
STROKES = np.zeros((7, 28, 28, 1), np.uint8)
STROKES[:, 6:22, 12:17] = 255
DIGITS = Dataset(STROKES, np.array([3, 1, 4, 1, 5, 9, 2]), 1 / 255, 10, "mnist")
COMPOSITES = make_composites(BACKGROUNDS, DIGITS)


def floats(count=6):
    return (
        jnp.asarray(COMPOSITES.backgrounds[:count]) / 255,
        jnp.asarray(COMPOSITES.digits[:count]) / 255,
    )


def test_digits_are_resized_to_16_pixels_and_padded_to_the_image():
    assert COMPOSITES.digits.shape == (6, 32, 32)
    np.testing.assert_array_equal(COMPOSITES.digits[:, 8:24, 8:24].max(axis=(1, 2)), 255)
    outside = COMPOSITES.digits.copy()
    outside[:, 8:24, 8:24] = 0
    assert outside.max() == 0
    np.testing.assert_array_equal(COMPOSITES.digit_labels, DIGITS.labels[:6])


@pytest.mark.parametrize("side", [16, 40])
def test_resizing_equals_pillow_to_one_level(side):
    from PIL import Image

    images = RNG.integers(0, 256, (3, 28, 28)).astype(np.uint8)
    ours = resized(images, side)
    for image, mine in zip(images, ours):
        theirs = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
        # Pillow rounds after each axis.
        assert np.abs(np.asarray(theirs).astype(int) - mine.astype(int)).max() <= 1


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_blend_is_the_formula_inside_the_ink_and_the_background_outside(strength):
    backgrounds, digits = floats()
    present = jnp.array([True, True, True, False, False, True])
    ours = np.asarray(blended(backgrounds, digits, strength, present))
    for b, y, x in np.ndindex(6, 32, 32):
        expected = np.asarray(backgrounds[b, y, x])
        if present[b] and COMPOSITES.digits[b, y, x] > 0:
            expected = (1 - strength) * expected + strength * float(digits[b, y, x])
        np.testing.assert_allclose(ours[b, y, x], expected, atol=1e-6)


def test_a_view_that_lost_its_digit_is_the_clean_background_even_at_full_strength():
    backgrounds, digits = floats()
    views = composite_views(
        jax.random.key(0), 0, jnp.arange(6), backgrounds, digits, IDENTITY, 0.0,
        digit_strength=1.0, drop_probability=(1.0, 0.0),
    )  # fmt: skip
    np.testing.assert_array_equal(views[:, 0], backgrounds)
    assert np.abs(np.asarray(views[:, 1] - backgrounds)).max(axis=(1, 2, 3)).min() > 0.3


def test_digits_are_dropped_with_the_stated_probability_in_each_view_independently():
    count = 4000
    backgrounds, digits = jnp.zeros((count, 4, 4, 3)), jnp.ones((count, 4, 4))
    views = jax.jit(
        lambda i: composite_views(
            jax.random.key(1), 5, i, backgrounds, digits, IDENTITY, 0.0,
            digit_strength=0.7, drop_probability=(0.75, 0.2),
        )
    )(jnp.arange(count))  # fmt: skip
    dropped = np.asarray(views[:, :, 0, 0, 0] == 0)
    for which, chance in enumerate((0.75, 0.2)):
        error = 4 * np.sqrt(chance * (1 - chance) / count)
        assert abs(dropped[:, which].mean() - chance) < error
    assert abs(np.corrcoef(dropped.T)[0, 1]) < 4 / np.sqrt(count)


def test_half_a_batch_gives_the_same_composite_views():
    @jax.jit
    def views(indices, backgrounds, digits):
        return composite_views(
            jax.random.key(1), 5, indices, backgrounds, digits, SIMCLR_POLICY, 0.5,
            digit_strength=0.7, drop_probability=(0.5, 0.5),
        )  # fmt: skip

    backgrounds, digits = floats(4)
    whole = views(jnp.arange(4), backgrounds, digits)
    half = views(jnp.arange(2, 4), backgrounds[2:], digits[2:])
    np.testing.assert_array_equal(whole[2:], half)


def test_the_labeled_set_shows_every_digit_to_half_a_level():
    dataset = composite_dataset(COMPOSITES, 0.7)
    backgrounds, digits = floats()
    expected = blended(backgrounds, digits, 0.7, jnp.ones(6, bool))
    np.testing.assert_allclose(dataset.images / 255, expected, atol=0.501 / 255)
    np.testing.assert_array_equal(dataset.labels, COMPOSITES.digit_labels)


def test_gray_backgrounds_are_refused():
    with pytest.raises(UsageError, match="color images"):
        make_composites(DIGITS, DIGITS)


@pytest.mark.real_data
@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="no real images: set TFDS_DATA_DIR")
def test_real_digits_sit_on_real_images():
    composites = load_composites("test")
    assert composites.backgrounds.shape == (10_000, 32, 32, 3)
    inked = (composites.digits > 0).mean()
    assert 0.03 < inked < 0.12
