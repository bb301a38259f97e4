"""The curve every mode of a deep linear network follows, and its inverse by table and Newton.

A mode's layer-1 Gram eigenvalue r moves as r' = 8 s r^L (a − s r^L). In units of |r∞| =
(|a|/s)^{1/L} and of the time 1/(8 s^{1/L} |a|^{2−1/L}) only three curves are left: a mode that
grows to its optimum, y = ρ = r/|r∞| with y' = y^L (1 − y^L); one that shrinks to it from above;
and one whose alignment is negative, which dies. The last two are written in y = |r∞|/r, small
when the mode is large, with y' = y^{2−2L} (1 ∓ y^L). Each time is an elementary integral over the
roots of ±1; where that cancels, a series.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.linalg.arrays import Arr, require_float64
from theory.linalg.checks import require_depth

Values = Float[Arr, "..."]

# Nodes are 1/50 apart, so that the joint of the coordinate at ±1 is a node: no cell has a kink.
_NODES_PER_UNIT = 50
_FIRST, _NUM_NODES = -121.0, 8192


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
    """Return ln(1 + e^u) from the same exponential as `_expit`, nearly all of the cost."""
    return module.maximum(coordinate, 0.0) + module.log1p(module.exp(-module.abs(coordinate)))


def _log_sum(value, angles, sign, depth, module):
    """Return (1/L) Σ over angles of cos·½ln|1 − y e^{iθ}|² + sign·sin·atan2(y sin, 1 − y cos)."""
    total = 0.0
    for angle, count in angles:
        cosine, sine = float(np.cos(angle)), float(np.sin(angle))
        total = total + count * cosine * 0.5 * module.log1p(value * (value - 2.0 * cosine))
        if abs(sine) > 1e-12:
            turn = module.arctan2(value * sine, 1.0 - value * cosine)
            total = total + count * sign * sine * turn
    return total / depth


def _unity_angles(depth):
    """Return angles of the L-th roots of one other than 1, conjugates counted together."""
    pairs = [(2.0 * np.pi * j / depth, 2.0) for j in range(1, (depth - 1) // 2 + 1)]
    return pairs + ([(np.pi, 1.0)] if depth % 2 == 0 else [])


def _minus_unity_angles(depth):
    """Return angles of the L-th roots of −1, conjugates counted together."""
    pairs = [(np.pi * (2 * j + 1) / depth, 2.0) for j in range(depth // 2)]
    return pairs + ([(np.pi, 1.0)] if depth % 2 == 1 else [])


def _geometric(value, depth):
    """Return (1 − y^L)/(1 − y) without cancellation."""
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
    """Return Σ_k (sign·y^L)^k / (2L − 1 + kL), for y^L < 0.3."""
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


def universal_time(fraction: Values, depth: int) -> Values:
    r"""Return the time F_L(ρ) at which the universal learning curve has the fraction ρ.

    .. math:: F_L(\rho) = \int^\rho \frac{dx}{x^L (1 - x^L)}, \qquad
        F_1 = \ln\frac{\rho}{1-\rho}, \quad F_2 = \operatorname{artanh}\rho - \frac1\rho,

    with the constant that makes :math:`F_L = -\rho^{1-L}/(L-1) + \rho\,{}_2F_1(1, 1/L; 1+1/L;
    \rho^L)`. A mode of variance s and alignment a that fills the fraction ρ = r/(a/s)^{1/L} of its
    layer-1 Gram eigenvalue obeys :math:`F_L(\rho(t)) = F_L(\rho(0)) + 8 s^{1/L} a^{2-1/L} t`.

    Args:
      fraction: ρ in (0, 1), any shape.
      depth: Number of layers L, at least 1.

    Returns:
      F_L(ρ), same shape: −∞ at 0, +∞ at 1.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      A few units in the last place of max(1, |F_L|); near ρ = 1 limited by the rounding of ρ.

    Source:
      Derived; F_1 is the logistic curve of Saxe, McClelland and Ganguli.

    Example:
      Two layers wait long before anything is learned: from 1 % to 10 % takes 90 units, from 10 %
      to 90 % another 10.

      >>> with jax.enable_x64(True):
      ...     times = universal_time(jnp.array([0.01, 0.1, 0.9]), 2)
      ...     [round(float(gap), 1) for gap in jnp.diff(times)]
      [90.1, 10.3]
    """
    require_float64(fraction=fraction)
    require_depth(depth)
    fraction = jnp.asarray(fraction)
    if depth == 1:
        return jnp.log(fraction) - jnp.log1p(-fraction)
    return curve_time(fraction, depth, GROWING)


def universal_fraction(time: Values, depth: int) -> Values:
    r"""Return the fraction ρ learned at a time on the universal learning curve.

    The inverse of `universal_time`.

    Args:
      time: Value of F_L, any shape, any real number.
      depth: Number of layers L, at least 1.

    Returns:
      ρ in (0, 1), same shape.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      About 1e-14 relative in ρ: cubic Hermite interpolation of logit ρ with exact slopes, then one
      Newton step. Derivatives of any order come from the curve itself, not from the table.

    Source:
      Derived.

    Example:
      Inverse of the other function, far out on both sides:

      >>> with jax.enable_x64(True):
      ...     fraction = universal_fraction(jnp.array([-1e6, 1.0, 5.0]), 3)
      ...     [round(float(time), 6) for time in universal_time(fraction, 3)]
      [-1000000.0, 1.0, 5.0]
    """
    require_float64(time=time)
    require_depth(depth)
    if depth == 1:
        return jax.nn.sigmoid(time)
    return curve_value(jnp.asarray(time), depth, GROWING)


@functools.partial(jax.jit, static_argnums=(1, 2))
def curve_time(value: Values, depth: int, curve: Curve) -> Values:
    """Return the time at which a curve has a value; the derivative is one over its speed."""
    return _curve_time(value, depth, curve)


@functools.partial(jax.jit, static_argnums=(1, 2))
def curve_value(time: Values, depth: int, curve: Curve) -> Values:
    """Return the value of a curve at a time; the derivative is its speed."""
    return _curve_value(time, depth, curve)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _curve_time(value, depth, curve):
    coordinate = jnp.log(value) - (jnp.log1p(-value) if curve.logistic else 0.0)
    return curve.time(coordinate, depth, jnp)


@_curve_time.defjvp
def _curve_time_jvp(depth, curve, primals, tangents):
    (value,), (tangent,) = primals, tangents
    return _curve_time(value, depth, curve), tangent / curve.speed(value, depth)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _curve_value(time, depth, curve):
    values, slopes = _tabulate(depth, curve)
    last = _NUM_NODES - 1
    node = curve.node(time)
    position = (node - _FIRST) * _NODES_PER_UNIT
    inside = jnp.clip(position, 0.0, float(last))
    index = jnp.minimum(inside.astype(jnp.int32), last - 1)
    part = inside - index
    rest = 1.0 - part
    left, right = jnp.asarray(values)[index], jnp.asarray(values)[index + 1]
    left_slope, right_slope = jnp.asarray(slopes)[index], jnp.asarray(slopes)[index + 1]
    start = left + part * part * (3.0 - 2.0 * part) * (right - left)
    start = start + part * rest * (rest * left_slope - part * right_slope)
    beyond = jnp.where(position < 0.0, slopes[0], slopes[-1]) * (position - inside)
    start = start + beyond
    for _ in range(curve.newton_steps + (3 if depth > 8 else 0)):
        miss = curve.time(start, depth, jnp) - time
        start = start - miss * curve.coordinate_speed(start, depth, jnp)
    return curve.value(start, jnp)


@_curve_value.defjvp
def _curve_value_jvp(depth, curve, primals, tangents):
    (time,), (tangent,) = primals, tangents
    value = _curve_value(time, depth, curve)
    return value, tangent * curve.speed(value, depth)


@functools.lru_cache(maxsize=64)
def _tabulate(depth, curve):
    """Return the coordinate at each node, by bisection, and its exact slope there."""
    nodes = _FIRST + np.arange(_NUM_NODES) / _NODES_PER_UNIT
    times, rates = curve.node_time(nodes)
    top = 50.0 * depth + 50.0 if curve.logistic else 60.0
    low, high = np.full(_NUM_NODES, -150.0 / (depth - 1)), np.full(_NUM_NODES, top)
    for _ in range(70):
        middle = 0.5 * (low + high)
        early = curve.time(middle, depth, np) < times
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    slopes = curve.coordinate_speed(high, depth, np) * rates / _NODES_PER_UNIT
    return high, slopes
