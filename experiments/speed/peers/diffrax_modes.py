"""diffrax, all modes at once by vmap; to 1e-8, where the closed form has 1e-12.

The logarithm is integrated, implicitly: modes that have been learned are stiff.
"""

import diffrax
import jax
import jax.numpy as jnp

from experiments.speed.task import Task
from experiments.speed.theory_tasks import TIMES, mode_problem

_MODES = 1000


def _modes(depth: int) -> Task:
    with jax.enable_x64(True):
        scale, alignment, start, times = map(jnp.asarray, mode_problem(_MODES, depth))

    def course(s, a, r):
        def velocity(time, log_r, _):
            return 8 * s * jnp.exp((depth - 1) * log_r) * (a - s * jnp.exp(depth * log_r))

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            diffrax.Kvaerno5(),
            t0=times[0],
            t1=times[-1],
            dt0=None,
            y0=jnp.log(r),
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=diffrax.PIDController(rtol=1e-8, atol=1e-10),
            max_steps=65536,
        )
        return jnp.exp(solution.ys)  # pyright: ignore[reportArgumentType]

    courses = jax.jit(jax.vmap(course))

    def call() -> None:
        with jax.enable_x64(True):
            jax.block_until_ready(courses(scale, alignment, start))

    return Task(call, units=_MODES * TIMES)


def modes_2() -> Task:
    """Time courses at depth 2."""
    return _modes(2)


def modes_3() -> Task:
    """Time courses at depth 3."""
    return _modes(3)


def modes_4() -> Task:
    """Time courses at depth 4."""
    return _modes(4)
