import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.policies import IDENTITY, Policy
from ssljax.augment.views import Ink, ViewGroup, blend_ink, make_views, view_keys
from ssljax.data.clean_images import clean_dataset
from ssljax.data.composites import overlay_digits, resize_gray
from ssljax.data.datasets import Dataset, load_dataset
from ssljax.system.errors import UsageError

RNG = np.random.default_rng(0)
BACKGROUNDS = Dataset(
    RNG.integers(0, 256, (6, 32, 32, 3)).astype(np.uint8), np.arange(6), 1 / 255, 10, "cifar10"
)
STROKES = np.zeros((7, 28, 28, 1), np.uint8)
STROKES[:, 6:22, 12:17] = 255
DIGITS = Dataset(STROKES, np.array([3, 1, 4, 1, 5, 9, 2]), 1 / 255, 10, "mnist")
COMPOSITES = overlay_digits(BACKGROUNDS, DIGITS)
INK = COMPOSITES.images[..., 3]


def floats(count=6):
    return (
        jnp.asarray(COMPOSITES.images[:count, ..., :3]) / 255,
        jnp.asarray(INK[:count]) / 255,
    )


def test_digits_are_resized_to_16_pixels_and_padded_to_the_image():
    assert COMPOSITES.images.shape == (6, 32, 32, 4)
    assert COMPOSITES.image_shape == (32, 32, 3)
    np.testing.assert_array_equal(COMPOSITES.images[..., :3], BACKGROUNDS.images)
    np.testing.assert_array_equal(INK[:, 8:24, 8:24].max(axis=(1, 2)), 255)
    outside = INK.copy()
    outside[:, 8:24, 8:24] = 0
    assert outside.max() == 0
    np.testing.assert_array_equal(COMPOSITES.labels, DIGITS.labels[:6])
    names = [COMPOSITES.group_names[group] for group in COMPOSITES.groups]
    assert names[2] == "digit class 4, background class 2"
    assert len(COMPOSITES.group_names) == 100


@pytest.mark.parametrize("side", [16, 40])
def test_resizing_equals_pillow_to_one_level(side):
    from PIL import Image

    images = RNG.integers(0, 256, (3, 28, 28)).astype(np.uint8)
    ours = resize_gray(images, side)
    for image, mine in zip(images, ours):
        theirs = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
        # Pillow rounds after each axis.
        assert np.abs(np.asarray(theirs).astype(int) - mine.astype(int)).max() <= 1


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_blend_is_the_formula_inside_the_ink_and_the_background_outside(strength):
    backgrounds, digits = floats()
    present = np.array([True, True, True, False, False, True])
    ours = jax.jit(blend_ink)(backgrounds, digits, jnp.float32(strength), present)
    expected = np.array(backgrounds, float)
    for b, y, x in np.ndindex(6, 32, 32):
        if present[b] and INK[b, y, x] > 0:
            kept = (1 - strength) * expected[b, y, x]
            expected[b, y, x] = kept + strength * INK[b, y, x] / 255
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def composite_views(key, step, identity, backgrounds, digits, policy, strength, ink):
    images = jnp.concatenate([backgrounds, digits[..., None]], axis=-1)
    return make_views((ViewGroup(policy),), ink=ink)(key, step, identity, images, strength)[0]


def test_a_view_that_lost_its_digit_is_the_clean_background_even_at_full_strength():
    backgrounds, digits = floats()
    views = jax.jit(
        lambda *images: composite_views(
            jax.random.key(0), 0, jnp.arange(6), *images, IDENTITY, 0.0, Ink(1.0, (1.0, 0.0))
        )
    )(backgrounds, digits)
    np.testing.assert_array_equal(views[:, 0], backgrounds)
    assert np.abs(np.asarray(views[:, 1] - backgrounds)).max(axis=(1, 2, 3)).min() > 0.3


def test_digits_are_dropped_with_the_stated_probability_in_each_view_independently():
    count = 4000
    backgrounds, digits = jnp.zeros((count, 4, 4, 3)), jnp.ones((count, 4, 4))
    views = jax.jit(
        lambda i: composite_views(
            jax.random.key(1), 5, i, backgrounds, digits, IDENTITY, 0.0, Ink(0.7, (0.75, 0.2))
        )
    )(jnp.arange(count))
    dropped = np.asarray(views[:, :, 0, 0, 0] == 0)
    for which, chance in enumerate((0.75, 0.2)):
        error = 4 * np.sqrt(chance * (1 - chance) / count)
        assert abs(dropped[:, which].mean() - chance) < error
    assert abs(np.corrcoef(dropped.T)[0, 1]) < 4 / np.sqrt(count)


def test_backgrounds_are_redrawn_from_the_pool_with_the_stated_probability_in_each_view():
    count, chance = 4000, 0.3
    pool = jnp.arange(1.0, 8.0)[:, None, None, None] * jnp.ones((1, 2, 2, 3))
    ink = Ink(1.0, (0.5, 0.5), chance, pool)
    views = jax.jit(
        lambda i, backgrounds, digits: composite_views(
            jax.random.key(1), 5, i, backgrounds, digits, IDENTITY, 0.0, ink
        )
    )(jnp.arange(count), jnp.zeros((count, 2, 2, 3)), jnp.zeros((count, 2, 2)).at[:, 0, 0].set(9.0))
    digit, background = np.asarray(views[:, :, 0, 0, 0]), np.asarray(views[:, :, 1, 1, 0])
    redrawn, present = background > 0, digit == 9
    error = 4 * np.sqrt(chance * (1 - chance) / count)
    assert np.abs(redrawn.mean(axis=0) - chance).max() < error
    for first, second in ((redrawn[:, 0], redrawn[:, 1]), (redrawn.ravel(), present.ravel())):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(count)
    places = np.bincount(background[redrawn].astype(int), minlength=8)[1:]
    expected = redrawn.sum() / 7
    assert np.abs(places - expected).max() < 4 * np.sqrt(expected)
    np.testing.assert_array_equal(digit[~present], background[~present])  # the digit lies on top


def test_a_redraw_is_the_stated_function_of_the_key_of_the_view():
    key = jax.random.key(7)
    keys = view_keys(key, 3, jnp.arange(5), 0, 2)
    pool = jax.random.uniform(jax.random.key(8), (6, 2, 2, 3))
    images = jax.random.uniform(jax.random.key(9), (5, 2, 2, 4)).at[..., 3].set(0.0)
    views = make_views((ViewGroup(IDENTITY),), ink=Ink(1.0, redraw_probability=0.5, pool=pool))
    found = views(key, 3, jnp.arange(5), images, 0.0)[0]
    for image in range(5):
        for view in range(2):
            own = keys[image, view]
            expected = images[image, ..., :3]
            if jax.random.uniform(jax.random.fold_in(own, 5)) < 0.5:
                expected = pool[jax.random.randint(jax.random.fold_in(own, 6), (), 0, 6)]
            np.testing.assert_allclose(found[image, view], expected, atol=1e-6)


def test_digits_have_the_side_that_is_asked_for_in_the_middle():
    large = overlay_digits(BACKGROUNDS, DIGITS, 24)
    np.testing.assert_array_equal(
        large.images[:, 4:28, 4:28, 3], resize_gray(DIGITS.images[:6, :, :, 0], 24)
    )
    assert large.images[..., 3].sum() == large.images[:, 4:28, 4:28, 3].sum() > 0
    with pytest.raises(UsageError, match="at least 33 pixels"):
        overlay_digits(BACKGROUNDS, DIGITS, 33)


def test_the_views_of_a_composite_do_not_depend_on_the_rest_of_the_batch():
    policy = Policy(flip=0.5, noise=0.1)

    @jax.jit
    def views(indices, backgrounds, digits):
        return composite_views(
            jax.random.key(1), 5, indices, backgrounds, digits, policy, 0.5, Ink(0.7, (0.5, 0.5))
        )

    backgrounds, digits = floats(4)
    order = np.array([2, 3, 0, 0])
    whole = views(jnp.arange(4), backgrounds, digits)
    other = views(jnp.asarray(order), backgrounds[order], digits[order])
    np.testing.assert_array_equal(np.asarray(whole)[order], other)


def test_the_labeled_set_shows_every_digit_to_half_a_level():
    dataset = clean_dataset(COMPOSITES, 0.7)
    backgrounds, digits = floats()
    expected = blend_ink(backgrounds, digits, 0.7, jnp.ones(6, bool))
    np.testing.assert_allclose(dataset.images / 255, expected, atol=0.501 / 255)
    np.testing.assert_array_equal(dataset.labels, COMPOSITES.labels)
    assert dataset.image_shape == dataset.images.shape[1:] == (32, 32, 3)
    assert clean_dataset(dataset, 0.7) is dataset


def test_gray_backgrounds_are_refused():
    with pytest.raises(UsageError, match="color images"):
        overlay_digits(DIGITS, DIGITS)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="no real images: set TFDS_DATA_DIR")
def test_real_sets_made_of_images_and_digits():
    composites = load_dataset("mnist_on_cifar", "test")
    assert composites.images.shape == (10_000, 32, 32, 4)
    inked_share = (composites.images[..., 3] > 0).mean()
    assert 0.03 < inked_share < 0.12
    with pytest.raises(UsageError, match="no val split"):
        load_dataset("mnist_on_cifar", "val")
    shortcuts = load_dataset("two_shortcuts", "train")
    assert shortcuts.images.shape == (8000, 32, 32, 3)
    assert np.bincount(shortcuts.groups).tolist() == [3610, 190, 190, 10, 10, 190, 190, 3610]
