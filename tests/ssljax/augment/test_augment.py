import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ssljax.augment.augment import Changes, apply_changes, augment, draw_changes
from ssljax.augment.policies import (
    DIGITS_POLICY,
    IDENTITY,
    NOISE_POLICY,
    SIMCLR_POLICY,
    SMALLEST_CROP,
    Policy,
)
from ssljax.augment.views import make_view_pair
from ssljax.system.errors import UsageError
from tests.ssljax.augment.test_geometry import bilinear

POLICIES = {
    "digits": (DIGITS_POLICY, (8, 8, 1)),
    "simclr": (SIMCLR_POLICY, (32, 32, 3)),
    "noise": (NOISE_POLICY, (5, 7, 2)),
    "odd sizes": (dataclasses.replace(SIMCLR_POLICY, rotation=0.3, log_aspect=0.2), (9, 6, 3)),
}
KEY = jax.random.key(2)
compiled = jax.jit(augment, static_argnames="policy")
changed = jax.jit(apply_changes, static_argnames="policy")
drawn = jax.jit(draw_changes, static_argnames="policy")
compiled_views = jax.jit(make_view_pair, static_argnames="policy")


def images_of(shape, count=16):
    return jax.random.uniform(jax.random.key(7), (count, *shape))


def no_changes(count):
    zeros, ones = jnp.zeros(count), jnp.ones(count)
    values = dict.fromkeys(Changes._fields, zeros)
    values |= dict.fromkeys(
        [
            "crop_height",
            "crop_width",
            "jitter_brightness",
            "jitter_contrast",
            "jitter_saturation",
        ],
        ones,
    )
    values["jitter_order"] = jnp.zeros(count, jnp.int32)
    values["cast"] = jnp.zeros((count, 3))
    return Changes(**values)


@pytest.mark.parametrize("name", POLICIES)
def test_strength_zero_is_the_identity_to_rounding(name):
    policy, shape = POLICIES[name]
    images = images_of(shape)
    views = compiled_views(KEY, 5, jnp.arange(16), images, policy, 0.0)
    np.testing.assert_allclose(views, np.stack([images] * 2, axis=1), atol=2e-6)


def test_the_identity_policy_returns_the_images_untouched():
    images = images_of((8, 8, 1))
    keys = jax.random.split(jax.random.key(0), 16)
    np.testing.assert_array_equal(compiled(keys, images, IDENTITY, 3.0), images)


@pytest.mark.parametrize(("angle", "quarter_turns"), [(math.pi / 2, 1), (math.pi, 2)])
def test_a_positive_rotation_turns_counter_clockwise_exactly_at_right_angles(angle, quarter_turns):
    images = images_of((8, 8, 3), 4)
    changes = no_changes(4)._replace(rotation=jnp.full(4, angle))
    turned = changed(images, changes, Policy(rotation=1.0))
    expected = np.rot90(images, quarter_turns, axes=(1, 2))
    np.testing.assert_allclose(turned, expected, atol=3e-6)


@pytest.mark.parametrize("rotation", [0.0, 0.4])
def test_geometry_equals_sampling_each_pixel_where_the_formula_says(rotation):
    policy = dataclasses.replace(
        SIMCLR_POLICY, rotation=rotation, shift=0.2, log_scale=0.2, log_aspect=0.3
    )
    policy = dataclasses.replace(
        policy,
        **dict.fromkeys(
            ["jitter_brightness", "jitter_contrast", "jitter_saturation", "jitter_hue"], 0.0
        ),
        grayscale=0.0,
    )
    height, width = 6, 9
    images = images_of((height, width, 2), 8)
    changes = drawn(jax.random.split(jax.random.key(3), 8), policy, 0.9)
    ours = changed(images, changes, policy)
    values = {name: np.asarray(value, float) for name, value in changes._asdict().items()}
    for b in range(8):
        c = {name: value[b] for name, value in values.items()}
        for i, j in np.ndindex(height, width):
            j_flipped = width - 1 - j if c["flip"] else j
            # Pixel edges: the crop starts at top * height, its pixels are crop_height wide.
            crop_rows, crop_columns = c["crop_height"] * height, c["crop_width"] * width
            row = c["crop_top"] * height + (i + 0.5) * crop_rows / height - 0.5
            column = c["crop_left"] * width + (j_flipped + 0.5) * crop_columns / width - 0.5
            row = np.clip(
                row, c["crop_top"] * height, c["crop_top"] * height + max(crop_rows - 1, 0)
            )
            column = np.clip(
                column, c["crop_left"] * width, c["crop_left"] * width + max(crop_columns - 1, 0)
            )
            y, x = row - (height - 1) / 2, column - (width - 1) / 2
            turned = np.array(
                [
                    np.cos(c["rotation"]) * y + np.sin(c["rotation"]) * x,
                    np.cos(c["rotation"]) * x - np.sin(c["rotation"]) * y,
                ]
            )
            stretch = np.exp(c["log_scale"] + np.array([-1, 1]) * c["log_aspect"] / 2)
            source = stretch * turned + np.array(
                [
                    c["shift_y"] * height + (height - 1) / 2,
                    c["shift_x"] * width + (width - 1) / 2,
                ]
            )
            expected = bilinear(np.asarray(images[b], float), *source)
            np.testing.assert_allclose(ours[b, i, j], expected, atol=3e-5)


def test_a_crop_on_whole_pixels_is_the_resized_crop_of_that_rectangle():
    images = images_of((8, 8, 1), 1)
    changes = no_changes(1)._replace(
        crop_height=jnp.array([0.5]),
        crop_width=jnp.array([0.5]),
        crop_top=jnp.array([0.25]),
        crop_left=jnp.array([0.5]),
    )
    ours = changed(images, changes, Policy(crop_area=1.0))[0, :, :, 0]
    rectangle = np.asarray(images[0, 2:6, 4:8, 0], float)
    # Half-pixel centers, border pixels repeated: what image libraries call bilinear resizing.
    at = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3)
    low = np.minimum(np.floor(at).astype(int), 2)
    weights = np.zeros((8, 4))
    weights[np.arange(8), low] = 1 - (at - low)
    weights[np.arange(8), low + 1] = at - low
    np.testing.assert_allclose(ours, weights @ rectangle @ weights.T, atol=1e-6)


def test_a_shift_by_whole_pixels_moves_the_pixels_and_pads_with_zeros():
    images = images_of((8, 8, 1), 1)
    changes = no_changes(1)._replace(shift_y=jnp.array([2 / 8]), shift_x=jnp.array([-1 / 8]))
    moved = np.asarray(changed(images, changes, Policy(shift=1.0))[0, :, :, 0])
    expected = np.zeros((8, 8))
    expected[:6, 1:] = images[0, 2:, :7, 0]
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_a_flip_reverses_the_columns():
    images = images_of((5, 6, 1), 2)
    changes = no_changes(2)._replace(flip=jnp.array([1.0, 0.0]))
    flipped = changed(images, changes, Policy(flip=0.5))
    np.testing.assert_allclose(flipped[0], images[0, :, ::-1], atol=1e-6)
    np.testing.assert_allclose(flipped[1], images[1], atol=1e-6)


def test_contrast_and_brightness_are_a_gain_and_an_offset():
    images = images_of((4, 4, 1), 3)
    changes = no_changes(3)._replace(
        log_contrast=jnp.array([0.0, 0.5, -0.2]), brightness=jnp.array([0.1, 0.0, -0.3])
    )
    ours = changed(images, changes, Policy(log_contrast=1.0, brightness=1.0))
    expected = np.exp([0.0, 0.5, -0.2])[:, None, None, None] * np.asarray(images)
    expected = expected + np.array([0.1, 0.0, -0.3])[:, None, None, None]
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_changes_have_the_stated_distributions():
    count, strength = 20_000, 0.5
    policy = dataclasses.replace(
        SIMCLR_POLICY, rotation=0.6, shift=0.2, log_contrast=0.5, brightness=0.2
    )
    keys = jax.random.split(jax.random.key(5), count)
    c = drawn(keys, policy, strength)
    c = Changes(*(np.asarray(value, float) for value in c))
    for values, reach in [(c.rotation, 0.3), (c.shift_x, 0.1), (c.log_contrast, 0.25)]:
        assert np.abs(values).max() <= reach
        # Uniform: mean 0, variance reach^2 / 3; four standard errors.
        assert abs(values.mean()) < 4 * reach / math.sqrt(3 * count)
        np.testing.assert_allclose(values.var(), reach**2 / 3, rtol=4 * math.sqrt(0.8 / count))
    jittered = c.jitter_brightness != 1
    for chance, values in [(0.5, c.flip), (0.1, c.grayscale), (0.8, jittered)]:
        assert abs(values.mean() - chance) < 4 * math.sqrt(chance * (1 - chance) / count)
    assert np.all((c.jitter_hue != 0) == jittered)
    assert np.abs(c.jitter_hue).max() <= 2 * math.pi * 0.1
    area = c.crop_height * c.crop_width
    assert area.min() >= (1 - 0.92 * strength) - 1e-6
    assert np.all(c.crop_top >= 0)
    assert np.all(c.crop_top + c.crop_height <= 1 + 1e-6)
    orders = np.bincount(c.jitter_order.astype(int), minlength=24)
    assert ((orders - count / 24) ** 2 / (count / 24)).sum() < 60  # 23 degrees of freedom
    correlations = np.corrcoef([c.rotation, c.shift_y, c.shift_x, c.log_contrast, c.brightness])
    assert np.abs(correlations - np.eye(5)).max() < 4 / math.sqrt(count)


def test_the_smallest_crop_bounds_any_strength():
    keys = jax.random.split(jax.random.key(0), 2000)
    c = drawn(keys, Policy(crop_area=0.92), 3.0)
    assert float(jnp.min(c.crop_height * c.crop_width)) >= SMALLEST_CROP - 1e-6


def test_noise_has_the_stated_size_and_differs_between_pixels_and_views():
    images = jnp.zeros((400, 8, 8, 1))
    noise = compiled(jax.random.split(jax.random.key(0), 400), images, NOISE_POLICY, 2.0)
    np.testing.assert_allclose(jnp.std(noise), 0.5, rtol=4 / math.sqrt(2 * noise.size))
    correlation = np.corrcoef(np.asarray(noise).reshape(400, 64).T) - np.eye(64)
    assert np.abs(correlation).max() < 5 / math.sqrt(400)


def test_switching_one_change_on_leaves_the_others_as_they_were():
    keys = jax.random.split(jax.random.key(1), 5)
    small = drawn(keys, Policy(rotation=0.3), 1.0)
    large = drawn(keys, Policy(rotation=0.3, shift=0.1, flip=0.5), 1.0)
    np.testing.assert_array_equal(small.rotation, large.rotation)


@pytest.mark.optimized
@pytest.mark.parametrize("name", ["digits", "simclr"])
def test_half_a_batch_and_eight_devices_give_the_same_views_bit_for_bit(name):
    policy, shape = POLICIES[name]
    images, indices = images_of(shape), jnp.arange(100, 116)
    whole = compiled_views(KEY, 5, indices, images, policy, 0.8)
    half = compiled_views(KEY, 5, indices[8:], images[8:], policy, 0.8)
    np.testing.assert_array_equal(whole[8:], half)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    placed = jax.device_put((indices, images), NamedSharding(mesh, PartitionSpec("batch")))
    eight = compiled_views(KEY, 5, *placed, policy, 0.8)
    assert len(eight.sharding.device_set) == 8
    np.testing.assert_array_equal(whole, eight)


def test_views_differ_between_views_steps_and_examples_and_repeat_for_the_same():
    images = jnp.broadcast_to(images_of((8, 8, 1), 1), (16, 8, 8, 1))
    views = compiled_views(KEY, 5, jnp.arange(16), images, DIGITS_POLICY, 0.5)
    flat = np.asarray(views).reshape(32, -1)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=-1) + 10 * np.eye(32)
    assert distances.min() > 0.1
    later = compiled_views(KEY, 6, jnp.arange(16), images, DIGITS_POLICY, 0.5)
    assert np.abs(np.asarray(later - views)).max(axis=(1, 2, 3, 4)).min() > 0.05
    again = compiled_views(KEY, 5, jnp.arange(16), images, DIGITS_POLICY, 0.5)
    np.testing.assert_array_equal(views, again)


def test_another_step_or_strength_does_not_compile_again():
    images = images_of((8, 8, 1))
    compiled_views(KEY, 5, jnp.arange(16), images, DIGITS_POLICY, 0.5)
    programs = compiled_views._cache_size()
    for step, strength in ((6, 0.1), (7, 1.0)):
        compiled_views(KEY, step, jnp.arange(16), images, DIGITS_POLICY, strength)
    assert compiled_views._cache_size() == programs


def test_keys_that_depend_on_the_batch_are_refused():
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 2)
    with pytest.raises(UsageError, match="threefry"):
        augment(keys, images_of((8, 8, 1), 2), DIGITS_POLICY, 1.0)


@pytest.mark.parametrize(
    ("field", "value"), [("rotation", -0.1), ("flip", 1.5), ("noise", float("nan"))]
)
def test_a_policy_that_means_nothing_names_its_field(field, value):
    with pytest.raises(UsageError, match=field):
        Policy(**{field: value})
