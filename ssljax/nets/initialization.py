"""How kernels start: normal numbers with the variance of He or of LeCun, random frames."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ssljax.system.arrays import Array, Float, PRNGKeyArray


def standard_normal(
    key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Float[Array, "*shape"]:
    """``jax.random.normal``, drawn flat and reshaped.

    The numbers are the same, but a draw of three or more dimensions takes XLA about eight times
    longer to compile (jax 0.10, CPU), seconds for each kernel of a network.
    """
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def random_frame(
    key: PRNGKeyArray, dim: int, rank: int, dtype: DTypeLike = jnp.float32
) -> Float[Array, "dim rank"]:
    """Uniformly distributed orthonormal columns: rank of them in dim dimensions."""
    frame, triangle = jnp.linalg.qr(standard_normal(key, (dim, rank), dtype))
    # The sign makes the distribution uniform: QR alone fixes it by convention.
    return frame * jnp.where(jnp.diagonal(triangle) < 0, -1, 1).astype(dtype)[None, :]


def _scaled_normal(
    key, shape, dtype: DTypeLike = jnp.float32, out_sharding=None, *, gain, by_fan_out
):
    del out_sharding
    area = math.prod(shape[:-2])
    fan = area * (shape[-1] if by_fan_out else shape[-2])
    return standard_normal(key, shape, dtype) * math.sqrt(gain / fan)


def scaled_normal(gain: float, *, by_fan_out: bool = False) -> Callable[..., Array]:
    """Initializer of kernels (..., in, out): normal with variance gain / fan.

    The fan is the kernel's area times its inputs or, ``by_fan_out``, its outputs. Gain 2 is
    He's, for layers before a ReLU; gain 1 is LeCun's.
    """
    return partial(_scaled_normal, gain=gain, by_fan_out=by_fan_out)
