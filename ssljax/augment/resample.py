"""Resampling of batches of images as small matrix products.

Every output pixel is a weighted sum of input pixels with a kernel of the distance in each axis:
the hat ``max(0, 1 - |t|)`` (bilinear), or the cubic cardinal spline, which is twice continuously
differentiable in the coordinates. Without rotation the weights of an image factorize,
``out = W_y image W_x^T``: two small matrix products per image, no gather. With rotation each
output pixel keeps one row of weights per axis.

Coordinates are pixel centers: pixel i sits at coordinate i, so that the identity is exact, and
the image covers [-1/2, side - 1/2]. Outside [-1, side] the hat's weights are zero; the spline's
fall to zero at -2 and side + 1.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.policies import Interpolation
from ssljax.system.arrays import Array, Float

# On accelerators a float32 product would otherwise be rounded to fewer bits.
_PRECISION = jax.lax.Precision.HIGHEST


def hat_weights(coordinates: Float[Array, "*points"], size: int) -> Float[Array, "*points size"]:
    """Weights of `size` pixels for sampling at each coordinate; rows sum to 1 inside."""
    pixels = jnp.arange(size, dtype=coordinates.dtype)
    pixels = jnp.reshape(pixels, (1,) * coordinates.ndim + (size,))
    return jnp.maximum(0, 1 - jnp.abs(coordinates[..., None] - pixels))


def spline_weights(coordinates: Float[Array, "*points"], size: int) -> Float[Array, "*points size"]:
    """Weights of `size` pixels in their cubic spline interpolant at each coordinate.

    The interpolant has B-spline coefficients c with ``(c[i-1] + 4 c[i] + c[i+1]) / 6 = pixel i``
    and none outside the image. At pixel centers the weights select the pixel, to rounding. Unlike
    the hat kernel, whose kinks lie on the pixel centers, it has exact derivatives everywhere.
    """
    identity = np.eye(size)
    collocation = (4 * identity + np.eye(size, k=1) + np.eye(size, k=-1)) / 6
    prefilter = jnp.asarray(np.linalg.inv(collocation), coordinates.dtype)
    pixels = jnp.arange(size, dtype=coordinates.dtype)
    distance = jnp.abs(coordinates[..., None] - pixels.reshape((1,) * coordinates.ndim + (size,)))
    basis = (jnp.maximum(0, 2 - distance) ** 3 - 4 * jnp.maximum(0, 1 - distance) ** 3) / 6
    return jnp.matmul(basis, prefilter, precision=_PRECISION)


_WEIGHTS = {"bilinear": hat_weights, "cubic": spline_weights}


def resample_separable(
    images: Float[Array, "batch height width channels"],
    rows: Float[Array, "batch out_height"],
    columns: Float[Array, "batch out_width"],
    interpolation: Interpolation = "bilinear",
) -> Float[Array, "batch out_height out_width channels"]:
    """Images sampled on a grid of their own: rows and columns of source coordinates.

    Args:
        images: batch of images.
        rows: source row of each output row, in pixels.
        columns: source column of each output column, in pixels.
        interpolation: "bilinear" or "cubic".

    Returns:
        The samples, zero outside the image. Costs about
        ``2 * side**2 * (side + side) * channels`` operations per image.
    """
    row_weights = _WEIGHTS[interpolation](rows, images.shape[1])
    column_weights = _WEIGHTS[interpolation](columns, images.shape[2])
    return jnp.einsum(
        "bij,bjkc,blk->bilc", row_weights, images, column_weights, precision=_PRECISION
    )


def resample_dense(
    images: Float[Array, "batch height width channels"],
    rows: Float[Array, "batch out_height out_width"],
    columns: Float[Array, "batch out_height out_width"],
    interpolation: Interpolation = "bilinear",
) -> Float[Array, "batch out_height out_width channels"]:
    """Images sampled at any coordinates, one pair per output pixel.

    Args:
        images: batch of images.
        rows: source row of each output pixel, in pixels.
        columns: source column of each output pixel, in pixels.
        interpolation: "bilinear" or "cubic".

    Returns:
        The samples, zero outside the image. Costs about ``2 * side**4 * channels``
        operations per image: 8x8 digits a few microseconds, 32x32 color images a millisecond.
    """
    batch, height, width, _ = images.shape
    shape = rows.shape
    row_weights = _WEIGHTS[interpolation](jnp.reshape(rows, (batch, -1)), height)
    column_weights = _WEIGHTS[interpolation](jnp.reshape(columns, (batch, -1)), width)
    along_rows = jnp.einsum("bpk,bjkc->bpjc", column_weights, images, precision=_PRECISION)
    # Added in a written-out order: a reduction would add in an order that depends on the batch.
    samples = sum(along_rows[:, :, row] * row_weights[:, :, row, None] for row in range(height))
    return jnp.reshape(samples, (*shape, images.shape[-1]))
