"""Linear Barlow Twins without normalization: modes in closed form."""

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Spectrum, Times, require_float64


def barlow_time_courses(
    shared: Spectrum, initial: Spectrum, times: Times
) -> Float[Arr, "modes times"]:
    r"""Singular values of a single layer along flow of ‖WMWᵀ − I‖² from an aligned start.

    .. math:: \dot w = 4 \gamma w (1 - \gamma w^2), \qquad
        w(t) = \left[ \gamma + (w_0^{-2} - \gamma) e^{-8 \gamma t} \right]^{-1/2}.

    Deeper networks follow `modes.mode_time_courses` with scale γ and alignment 1.

    Args:
      shared: γ, eigenvalues of the cross-covariance M; 0 or more.
      initial: w at time 0, > 0.
      times: Flow times, at least 0.

    Returns:
      w at each time, shape ``(modes, times)``.

    Raises:
      InputError: Not float64.

    Accuracy:
      Exact for the flow; no exponent is positive, so nothing overflows.

    Source:
      Simon et al., On the Stepwise Nature of Self-Supervised Learning, ICML 2023; re-derived.

    Example:
      Modes end at γ^-½, weak ones larger:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     start = jnp.full(2, 1e-3)
      ...     barlow_time_courses(jnp.array([1.0, 0.25]), start, jnp.array([100.0]))[:, 0].tolist()
      [1.0, 2.0]
    """
    require_float64(shared=shared, initial=initial, times=times)
    gamma, start = jnp.asarray(shared)[:, None], jnp.asarray(initial)[:, None]
    left = jnp.exp(-8.0 * gamma * jnp.asarray(times)[None, :])
    return (gamma * (1.0 - left) + left / start**2) ** -0.5


def barlow_step_times(shared: Spectrum, initial: Spectrum) -> Spectrum:
    r"""Time −ln(w₀²γ)/(8γ) at which each mode is learned, to half of its final γw² = 1.

    Args:
      shared: γ, eigenvalues of the cross-covariance, > 0.
      initial: w at time 0, > 0.

    Returns:
      Flow times; each is a step down of the loss by 1.

    Raises:
      InputError: Not float64.

    Accuracy:
      Relative error O(w₀²γ / ln): the exact half time is ln(1/(w₀²γ) − 1)/(8γ).

    Source:
      Simon et al. 2023; re-derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     times = barlow_step_times(jnp.array([1.0, 0.5]), jnp.array([1e-4, 1e-4 * 2**0.5]))
      ...     round(float(times[1] / times[0]), 6)
      2.0
    """
    require_float64(shared=shared, initial=initial)
    return -jnp.log(initial**2 * shared) / (8.0 * shared)
