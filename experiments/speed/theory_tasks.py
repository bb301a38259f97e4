"""The tasks of `theory`: closed forms, layer spectra, the factor flow."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.speed.task import Task
from theory.dynamics.courses import gram_time_courses, half_times
from theory.dynamics.layer_flow import quadratic_flow
from theory.linalg.integration import integrate
from theory.losses.quadratic import QuadraticLoss
from theory.optimum.low_rank import low_rank_layer_spectra, low_rank_optimum

MODES, TIMES = 10_000, 200


class ModeProblem(NamedTuple):
    """Modes from their start to their end: scale, alignment, start, and the times wanted."""

    scale: np.ndarray
    alignment: np.ndarray
    start: np.ndarray
    times: np.ndarray


def mode_problem(modes: int, depth: int) -> ModeProblem:
    """Modes of many strengths, followed until the slowest has long been learned.

    Args:
      modes: How many.
      depth: Number of layers.

    Returns:
      Arrays of float64.
    """
    draws = np.random.default_rng(0)
    scale = np.exp(draws.uniform(-1.0, 1.0, modes))
    alignment = draws.uniform(0.3, 0.9, modes)
    start = np.full(modes, 1e-2)
    with jax.enable_x64(True):
        slowest = half_times(np.exp([-1.0]), np.array([0.3]), depth=depth)
    return ModeProblem(scale, alignment, start, np.linspace(0.0, 1.5 * float(slowest[0]), TIMES))


def _in_float64(function: Callable[[], object]) -> Callable[[], None]:
    def call() -> None:
        with jax.enable_x64(True):
            jax.block_until_ready(function())

    return call


def _modes(depth: int) -> Task:
    with jax.enable_x64(True):
        scale, alignment, start, times = map(jnp.asarray, mode_problem(MODES, depth))
    return Task(
        _in_float64(lambda: gram_time_courses(scale, alignment, start, times, depth=depth)),
        units=MODES * TIMES,
    )


def modes_2() -> Task:
    """Time courses of 10 000 modes at 200 times, depth 2."""
    return _modes(2)


def modes_3() -> Task:
    """The same at depth 3."""
    return _modes(3)


def modes_4() -> Task:
    """The same at depth 4."""
    return _modes(4)


def make_spectra_task(dim: int, rank: int) -> Task:
    """Optimum of a rank and its layer spectra at depth 3, in float64.

    Args:
      dim: Of the moments.
      rank: Of the optimum, at most half of `dim`.
    """
    draws = np.random.default_rng(0)
    strengths = np.arange(1, dim + 1) ** -0.5
    factor = draws.normal(size=(dim, 2 * rank)) * strengths[:, None]
    cross = factor @ factor.T / (2 * rank)
    covariance = cross + np.diag(0.1 * strengths)

    def spectra():
        loss = QuadraticLoss(jnp.asarray(covariance), jnp.asarray(cross))
        found = low_rank_optimum(loss, rank)
        return low_rank_layer_spectra(loss.quadratic, found.factor, depth=3)

    return Task(_in_float64(spectra))


def layer_spectra() -> Task:
    """Optimum of rank 128 and its layer spectra at dimension 3072."""
    return make_spectra_task(3072, 128)


def layer_spectra_large() -> Task:
    """The same at dimension 10 000."""
    return make_spectra_task(10_000, 128)


def _flow_problem():
    draws = np.random.default_rng(0)
    dim, rank = 512, 64
    basis = np.linalg.qr(draws.normal(size=(dim, dim)))[0]
    strengths = np.arange(1, dim + 1) ** -0.5
    covariance = (basis * strengths) @ basis.T
    cross = (basis * strengths * np.linspace(0.9, 0.0, dim)) @ basis.T
    start = 0.3 * draws.normal(size=(rank, dim)) / np.sqrt(dim)
    return covariance, cross, start, np.array([0.0, 5.0, 10.0])


FLOW_DEPTH = 3


def factor_flow() -> Task:
    """The flow of the factor of a spectral loss at dimension 512, rank 64, depth 3."""
    with jax.enable_x64(True):
        covariance, cross, start, times = map(jnp.asarray, _flow_problem())
        loss = QuadraticLoss(covariance, cross)
    return Task(_in_float64(lambda: quadratic_flow(loss, start, FLOW_DEPTH, times)))


def flow_by_hand() -> Task:
    """As many right-hand sides as the flow takes, one after the other, and nothing else."""
    with jax.enable_x64(True):
        covariance, cross, start, times = map(jnp.asarray, _flow_problem())

        def velocity(factor):
            inner = factor @ factor.T
            rows = inner @ (inner @ factor)
            weighted = rows @ covariance
            return -4.0 * ((weighted @ factor.T) @ weighted - rows @ cross)

        count = _right_hand_sides(velocity, start, times)

        @jax.jit
        def chain(factor):
            # Each needs the one before it, as in a solver; the sum is too small to change it.
            return jax.lax.fori_loop(0, count, lambda _, f: f + 1e-12 * velocity(f), factor)

    return Task(_in_float64(lambda: chain(start)))


def _right_hand_sides(velocity, start, times) -> int:
    """How many the solver of the flow takes at its tolerances."""
    return 6 * int(integrate(lambda state, _: velocity(state), start, times).steps)
