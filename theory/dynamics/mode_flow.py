"""The flow of a single mode: in closed form, with derivatives that are right, or integrated."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from theory.dynamics.universal_curve import DYING, GROWING, SHRINKING, curve_time, curve_value
from theory.linalg.arrays import Arr, Scalar, Spectrum, Times
from theory.linalg.integration import integrate
from theory.optimum.thresholds import decayed_mode, learned_modes

Courses = Float[Arr, "times modes"]

# Below this fraction of s r^L an alignment enters its own derivative by a series.
_SMALL = 0.05


@functools.partial(jax.jit, static_argnames="late")
def solve_one_layer(
    scale: Spectrum,
    alignment: Spectrum,
    initial: Spectrum,
    times: Times,
    weight_decay: Scalar,
    *,
    late: bool,
) -> Courses:
    r"""Return r of every mode of a single layer, a logistic curve also under weight decay.

    .. math:: \dot r = 8 r (d - s^2 r), \qquad d = s a - \lambda / 4.

    Args:
      scale: Variance s of each mode.
      alignment: Alignment a of each mode.
      initial: r at time 0.
      times: Flow times; ``inf`` only where `late`.
      weight_decay: λ of the penalty (λ/2) ‖W‖².
      late: Whether times may be so large that products of them overflow.

    Returns:
      r at each time, shape ``(times, modes)``.

    Accuracy:
      About 1e-14 relative; derivatives by differentiating the curve.

    Source:
      The logistic curve of Saxe, McClelland and Ganguli.
    """
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
def solve_without_decay(
    scale: Spectrum,
    alignment: Spectrum,
    initial: Spectrum,
    times: Times,
    *,
    depth: int,
    late: bool,
) -> Courses:
    r"""Return r of every mode of a deep network without weight decay, on the universal curves.

    Args:
      scale: Variance s of each mode.
      alignment: Alignment a of each mode, of any sign.
      initial: r at time 0.
      times: Flow times; ``inf`` only where `late`.
      depth: Number of layers L, at least 1.
      late: Whether times may be so large that products of them overflow.

    Returns:
      r at each time, shape ``(times, modes)``.

    Accuracy:
      About 1e-13 relative. Derivatives come from the flow itself, whichever curve gave the value,
      with their limits at a = 0 and r = r∞; they can be differentiated again.

    Source:
      Derived: `theory.dynamics.universal_curve`.
    """
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
    """Return the three curves and the algebraic decay at a = 0, each where it applies."""
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

    def evaluate_rare(curve, mask):
        """Evaluate a curve that few modes follow, and only if one does."""
        return jax.lax.cond(
            jnp.any(mask),
            lambda: end / along(curve, mask, 1.0 / fraction, 0.5),
            lambda: jnp.zeros_like(clock),
        )

    odd = 2 * depth - 1
    faded = start * (1.0 + 8.0 * odd * s**2 * start**odd * time) ** (-1.0 / odd)
    path = jnp.where(dead, faded, end + 0.0 * time)
    path = jnp.where(growing, end * along(GROWING, growing, fraction, 0.5), path)
    path = jnp.where(shrinking, evaluate_rare(SHRINKING, shrinking), path)
    return jnp.where(dying, evaluate_rare(DYING, dying), path)


@_courses.defjvp
def _courses_jvp(settings, primals, tangents):
    r"""Return the derivative from the flow itself, whichever curve gave the value.

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
def integrate_with_decay(
    scale: Spectrum,
    alignment: Spectrum,
    initial: Spectrum,
    times: Times,
    decay: Scalar,
    tolerance: float | Scalar,
    *,
    depth: int,
    max_steps: int,
) -> tuple[Courses, Bool[Arr, " modes"]]:
    r"""Return r of every mode under weight decay from two layers on, integrating ln r.

    Args:
      scale: Variance s of each mode.
      alignment: Alignment a of each mode.
      initial: r at time 0; 0 stays.
      times: Flow times, ascending; ``inf`` for the end.
      decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      tolerance: Relative error of r that a solver step may make.
      depth: Number of layers L, at least 2.
      max_steps: Solver steps for each mode.

    Returns:
      r at each time, shape ``(times, modes)``, and whether each mode reached the last time.

    Accuracy:
      About ten times the tolerance.

    Source:
      Derived: the balanced flow, mode by mode.
    """
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
