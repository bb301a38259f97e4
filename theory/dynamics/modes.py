"""Learning curves of the modes of a balanced deep linear network, in closed form."""

import functools

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Float, Int

from theory.dynamics.mode_curves import DYING, GROWING, SHRINKING
from theory.dynamics.universal_curve import curve_time, curve_value, universal_time
from theory.linalg.arrays import Arr, Spectrum, Times, compiled, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.errors import InputError


def mode_time_courses(
    scale: Spectrum, alignment: Spectrum, initial: Spectrum, depth: int, times: Times
) -> Float[Arr, "modes times"]:
    r"""Layer-1 Gram eigenvalue of every mode along gradient flow of the spectral loss.

    Where covariance and cross-covariance commute and the layers start balanced and aligned, mode
    by mode,

    .. math:: \dot r = 8 s r^L (a - s r^L), \qquad r_\infty = (a/s)^{1/L},

    and layer l's Gram eigenvalue is r^l, its variance s r^l. All modes follow one curve in the time
    :math:`8 s^{1/L} a^{2-1/L} t` (`universal_time`): features are learned in the order of s·a, the
    eigenvalues of the cross-covariance, and end at a.

    Any member of the quadratic family with commuting Q and B is covered by s = q, a = b/q.

    Args:
      scale: Variance s of each mode, eigenvalue of the covariance; 0 or more.
      alignment: Alignment a of each mode; negative values, as sampled moments have, die faster
        than zeros.
      initial: Layer-1 Gram eigenvalue at time 0, ``init_scale**2``; 0 or more. A mode at 0 never
        starts.
      depth: Number of layers L, at least 1.
      times: Flow times; for gradient descent, the sum of learning rates.

    Returns:
      r at each time, shape ``(modes, times)``.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Exact for the flow, about 1e-13 relative (a mode's start counts with the same relative
      accuracy, which fixes when it escapes). Gradient descent differs by O(learning rate).
      Derivatives in every argument come from the curve itself (implicit function theorem).

    Source:
      Derived; at L = 1 the logistic curve of Saxe, McClelland and Ganguli.

    Example:
      Feature 1 is strong but fragile, feature 2 weak but stable: 1 is learned first and ends lower.

      >>> with jax.enable_x64(True):
      ...     s, a, start = jnp.array([4.0, 0.5]), jnp.array([0.3, 0.9]), jnp.full(2, 0.01)
      ...     r = mode_time_courses(s, a, start, 2, jnp.array([12.0, 100.0]))
      ...     [[round(float(x), 3) for x in row] for row in (s[:, None] * r**2)]
      [[0.3, 0.3], [0.0, 0.9]]
    """
    require_float64(scale=scale, alignment=alignment, initial=initial, times=times)
    require_depth(depth)
    return _time_courses(scale, alignment, initial, depth, times)


@compiled("depth")
def half_times(scale: Spectrum, alignment: Spectrum, initial: Spectrum, depth: int) -> Spectrum:
    r"""Times at which each mode's embedding variance reaches half of its optimum, n = a/2.

    .. math:: t = \frac{F_L(2^{-1/L}) - F_L(\rho_0)}{8 s^{1/L} a^{2-1/L}}
        \;\approx\; \frac{r_0^{1-L}}{8 (L-1)\, s a} \quad (L \ge 2, \text{ small } r_0).

    Args:
      scale: Variance s of each mode, > 0.
      alignment: Alignment a of each mode.
      initial: Layer-1 Gram eigenvalue at time 0, 0 or more.
      depth: Number of layers L, at least 1.

    Returns:
      Flow times. Negative if the mode starts above half; −∞ if it starts at or above its optimum;
      +∞ if it is never learned (a ≤ 0, or a start at 0).

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Exact for the flow, about 1e-14 of the time the mode needs from 0.

    Source:
      Derived.

    Example:
      Small starts make deep networks wait in proportion to 1/(s a), with no logarithm:

      >>> with jax.enable_x64(True):
      ...     times = half_times(jnp.ones(2), jnp.array([0.8, 0.4]), jnp.full(2, 1e-4), 2)
      ...     round(float(times[1] / times[0]), 3)
      2.0
    """
    require_float64(scale=scale, alignment=alignment, initial=initial)
    require_depth(depth)
    learned = (alignment > 0.0) & (initial > 0.0) & (scale > 0.0)
    s, a, start = (jnp.where(learned, x, 1.0) for x in (scale, alignment, initial))
    fraction = start / (a / s) ** (1.0 / depth)
    below = fraction < 1.0
    wait = universal_time(jnp.array(0.5 ** (1.0 / depth)), depth)
    wait = wait - universal_time(jnp.where(below, fraction, 0.5), depth)
    time = wait / (8.0 * s ** (1.0 / depth) * a ** (2.0 - 1.0 / depth))
    return jnp.where(learned, jnp.where(below, time, -jnp.inf), jnp.inf)


def escape_time(scale: Spectrum, alignment: Spectrum, initial: Spectrum, depth: int) -> Spectrum:
    r"""Small-start estimate of the time at which each mode leaves the origin.

    .. math:: t = \frac{r_0^{1-L}}{8 (L-1) s a} \;(L \ge 2), \qquad
        t = \frac{\ln(r_\infty / r_0)}{8 s a} \;(L = 1).

    Args:
      scale: Variance s of each mode, > 0.
      alignment: Alignment a of each mode, > 0.
      initial: Layer-1 Gram eigenvalue at time 0, > 0.
      depth: Number of layers L, at least 1.

    Returns:
      Flow times.

    Raises:
      InputError: Not float64, a depth below 1, or (outside `jit`) values that are not positive.

    Accuracy:
      Relative error O(ρ₀^{L−1}) of the half time for L >= 3, O(ρ₀ ln ρ₀) for L = 2, O(ρ₀/ln ρ₀) for
      L = 1, with ρ₀ = r₀/r∞: use `half_times` when the start is not small.

    Source:
      Derived: the flow linearized in the distance from the degenerate saddle at the origin. In
      the notation c₀ = r₀^{L/2}, m = s a it is c₀^{−(2−2/L)}/(4 L m (2 − 2/L)).

    Example:
      Ten times smaller layers make a two-layer network wait a hundred times longer:

      >>> with jax.enable_x64(True):
      ...     one = jnp.ones(2)
      ...     times = escape_time(one, one, jnp.array([1e-2, 1e-4]), 2)
      ...     [round(float(time), 9) for time in times]
      [12.5, 1250.0]
    """
    require_float64(scale=scale, alignment=alignment, initial=initial)
    require_depth(depth)
    _check_positive(scale=scale, alignment=alignment, initial=initial)
    rate = 8.0 * scale * alignment
    if depth == 1:
        return jnp.log(alignment / scale / initial) / rate
    return initial ** (1 - depth) / ((depth - 1) * rate)


@compiled("depth")
def learning_order(
    scale: Spectrum, alignment: Spectrum, initial: Spectrum, depth: int
) -> Int[Arr, " modes"]:
    """Indices of the modes in the order in which they reach half of their optimum.

    Args:
      scale: Variance s of each mode.
      alignment: Alignment a of each mode.
      initial: Layer-1 Gram eigenvalue at time 0.
      depth: Number of layers.

    Returns:
      Mode indices, first learned first; ties, and modes never learned, in the order given.

    Raises:
      InputError: As `half_times`.

    Example:
      Learned by s·a, kept by a: the order of learning is not the order at the end.

      >>> with jax.enable_x64(True):
      ...     s, a = jnp.array([0.5, 4.0]), jnp.array([0.9, 0.3])
      ...     learning_order(s, a, jnp.full(2, 1e-3), 2).tolist()
      [1, 0]
    """
    return jnp.argsort(half_times(scale, alignment, initial, depth))


@functools.partial(jax.jit, static_argnums=3)
def _time_courses(scale, alignment, initial, depth, times):
    s, a, start = (x[:, None] for x in (scale, alignment, initial))
    time = times[None, :]
    moving = (s > 0.0) & (start > 0.0)
    s, first = jnp.where(moving, s, 1.0), jnp.where(moving, start, 1.0)
    path = _logistic(s, a, first, time) if depth == 1 else _curves(s, a, first, depth, time)
    return jnp.where(moving, path, start + 0.0 * time)


def _logistic(s, a, start, time):
    exponent = 8.0 * s * a * time
    small = jnp.abs(exponent) < 1e-4
    safe = jnp.where(small, 1.0, jnp.maximum(exponent, -700.0))
    grown = jnp.where(
        small,
        1.0 - exponent / 2.0 + exponent**2 / 6.0 - exponent**3 / 24.0,
        -jnp.expm1(-safe) / safe,
    )
    left = jnp.exp(-jnp.maximum(exponent, -700.0))
    return start / (left + 8.0 * s**2 * start * time * grown)


def _curves(s, a, start, depth, time):
    """The three curves and the algebraic decay at a = 0, each where it applies."""
    size = jnp.where(a == 0.0, 1.0, jnp.abs(a))
    end = (size / s) ** (1.0 / depth)
    clock = 8.0 * s ** (1.0 / depth) * size ** (2.0 - 1.0 / depth) * time
    fraction = start / end
    # So small an alignment that its curve underflows acts as zero.
    dead = (a == 0.0) | ((1.0 / fraction) ** (2 * depth - 1) < 1e-250)
    growing = (a > 0.0) & (fraction < 1.0)
    shrinking = (a > 0.0) & (fraction > 1.0) & ~dead
    dying = (a < 0.0) & ~dead

    def along(curve, mask, variable, middle):
        first = curve_time(jnp.where(mask, variable, middle), depth, curve)
        return curve_value(first + jnp.where(mask, clock, 0.0), depth, curve)

    def rare(curve, mask):
        """Skipped when no mode needs it: these curves are seldom populated."""
        return jax.lax.cond(
            jnp.any(mask),
            lambda: end / along(curve, mask, 1.0 / fraction, 0.5),
            lambda: jnp.zeros_like(clock),
        )

    odd = 2 * depth - 1
    faded = start * (1.0 + 8.0 * odd * s**2 * start**odd * time) ** (-1.0 / odd)
    path = jnp.where(dead, faded, end + 0.0 * time)
    path = jnp.where(growing, end * along(GROWING, growing, fraction, 0.5), path)
    path = jnp.where(shrinking, rare(SHRINKING, shrinking), path)
    return jnp.where(dying, rare(DYING, dying), path)


def _check_positive(**arrays):
    for name, array in arrays.items():
        if not isinstance(array, Tracer) and not bool(jnp.all(array > 0)):
            raise InputError(
                f"{name} has a value of {float(jnp.min(array)):g}, escape times need positive ones:"
                " drop modes that are never learned, or use half_times"
            )
