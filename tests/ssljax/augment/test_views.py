import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ssljax.augment.augment import augment, draw_changes
from ssljax.augment.policies import Policy
from ssljax.augment.views import ViewGroup, make_view_pair, make_views, view_keys
from ssljax.data.decoding import show_squeezed, squeeze_photograph
from ssljax.training.step import join_groups
from tests.ssljax.data.test_decoding import file_of

KEY = jax.random.key(2)
CROP = Policy(crop_area=0.92, crop_log_aspect=0.29)


def test_an_image_never_gets_the_same_view_twice():
    """Over epochs, over the hosts that share a batch, and over the views of a step."""
    hosts = [jnp.arange(0, 8), jnp.arange(8, 16)]
    keys = np.concatenate(
        [
            np.asarray(jax.random.key_data(view_keys(KEY, step, host, 0, 6))).reshape(-1, 2)
            for step in (0, 5)
            for host in hosts
        ]
    )
    assert len({tuple(key) for key in keys.tolist()}) == 2 * 16 * 6


def test_multi_crop_adds_smaller_views_to_the_same_pair():
    images = jax.random.uniform(KEY, (3, 14, 14, 3))
    local = dataclasses.replace(CROP, crop_area=0.95, crop_area_min=0.86)
    groups = (ViewGroup(CROP), ViewGroup(local, 3, 6))
    arguments = (KEY, 4, jnp.arange(3), images, 1.0)
    large, small = jax.jit(make_views(groups))(*arguments)
    assert (large.shape, small.shape) == ((3, 2, 14, 14, 3), (3, 3, 6, 6, 3))
    pair = jax.jit(make_view_pair, static_argnames="policy")(
        KEY, 4, jnp.arange(3), images, CROP, 1.0
    )
    np.testing.assert_array_equal(large, pair)
    assert len({view.tobytes() for view in np.asarray(small).reshape(9, -1)}) == 9


def test_outputs_of_all_groups_meet_where_they_have_one_shape():
    first = {"input": jnp.zeros((4, 2, 12)), "embedding": jnp.zeros((4, 2, 5))}
    second = {"input": jnp.ones((4, 3, 7)), "embedding": jnp.ones((4, 3, 5))}
    joined = join_groups([first, second])
    assert joined["input"].shape == (4, 2, 12)
    np.testing.assert_array_equal(joined["embedding"][0, :, 0], [0, 0, 1, 1, 1])


def test_local_crops_have_the_areas_they_are_asked_for():
    policy = Policy(crop_area=0.95, crop_area_min=0.86)
    changes = draw_changes(jax.random.split(KEY, 2000), policy, 1.0)
    areas = np.asarray(changes.crop_height * changes.crop_width)
    assert 0.05 <= areas.min() < 0.051
    assert 0.139 < areas.max() <= 0.14 + 1e-6


def test_a_smaller_view_is_pillows_resizing_of_its_box():
    levels = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    keys = jax.random.split(KEY, 2)
    policy = Policy(crop_area=0.3)
    pixels = jnp.asarray(levels / 255, jnp.float32)
    ours = 255 * jax.jit(lambda x: augment(keys, x, policy, 1.0, side=13))(pixels)
    changes = draw_changes(keys, policy, 1.0)
    for b, picture in enumerate(levels):
        top, left = float(changes.crop_top[b]) * 40, float(changes.crop_left[b]) * 40
        box = (
            left,
            top,
            left + float(changes.crop_width[b]) * 40,
            top + float(changes.crop_height[b]) * 40,
        )
        image = Image.fromarray(picture).resize((13, 13), Image.Resampling.BILINEAR, box=box)
        # Pillow rounds after each axis.
        assert np.abs(ours[b] - np.asarray(image, float)).max() <= 1.01


def stored_photographs(width, height, side=36):
    """A photograph whose red is the column and whose green is the row, squeezed."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([255 * x / (width - 1), 255 * y / (height - 1), 0 * x], -1).astype(np.uint8)
    return squeeze_photograph(file_of(Image.fromarray(picture)), side)


def test_crops_of_a_squeezed_photograph_come_from_all_of_it_in_its_own_shape():
    count = 400
    log_aspect = jnp.log(jnp.where(jnp.arange(count) % 2 == 0, 16 / 9, 9 / 16))
    keys = jax.random.split(KEY, count)
    changes = draw_changes(keys, CROP, 1.0, log_aspect=log_aspect)
    plain = draw_changes(keys, CROP, 1.0)
    # Width over height in the photograph, not in the square it is stored in.
    shape = jnp.log(changes.crop_width / changes.crop_height) + log_aspect
    assert np.abs(shape).max() <= 0.29 + 1e-5
    assert (changes.crop_top + changes.crop_height).max() <= 1 + 1e-6
    assert (changes.crop_left + changes.crop_width).max() <= 1 + 1e-6
    fits = (plain.crop_width < 0.6) & (plain.crop_height < 0.6)
    area = changes.crop_width * changes.crop_height
    np.testing.assert_allclose(area[fits], (plain.crop_width * plain.crop_height)[fits], rtol=1e-5)
    assert (changes.crop_left[::2]).min() < 0.05  # the middle square begins at .22
    assert (changes.crop_left + changes.crop_width)[::2].max() > 0.95


def test_without_augmentation_a_squeezed_photograph_shows_its_middle():
    stored = np.stack([stored_photographs(64, 36), stored_photographs(30, 50)])
    views = make_views((ViewGroup(CROP, 2, 28),), squeezed=True)
    (shown,) = jax.jit(views)(KEY, 0, jnp.arange(2), jnp.asarray(stored / 255, jnp.float32), 0.0)
    for b in range(2):
        expected = show_squeezed(stored[b], 28) / 255
        assert np.abs(shown[b, 0] - expected).max() < 2.5 / 255
    np.testing.assert_array_equal(shown[:, 0], shown[:, 1])


def test_a_rotation_turns_a_squeezed_photograph_as_it_was():
    """Colors that grow along rows and columns show the angle, if no axis is stretched."""
    stored = jnp.asarray(stored_photographs(60, 36)[None] / 255, jnp.float32)
    group = ViewGroup(Policy(rotation=1.0), 1, 30)
    (shown,) = jax.jit(make_views((group,), squeezed=True))(KEY, 0, jnp.arange(1), stored, 0.4)
    (still,) = jax.jit(make_views((group,), squeezed=True))(KEY, 0, jnp.arange(1), stored, 0.0)
    keys = view_keys(KEY, 0, jnp.arange(1), 0, 1)[:, 0]
    angle = float(draw_changes(keys, group.policy, 0.4, log_aspect=jnp.zeros(1)).rotation[0])
    # Red grows by 1 over 60 pixels of the photograph, green by 1 over 36: per pixel of the view
    # by the means of what stands upright.
    upright = np.asarray(still[0, 0])
    slope_x = (upright[15, 20, 0] - upright[15, 10, 0]) / 10
    slope_y = (upright[20, 15, 1] - upright[10, 15, 1]) / 10
    assert abs(slope_x / slope_y - 36 / 60) < 0.05
    turned = np.asarray(shown[0, 0])
    right = (turned[10:20, 20] - turned[10:20, 10]).mean(axis=0) / 10
    np.testing.assert_allclose(right[0], np.cos(angle) * slope_x, atol=6e-4)
    np.testing.assert_allclose(right[1], np.sin(angle) * slope_y, atol=6e-4)
    assert abs(np.sin(angle)) * slope_y > 3e-3
