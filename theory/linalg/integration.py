"""Adaptive integration of gradient flows, and the checks of their input."""

from collections.abc import Callable

import diffrax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float, PyTree

from theory.linalg.arrays import Arr, Scalar, Times, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.errors import InputError


def integrated_path(
    velocity: Callable[[PyTree], PyTree],
    initial: PyTree,
    times: Times,
    tolerances: tuple[float | Scalar, float | Scalar],
    max_steps: int,
    *,
    solver: diffrax.AbstractSolver | None = None,
) -> tuple[PyTree, Bool[Arr, ""]]:
    """States at the times of y' = velocity(y), from time 0, and whether the last was reached.

    Args:
      velocity: Right-hand side.
      initial: State at time 0, any pytree of arrays.
      times: Ascending, at least 0.
      tolerances: Relative and absolute error allowed per step.
      max_steps: Solver steps after which the rest stays infinite.
      solver: Dopri8 unless another is given.

    Returns:
      The states, every leaf with a leading axis of times, and whether the last was reached.

    Accuracy:
      That of the solver at the given tolerances.
    """
    relative, absolute = tolerances
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda time, state, _: velocity(state)),
        diffrax.Dopri8() if solver is None else solver,
        t0=0.0,
        t1=times[-1],
        dt0=None,
        y0=initial,
        saveat=diffrax.SaveAt(ts=jnp.asarray(times)),
        stepsize_controller=diffrax.PIDController(rtol=relative, atol=absolute),
        max_steps=max_steps,
        throw=False,
    )
    return solution.ys, solution.result == diffrax.RESULTS.successful


def reached(path: Float[Arr, "..."], done: Bool[Arr, "..."], max_steps: int) -> Float[Arr, "..."]:
    """The path with unreached times as NaN, refused where that can be seen: outside `jit`."""
    if not isinstance(done, Tracer) and not bool(np.all(done)):
        raise InputError(
            f"the flow did not reach the last time within {max_steps} solver steps: ask for earlier"
            " times, scale the data to a covariance of norm 1, or raise max_steps"
        )
    return jnp.where(jnp.isfinite(path), path, jnp.nan)


def check_flow(depth: int, times: Times, **arrays: Arr | float | None) -> None:
    """Refuse what no flow can be computed from: depth, times or precision."""
    require_float64(times=times, **arrays)
    require_depth(depth)
    if isinstance(times, Tracer):
        return
    given = np.asarray(times)
    if given.size == 0 or given[0] < 0 or np.any(np.diff(given) < 0):
        raise InputError(
            f"times are {np.array2string(given, threshold=6)}, wanted ascending times of at least"
            " 0: sort them and drop negative ones"
        )
