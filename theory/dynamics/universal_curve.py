"""The curve every mode of a deep linear network follows, and its inverse by table and Newton."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.dynamics.mode_curves import GROWING, Curve
from theory.linalg.arrays import Arr, require_float64
from theory.linalg.checks import require_depth

Values = Float[Arr, "..."]

# Nodes are 1/50 apart, so that the joint of the coordinate at ±1 is a node: no cell has a kink.
_NODES_PER_UNIT = 50
_FIRST, _NUM_NODES = -121.0, 8192


def universal_time(fraction: Values, depth: int) -> Values:
    r"""Time on the universal learning curve, F_L(ρ), as a function of the fraction learned.

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
    r"""Fraction learned at a time on the universal learning curve: the inverse of `universal_time`.

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
    """Time at which a curve has a value; its derivative is one over the curve's speed."""
    return _curve_time(value, depth, curve)


@functools.partial(jax.jit, static_argnums=(1, 2))
def curve_value(time: Values, depth: int, curve: Curve) -> Values:
    """Value of a curve at a time: table, cubic Hermite, Newton; the derivative is its speed."""
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
    values, slopes = _table(depth, curve)
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
def _table(depth, curve):
    """Coordinate at each node, by bisection, and its exact slope per node."""
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
