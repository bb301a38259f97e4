"""Gram matrices of every layer from the first layer's factor of a balanced network."""

import jax.numpy as jnp

from theory.linalg.arrays import Factor, Grams, require_float64
from theory.linalg.checks import require_depth


def end_to_end_rows(factor: Factor, depth: int) -> Factor:
    """Return E = (PPᵀ)^(L−1) P: PᵀE is the end-to-end Gram of L balanced layers that start with P.

    Args:
      factor: P with PᵀP the Gram of the first layer, ``(rank, dim)``.
      depth: Number of layers L, at least 1.

    Returns:
      E, ``(rank, dim)``.
    """
    inner = factor @ factor.T
    rows = factor
    for _ in range(depth - 1):
        rows = inner @ rows
    return rows


def factor_layer_grams(factor: Factor, depth: int) -> Grams:
    """Return the layer Grams (PᵀP)^l, l = 1..depth, of a balanced network whose first layer is P.

    Args:
      factor: P, ``(rank, dim)``.
      depth: Number of layers, at least 1.

    Returns:
      Grams, ``(depth, dim, dim)``; exact.

    Raises:
      InputError: The factor is not float64, or the depth below 1.

    Example:
      Each layer repeats the reweighting of the first:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     factor_layer_grams(jnp.array([[0.5]]), 3)[:, 0, 0].tolist()
      [0.25, 0.0625, 0.015625]
    """
    require_float64(factor=factor)
    require_depth(depth)
    inner = factor @ factor.T
    rows, grams = factor, []
    for _ in range(depth):
        grams.append(factor.T @ rows)
        rows = inner @ rows
    return jnp.stack(grams)
