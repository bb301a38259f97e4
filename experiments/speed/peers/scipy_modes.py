"""SciPy's solve_ivp, a mode at a time; to 1e-8, where the closed form has 1e-12."""

from scipy.integrate import solve_ivp

from experiments.speed.task import Task
from experiments.speed.theory_tasks import TIMES, mode_problem

_MODES = 10


def _modes(depth: int) -> Task:
    scale, alignment, start, times = mode_problem(_MODES, depth)

    def call() -> None:
        for s, a, r in zip(scale, alignment, start, strict=True):
            solve_ivp(
                lambda time, r, s=s, a=a: 8 * s * r**depth * (a - s * r**depth),
                (times[0], times[-1]),
                [r],
                method="LSODA",
                t_eval=times,
                rtol=1e-8,
                atol=1e-12,
            )

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
