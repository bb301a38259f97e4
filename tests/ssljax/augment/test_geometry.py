import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.geometry import (
    hat_weights,
    resample_points,
    resample_separable,
    spline_weights,
)


def bilinear(image, row, column):
    """One bilinear sample with zero padding, pixel by pixel, in float64."""
    total = np.zeros(image.shape[2])
    for i in (int(np.floor(row)), int(np.floor(row)) + 1):
        for j in (int(np.floor(column)), int(np.floor(column)) + 1):
            if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * image[i, j]
    return total


def images_and_rng(shape=(3, 5, 7, 2)):
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(np.float32), rng


def test_separable_resampling_equals_bilinear_sampling_pixel_by_pixel():
    images, rng = images_and_rng()
    rows = rng.uniform(-2, 6, (3, 4)).astype(np.float32)
    columns = rng.uniform(-2, 8, (3, 6)).astype(np.float32)
    ours = jax.jit(resample_separable)(images, rows, columns)
    for b, i, j in np.ndindex(3, 4, 6):
        expected = bilinear(images[b].astype(float), float(rows[b, i]), float(columns[b, j]))
        np.testing.assert_allclose(ours[b, i, j], expected, atol=2e-6)


def test_dense_resampling_equals_bilinear_sampling_pixel_by_pixel():
    images, rng = images_and_rng()
    rows = rng.uniform(-2, 6, (3, 4, 3)).astype(np.float32)
    columns = rng.uniform(-2, 8, (3, 4, 3)).astype(np.float32)
    ours = jax.jit(resample_points)(images, rows, columns)
    for b, i, j in np.ndindex(3, 4, 3):
        expected = bilinear(images[b].astype(float), float(rows[b, i, j]), float(columns[b, i, j]))
        np.testing.assert_allclose(ours[b, i, j], expected, atol=2e-6)


def test_weights_of_points_inside_sum_to_one_and_far_outside_vanish():
    weights = hat_weights(jnp.array([0.0, 0.3, 4.0, -1.0, 5.0, 9.0]), 5)
    np.testing.assert_allclose(jnp.sum(weights, axis=1), [1, 1, 1, 0, 0, 0], atol=1e-6)


def test_integer_coordinates_give_the_pixels_exactly():
    images, _ = images_and_rng()
    rows = jnp.broadcast_to(jnp.arange(5.0), (3, 5))
    columns = jnp.broadcast_to(jnp.arange(7.0), (3, 7))
    np.testing.assert_array_equal(resample_separable(jnp.asarray(images), rows, columns), images)


def test_sampling_points_with_the_spline_equals_its_weights_in_values_and_derivatives():
    """Gathered under the kernel, or with one row of weights per axis: the same interpolant."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        images = jnp.asarray(rng.normal(size=(2, 6, 7, 2)))
        rows = jnp.asarray(rng.uniform(-3, 8, (2, 4, 5)))
        columns = jnp.asarray(rng.uniform(-3, 9, (2, 4, 5)))

        def by_weights(moved):
            return jnp.einsum(
                "brpi,bijc,brpj->brpc",
                spline_weights(rows + moved, 6), images, spline_weights(columns - 2 * moved, 7),
            )  # fmt: skip

        def gathered(moved):
            return resample_points(images, rows + moved, columns - 2 * moved, "cubic")

        zero = jnp.float64(0)
        for ours, expected in zip(*(jax.jvp(f, (zero,), (1.0,)) for f in (gathered, by_weights))):
            np.testing.assert_allclose(ours, expected, atol=1e-13)


def test_the_memory_of_a_rotation_grows_with_the_area():
    def bytes_of(side):
        images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
        at = jax.ShapeDtypeStruct((2, side, side), jnp.float32)
        program = jax.jit(resample_points).lower(images, at, at).compile()
        return program.memory_analysis().temp_size_in_bytes / (2 * side**2)

    # A copy or two of the samples for each of the four pixels, not a row of weights.
    assert bytes_of(64) <= 4 * 2 * 3 * 4
    assert bytes_of(128) <= bytes_of(64) + 1
