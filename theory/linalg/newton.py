"""Newton's method in a trust region, for minima that must be followed and not jumped over."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jaxtyping import Float, PyTree

from theory.linalg.arrays import Arr, Scalar

Point = Float[Arr, "rank dim"]


class _State(NamedTuple):
    point: Arr
    value: Arr
    gradient: Arr
    radius: Arr
    steps: Arr


def minimize(
    objective: Callable[[Point], Scalar],
    start: Point,
    tolerance: float,
    *,
    max_steps: int = 60,
    max_inner: int = 80,
) -> Point:
    """Return the minimum reached from a start by steps that each lower the objective.

    Newton steps by conjugate gradients, cut where they leave the trust region or meet negative
    curvature (Steihaug). The region never exceeds a tenth of the start's largest entry, so that a
    minimum that moved a little is followed rather than left for another.

    Args:
      objective: Smooth function of one array.
      start: Where to start.
      tolerance: Stop when the gradient's norm is below this fraction of the start's, for an
        objective scaled to curvatures of order 1.
      max_steps: Outer steps.
      max_inner: Conjugate-gradient steps per outer step.

    Returns:
      The last point.
    """
    slope = jax.value_and_grad(objective)
    value, gradient = slope(start)
    largest = 0.1 * jnp.max(jnp.abs(start)) + 1e-12
    goal = tolerance * jnp.linalg.norm(start)

    def unfinished(state):
        size = jnp.linalg.norm(state.gradient)
        return (size > goal) & (state.steps < max_steps) & (state.radius > 1e-14)

    def step(state):
        move, reach = _steihaug(objective, state, max_inner)
        value, gradient = slope(state.point + move)
        predicted = -jnp.vdot(state.gradient, move) - 0.5 * jnp.vdot(move, reach)
        # Near the minimum the actual decrease drowns in rounding: trust the model there.
        noise = 1e-14 * jnp.abs(state.value)
        ratio = (state.value - value + noise) / (predicted + noise)
        good = (ratio > 0.1) & jnp.isfinite(value)
        length = jnp.linalg.norm(move)
        grown = jnp.minimum(jnp.where(ratio > 0.75, 3.0, 1.0) * state.radius, largest)
        return _State(
            point=jnp.where(good, state.point + move, state.point),
            value=jnp.where(good, value, state.value),
            gradient=jnp.where(good, gradient, state.gradient),
            radius=jnp.where(good, grown, 0.25 * length),
            steps=state.steps + 1,
        )

    first = _State(start, value, gradient, largest, jnp.array(0))
    return jax.lax.while_loop(unfinished, step, first).point


def _steihaug(objective, state, max_inner):
    """Step within the trust region, and the Hessian's action on it."""
    curve = jax.linearize(jax.grad(objective), state.point)[1]
    goal = jnp.minimum(0.1, jnp.sqrt(jnp.linalg.norm(state.gradient)))
    goal = jnp.maximum(goal, 1e-12) * jnp.linalg.norm(state.gradient)

    def to_edge(move, direction):
        a, b = jnp.vdot(direction, direction), jnp.vdot(move, direction)
        c = jnp.vdot(move, move) - state.radius**2
        a = jnp.where(a > 0.0, a, 1.0)
        return (-b + jnp.sqrt(jnp.maximum(b * b - a * c, 0.0))) / a

    def unfinished(carry):
        _, _, residual, _, count, done = carry
        return (~done) & (jnp.linalg.norm(residual) > goal) & (count < max_inner)

    def step(carry):
        move, reach, residual, direction, count, _ = carry
        curved = curve(direction)
        bend = jnp.vdot(direction, curved)
        power = jnp.vdot(residual, residual)
        full = power / jnp.where(bend > 0.0, bend, 1.0)
        leaves = (bend <= 0.0) | (jnp.linalg.norm(move + full * direction) >= state.radius)
        length = jnp.where(leaves, to_edge(move, direction), full)
        rest = residual - length * curved
        turned = rest + jnp.vdot(rest, rest) / power * direction
        return (
            move + length * direction,
            reach + length * curved,
            rest,
            turned,
            count + 1,
            leaves,
        )

    zero = jnp.zeros_like(state.point)
    down = -state.gradient
    carry = (zero, zero, down, down, jnp.array(0), jnp.array(False))
    move, reach, *_ = jax.lax.while_loop(unfinished, step, carry)
    return move, reach


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def stationary_point(
    objective: Callable[[Point, PyTree], Scalar], parameters: PyTree, start: Point
) -> Point:
    """Return the minimum near a start, to rounding.

    Directions in which the objective does not change (rotations of the factor's rows) stay where
    they are, in value and derivative.

    Args:
      objective: Smooth function of one array and of its parameters, scaled to curvatures of order
        1.
      parameters: What the minimum depends on, any pytree of arrays.
      start: Where to start; constant under differentiation.

    Returns:
      The minimum.

    Accuracy:
      Derivatives of every order by the implicit function theorem, where the minimum is isolated but
      for those rotations.
    """
    fixed = functools.partial(_with_parameters, objective, parameters)
    return minimize(fixed, start, 1e-13, max_steps=50, max_inner=200)


def _with_parameters(objective, parameters, point):
    return objective(point, parameters)


@stationary_point.defjvp
def _stationary_point_jvp(objective, primals, tangents):
    parameters, start = primals
    end = stationary_point(objective, parameters, start)

    def force(parameters):
        return jax.grad(objective)(end, parameters)

    def curve(direction):
        slope = functools.partial(_with_parameters, jax.grad(objective), parameters)
        return jax.jvp(slope, (end,), (direction,))[1]

    def solved(curve, side):
        return cg(curve, side, tol=1e-12, maxiter=2000)[0]

    push = jax.jvp(force, (parameters,), (tangents[0],))[1]
    shift = jax.lax.custom_linear_solve(curve, push, solved, symmetric=True)
    return end, -shift
