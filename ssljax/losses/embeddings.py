"""Preparation of embeddings: check shapes, widen to float32, put rows on the unit sphere."""

import jax
import jax.numpy as jnp

from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError


def at_least_float32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the array in float32, or in float64 where it already is."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def check_views(first: Array, second: Array, *, least: int = 1) -> None:
    """Refuse two views that are not (batch, dim) arrays of one shape, or too few pairs."""
    if first.ndim != 2 or first.shape != second.shape:
        raise UsageError(
            f"views of shapes {first.shape} and {second.shape} given; "
            "give two (batch, dim) arrays of one shape, row i of both from image i"
        )
    if first.shape[0] < least:
        raise UsageError(
            f"{first.shape[0]} positive pairs given; this loss needs at least {least}, "
            "use a larger batch"
        )


def check_temperature(temperature: float | Array) -> None:
    """Refuse a temperature that is known to be not positive."""
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise UsageError(f"temperature {temperature} given; it must be positive")


def unit_rows(x: Float[Array, "batch dim"]) -> Float[Array, "batch dim"]:
    """Divide rows by their length; a zero row stays zero and gets a zero gradient.

    Each row is first divided by its largest magnitude, so that no finite length over- or
    underflows when squared. That divisor is held constant: the direction does not depend on it.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    is_zero = largest == 0
    rescaled = x / jnp.where(is_zero, 1.0, largest)
    squares = jnp.sum(rescaled * rescaled, axis=-1, keepdims=True)
    return jnp.where(is_zero, 0.0, rescaled * jax.lax.rsqrt(jnp.where(is_zero, 1.0, squares)))


def inner_products(
    x: Float[Array, "rows dim"], y: Float[Array, "others dim"]
) -> Float[Array, "rows others"]:
    """Return all inner products of rows of x with rows of y, never in reduced precision."""
    return jnp.matmul(x, y.T, precision="highest")
