"""Adaptive integration of gradient flows, differentiable in everything, and the checks of input.

The steps are chosen without derivatives. Where a derivative is wanted the same steps are taken
again, one after the other, by code that JAX differentiates forwards, backwards and repeatedly.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import lu_factor, lu_solve
from jaxtyping import Bool, Int, PyTree

from theory.linalg.arrays import Arr, Scalar, Times, require_float64
from theory.linalg.checks import is_known, require_depth
from theory.linalg.errors import InputError

Velocity = Callable[[PyTree, Any], PyTree]
Method = Literal["explicit", "implicit"]


def _extrapolation(parts: range) -> np.ndarray:
    """Return weights of results in so many parts whose sum errs like parts of length 0."""
    return np.array([math.prod(n / (n - m) for m in parts if m != n) for n in parts])


# Tsitouras, Runge-Kutta pairs of order 5(4), 2011: stages, and the error of the fifth-order step.
_STAGES = (
    (0.161,),
    (-0.008480655492356989, 0.335480655492357),
    (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
    (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
    (
        5.86145544294642,
        -12.92096931784711,
        8.159367898576159,
        -0.071584973281401,
        -0.028269050394068383,
    ),
    (
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
    ),
)
_ERROR = np.array(
    [
        0.001780011052226,
        0.000816434459657,
        -0.007880878010262,
        0.144711007173263,
        -0.582357165452555,
        0.458082105929187,
        -1.0 / 66.0,
    ]
)
_TABLEAU = np.array([row + (7 - len(row)) * (0.0,) for row in _STAGES])
_ROWS = 6  # Results that an implicit step extrapolates from, hence its order.
_EXTRAPOLATION = _extrapolation(range(1, _ROWS + 1))
_LOWER_EXTRAPOLATION = np.concatenate([[0.0], _extrapolation(range(2, _ROWS + 1))])
# By how much the extrapolation makes the rounding of its results larger.
_NOISE = float(np.sum(np.abs(_EXTRAPOLATION)))
_CHUNK = 256  # Steps whose intermediate results a reverse derivative keeps at a time.


class Integration(NamedTuple):
    """What integration found.

    Attributes:
      path: The states, every leaf with a leading axis of times; NaN where not reached.
      done: Whether the last time was reached.
      steps: Steps tried; six right-hand sides each if explicit.
    """

    path: PyTree
    done: Bool[Arr, ""]
    steps: Int[Arr, ""]


class _State(NamedTuple):
    time: Arr
    value: Arr
    slope: Arr
    step: Arr
    landed: Arr
    path: Arr
    tried: Arr
    grid: Arr | None


def integrate(
    velocity: Velocity,
    initial: PyTree,
    times: Times,
    arguments: Any = None,
    *,
    relative_tolerance: float | Scalar = 1e-10,
    absolute_tolerance: float | Scalar = 1e-12,
    max_steps: int = 65536,
    method: Method = "explicit",
) -> Integration:
    """Return the states of y' = velocity(y, arguments), y(0) = initial, at the given times.

    Args:
      velocity: Right-hand side; a function of a module, as each function object is compiled once.
      initial: State at time 0, any pytree of arrays.
      times: Ascending, at least 0, finite.
      arguments: Any pytree of arrays, passed on.
      relative_tolerance: Error allowed per step, relative to the largest entries of the state.
      absolute_tolerance: Error allowed per step, added to the relative one.
      max_steps: Steps, rejected ones included, after which the rest is left out.
      method: ``"explicit"``: Tsitouras 5(4), six right-hand sides a step, whose number of steps
        grows as the time times the largest rate. ``"implicit"``: the linearly implicit Euler
        method extrapolated to order 6, with linear systems of the size of the state, whose number
        of steps does not.

    Returns:
      `Integration`.

    Accuracy:
      About 10 to 100 times the tolerances. Derivatives in the start, the arguments and the times
      are those of the steps taken, forwards or backwards, and have about the same accuracy; second
      derivatives exist too.

    Source:
      Tsitouras 2011; Deuflhard, Hairer and Zugck 1987 for the extrapolated implicit Euler method.

    Example:
      >>> with jax.enable_x64(True):
      ...     found = integrate(lambda y, rate: -rate * y, jnp.ones(()), jnp.ones(1), 2.0)
      ...     round(float(found.path[0]), 9)
      0.135335283
    """
    tolerances = jnp.asarray(relative_tolerance, float), jnp.asarray(absolute_tolerance, float)
    arguments = jax.tree.map(jnp.asarray, arguments)
    initial = jax.tree.map(jnp.asarray, initial)
    settings = (velocity, method, max_steps)
    return _compiled_path(settings, initial, jnp.asarray(times), arguments, tolerances)


def check_flow(depth: int, times: Times, **arrays: Arr | float | None) -> None:
    """Refuse what no flow can be computed from: depth, times or precision."""
    require_float64(times=times, **arrays)
    require_depth(depth)
    if not is_known(times):
        return
    given = np.asarray(times)
    ascending = given.ndim == 1 and given.size > 0 and np.all(given[1:] >= given[:-1])
    if not ascending or not given[0] >= 0:
        raise InputError(
            f"times are {np.array2string(given, threshold=6)}, wanted ascending times of at least"
            " 0: sort them and drop negative ones"
        )


def require_reached(done: Bool[Arr, "..."], max_steps: int) -> None:
    """Refuse a path that ended early, where that can be seen: outside `jit`."""
    if is_known(done) and not bool(np.all(done)):
        raise InputError(
            f"the flow did not reach the last time within {max_steps} solver steps: ask for earlier"
            " times (inf, the end, needs no steps without weight decay), scale the data to a"
            " covariance of norm 1, or raise max_steps"
        )


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _path(settings, initial, times, arguments, tolerances):
    return _solve(settings, initial, times, arguments, tolerances, False)[0]


@_path.defjvp
def _path_jvp(settings, primals, tangents):
    initial, times, arguments, tolerances = _constant(primals)
    found, grid = _solve(settings, initial, times, arguments, tolerances, True)
    given, tangent = primals[:3], tangents[:3]
    _, moved = jax.jvp(functools.partial(_replay, settings, grid), given, tangent)
    zero = np.zeros((), jax.dtypes.float0)
    found = found._replace(path=_attach(settings, found.path, grid, *given))
    return found, Integration(moved, zero, zero)


@jax.custom_jvp
def _constant(tree):
    """Return the tree without derivatives: `stop_gradient` has no transpose in a mapped loop."""
    return tree


@_constant.defjvp
def _constant_jvp(primals, tangents):
    return _constant(*primals), jax.tree.map(jnp.zeros_like, tangents[0])


_compiled_path = jax.jit(_path, static_argnums=0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attach(settings, path, grid, initial, times, arguments):
    """Return the path with the derivatives of the steps, for derivatives of derivatives."""
    del settings, grid, initial, times, arguments
    return path


@_attach.defjvp
def _attached_jvp(settings, primals, tangents):
    grid, given = primals[1], primals[2:]
    _, tangent = jax.jvp(functools.partial(_replay, settings, grid), given, tangents[2:])
    return _attach(settings, *primals), tangent


def _solve(settings, initial, times, arguments, tolerances, recorded):
    """Return the integration, and the times of its steps with the number of chunks they fill."""
    velocity, method, max_steps = settings
    start, restore = ravel_pytree(initial)
    move, take = _moves(velocity, method, restore, arguments)
    order = 5 if method == "explicit" else _ROWS
    relative, absolute = tolerances

    def size(error, one, other):
        scale = absolute + relative * jnp.maximum(jnp.abs(one), jnp.abs(other))
        return jnp.sqrt(jnp.mean((error / scale) ** 2))

    def unfinished(state):
        return (state.landed < times.shape[0]) & (state.tried < max_steps)

    def advance(state):
        wanted = times[state.landed]
        lands = state.time + 1.000001 * state.step >= wanted
        step = jnp.where(lands, wanted - state.time, state.step)
        value, slope, error = take(state.value, state.slope, step)
        miss = size(error, state.value, value)
        good = (miss <= 1.0) & jnp.all(jnp.isfinite(slope))
        factor = 0.9 * jnp.maximum(miss, 1e-12) ** (-1.0 / order)
        factor = jnp.where(good, jnp.clip(factor, 0.2, 10.0), jnp.clip(factor, 0.1, 0.7))
        factor = jnp.where(jnp.isfinite(factor), factor, 0.1)
        # A step cut short to land on a time says little about how long the next may be.
        longer = jnp.where(lands & good, jnp.maximum(state.step, factor * step), factor * step)
        lands = lands & good
        now = jnp.where(lands, wanted, jnp.where(good, state.time + step, state.time))
        value = jnp.where(good, value, state.value)
        path = state.path.at[jnp.where(lands, state.landed, times.shape[0])].set(value, mode="drop")
        grid = None if state.grid is None else state.grid.at[state.tried + 1].set(now)
        return _State(
            now,
            value,
            jnp.where(good, slope, state.slope),
            longer,
            state.landed + lands,
            path,
            state.tried + 1,
            grid,
        )

    slope = move(start)
    # As long as the error of Euler's method would be a hundredth of the state.
    speed = size(slope, start, start)
    first = jnp.minimum(0.01 * size(start, start, start) / jnp.maximum(speed, 1e-300), times[-1])
    first = jnp.where(first > 0.0, first, 1e-6 * times[-1])
    path = jnp.full((times.shape[0], start.size), jnp.nan)
    grid = jnp.full(max_steps + 1, jnp.inf).at[0].set(0.0) if recorded else None
    zero = jnp.array(0)
    state = _State(jnp.zeros(()), start, slope, first, zero, path, zero, grid)
    state = jax.lax.while_loop(unfinished, advance, state)
    found = Integration(
        jax.vmap(restore)(jnp.asarray(state.path)), state.landed == times.shape[0], state.tried
    )
    if state.grid is None:
        return found, None
    return found, (
        jnp.minimum(state.grid, state.time),
        _largest(jnp.asarray(-(-state.tried // _CHUNK))),
    )


@jax.custom_batching.custom_vmap
def _largest(count):
    """Return the count, under `vmap` the largest count: one number for all that are mapped."""
    return count


@_largest.def_vmap
def _largest_mapped(size, mapped, count):
    del size
    return (jnp.max(count) if mapped[0] else count), False


def _replay(settings, grid, initial, times, arguments):
    """Return the path over the accepted steps, differentiable, times by a Taylor polynomial."""
    velocity, method, _ = settings
    grid, used = grid
    start, restore = ravel_pytree(initial)
    move, take = _moves(velocity, method, restore, arguments)
    fixed = _constant(times)
    count = fixed.shape[0]
    chunks = -(-(grid.shape[0] - 1) // _CHUNK)
    grid = jnp.pad(grid, (0, chunks * _CHUNK + 1 - grid.shape[0]), mode="edge")

    def one(carry, ends):
        value, slope, path = carry
        before, after = ends
        moved, turned, _ = take(value, slope, after - before)
        value, slope = (
            jnp.where(after > before, *pair) for pair in ((moved, value), (turned, slope))
        )
        place = jnp.searchsorted(fixed, after)
        there = (after > before) & (fixed[jnp.minimum(place, count - 1)] == after)
        path = path.at[jnp.where(there, place, count)].set(value, mode="drop")
        return (value, slope, path), None

    @jax.checkpoint
    def chunk(carry, given):
        number, ends = given

        def run(carry):
            return jax.lax.scan(one, carry, ends)[0]

        return jax.lax.cond(number < used, run, lambda carry: carry, carry), None

    path = jnp.broadcast_to(start, (count, start.size))
    ends = (grid[:-1].reshape(chunks, _CHUNK), grid[1:].reshape(chunks, _CHUNK))
    (_, _, path), _ = jax.lax.scan(chunk, (start, move(start), path), (jnp.arange(chunks), ends))
    path = path[jnp.searchsorted(fixed, fixed)]
    late = (times - fixed)[:, None]
    middle = path + 0.5 * late * jax.vmap(move)(path)
    return jax.vmap(restore)(path + late * jax.vmap(move)(middle))


def _moves(velocity, method, restore, arguments):
    """Return the velocity of flat states, and the step from (state, slope, length)."""

    def move(flat):
        return ravel_pytree(velocity(restore(flat), arguments))[0]

    take = _explicit_step if method == "explicit" else _implicit_step
    return move, functools.partial(take, move)


def _explicit_step(move, value, slope, step):
    def stage(carry, row):
        slopes, _ = carry
        number, weights = row
        end = value + step * (weights @ slopes)
        return (slopes.at[number].set(move(end)), end), None

    slopes = jnp.zeros((7, value.size)).at[0].set(slope)
    rows = (jnp.arange(1, 7), jnp.asarray(_TABLEAU))
    (slopes, end), _ = jax.lax.scan(stage, (slopes, value), rows)
    return end, slopes[-1], step * (_ERROR @ slopes)


def _implicit_step(move, value, slope, step):
    """Take linearly implicit Euler steps in 1, …, `_ROWS` parts, extrapolated to length 0.

    Any matrix near the Jacobian gives the same order, so that it counts as constant under
    differentiation.
    """
    parts = jnp.arange(1, _ROWS + 1)
    lengths = step / parts
    jacobian = _constant(jax.jacfwd(move)(value))
    factors = jax.vmap(lu_factor)(
        jnp.eye(value.size)[None] - lengths[:, None, None] * jacobian[None]
    )

    def part(values, number):
        pushes = lengths[:, None] * jax.vmap(move)(values)
        moved = values + jax.vmap(lambda factor, push: lu_solve(factor, push))(factors, pushes)
        return jnp.where((number < parts)[:, None], moved, values), None

    table, _ = jax.lax.scan(part, jnp.broadcast_to(value, (_ROWS, value.size)), jnp.arange(_ROWS))
    end, lower = _EXTRAPOLATION @ table, _LOWER_EXTRAPOLATION @ table
    # A velocity that is only rounding, the rest of larger terms, moves nothing, however long.
    rounding = 8.0 * jnp.finfo(value.dtype).eps * (jnp.abs(jacobian) @ jnp.abs(value))
    still = _constant(jnp.all(jnp.abs(slope) <= rounding))
    error = jnp.maximum(jnp.abs(end - lower) - _NOISE * step * rounding, 0.0)
    end, error = jnp.where(still, value, end), jnp.where(still, 0.0, error)
    return end, move(end), error
