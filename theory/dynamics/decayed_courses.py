"""Learning curves of modes under weight decay."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.dynamics.modes import mode_time_courses
from theory.linalg.arrays import Arr, Scalar, Spectrum, Times
from theory.linalg.integration import check_flow, integrated_path, reached


def decayed_time_courses(
    scale: Spectrum,
    alignment: Spectrum,
    initial: Spectrum,
    depth: int,
    times: Times,
    weight_decay: float | Scalar,
    *,
    relative_tolerance: float = 1e-10,
    max_steps: int = 100_000,
) -> Float[Arr, "modes times"]:
    r"""Layer-1 Gram eigenvalue of every mode along gradient flow with weight decay.

    .. math:: \dot r = 8 s r^L (a - s r^L) - 2 \lambda r.

    One layer: `theory.dynamics.modes.mode_time_courses` with a − λ/(4s) in place of a. Deeper
    there is no closed form; log r is integrated, so a mode that decay has taken falls as
    :math:`e^{-2\lambda t}`, never below zero. From a small start every mode is taken
    (`theory.optimum.thresholds.learned_modes`).

    Args:
      scale: Variance s of each mode, 0 or more.
      alignment: Alignment a of each mode.
      initial: Layer-1 Gram eigenvalue at time 0, 0 or more; 0 stays.
      depth: Number of layers L, at least 1.
      times: Flow times, ascending, at least 0.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      relative_tolerance: Relative error of r that a solver step may make.
      max_steps: Solver steps for each mode.

    Returns:
      r at each time, shape ``(modes, times)``.

    Raises:
      InputError: Not float64, a depth below 1, times not ascending, or more than ``max_steps``.

    Accuracy:
      One layer: 1e-13. Deeper: about ten times the tolerance in r.

    Source:
      Derived: the balanced flow of `theory.dynamics.flow` with commuting moments, mode by mode.

    Example:
      Decay above the mode's threshold takes it, below leaves it smaller than without:

      >>> with jax.enable_x64(True):
      ...     one, end = jnp.ones(1), jnp.array([200.0])
      ...     for decay in (0.0, 0.5, 2.0):
      ...         path = decayed_time_courses(one, one, one, 2, end, decay)
      ...         print(round(float(path[0, 0]), 4))
      1.0
      0.9304
      0.0
    """
    check_flow(
        depth, times, scale=scale, alignment=alignment, initial=initial, weight_decay=weight_decay
    )
    if depth == 1:
        safe = jnp.where(jnp.asarray(scale) > 0.0, scale, 1.0)
        return mode_time_courses(scale, alignment - weight_decay / (4.0 * safe), initial, 1, times)
    path, done = _integrated(
        *map(jnp.asarray, (scale, alignment, initial, times)),
        jnp.asarray(weight_decay, float),
        (relative_tolerance, relative_tolerance),
        depth,
        max_steps,
    )
    return reached(path, done, max_steps)


@functools.partial(jax.jit, static_argnums=(6, 7))
def _integrated(scale, alignment, initial, times, weight_decay, tolerances, depth, max_steps):
    def one(s, a, start):
        def velocity(log_size):
            size = jnp.exp(log_size)
            pull = 8.0 * s * size ** (depth - 1) * (a - s * size**depth)
            return pull - 2.0 * weight_decay

        first = jnp.log(jnp.where(start > 0.0, start, 1.0))
        path, done = integrated_path(velocity, first, times, tolerances, max_steps)
        return jnp.where(start > 0.0, jnp.exp(path), 0.0), done

    return jax.vmap(one)(scale, alignment, initial)
