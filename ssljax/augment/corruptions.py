r"""Corruptions of small images at five severities, on the device: the making of a shifted test set.

The formulas and severities of CIFAR-10-C for those of its corruptions that need no picture file
and no image codec. Pixels are floats from 0 to 1, before and after; the published files are
rounded down to 256 levels in addition. Every random number comes from the image's key.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.system.arrays import Array, Float, Int
from ssljax.system.errors import UsageError

_GAUSSIAN_NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)
_PHOTONS = (500.0, 250.0, 100.0, 75.0, 50.0)
_IMPULSES = (0.01, 0.02, 0.03, 0.05, 0.07)
_SPECKLE = (0.06, 0.1, 0.12, 0.16, 0.2)
_BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)
_DEFOCUS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))
_FOG = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))
_CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
_BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)
_PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)

SEVERITIES = (1, 2, 3, 4, 5)
_REACH = 2
_PRECISION = jax.lax.Precision.HIGHEST


def corrupt(
    keys: Array,
    images: Float[Array, "batch height width channels"],
    kind: str,
    severity: int | Int[Array, ""],
) -> Float[Array, "batch height width channels"]:
    """Corrupt each image in one way.

    gaussian_noise: plus Gaussian noise. shot_noise: Poisson counts of photons. impulse_noise:
    values set to 0 or 1. speckle_noise: plus the value times Gaussian noise. gaussian_blur;
    defocus_blur: a disk, antialiased. fog: plus a plasma fractal, then scaled back to the
    image's largest value. brightness: the value of HSV raised, hue and saturation kept.
    contrast: towards each channel's mean. pixelate: reduced by averaging boxes and enlarged by
    repeating pixels.

    Args:
        keys: typed keys of shape (batch,), one for each image.
        images: pixels from 0 to 1.
        kind: one of :data:`CORRUPTIONS`; static under `jax.jit`.
        severity: from 1 to 5; may be traced, so that one program serves all five.

    Returns:
        Corrupted images, clipped to [0, 1] as the definitions say.

    Raises:
        UsageError: for an unknown kind or severity, or a fog over images that are not square.

    Accuracy:
        Float rounding, within 1e-5 of the formulas in float64. Severities are those of CIFAR-10-C,
        made for images of 32 pixels a side.

    Source:
        Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common
        corruptions and perturbations", and the constants of the authors' CIFAR-10-C program.
    """
    if kind not in _CORRUPTIONS:
        raise UsageError(f"corruption {kind!r} is unknown; wanted one of {', '.join(CORRUPTIONS)}")
    if isinstance(severity, int) and severity not in SEVERITIES:
        raise UsageError(f"severity is {severity}; wanted 1, 2, 3, 4 or 5")
    changed = _CORRUPTIONS[kind](keys, images, jnp.asarray(severity) - 1)
    return jnp.clip(changed, 0, 1)


def _level(table, place, images):
    return jnp.asarray(np.array(table), images.dtype)[place]


def _draw(keys, draw):
    return jax.vmap(draw)(keys)


def _gaussian_noise(keys, images, place):
    shape = images.shape[1:]
    noise = _draw(keys, lambda key: jax.random.normal(key, shape, images.dtype))
    return images + _level(_GAUSSIAN_NOISE, place, images) * noise


def _shot_noise(keys, images, place):
    photons = _level(_PHOTONS, place, images)
    counts = jax.vmap(lambda key, image: jax.random.poisson(key, image * photons))(keys, images)
    return counts.astype(images.dtype) / photons


def _impulse_noise(keys, images, place):
    chance = _draw(keys, lambda key: jax.random.uniform(key, images.shape[1:], images.dtype))
    amount = _level(_IMPULSES, place, images)
    # Below amount/2 pepper, from there to amount salt: two fair halves of the values hit.
    return jnp.where(chance < amount / 2, 0, jnp.where(chance < amount, 1, images))


def _speckle_noise(keys, images, place):
    shape = images.shape[1:]
    noise = _draw(keys, lambda key: jax.random.normal(key, shape, images.dtype))
    return images + images * _level(_SPECKLE, place, images) * noise


def _separable(images, matrices, place):
    rows, columns = (_level(matrix, place, images) for matrix in matrices)
    return jnp.einsum("ij,bjkc,lk->bilc", rows, images, columns, precision=_PRECISION)


def _gaussian_blur(keys, images, place):
    matrices = [[gaussian_matrix(s, size) for s in _BLUR] for size in images.shape[1:3]]
    return _separable(images, matrices, place)


def gaussian_matrix(sigma: float, size: int) -> Float[np.ndarray, "size size"]:
    """Return a sampled Gaussian, cut off at 4 sigma, as a matrix; border pixels repeat outside."""
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    matrix = np.zeros((size, size))
    for offset, weight in zip(offsets, weights):
        source = np.clip(np.arange(size) + offset, 0, size - 1)
        np.add.at(matrix, (np.arange(size), source), weight)
    return matrix


def _defocus_blur(keys, images, place):
    kernel = _level([disk_kernel(radius, sigma) for radius, sigma in _DEFOCUS], place, images)
    _, height, width, _ = images.shape
    padded = jnp.pad(images, ((0, 0), (_REACH,) * 2, (_REACH,) * 2, (0, 0)), mode="reflect")
    shifts = [(i, j) for i in range(2 * _REACH + 1) for j in range(2 * _REACH + 1)]
    return sum(kernel[i, j] * padded[:, i : i + height, j : j + width] for i, j in shifts)


def disk_kernel(radius: float, sigma: float) -> Float[np.ndarray, "5 5"]:
    """Return a disk (radius below 2) as a kernel, smoothed by three taps of a Gaussian."""
    offsets = np.arange(-_REACH, _REACH + 1)
    disk = (offsets[:, None] ** 2 + offsets[None] ** 2 <= radius**2).astype(float)
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
    smoothing = np.zeros((len(offsets),) * 2)
    for shift, tap in zip((-1, 0, 1), taps / taps.sum()):
        smoothing += tap * np.eye(len(offsets), k=shift)
    return smoothing @ (disk / disk.sum()) @ smoothing.T


def plasma(
    noise: Float[Array, "batch side side"], decay: float | Float[Array, ""]
) -> Float[Array, "batch side side"]:
    """Draw plasma fractals from 0 to 1 by the diamond-square algorithm on a torus.

    Args:
        noise: uniform on [-1, 1]; each point of the map uses the number at its own place. The
            side is a power of two.
        decay: factor by which the amplitude falls from one scale to the next, before it is
            squared as in the published program.

    Returns:
        Maps whose smallest value is 0 and largest 1.
    """
    side = noise.shape[-1]
    value = jnp.zeros_like(noise)
    step, amplitude = side, jnp.asarray(100.0, noise.dtype)
    while step >= 2:
        half = step // 2
        odd, even = slice(half, None, step), slice(0, None, step)
        wobble = amplitude**2 * noise
        corners = value[:, even, even]
        pairs = corners + jnp.roll(corners, -1, axis=1)
        centers = (pairs + jnp.roll(pairs, -1, axis=2)) / 4 + wobble[:, odd, odd]
        value = value.at[:, odd, odd].set(centers)
        beside = corners + jnp.roll(corners, -1, axis=2) + centers + jnp.roll(centers, 1, axis=1)
        below = corners + jnp.roll(corners, -1, axis=1) + centers + jnp.roll(centers, 1, axis=2)
        value = value.at[:, even, odd].set(beside / 4 + wobble[:, even, odd])
        value = value.at[:, odd, even].set(below / 4 + wobble[:, odd, even])
        step, amplitude = half, amplitude / decay
    value = value - jnp.min(value, axis=(1, 2), keepdims=True)
    return value / jnp.max(value, axis=(1, 2), keepdims=True)


def _fog(keys, images, place):
    _, height, width, _ = images.shape
    if height != width:
        raise UsageError(f"fog is made for square images, these are {height}x{width}: crop them")
    side = 2 ** math.ceil(math.log2(height))
    noise = _draw(
        keys, lambda key: jax.random.uniform(key, (side, side), images.dtype, minval=-1.0)
    )
    thickness = _level([pair[0] for pair in _FOG], place, images)
    clouds = plasma(noise, _level([pair[1] for pair in _FOG], place, images))
    largest = jnp.max(images, axis=(1, 2, 3), keepdims=True)
    foggy = images + thickness * clouds[:, :height, :width, None]
    return foggy * largest / (largest + thickness)


def _brightness(keys, images, place):
    value = jnp.max(images, axis=-1, keepdims=True)
    raised = jnp.minimum(1, value + _level(_BRIGHTNESS, place, images))
    # Black has no hue and becomes gray.
    return jnp.where(value > 0, images * raised / jnp.where(value > 0, value, 1), raised)


def _contrast(keys, images, place):
    mean = jnp.mean(images, axis=(1, 2), keepdims=True)
    return (images - mean) * _level(_CONTRAST, place, images) + mean


def _pixelate(keys, images, place):
    matrices = [[pixelation_matrix(f, size) for f in _PIXELATE] for size in images.shape[1:3]]
    return _separable(images, matrices, place)


def pixelation_matrix(fraction: float, size: int) -> Float[np.ndarray, "size size"]:
    """Return the matrix that shrinks to a fraction of the pixels and enlarges again, by boxes."""
    small = int(size * fraction)
    return _box_matrix(small, size) @ _box_matrix(size, small)


def _box_matrix(size, new_size):
    """Return means over the pixels whose centers lie in each new pixel's box, at least one."""
    scale = size / new_size
    width = max(scale, 1.0)
    centers = (np.arange(new_size) + 0.5) * scale
    distance = (np.arange(size) + 0.5)[None] - centers[:, None]
    inside = ((distance > -width / 2) & (distance <= width / 2)).astype(float)
    return inside / inside.sum(axis=1, keepdims=True)


_CORRUPTIONS: dict[str, Callable[..., Any]] = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "speckle_noise": _speckle_noise,
    "gaussian_blur": _gaussian_blur,
    "defocus_blur": _defocus_blur,
    "fog": _fog,
    "brightness": _brightness,
    "contrast": _contrast,
    "pixelate": _pixelate,
}
CORRUPTIONS = tuple(_CORRUPTIONS)
"""Names of the corruptions."""
