import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from ssljax.augment.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    disk_kernel,
    gaussian_matrix,
    pixelation_matrix,
    plasma,
)
from ssljax.system.errors import UsageError

SIDE = 16
IMAGES = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)) / 255
KEYS = jax.random.split(jax.random.key(3), 4)
compiled = jax.jit(corrupt, static_argnames="kind")


@pytest.fixture(scope="module")
def results():
    """Every corruption of the same images at every severity: one program for each kind."""
    images = jnp.asarray(IMAGES, jnp.float32)
    return {
        kind: np.stack([compiled(KEYS, images, kind, jnp.asarray(s)) for s in SEVERITIES])
        for kind in CORRUPTIONS
    }


def blur_twin(image, severity):
    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[severity]
    return scipy.ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=4)


def defocus_twin(image, severity):
    """The published program: a disk on 17x17 points, three taps, correlation over a mirror."""
    radius, sigma = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity]
    x, y = np.meshgrid(np.arange(-8, 9), np.arange(-8, 9))
    disk = (x**2 + y**2 <= radius**2) / np.sum(x**2 + y**2 <= radius**2)
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    for axis in (0, 1):
        disk = scipy.ndimage.correlate1d(disk, taps, axis=axis, mode="mirror")
    return scipy.ndimage.correlate(image, disk[:, :, None], mode="mirror")


def brightness_twin(image, severity):
    import colorsys

    out = np.empty_like(image)
    for place in np.ndindex(*image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place])
        raised = min(1, value + (0.05, 0.1, 0.15, 0.2, 0.3)[severity])
        out[place] = colorsys.hsv_to_rgb(hue, saturation, raised)
    return out


def contrast_twin(image, severity):
    out = np.empty_like(image)
    for channel in range(3):
        mean = image[..., channel].sum() / SIDE**2
        factor = (0.75, 0.5, 0.4, 0.3, 0.15)[severity]
        out[..., channel] = mean + factor * (image[..., channel] - mean)
    return np.clip(out, 0, 1)


@pytest.mark.parametrize("severity", range(5))
@pytest.mark.parametrize(
    ("kind", "twin"),
    [
        ("gaussian_blur", blur_twin),
        ("defocus_blur", defocus_twin),
        ("brightness", brightness_twin),
        ("contrast", contrast_twin),
    ],
)
def test_deterministic_corruptions_equal_their_float64_twins(results, kind, twin, severity):
    for ours, image in zip(results[kind][severity], IMAGES):
        np.testing.assert_allclose(ours, twin(image, severity), atol=2e-6)


@pytest.mark.parametrize("severity", range(5))
def test_pixelation_is_pillows_to_its_roundings(results, severity):
    from PIL import Image

    small = int(SIDE * (0.95, 0.9, 0.85, 0.75, 0.65)[severity])
    for ours, pixels in zip(results["pixelate"][severity], IMAGES):
        image = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
        reduced = image.resize((small, small), Image.Resampling.BOX)
        theirs = np.asarray(reduced.resize((SIDE, SIDE), Image.Resampling.BOX))
        # Pillow rounds after each axis of the reduction; enlarging repeats pixels.
        assert np.abs(ours * 255 - theirs).max() <= 1.01


GRAYS = np.array([0.42, 0.47, 0.52, 0.58])


def of_gray_images(kind, severity):
    """Corrupted constant images: same shapes as above, so nothing is compiled anew."""
    gray = jnp.asarray(np.tile(GRAYS[:, None, None, None], (1, SIDE, SIDE, 3)), jnp.float32)
    draws = [
        compiled(jax.random.split(jax.random.key(seed), 4), gray, kind, jnp.asarray(severity))
        for seed in range(10)
    ]
    return np.concatenate([np.asarray(draw, float).reshape(4, -1) for draw in draws], axis=1)


@pytest.mark.parametrize(
    ("kind", "deviations"),
    [
        ("gaussian_noise", {1: 0.04 + 0 * GRAYS, 5: 0.1 + 0 * GRAYS}),
        ("speckle_noise", {1: 0.06 * GRAYS, 5: 0.2 * GRAYS}),
        ("shot_noise", {1: np.sqrt(GRAYS / 500), 5: np.sqrt(GRAYS / 50)}),
    ],
)
def test_noise_has_the_stated_mean_and_deviation_where_nothing_is_clipped(kind, deviations):
    for severity, expected in deviations.items():
        values = of_gray_images(kind, severity)
        count = values.shape[1]
        assert np.all(np.abs(values.mean(axis=1) - GRAYS) < 4 * expected / np.sqrt(count))
        np.testing.assert_allclose(values.std(axis=1), expected, rtol=4 / np.sqrt(2 * count))
        if kind == "shot_noise":  # whole photons
            photons = values * {1: 500, 5: 50}[severity]
            np.testing.assert_allclose(photons, np.round(photons), atol=1e-3)


def test_impulses_are_salt_and_pepper_in_equal_parts():
    for severity, amount in ((1, 0.01), (5, 0.07)):
        values = of_gray_images("impulse_noise", severity)
        for level in (0, 1):
            chance = amount / 2
            assert abs((values == level).mean() - chance) < 4 * np.sqrt(chance / values.size)
        untouched = (values > 0) & (values < 1)
        rows = np.broadcast_to(GRAYS[:, None], values.shape)
        np.testing.assert_allclose(values[untouched], rows[untouched], atol=1e-7)


def plasma_twin(noise, decay):
    """Diamond-square on a torus, one point at a time."""
    side = len(noise)
    value = np.zeros((side, side))
    step, amplitude = side, 100.0
    while step >= 2:
        half = step // 2
        for i in range(half, side, step):
            for j in range(half, side, step):
                around = [(i + a, j + b) for a in (-half, half) for b in (-half, half)]
                mean = sum(value[a % side, b % side] for a, b in around) / 4
                value[i, j] = mean + amplitude**2 * noise[i, j]
        centers = value.copy()
        for i in range(0, side, half):
            for j in range(0, side, half):
                if (i // half + j // half) % 2:
                    around = [(i - half, j), (i + half, j), (i, j - half), (i, j + half)]
                    mean = sum(centers[a % side, b % side] for a, b in around) / 4
                    value[i, j] = mean + amplitude**2 * noise[i, j]
        step, amplitude = half, amplitude / decay
    value -= value.min()
    return value / value.max()


def test_a_plasma_is_the_diamond_square_algorithm_point_by_point():
    noise = np.random.default_rng(2).uniform(-1, 1, (2, 8, 8))
    program = jax.jit(plasma)
    for decay in (3.0, 1.75):
        ours = program(jnp.asarray(noise, jnp.float32), decay)
        for mine, numbers in zip(ours, noise):
            np.testing.assert_allclose(mine, plasma_twin(numbers, decay), atol=2e-6)


def test_fog_brightens_towards_the_largest_value_and_thickens(results):
    flat = jnp.asarray(np.full((4, SIDE, SIDE, 3), 0.5, np.float32))
    for severity, thickness in ((1, 0.2), (5, 1.5)):
        foggy = np.asarray(compiled(KEYS, flat, "fog", jnp.asarray(severity)))
        # (x + t p) m / (m + t) with x = m = 1/2 and p from 0 to 1.
        np.testing.assert_allclose(foggy.max(axis=(1, 2, 3)), 0.5, atol=1e-6)
        lowest = 0.25 / (0.5 + thickness)
        np.testing.assert_allclose(foggy.min(axis=(1, 2, 3)), lowest, atol=1e-6)
        assert np.abs(foggy - foggy[..., :1]).max() == 0


def test_every_corruption_stays_between_0_and_1_and_gets_stronger(results):
    for kind, values in results.items():
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= 1
        distance = np.sqrt(np.mean((values - IMAGES[None]) ** 2, axis=(1, 2, 3, 4)))
        assert distance[0] > 1e-4, kind
        assert distance[4] > distance[0], kind


def test_an_image_is_corrupted_by_its_own_key_alone(results):
    images, third = jnp.asarray(IMAGES, jnp.float32), jnp.asarray(3)
    for kind in ("gaussian_noise", "fog"):
        other_batch = jnp.concatenate([images[2:], images[:2]])
        swapped = compiled(KEYS[jnp.array([2, 3, 1, 0])], other_batch, kind, third)
        np.testing.assert_array_equal(swapped[:2], results[kind][2, 2:])
        assert np.abs(swapped[2] - results[kind][2, 0]).max() > 0.05


def test_kernels_keep_the_sum_of_the_pixels_inside():
    for matrix in (gaussian_matrix(1.0, 9), pixelation_matrix(0.75, 8)):
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    for radius, sigma in ((0.3, 0.4), (1.5, 0.1)):
        np.testing.assert_allclose(disk_kernel(radius, sigma).sum(), 1, atol=1e-12)


def test_unknown_kinds_severities_and_shapes_are_refused():
    images = jnp.zeros((4, 4, 6, 3))
    with pytest.raises(UsageError, match="gaussian_noise, shot_noise"):
        corrupt(KEYS, images, "snow", 1)
    with pytest.raises(UsageError, match="1, 2, 3, 4 or 5"):
        corrupt(KEYS, images, "contrast", 6)
    with pytest.raises(UsageError, match="4x6"):
        corrupt(KEYS, images, "fog", 1)
