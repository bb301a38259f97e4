"""Learning curves of single modes, with and without weight decay, and when modes are learned."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from theory.dynamics.mode_flow import (
    integrate_with_decay,
    solve_one_layer,
    solve_without_decay,
)
from theory.dynamics.universal_curve import universal_time
from theory.linalg.arrays import Arr, Scalar, Spectrum, Times, compiled, require_float64
from theory.linalg.checks import is_known, require_depth
from theory.linalg.integration import check_flow, require_reached

# Later every growing mode has ended, and products of times could overflow.
_LATE = 1e15


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

      >>> import jax
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
      which fixes when it escapes); integrated ones about ten times the tolerance, except that a
      mode which starts next to its unstable rest point multiplies rounding as it leaves it.
      Gradient descent differs by O(learning rate). Derivatives of first and second order in every
      argument are right also at a = 0, at r = r∞ and for modes that never start; at infinite time
      they are those of the end state, and do not exist at a = 0.

    Source:
      Derived; at L = 1 the logistic curve of Saxe, McClelland and Ganguli.

    Example:
      Decay above the mode's threshold takes it, below leaves it smaller than without:

      >>> import jax
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
        return solve_one_layer(*given, jnp.asarray(weight_decay, float), late=late)
    if is_known(weight_decay) and float(weight_decay) == 0.0:
        return solve_without_decay(*given, depth=depth, late=late)
    decay, tolerance = jnp.asarray(weight_decay, float), relative_tolerance
    path, done = integrate_with_decay(*given, decay, tolerance, depth=depth, max_steps=max_steps)
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

      >>> import jax
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

      >>> import jax
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

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     s, a = jnp.array([0.5, 4.0]), jnp.array([0.9, 0.3])
      ...     learning_order(s, a, init_scale=0.03).tolist()
      [1, 0]
    """
    return jnp.argsort(half_times(scale, alignment, depth=depth, init_scale=init_scale))
