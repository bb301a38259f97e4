"""Geometry of views: where each pixel of a view reads its image, and the resampling there.

Every output pixel is a weighted sum of input pixels with a kernel of the distance in each axis:
the hat ``max(0, 1 - |t|)`` (bilinear), or the cubic cardinal spline, which is twice continuously
differentiable in the coordinates. Without rotation the weights of an image factorize,
``out = W_y image W_x^T``: two small matrix products per image, no gather. With rotation each
output pixel gathers the few input pixels under its kernel, so that memory grows with the area.

Coordinates are pixel centers: pixel i sits at coordinate i, so that the identity is exact, and
the image covers [-1/2, side - 1/2]. Outside [-1, side] the hat's weights are zero; the spline's
fall to zero at -2 and side + 1.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.changes import Changes
from ssljax.augment.policies import Interpolation, Policy
from ssljax.system.arrays import Array, Float

# On accelerators a float32 product would otherwise be rounded to fewer bits.
_PRECISION = jax.lax.Precision.HIGHEST


def apply_geometry(
    images: Float[Array, "batch height width channels"],
    changes: Changes,
    policy: Policy,
    *,
    side: int | None = None,
    log_aspect: Float[Array, " batch"] | None = None,
) -> Float[Array, "batch out_height out_width channels"]:
    r"""Crop, flip, rotate, scale and shift images in one resampling.

    Output pixel p (centered on the image) reads the source at

        center + exp(log_scale) diag(exp(-log_aspect/2), exp(log_aspect/2)) R p + shift

    in (row, column) order, after p has been flipped and mapped into the crop's rectangle;
    ``R = [[cos, sin], [-sin, cos]]`` turns the picture counter-clockwise for a positive angle.

    Args:
        images: batch of images.
        changes: what to do with each; only what the policy switches on is looked at.
        policy: which changes are switched on (static).
        side: height and width of the result; those of the images by default. Where it is another
            one and nothing rotates, the kernel is as wide as the distance of two samples, so that
            nothing is aliased.
        log_aspect: logarithm of the width over the height of the pictures that were squeezed
            into these images; crops are then always made and R turns the pictures as they were.

    Returns:
        The images themselves where nothing is switched on and the side is theirs.
    """
    moved = policy.shift or policy.log_scale or policy.log_aspect
    cropped = bool(policy.crop_area or policy.crop_log_aspect) or log_aspect is not None
    _, height, width, _ = images.shape
    out_height, out_width = (height, width) if side is None else (side, side)
    resized = (height, width) != (out_height, out_width)
    if not (policy.rotation or moved or cropped or policy.flip or resized):
        return images

    def crop(size, out_size, start, length, flip):
        centered = jnp.arange(out_size, dtype=images.dtype)[None, :] - (out_size - 1) / 2
        if resized:
            centered = centered * (size / out_size)
        out = centered * (1 - 2 * flip)[:, None]
        if not cropped:
            return out
        middle = (start + length / 2 - 0.5)[:, None] * size
        # Not beyond the centers of the crop's border pixels, nor of the image's.
        reach = jnp.maximum(0, (length[:, None] * size - 1) / 2)
        return middle + jnp.clip(out * length[:, None], -reach, reach)

    rows = crop(
        height, out_height, changes.crop_top, changes.crop_height, jnp.zeros_like(changes.flip)
    )
    columns = crop(width, out_width, changes.crop_left, changes.crop_width, changes.flip)
    scale_y = jnp.exp(changes.log_scale - changes.log_aspect / 2)[:, None]
    scale_x = jnp.exp(changes.log_scale + changes.log_aspect / 2)[:, None]
    origin_y = (changes.shift_y * height + (height - 1) / 2)[:, None]
    origin_x = (changes.shift_x * width + (width - 1) / 2)[:, None]
    if not policy.rotation:
        apart = None
        if resized:
            apart = (
                scale_y[:, 0] * (changes.crop_height if cropped else 1.0) * (height / out_height),
                scale_x[:, 0] * (changes.crop_width if cropped else 1.0) * (width / out_width),
            )
        return resample_separable(
            images,
            scale_y * rows + origin_y,
            scale_x * columns + origin_x,
            policy.interpolation,
            apart=apart,
        )

    cosine = jnp.cos(changes.rotation)[:, None, None]
    sine = jnp.sin(changes.rotation)[:, None, None]
    if log_aspect is not None:
        # A column of a squeezed picture is exp(log_aspect) rows wide.
        stretch = jnp.exp(log_aspect)[:, None]
        columns, scale_x = columns * stretch, scale_x / stretch
    rows, columns = rows[:, :, None], columns[:, None, :]
    return resample_points(
        images,
        scale_y[..., None] * (cosine * rows + sine * columns) + origin_y[..., None],
        scale_x[..., None] * (cosine * columns - sine * rows) + origin_x[..., None],
        policy.interpolation,
    )


def hat_weights(coordinates: Float[Array, "*points"], size: int) -> Float[Array, "*points size"]:
    """Return weights of `size` pixels for sampling at each coordinate; rows sum to 1 inside."""
    pixels = jnp.arange(size, dtype=coordinates.dtype)
    pixels = jnp.reshape(pixels, (1,) * coordinates.ndim + (size,))
    return _hat(jnp.abs(coordinates[..., None] - pixels))


def spline_weights(coordinates: Float[Array, "*points"], size: int) -> Float[Array, "*points size"]:
    """Return weights of `size` pixels in their cubic spline interpolant at each coordinate.

    The interpolant has B-spline coefficients c with ``(c[i-1] + 4 c[i] + c[i+1]) / 6 = pixel i``
    and none outside the image. At pixel centers the weights select the pixel, to rounding. Unlike
    the hat kernel, whose kinks lie on the pixel centers, it has exact derivatives everywhere.
    """
    pixels = jnp.arange(size, dtype=coordinates.dtype)
    distance = jnp.abs(coordinates[..., None] - pixels.reshape((1,) * coordinates.ndim + (size,)))
    return jnp.matmul(
        _b_spline(distance), _spline_prefilter(size, coordinates.dtype), precision=_PRECISION
    )


def _hat(distance):
    return jnp.maximum(0, 1 - distance)


def _b_spline(distance):
    return (jnp.maximum(0, 2 - distance) ** 3 - 4 * jnp.maximum(0, 1 - distance) ** 3) / 6


def _spline_prefilter(size, dtype):
    """Return the matrix from pixels to the coefficients of their spline."""
    collocation = (4 * np.eye(size) + np.eye(size, k=1) + np.eye(size, k=-1)) / 6
    return jnp.asarray(np.linalg.inv(collocation), dtype)


def _wide_hat_weights(coordinates, size, apart):
    """Return hats as wide as the distance of two samples, at least a pixel; sums are 1 or 0."""
    pixels = jnp.arange(size, dtype=coordinates.dtype)[None, None]
    width = jnp.maximum(1, apart)[:, None, None]
    weights = jnp.maximum(0, 1 - jnp.abs(coordinates[..., None] - pixels) / width)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    return jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), 0)


_WEIGHTS = {"bilinear": hat_weights, "cubic": spline_weights}


def resample_separable(
    images: Float[Array, "batch height width channels"],
    rows: Float[Array, "batch out_height"],
    columns: Float[Array, "batch out_width"],
    interpolation: Interpolation = "bilinear",
    *,
    apart: tuple[Float[Array, " batch"], Float[Array, " batch"]] | None = None,
) -> Float[Array, "batch out_height out_width channels"]:
    """Sample images on a grid of their own: rows and columns of source coordinates.

    Args:
        images: batch of images.
        rows: source row of each output row, in pixels.
        columns: source column of each output column, in pixels.
        interpolation: "bilinear" or "cubic".
        apart: distance of two neighboring samples along rows and along columns, in pixels, to
            average over with the bilinear kernel where it is above 1 (Pillow's BILINEAR); by
            default the kernel is one pixel wide.

    Returns:
        The samples, zero outside the image. Costs about
        ``2 * side**2 * (side + side) * channels`` operations per image.
    """
    _, height, width, _ = images.shape
    if apart is not None and interpolation == "bilinear":
        row_weights = _wide_hat_weights(rows, height, apart[0])
        column_weights = _wide_hat_weights(columns, width, apart[1])
    else:
        row_weights = _WEIGHTS[interpolation](rows, height)
        column_weights = _WEIGHTS[interpolation](columns, width)
    return jnp.einsum(
        "bij,bjkc,blk->bilc", row_weights, images, column_weights, precision=_PRECISION
    )


def resample_points(
    images: Float[Array, "batch height width channels"],
    rows: Float[Array, "batch out_height out_width"],
    columns: Float[Array, "batch out_height out_width"],
    interpolation: Interpolation = "bilinear",
) -> Float[Array, "batch out_height out_width channels"]:
    """Sample images at any coordinates, one pair per output pixel.

    Args:
        images: batch of images.
        rows: source row of each output pixel, in pixels.
        columns: source column of each output pixel, in pixels.
        interpolation: "bilinear" or "cubic".

    Returns:
        The samples, zero outside the image. Memory and time grow with the number of samples: 4
        pixels are gathered for each ("bilinear") or 16 ("cubic", after a matrix product per axis).

    Accuracy:
        Float rounding. Derivatives in the coordinates are exact for "cubic"; "bilinear" has kinks
        at the pixel centers.
    """
    batch, height, width, channels = images.shape
    taps, kernel = range(2), _hat
    if interpolation == "cubic":
        taps, kernel = range(-1, 3), _b_spline
        images = jnp.einsum(
            "ij,bjkc,lk->bilc",
            _spline_prefilter(height, images.dtype),
            images,
            _spline_prefilter(width, images.dtype),
            precision=_PRECISION,
        )
    pixels = jnp.reshape(images, (batch, height * width, channels))

    def weights_of(coordinates, size):
        """Return index and weight of each pixel under the kernel; 0 outside the image."""
        first = jax.lax.stop_gradient(jnp.floor(coordinates))
        for tap in taps:
            place = first + tap
            weight = kernel(jnp.abs(coordinates - place))
            inside = (place >= 0) & (place < size)
            index = jnp.clip(place, 0, size - 1).astype(jnp.int32)
            yield index, jnp.where(inside, weight, 0)

    columns_under = list(weights_of(columns, width))
    samples = 0
    # Added in a written-out order: a reduction would add in an order that depends on the batch.
    for row, row_weight in weights_of(rows, height):
        along_row = 0
        for column, column_weight in columns_under:
            index = jnp.reshape(row * width + column, (batch, -1, 1))
            taken = jnp.take_along_axis(pixels, index, axis=1, mode="promise_in_bounds")
            along_row += jnp.reshape(taken, (*rows.shape, channels)) * column_weight[..., None]
        samples += along_row * row_weight[..., None]
    return jnp.asarray(samples)
