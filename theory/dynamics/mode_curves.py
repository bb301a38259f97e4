"""The three curves a mode can follow in a network of two or more layers.

A mode's layer-1 Gram eigenvalue r moves as r' = 8 s r^L (a − s r^L). In units of |r∞| =
(|a|/s)^{1/L} and of the time 1/(8 s^{1/L} |a|^{2−1/L}) only three curves are left: a mode that
grows to its optimum, y = ρ = r/|r∞| with y' = y^L (1 − y^L); one that shrinks to it from above;
and one whose alignment is negative, which dies. The last two are written in y = |r∞|/r, small
when the mode is large, with y' = y^{2−2L} (1 ∓ y^L). Each time is an elementary integral over the
roots of ±1; where that cancels, a series.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np


class Curve(NamedTuple):
    """One of the three curves, for depth >= 2, in a coordinate that makes its inverse straight.

    Attributes:
      value: y(u, module), the curve's variable at the coordinate u.
      time: T(u, depth, module).
      speed: dy/dT(y, depth).
      coordinate_speed: du/dT(u, depth, module).
      node: Table coordinate z(T), linear in u at both ends.
      node_time: T(z) and dT/dz.
      logistic: Whether u is logit y rather than ln y.
      newton_steps: Steps that reach rounding up to depth 8, also beyond the table.
    """

    value: Callable
    time: Callable
    speed: Callable
    coordinate_speed: Callable
    node: Callable
    node_time: Callable
    logistic: bool
    newton_steps: int


def _expit(coordinate, module):
    shrunk = module.exp(-module.abs(coordinate))
    return module.where(coordinate > 0.0, 1.0, shrunk) / (1.0 + shrunk)


def _softplus(coordinate, module):
    """ln(1 + e^u), from the same exponential as `_expit`: the two are nearly all of the cost."""
    return module.maximum(coordinate, 0.0) + module.log1p(module.exp(-module.abs(coordinate)))


def _log_sum(value, angles, sign, depth, module):
    """(1/L) Σ over angles of cos·½ln|1 − y e^{iθ}|² + sign·sin·atan2(y sin, 1 − y cos)."""
    total = 0.0
    for angle, count in angles:
        cosine, sine = float(np.cos(angle)), float(np.sin(angle))
        total = total + count * cosine * 0.5 * module.log1p(value * (value - 2.0 * cosine))
        if abs(sine) > 1e-12:
            turn = module.arctan2(value * sine, 1.0 - value * cosine)
            total = total + count * sign * sine * turn
    return total / depth


def _unity_angles(depth):
    """Angles of the L-th roots of one other than 1, conjugates counted together."""
    pairs = [(2.0 * np.pi * j / depth, 2.0) for j in range(1, (depth - 1) // 2 + 1)]
    return pairs + ([(np.pi, 1.0)] if depth % 2 == 0 else [])


def _minus_unity_angles(depth):
    """Angles of the L-th roots of −1, conjugates counted together."""
    pairs = [(np.pi * (2 * j + 1) / depth, 2.0) for j in range(depth // 2)]
    return pairs + ([(np.pi, 1.0)] if depth % 2 == 1 else [])


def _geometric(value, depth):
    """(1 − y^L)/(1 − y) without cancellation."""
    total = value * 0.0 + 1.0
    for _ in range(depth - 1):
        total = 1.0 + value * total
    return total


def _growing_time(coordinate, depth, module):
    fraction = _expit(coordinate, module)
    late = _softplus(coordinate, module) / depth
    late = late - _log_sum(fraction, _unity_angles(depth), -1.0, depth, module)
    return late - fraction ** (1 - depth) / (depth - 1)


def _growing_speed(coordinate, depth, module):
    fraction = _expit(coordinate, module)
    return fraction ** (depth - 1) * _geometric(fraction, depth)


def _growing_node(time):
    early = time < -1.0
    return jnp.where(early, -1.0 - jnp.log(jnp.where(early, -time, 1.0)), time)


def _growing_node_time(node):
    early = node < -1.0
    times = np.where(early, -np.exp(-1.0 - np.minimum(node, -1.0)), node)
    return times, np.where(early, -times, 1.0)


def _series(power, sign, depth, module):
    """Σ_k (sign·y^L)^k / (2L − 1 + kL), for y^L < 0.3."""
    power = module.minimum(power, 0.3)
    total = power * 0.0
    for k in reversed(range(34)):
        total = 1.0 / (2 * depth - 1 + k * depth) + sign * power * total
    return total


def _shrinking_time(coordinate, depth, module):
    value = _expit(coordinate, module)
    late = _softplus(coordinate, module) / depth - value ** (depth - 1) / (depth - 1)
    late = late - _log_sum(value, _unity_angles(depth), 1.0, depth, module)
    early = value ** (2 * depth - 1) * _series(value**depth, 1.0, depth, module)
    return module.where(value**depth < 0.3, early, late)


def _shrinking_speed(coordinate, depth, module):
    value = _expit(coordinate, module)
    return value ** (1 - 2 * depth) * _geometric(value, depth)


def _shrinking_node(time):
    early = time < 1.0
    return jnp.where(early, 1.0 + jnp.log(jnp.where(early, time, 1.0)), time)


def _shrinking_node_time(node):
    early = node < 1.0
    times = np.where(early, np.exp(np.minimum(node, 1.0) - 1.0), node)
    return times, np.where(early, times, 1.0)


def _dying_time(coordinate, depth, module):
    value = module.exp(coordinate)
    late = value ** (depth - 1) / (depth - 1)
    late = late - _log_sum(value, _minus_unity_angles(depth), 1.0, depth, module)
    early = value ** (2 * depth - 1) * _series(value**depth, -1.0, depth, module)
    return module.where(value**depth < 0.3, early, late)


def _dying_speed(coordinate, depth, module):
    value = module.exp(coordinate)
    return value ** (1 - 2 * depth) * (1.0 + value**depth)


def _dying_node_time(node):
    return np.exp(node), np.exp(node)


GROWING = Curve(
    value=_expit,
    time=_growing_time,
    speed=lambda y, depth: y**depth * (1.0 - y**depth),
    coordinate_speed=_growing_speed,
    node=_growing_node,
    node_time=_growing_node_time,
    logistic=True,
    newton_steps=1,
)
SHRINKING = Curve(
    value=_expit,
    time=_shrinking_time,
    speed=lambda y, depth: y ** (2 - 2 * depth) * (1.0 - y**depth),
    coordinate_speed=_shrinking_speed,
    node=_shrinking_node,
    node_time=_shrinking_node_time,
    logistic=True,
    newton_steps=4,
)
DYING = Curve(
    value=lambda u, module: module.exp(u),
    time=_dying_time,
    speed=lambda y, depth: y ** (2 - 2 * depth) * (1.0 + y**depth),
    coordinate_speed=_dying_speed,
    node=jnp.log,
    node_time=_dying_node_time,
    logistic=False,
    newton_steps=4,
)
