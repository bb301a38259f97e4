import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.augment import augment, draw_changes
from ssljax.augment.filters import blur, heat_kernel, mask_square, solarize
from ssljax.augment.policies import Policy

compiled = jax.jit(augment, static_argnames="policy")
KEYS = jax.random.split(jax.random.key(0), 2000)


@pytest.mark.parametrize(("sigma", "bound"), [(0.8, 0.03), (1.0, 5e-3), (1.5, 5e-6)])
def test_blur_is_convolution_with_a_sampled_gaussian_mirrored_at_the_border(sigma, bound):
    images = np.random.default_rng(0).uniform(size=(2, 16, 16, 3))
    radius = 12
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(images, ((0, 0), (radius,) * 2, (radius,) * 2, (0, 0)), mode="symmetric")
    rows = sum(k * padded[:, i : i + 16] for i, k in enumerate(kernel))
    expected = sum(k * rows[:, :, i : i + 16] for i, k in enumerate(kernel))
    ours = jax.jit(blur)(jnp.asarray(images, jnp.float32), jnp.full(2, sigma**2))
    np.testing.assert_allclose(ours, expected, atol=bound)


def test_blurs_add_their_variances_and_keep_the_mean():
    a, b = jnp.array([0.4]), jnp.array([1.1])
    np.testing.assert_allclose(
        heat_kernel(a, 9)[0] @ heat_kernel(b, 9)[0], heat_kernel(a + b, 9)[0], atol=1e-6
    )
    np.testing.assert_allclose(jnp.sum(heat_kernel(b, 9), axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(heat_kernel(jnp.zeros(1), 9)[0], np.eye(9), atol=1e-6)


def test_the_derivative_of_blur_at_zero_variance_is_half_the_laplacian():
    wave = jnp.cos(np.pi * 3 * (jnp.arange(12) + 0.5) / 12)
    _, change = jax.jvp(lambda v: heat_kernel(v[None], 12)[0] @ wave, (0.0,), (1.0,))
    np.testing.assert_allclose(change, -0.5 * (np.pi * 3 / 12) ** 2 * wave, atol=1e-5)


def test_solarization_inverts_bright_values_of_chosen_images():
    images = jnp.array([0.2, 0.5, 0.9, 1.0]).reshape(1, 2, 2, 1)
    both = jnp.concatenate([images, images])
    ours = solarize(both, jnp.array([True, False]))
    np.testing.assert_allclose(ours[0].reshape(-1), [0.2, 0.5, 0.1, 0.0], atol=1e-7)
    np.testing.assert_array_equal(ours[1], images[0])


def test_a_mask_hides_exactly_the_pixels_of_its_rectangle():
    images = jnp.ones((1, 8, 8, 2))
    ours = mask_square(images, jnp.array([0.25]), jnp.array([0.5]), jnp.array([0.375]))
    expected = np.ones((8, 8))
    expected[2:5, 4:7] = 0
    np.testing.assert_array_equal(ours[0, :, :, 0], expected)


def test_a_policy_draws_masks_drops_blurs_and_casts_as_stated():
    policy = Policy(
        mask=0.5, blur_variance=4.0, blur_probability=0.5, solarize=0.3, cast=0.2, pixel_drop=0.5
    )
    c = jax.jit(draw_changes, static_argnames="policy")(KEYS, policy, 0.5)
    assert float(jnp.max(c.mask_top)) <= 0.75
    np.testing.assert_allclose(c.mask_side, 0.25)
    assert abs(float(jnp.mean(c.blur_variance > 0)) - 0.5) < 4 * 0.5 / np.sqrt(2000)
    assert float(jnp.max(c.blur_variance)) <= 1.0
    sigma = np.sqrt(np.asarray(c.blur_variance))
    np.testing.assert_allclose(sigma[sigma > 0].mean(), 0.5, atol=4 * 0.29 / np.sqrt(1000))
    assert abs(float(jnp.mean(c.solarize)) - 0.15) < 4 * np.sqrt(0.15 * 0.85 / 2000)
    assert float(jnp.max(jnp.abs(c.cast))) <= 0.1
    assert np.abs(np.corrcoef(np.asarray(c.cast).T) - np.eye(3)).max() < 4 / np.sqrt(2000)


def test_dropped_pixels_are_zero_in_all_channels_with_the_stated_probability():
    images = jnp.ones((2000, 4, 4, 3))
    views = np.asarray(compiled(KEYS, images, Policy(pixel_drop=0.5), 0.5))
    np.testing.assert_array_equal(views[..., 0], views[..., 2])
    assert abs(1 - views.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / (2000 * 16))
    correlation = np.corrcoef(views[..., 0].reshape(2000, 16).T) - np.eye(16)
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)


def test_dropped_patches_tile_the_image_and_fall_with_the_stated_probability():
    images = jnp.ones((2000, 7, 7, 1))
    views = np.asarray(compiled(KEYS, images, Policy(patch_drop=0.6, patch_side=0.4), 0.5))
    # Centers (i + 1/2) / 7 lie below .4 for rows 0 to 2, below .8 for 3 to 5, and the last is left.
    bounds = [0, 3, 6, 7]
    corners = views[:, [0, 3, 6]][:, :, [0, 3, 6]].reshape(2000, 9)
    for place, (i, j) in enumerate(np.ndindex(3, 3)):
        patch = views[:, bounds[i] : bounds[i + 1], bounds[j] : bounds[j + 1]].reshape(2000, -1)
        assert (patch == corners[:, place, None]).all()
    assert abs(1 - corners.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 18000)
    assert np.abs(np.corrcoef(corners.T) - np.eye(9)).max() < 5 / np.sqrt(2000)
