"""Convolutions in the form that XLA's CPU backend runs fastest; accelerators keep the plain one.

Two things differ, measured on two cores for images of 32x32 (forward and backward pass):

* A 1x1 convolution is a matrix product of the pixels it reads: 24 ms become 7.
* The gradient of a kernel is a convolution for which XLA transposes the input so that the batch
  comes last. With the whole batch at once every read of that transpose misses the cache; a part
  of a mebibyte at a time stays in it: 12 % of the step of a ResNet of width 16.

The numbers are those of the plain convolution, to rounding. Both have a backward pass of their
own and so no forward mode: they are for training steps only.
"""

from functools import partial

import jax
import jax.numpy as jnp

from ssljax.system.arrays import Array, Float

_PART_BYTES = 2**20
_MOST_PARTS = 16
# Fewer images than this and the product over them is too short to be worth a call.
_FEWEST_IMAGES = 16


def convolve(
    x: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "side side inputs outputs"],
    stride: int,
    *,
    train: bool,
) -> Float[Array, "batch out_height out_width outputs"]:
    """Convolve with a square kernel, padded by (side - 1) / 2, in a form that is fast on the CPU.

    Args:
      x: Images or maps.
      kernel: Its side is odd.
      stride: In both directions, at least 1.
      train: Whether a gradient will be taken, in reverse mode.

    Returns:
      What `jax.lax.conv_general_dilated` returns, to rounding.
    """
    if kernel.shape[0] == 1:
        pixels, matrix = x[:, ::stride, ::stride], kernel[0, 0]
        product = _product(pixels.reshape(-1, x.shape[-1]), matrix) if train else pixels @ matrix
        return product.reshape(*pixels.shape[:-1], matrix.shape[-1])
    parts = num_parts(x.shape[0], x.nbytes) if train else 1
    if parts == 1:
        return _convolve_plainly(x, kernel, stride)
    return _convolve_in_parts(x, kernel, stride, parts)


def num_parts(images: int, num_bytes: int) -> int:
    """Return how many equal parts a batch is cut into for the gradient of a kernel.

    Example:
      >>> num_parts(256, 16 * 2**20), num_parts(256, 2**20), num_parts(16, 4 * 2**20)
      (16, 1, 1)
    """
    parts = 1
    while (
        2 * parts * _PART_BYTES <= num_bytes
        and 2 * parts * _FEWEST_IMAGES <= images
        and 2 * parts <= _MOST_PARTS
        and images % (2 * parts) == 0
    ):
        parts *= 2
    return parts


def _convolve_plainly(x, kernel, stride):
    side = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((side, side), (side, side)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@jax.custom_vjp
def _product(rows, matrix):
    return rows @ matrix


def _product_backward(saved, cotangent):
    # JAX's own order of the second product makes XLA transpose the whole cotangent first.
    rows, matrix = saved
    return cotangent @ matrix.T, rows.T @ cotangent


_product.defvjp(lambda rows, matrix: (rows @ matrix, (rows, matrix)), _product_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve_in_parts(x, kernel, stride, parts):
    return _convolve_plainly(x, kernel, stride)


def _forward(x, kernel, stride, parts):
    return _convolve_plainly(x, kernel, stride), (x, kernel)


def _backward(stride, parts, saved, cotangent):
    x, kernel = saved
    (x_gradient,) = jax.linear_transpose(lambda x: _convolve_plainly(x, kernel, stride), x)(
        cotangent
    )

    def kernel_gradient(x, cotangent):
        return jax.linear_transpose(lambda kernel: _convolve_plainly(x, kernel, stride), kernel)(
            cotangent
        )[0]

    # Every parts-th image and not a run of them: a batch divided over devices stays divided.
    kernel_gradients = [
        kernel_gradient(x[part::parts], cotangent[part::parts]) for part in range(parts)
    ]
    return x_gradient, jnp.sum(jnp.stack(kernel_gradients), axis=0)


_convolve_in_parts.defvjp(_forward, _backward)
