"""Non-linear model: features that a projection head discards and the layer before it keeps.

One feature, two weights and a threshold: w₂ σ(w₁ x; b) with the symmetrized ReLU σ(z; b) =
ReLU(z − b) − ReLU(−z − b). Data are ±φ, positive pairs correlate with ρ; independent symmetric
features decouple, so a network of many is a vector of these.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Spectrum, Times, require_float64
from theory.linalg.integration import check_flow, integrated_path, reached

Values = Float[Arr, "*shape"]


class DiagonalState(NamedTuple):
    """Weights of every feature: before the head (w₁), its threshold (b), and in the head (w₂)."""

    first: Values
    bias: Values
    second: Values


class Conserved(NamedTuple):
    """Constants of motion of an active feature: w₁ + φb and w₁² + b² − w₂²."""

    tilt: Values
    excess: Values


def activation(state: DiagonalState, size: Spectrum) -> Values:
    """Amplitude h = w₂ (w₁φ − b)₊ of each feature after the head; before it it is w₁φ."""
    size = jnp.broadcast_to(size, state.first.shape)
    return state.second * jnp.maximum(state.first * size - state.bias, 0.0)


def conserved(state: DiagonalState, size: Spectrum) -> Conserved:
    """Constants of motion of flow while a feature is active (w₁φ > b); exact."""
    size = jnp.broadcast_to(size, state.first.shape)
    return Conserved(
        tilt=state.first + size * state.bias,
        excess=state.first**2 + state.bias**2 - state.second**2,
    )


def diagonal_flow(
    state: DiagonalState, size: Spectrum, retention: Spectrum, times: Times
) -> DiagonalState:
    r"""Weights along flow of the spectral loss −2ρh² + h⁴ of each feature.

    .. math:: \dot w_1 = \phi g w_2, \quad \dot b = -g w_2, \quad \dot w_2 = g u, \qquad
        u = w_1 \phi - b, \; g = 4 h (\rho - h^2).

    Args:
      state: Weights at time 0, each of shape ``(modes,)``.
      size: φ of each feature, > 0.
      retention: ρ, correlation of the feature over positive pairs, in [0, 1].
      times: Flow times, ascending, at least 0.

    Returns:
      Weights at each time, each of shape ``(times, modes)``.

    Raises:
      InputError: Not float64, or times that do not ascend.

    Accuracy:
      About 1e-9.

    Source:
      Derived (T7 of the project's specification).

    Example:
      `diagonal_end` is where it goes:

      >>> with jax.enable_x64(True):
      ...     one = jnp.ones(1)
      ...     start = DiagonalState(one, 0 * one, one)
      ...     end = diagonal_flow(start, one, 0.5 * one, jnp.array([50.0]))
      ...     [round(float(weight[0, 0]), 4) for weight in end]
      [0.8931, 0.1069, 0.8995]
    """
    check_flow(
        1,
        times,
        size=size,
        retention=retention,
        first=state.first,
        bias=state.bias,
        second=state.second,
    )
    path, done = _state_path(state, size, retention, jnp.asarray(times))
    return DiagonalState(*(reached(part, done, 65536) for part in path))


def diagonal_end(state: DiagonalState, size: Spectrum, retention: Spectrum) -> DiagonalState:
    r"""Weights where flow ends: a disrupted feature is gone after the head but not before it.

    With :math:`u = w_1\phi - b` and :math:`C = u_0^2/(1+\phi^2) - w_{2,0}^2` conserved,

    .. math:: u_\infty^2 = (1+\phi^2) \frac{C + \sqrt{C^2 + 4\rho/(1+\phi^2)}}{2}, \quad
        w_2 = \sqrt\rho / u, \quad w_1 = \frac{c_1 + \phi u}{1+\phi^2}, \quad
        b = \frac{\phi c_1 - u}{1+\phi^2}.

    At ρ = 0 the output vanishes, by the threshold (C < 0: u → 0) or by the head (C > 0: w₂ → 0),
    and w₁ stays positive. A linear network (b = 0) loses the feature in both layers.

    Args:
      state: Weights at the start; a feature with w₁φ <= b or w₂ = 0 never moves.
      size: φ of each feature, > 0.
      retention: ρ of each feature, in [0, 1].

    Returns:
      Weights at infinite time.

    Raises:
      InputError: Not float64.

    Accuracy:
      Exact while b > −w₁φ, that is unless a strong feature makes its threshold so negative that
      both halves of σ are active.

    Source:
      Derived: two conserved quantities and h² = ρ. Whether this is the published theorem on
      diagonal networks (Xue et al. 2024) is not known here.

    Example:
      Identity start, feature fully disrupted by augmentation: half of it survives below the head.

      >>> with jax.enable_x64(True):
      ...     one = jnp.ones(1)
      ...     end = diagonal_end(DiagonalState(one, 0 * one, one), one, 0 * one)
      ...     before, after = float(end.first[0]), float(activation(end, one)[0])
      ...     before, after
      (0.5, 0.0)
    """
    require_float64(
        size=size,
        retention=retention,
        first=state.first,
        bias=state.bias,
        second=state.second,
    )
    spread = 1.0 + size**2
    start = state.first * size - state.bias
    moves = (start > 0.0) & (state.second != 0.0)
    difference = jnp.where(moves, start**2 / spread - state.second**2, 1.0)
    disc = jnp.sqrt(difference**2 + 4.0 * retention / spread)
    # The root that cancels is taken from the product of both, ρ/(1+φ²).
    larger = 0.5 * (jnp.abs(difference) + disc)
    smaller = retention / spread / jnp.where(larger > 0.0, larger, 1.0)
    gap = jnp.sqrt(spread * jnp.where(difference > 0.0, larger, smaller))
    second = jnp.sqrt(jnp.where(difference > 0.0, smaller, larger)) * jnp.sign(state.second)
    tilt = conserved(state, size).tilt
    return DiagonalState(
        first=jnp.where(moves, (tilt + size * gap) / spread, state.first),
        bias=jnp.where(moves, (size * tilt - gap) / spread, state.bias),
        second=jnp.where(moves, second, state.second),
    )


@jax.jit
def _state_path(state, size, retention, times):
    def velocity(state):
        gap = state.first * size - state.bias
        active = (gap > 0.0).astype(gap.dtype)
        output = state.second * gap * active
        pull = 4.0 * output * (retention - output**2) * active
        return DiagonalState(size * pull * state.second, -pull * state.second, pull * gap)

    return integrated_path(velocity, state, times, (1e-10, 1e-13), 65536)
