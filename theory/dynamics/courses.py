"""Learning curves of single modes, with and without weight decay, and when modes are learned."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from theory.dynamics.universal_curve import (
    DYING,
    GROWING,
    SHRINKING,
    curve_time,
    curve_value,
    universal_time,
)
from theory.linalg.arrays import Arr, Scalar, Spectrum, Times, compiled, require_float64
from theory.linalg.checks import is_known, require_depth
from theory.linalg.integration import check_flow, integrate, require_reached
from theory.optimum.thresholds import decayed_mode, learned_modes

# Later every growing mode has ended, and products of times could overflow.
_LATE = 1e15
# Below this fraction of s r^L an alignment enters its own derivative by a series.
_SMALL = 0.05


def mode_time_courses(
    scale: Spectrum,
    alignment: Spectrum,
    times: Times,
    *,
    depth: int = 2,
    init_scale: float | Scalar | Spectrum = 0.1,
    weight_decay: float | Scalar = 0.0,
) -> Float[Arr, "times modes"]:
    r"""Return the size n of every mode, its variance in the embedding, along gradient flow.

    .. math:: \dot n = 8 L s^{1/L} n^{2-1/L} (a - n) - 2 L \lambda n, \qquad n = s r^L,

    of a balanced network of L layers whose moments commute, on the spectral loss. A mode is
    learned at a speed of s·a and ends, without weight decay, at n = a.

    Args:
      scale: Variance s of each mode: eigenvalue of the covariance; 0 or more.
      alignment: Alignment a of each mode; negative values, as sampled moments have, make it die
        faster than zeros.
      times: Flow times, ascending, at least 0; ``inf`` for the end. For gradient descent, the sum
        of learning rates.
      depth: Number of layers L, at least 1.
      init_scale: Weight of the mode in every layer at time 0, so that n starts at s w^{2L}.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².

    Returns:
      n at each time, shape ``(times, modes)``.

    Raises:
      InputError: As `gram_time_courses`.

    Accuracy:
      As `gram_time_courses`.

    Source:
      Derived; at L = 1 the logistic curve of Saxe, McClelland and Ganguli.

    Example:
      Feature 1 is strong but fragile, feature 2 weak but stable: 1 is learned first and ends lower.

      >>> with jax.enable_x64(True):
      ...     s, a = jnp.array([4.0, 0.5]), jnp.array([0.3, 0.9])
      ...     n = mode_time_courses(s, a, jnp.array([12.0, 100.0, jnp.inf]))
      ...     print(n.round(3))
      [[0.3 0. ]
       [0.3 0.9]
       [0.3 0.9]]
    """
    require_float64(scale=scale, init_scale=init_scale)
    initial = jnp.broadcast_to(jnp.asarray(init_scale) ** 2, jnp.shape(scale))
    sizes = gram_time_courses(
        scale, alignment, initial, times, depth=depth, weight_decay=weight_decay
    )
    return jnp.asarray(scale)[None, :] * sizes**depth


def gram_time_courses(
    scale: Spectrum,
    alignment: Spectrum,
    initial: Spectrum,
    times: Times,
    *,
    depth: int = 2,
    weight_decay: float | Scalar = 0.0,
    relative_tolerance: float = 1e-10,
    max_steps: int = 4096,
) -> Float[Arr, "times modes"]:
    r"""Return the eigenvalue r of the first layer's Gram for every mode along gradient flow.

    .. math:: \dot r = 8 s r^L (a - s r^L) - 2 \lambda r.

    Without weight decay, and with it at one layer, in closed form. Otherwise ln r is integrated,
    so that a mode that decay has taken falls as :math:`e^{-2\lambda t}`, never below zero; from a
    small start every mode is taken (`theory.optimum.thresholds.learned_modes`).

    Args:
      scale: Variance s of each mode, 0 or more.
      alignment: Alignment a of each mode, of any sign.
      initial: r at time 0, ``init_scale**2``; 0 or more. A mode at 0 never starts.
      times: Flow times, ascending, at least 0; ``inf`` for the end.
      depth: Number of layers L, at least 1.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      relative_tolerance: Relative error of r that a solver step may make.
      max_steps: Solver steps for each mode.

    Returns:
      r at each time, shape ``(times, modes)``.

    Raises:
      InputError: Not float64, a depth below 1, times not ascending, or more than ``max_steps``.

    Accuracy:
      Closed forms about 1e-13 relative (a mode's start counts with the same relative accuracy,
      which fixes when it escapes); integrated ones about ten times the tolerance. Gradient descent
      differs by O(learning rate). Derivatives of first and second order in every argument are
      right also at a = 0, at r = r∞ and for modes that never start; at infinite time they are those
      of the end state, and do not exist at a = 0.

    Source:
      Derived; at L = 1 the logistic curve of Saxe, McClelland and Ganguli.

    Example:
      Decay above the mode's threshold takes it, below leaves it smaller than without:

      >>> with jax.enable_x64(True):
      ...     one, end = jnp.ones(1), jnp.array([200.0])
      ...     for decay in (0.0, 0.5, 2.0):
      ...         path = gram_time_courses(one, one, one, end, weight_decay=decay)
      ...         print(round(float(path[0, 0]), 4))
      1.0
      0.9304
      0.0
    """
    check_flow(
        depth, times, scale=scale, alignment=alignment, initial=initial, weight_decay=weight_decay
    )
    given = tuple(map(jnp.asarray, (scale, alignment, initial, times)))
    late = not is_known(times) or bool(np.max(times) > _LATE)
    if depth == 1:
        return _logistic(*given, jnp.asarray(weight_decay, float), late=late)
    if is_known(weight_decay) and float(weight_decay) == 0.0:
        return _closed_courses(*given, depth=depth, late=late)
    decay, tolerance = jnp.asarray(weight_decay, float), relative_tolerance
    path, done = _decayed_courses(*given, decay, tolerance, depth=depth, max_steps=max_steps)
    require_reached(done, max_steps)
    return path


@compiled("depth")
def half_times(
    scale: Spectrum,
    alignment: Spectrum,
    *,
    depth: int = 2,
    init_scale: float | Scalar | Spectrum = 0.1,
) -> Spectrum:
    r"""Return the time at which each mode reaches half of its optimum, n = a/2.

    .. math:: t = \frac{F_L(2^{-1/L}) - F_L(\rho_0)}{8 s^{1/L} a^{2-1/L}}
        \;\approx\; \frac{r_0^{1-L}}{8 (L-1)\, s a} \quad (L \ge 2, \text{ small } r_0).

    Args:
      scale: Variance s of each mode, 0 or more.
      alignment: Alignment a of each mode.
      depth: Number of layers L, at least 1.
      init_scale: Weight of the mode in every layer at time 0; r₀ is its square.

    Returns:
      Flow times without weight decay. Negative if the mode starts above half; −∞ if it starts at
      or above its optimum; +∞ if it is never learned (a ≤ 0, or a start at 0).

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Exact for the flow, about 1e-14 of the time the mode needs from 0; so are derivatives, which
      are 0 where the time is infinite.

    Source:
      Derived.

    Example:
      Small starts make deep networks wait in proportion to 1/(s a), with no logarithm:

      >>> with jax.enable_x64(True):
      ...     times = half_times(jnp.ones(2), jnp.array([0.8, 0.4]), init_scale=0.01)
      ...     round(float(times[1] / times[0]), 3)
      2.0
    """
    require_float64(scale=scale, alignment=alignment, init_scale=init_scale)
    require_depth(depth)
    initial = jnp.broadcast_to(jnp.asarray(init_scale) ** 2, jnp.shape(scale))
    learned = (alignment > 0.0) & (initial > 0.0) & (scale > 0.0)
    s, a, start = (jnp.where(learned, x, 1.0) for x in (scale, alignment, initial))
    fraction = start / (a / s) ** (1.0 / depth)
    below = fraction < 1.0
    wait = universal_time(jnp.array(0.5 ** (1.0 / depth)), depth)
    wait = wait - universal_time(jnp.where(below, fraction, 0.5), depth)
    time = wait / (8.0 * s ** (1.0 / depth) * a ** (2.0 - 1.0 / depth))
    return jnp.where(learned, jnp.where(below, time, -jnp.inf), jnp.inf)


@compiled("depth")
def escape_times(
    scale: Spectrum,
    alignment: Spectrum,
    *,
    depth: int = 2,
    init_scale: float | Scalar | Spectrum = 0.1,
) -> Spectrum:
    r"""Return the small-start estimate of the time at which each mode leaves the origin.

    .. math:: t = \frac{r_0^{1-L}}{8 (L-1) s a} \;(L \ge 2), \qquad
        t = \frac{\ln(r_\infty / r_0)}{8 s a} \;(L = 1).

    Args:
      scale: Variance s of each mode, 0 or more.
      alignment: Alignment a of each mode.
      depth: Number of layers L, at least 1.
      init_scale: Weight of the mode in every layer at time 0; r₀ is its square.

    Returns:
      Flow times; +∞ for modes that are never learned.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Relative error O(ρ₀^{L−1}) of the half time for L >= 3, O(ρ₀ ln ρ₀) for L = 2, O(ρ₀/ln ρ₀) for
      L = 1, with ρ₀ = r₀/r∞: use `half_times` when the start is not small.

    Source:
      Derived: the flow linearized in the distance from the degenerate saddle at the origin. In
      the notation c₀ = r₀^{L/2}, m = s a it is c₀^{−(2−2/L)}/(4 L m (2 − 2/L)).

    Example:
      Ten times smaller layers make a two-layer network wait a hundred times longer:

      >>> with jax.enable_x64(True):
      ...     times = escape_times(jnp.ones(2), jnp.ones(2), init_scale=jnp.array([0.1, 0.01]))
      ...     [round(float(time), 9) for time in times]
      [12.5, 1250.0]
    """
    require_float64(scale=scale, alignment=alignment, init_scale=init_scale)
    require_depth(depth)
    initial = jnp.broadcast_to(jnp.asarray(init_scale) ** 2, jnp.shape(scale))
    learned = (alignment > 0.0) & (initial > 0.0) & (scale > 0.0)
    s, a, start = (jnp.where(learned, x, 1.0) for x in (scale, alignment, initial))
    rate = 8.0 * s * a
    if depth == 1:
        return jnp.where(learned, jnp.log(a / s / start) / rate, jnp.inf)
    return jnp.where(learned, start ** (1 - depth) / ((depth - 1) * rate), jnp.inf)


@compiled("depth")
def learning_order(
    scale: Spectrum,
    alignment: Spectrum,
    *,
    depth: int = 2,
    init_scale: float | Scalar | Spectrum = 0.1,
) -> Int[Arr, " modes"]:
    """Return the indices of the modes in the order in which they reach half of their optimum.

    Args:
      scale: Variance s of each mode.
      alignment: Alignment a of each mode.
      depth: Number of layers L, at least 1.
      init_scale: Weight of the mode in every layer at time 0.

    Returns:
      Mode indices, first learned first; ties, and modes never learned, in the order given.

    Raises:
      InputError: As `half_times`.

    Example:
      Learned by s·a, kept by a: the order of learning is not the order at the end.

      >>> with jax.enable_x64(True):
      ...     s, a = jnp.array([0.5, 4.0]), jnp.array([0.9, 0.3])
      ...     learning_order(s, a, init_scale=0.03).tolist()
      [1, 0]
    """
    return jnp.argsort(half_times(scale, alignment, depth=depth, init_scale=init_scale))


@functools.partial(jax.jit, static_argnames="late")
def _logistic(scale, alignment, initial, times, weight_decay, *, late):
    """One layer: r' = 8 r (d − s² r) with d = s a − λ/4."""
    s, drive = scale[None, :], (scale * alignment - 0.25 * weight_decay)[None, :]
    start, time = initial[None, :], times[:, None]
    time = jnp.minimum(time, 1e140) if late else time
    exponent = 8.0 * drive * time
    small = jnp.abs(exponent) < 1e-4
    safe = jnp.where(small, 1.0, jnp.maximum(exponent, -700.0))
    grown = jnp.where(
        small,
        1.0 - exponent / 2.0 + exponent**2 / 6.0 - exponent**3 / 24.0,
        -jnp.expm1(-safe) / safe,
    )
    left = jnp.exp(-jnp.maximum(exponent, -700.0))
    return start / (left + 8.0 * s**2 * start * time * grown)


@functools.partial(jax.jit, static_argnames=("depth", "late"))
def _closed_courses(scale, alignment, initial, times, *, depth, late):
    return _courses((depth, late), scale, alignment, initial, times)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _courses(settings, scale, alignment, initial, times):
    depth, late = settings
    s, a, start = (x[None, :] for x in (scale, alignment, initial))
    time = jnp.minimum(times, 1e290)[:, None] if late else times[:, None]
    moving = (s > 0.0) & (start > 0.0)
    s, first = jnp.where(moving, s, 1.0), jnp.where(moving, start, 1.0)
    path = _curves(s, a, first, time, depth, late)
    if late:
        path = jnp.where(jnp.isinf(times)[:, None] & (a <= 0.0), 0.0, path)
    return jnp.where(moving, path, start + 0.0 * time)


def _curves(s, a, start, time, depth, late):
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
        then = first + jnp.where(mask, clock, 0.0)
        if late:
            then = jnp.minimum(then, 1e4 if curve.logistic else 1e300)
        return curve_value(then, depth, curve)

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


@_courses.defjvp
def _courses_jvp(settings, primals, tangents):
    r"""The derivative from the flow itself, whichever curve gave the value.

    With f(r) = 8 s r^L (a − s r^L): ∂r/∂t = f; ∂r/∂r₀ = f(r)/f(r₀); the units of r and t give
    s ∂r/∂s and a ∂r/∂a from these two. Where they are 0/0 their limits enter.
    """
    depth, _ = settings
    path = _courses(settings, *primals)
    s, a, start = (x[None, :] for x in primals[:3])
    time = jnp.where(jnp.isinf(primals[3]), 0.0, primals[3])[:, None]
    ended = jnp.isinf(primals[3])[:, None]
    moving = (s > 0.0) & (start > 0.0)
    s_, first = jnp.where(moving, s, 1.0), jnp.where(moving, start, 1.0)
    r = jnp.where(moving & (path > 1e-100), path, 1.0)
    here, there = a - s_ * r**depth, a - s_ * first**depth
    rate = jnp.where(ended, 0.0, 8.0 * s_ * r**depth * here)
    # Near r∞: (a − s r^L)/a = z obeys z' = −L c z (1 − z)^{2−1/L}, here to second order in z.
    size = jnp.where(a > 0.0, a, 1.0)
    near = (a > 0.0) & (jnp.abs(there) < 1e-5 * a)
    away = jnp.where(near, there / size, 0.0)
    clock = 8.0 * depth * s_ ** (1.0 / depth) * size ** (2.0 - 1.0 / depth) * time
    left = jnp.where(ended, 0.0, jnp.exp(-clock))
    close = left * (1.0 + (2.0 - 1.0 / depth) * away * (1.0 - left))
    ratio = jnp.where(near, close, here / jnp.where(near | (there == 0.0), 1.0, there))
    by_start = (r / first) ** depth * ratio
    shift = r - first * by_start
    # While a is small beside s r^L its derivative is a series in their ratio.
    small = jnp.abs(a) < _SMALL * s_ * r**depth
    by_alignment = shift / depth + (2.0 - 1.0 / depth) * time * rate
    by_alignment = by_alignment / jnp.where(small | (a == 0.0), 1.0, a)
    part = jnp.where(small, a / (s_ * r**depth), 0.0)
    rise = jnp.where(small, r / first, 1.0)
    series, odd = 0.0, 3 * depth - 1
    for k in reversed(range(12)):
        series = series * part + (k + 1) / (odd + k * depth) * (rise ** (odd + k * depth) - 1.0)
    slow = (part - 1.0) * r ** (1 - depth) / s_ * series
    by_alignment = jnp.where(small, slow, by_alignment)
    by_scale = (time * rate - shift) / (depth * s_)
    alive = moving & (path > 1e-100)
    still = 8.0 * a * start**depth * time
    by_start = jnp.where(alive, by_start, jnp.where(moving, 0.0, 1.0))
    by_alignment = jnp.where(alive, by_alignment, 0.0)
    by_scale = jnp.where(alive, by_scale, jnp.where(s > 0.0, 0.0, still))
    by_time = jnp.where(alive, rate, 0.0)
    scale_dot, alignment_dot, initial_dot, times_dot = tangents
    tangent = by_scale * scale_dot[None, :] + by_alignment * alignment_dot[None, :]
    tangent = tangent + by_start * initial_dot[None, :] + by_time * times_dot[:, None]
    return path, tangent


@functools.partial(jax.jit, static_argnames=("depth", "max_steps"))
def _decayed_courses(scale, alignment, initial, times, decay, tolerance, *, depth, max_steps):
    ended = jnp.isinf(times)
    last = jnp.max(jnp.where(ended, 0.0, times))
    finite = jnp.where(ended, last, times)

    def one(s, a, start):
        first = jnp.log(jnp.where(start > 0.0, start, 1.0))
        path, done, _ = integrate(
            _log_velocity(depth),
            first,
            finite,
            (s, a, decay),
            relative_tolerance=tolerance,
            absolute_tolerance=tolerance,
            max_steps=max_steps,
            method="implicit",
        )
        return jnp.where(start > 0.0, jnp.exp(path), 0.0), done

    path, done = jax.vmap(one, out_axes=(1, 0))(scale, alignment, initial)
    safe = jnp.where(scale > 0.0, scale, 1.0)
    stays = learned_modes(safe, alignment, initial, weight_decay=decay, depth=depth) & (scale > 0.0)
    end = jnp.where(stays, decayed_mode(safe, alignment, weight_decay=decay, depth=depth), 0.0)
    return jnp.where(ended[:, None], end[None, :], path), done


@functools.cache
def _log_velocity(depth):
    def velocity(log_size, arguments):
        s, a, decay = arguments
        size = jnp.exp(log_size)
        return 8.0 * s * size ** (depth - 1) * (a - s * size**depth) - 2.0 * decay

    return velocity
