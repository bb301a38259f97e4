"""The first phase of training, where the loss is still linear in the Gram."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, Spectrum, Times, require_float64
from theory.linalg.checks import require_depth


def early_gram_path(
    drive: Matrix, initial_gram: Matrix, times: Times
) -> Float[Arr, "times dim dim"]:
    r"""Gram of a single layer under the linear loss −2 tr(GX): :math:`e^{4Xt} G_0 e^{4Xt}`.

    Every loss looks like this while the Gram is small: X is M for the spectral loss, so that
    features first grow by the eigenvalues of the cross-covariance, whatever their final order.

    Args:
      drive: X, symmetric; directions of negative X collapse.
      initial_gram: G₀ = W₀ᵀW₀.
      times: Flow times, at least 0.

    Returns:
      Grams, ``(times, dim, dim)``.

    Raises:
      InputError: Not float64.

    Accuracy:
      Exact for the linear loss; of the spectral loss to first order in the Gram.

    Source:
      Derived: Ẇ = 4WX.

    Example:
      >>> with jax.enable_x64(True):
      ...     path = early_gram_path(jnp.diag(jnp.array([0.25, -0.25])), jnp.eye(2), jnp.ones(1))
      ...     print(jnp.diagonal(path[0]).round(3))
      [7.389 0.135]
    """
    require_float64(drive=drive, initial_gram=initial_gram, times=times)
    return _gram_path(drive, initial_gram, times)


@jax.jit
def _gram_path(drive, initial_gram, times):
    values, vectors = jnp.linalg.eigh(0.5 * (drive + drive.T))
    growth = jnp.exp(4.0 * (values[None, :, None] + values[None, None, :]) * times[:, None, None])
    inner = vectors.T @ initial_gram @ vectors
    return vectors @ (growth * inner[None]) @ vectors.T


def early_time_courses(
    drive: Spectrum, initial: Spectrum, depth: int, times: Times
) -> Float[Arr, "modes times"]:
    r"""Layer-1 Gram eigenvalue of aligned modes under the linear loss −2 tr(GX).

    .. math:: \dot r = 8 x r^L, \qquad
        r = \left(r_0^{1-L} - 8 x (L-1) t\right)^{-1/(L-1)} \;(L \ge 2), \qquad
        r = r_0 e^{8xt} \;(L = 1).

    From two layers on a growing mode blows up in finite time, at
    `theory.dynamics.modes.escape_time` with s·a = x, and a collapsing one dies algebraically.
    Fixed contrast weights, as in Jing et al., are such a loss at all times.

    Args:
      drive: x of each mode.
      initial: r₀ > 0.
      depth: Number of layers L, at least 1.
      times: Flow times, at least 0.

    Returns:
      r, ``(modes, times)``; infinite from the blow-up on.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Machine precision × the time left to the blow-up.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     drive = jnp.array([1.0, -1.0])
      ...     print(early_time_courses(drive, jnp.full(2, 0.1), 2, jnp.array([1.0, 2.0])).round(4))
      [[0.5        inf]
       [0.0556 0.0385]]
    """
    require_float64(drive=drive, initial=initial, times=times)
    require_depth(depth)
    return _courses(drive, initial, times, depth)


@functools.partial(jax.jit, static_argnums=3)
def _courses(drive, initial, times, depth):
    driven = 8.0 * drive[:, None] * times[None, :]
    if depth == 1:
        return initial[:, None] * jnp.exp(driven)
    left = initial[:, None] ** (1 - depth) - (depth - 1) * driven
    alive = left > 0.0
    return jnp.where(alive, jnp.where(alive, left, 1.0) ** (-1.0 / (depth - 1)), jnp.inf)
