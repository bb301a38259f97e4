"""Flow of a head whose encoder trains too: moments given along the way, not fixed."""

import functools

import diffrax
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Float

from theory.linalg.arrays import Arr, Factor, Scalar, Times, require_float64
from theory.linalg.errors import InputError
from theory.linalg.integration import check_flow, reached


def driven_flow(
    moment_times: Float[Arr, " points"],
    covariances: Float[Arr, "points dim dim"],
    cross_covariances: Float[Arr, "points dim dim"],
    initial_factor: Factor,
    depth: int,
    times: Times,
    *,
    weight_decay: float | Scalar = 0.0,
    relative_tolerance: float = 1e-8,
    absolute_tolerance: float = 1e-10,
    max_steps: int = 65536,
) -> Float[Arr, "times rank dim"]:
    r"""First layer of a balanced head along flow of the spectral loss on moving moments.

    .. math:: \dot P = -4 E \left( \Sigma(t) P^\top E\, \Sigma(t) - M(t) \right) - \lambda P,
        \qquad E = (P P^\top)^{L-1} P,

    with Σ and M of the features the head receives, measured during training and interpolated
    linearly. The encoder is an external drive: what the head does back to it is in the moments.

    Args:
      moment_times: Flow times of the measurements, ascending; the first at most 0.
      covariances: Σ at each of them.
      cross_covariances: M at each of them.
      initial_factor: P at time 0; its rows bound the rank.
      depth: Number of layers L of the head.
      times: Flow times, ascending, from 0 to the last measurement.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      relative_tolerance: Error allowed per step, relative.
      absolute_tolerance: Error allowed per step.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      P at each time, shape ``(times, rank, dim)``.

    Raises:
      InputError: As `flow.balanced_flow`, or (outside `jit`) times beyond the measurements.

    Accuracy:
      That of the interpolation, O(spacing²) where the moments are smooth in time; the solver
      steps on every measurement, where they have a kink.

    Source:
      Derived, as `flow.balanced_flow`.

    Example:
      A feature that augmentation stops touching halfway is learned afterwards:

      >>> with jax.enable_x64(True):
      ...     identity = jnp.ones((4, 1, 1))
      ...     cross = jnp.array([0.0, 0.0, 0.8, 0.8])[:, None, None]
      ...     clock, times = jnp.array([0.0, 10.0, 10.1, 60.0]), jnp.array([10.0, 60.0])
      ...     path = driven_flow(clock, identity, cross, 0.5 * jnp.eye(1), 1, times)
      ...     [round(float(p[0, 0] ** 2), 3) for p in path]
      [0.012, 0.8]
    """
    check_flow(depth, times, initial_factor=initial_factor, weight_decay=weight_decay)
    require_float64(
        moment_times=moment_times, covariances=covariances, cross_covariances=cross_covariances
    )
    _check_range(moment_times, times)
    path, done = _driven_path(
        (jnp.asarray(moment_times), jnp.asarray(covariances), jnp.asarray(cross_covariances)),
        initial_factor,
        jnp.asarray(times),
        weight_decay,
        (relative_tolerance, absolute_tolerance),
        depth=depth,
        max_steps=max_steps,
    )
    return reached(path, done, max_steps)


@functools.partial(jax.jit, static_argnames=("depth", "max_steps"))
def _driven_path(drive, factor, times, weight_decay, tolerances, *, depth, max_steps):
    points, covariances, crosses = drive

    def velocity(time, factor, _):
        index = jnp.clip(jnp.searchsorted(points, time, side="right"), 1, points.shape[0] - 1)
        part = (time - points[index - 1]) / (points[index] - points[index - 1])
        covariance = covariances[index - 1] + part * (covariances[index] - covariances[index - 1])
        cross = crosses[index - 1] + part * (crosses[index] - crosses[index - 1])
        inner, rows = factor @ factor.T, factor
        for _ in range(depth - 1):
            rows = inner @ rows
        weighted = rows @ covariance
        push = (weighted @ factor.T) @ weighted - rows @ cross
        return -4.0 * push - weight_decay * factor

    relative, absolute = tolerances
    controller = diffrax.PIDController(rtol=relative, atol=absolute)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(velocity),
        diffrax.Tsit5(),
        t0=0.0,
        t1=times[-1],
        dt0=None,
        y0=factor,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.ClipStepSizeController(controller, step_ts=points),
        max_steps=max_steps,
        throw=False,
    )
    return solution.ys, solution.result == diffrax.RESULTS.successful


def _check_range(points, times):
    if isinstance(points, Tracer) or isinstance(times, Tracer):
        return
    if points.shape[0] < 2 or bool(jnp.any(jnp.diff(jnp.asarray(points)) <= 0)):
        raise InputError("moment_times must ascend and be at least 2: sort and deduplicate them")
    if float(points[0]) > 0.0 or float(times[-1]) > float(points[-1]):
        raise InputError(
            f"moments from {float(points[0]):g} to {float(points[-1]):g} do not cover the times 0"
            f" to {float(times[-1]):g}: measure at the start and the end too"
        )
