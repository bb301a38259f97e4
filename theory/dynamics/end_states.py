"""Where flow ends in closed form: layers out of balance, and a non-linear model of a head.

The non-linear model is a diagonal network. One feature has two weights and a threshold, w₂ σ(w₁ x;
b) with the symmetrized ReLU σ(z; b) = ReLU(z − b) − ReLU(−z − b). Data are ±φ, positive pairs
correlate with ρ; independent symmetric features decouple, so that a network of many is a vector of
these.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Spectrum, compiled, require_float64

LayerModes = Float[Arr, "depth modes"]
Values = Float[Arr, "*shape"]


@compiled()
def unbalanced_end(imbalances: LayerModes, scale: Spectrum, alignment: Spectrum) -> LayerModes:
    r"""Return the squared weights of each layer where flow from an unbalanced start ends.

    The start is aligned with the modes of the data.

    The root :math:`u > -\min_l c_l` of :math:`\prod_l (u + c_l) = a/s`, with
    :math:`c_l = w_l^2 - w_1^2` conserved.

    Args:
      imbalances: c_l of each layer and mode; the first row is 0.
      scale: Variance s of each mode, > 0.
      alignment: Alignment a of each mode; one at or below 0 ends with its smallest layer at 0.

    Returns:
      w_l² of each layer and mode.

    Raises:
      InputError: Not float64.

    Accuracy:
      About 1e-14 relative (bisection of ln(u + min c)); derivatives are those of the root.

    Source:
      Derived.

    Example:
      Two layers, the second with one unit more: u(u + 1) = 2.

      >>> with jax.enable_x64(True):
      ...     end = unbalanced_end(jnp.array([[0.0], [1.0]]), jnp.ones(1), 2.0 * jnp.ones(1))
      ...     [round(float(square), 12) for square in end[:, 0]]
      [1.0, 2.0]
    """
    require_float64(imbalances=imbalances, scale=scale, alignment=alignment)
    learned = jnp.asarray(alignment > 0.0)
    ratio = jnp.where(learned, alignment, scale) / jnp.asarray(scale)
    offsets = imbalances - jnp.min(imbalances, axis=0)[None, :]
    fixed_offsets, fixed_ratio = jax.lax.stop_gradient((offsets, ratio))
    depth = imbalances.shape[0]

    def step(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        logs = jnp.sum(jnp.log(jnp.exp(middle)[None, :] + fixed_offsets), axis=0)
        early = logs < jnp.log(fixed_ratio)
        return jnp.where(early, middle, low), jnp.where(early, high, middle)

    top = jnp.log(fixed_ratio) / depth
    spread = depth * (jnp.abs(top) + jnp.log1p(jnp.max(fixed_offsets, axis=0)) + 40.0)
    _, root = jax.lax.fori_loop(0, 90, step, (top - spread, top + 1e-9))
    root = jnp.exp(root)
    # One Newton step in the caller's quantities carries the derivative.
    squares = root[None, :] + offsets
    miss = jnp.sum(jnp.log(squares), axis=0) - jnp.log(ratio)
    slope = jax.lax.stop_gradient(jnp.sum(1.0 / squares, axis=0))
    return jnp.where(learned[None, :], squares - (miss / slope)[None, :], offsets)


@compiled()
def layer_shares(squares: LayerModes) -> LayerModes:
    r"""Return the exponent of a/s in the Gram eigenvalue of each layer around an end state.

    :math:`\theta_l = \sum_{j \le l} w_j^{-2} / \sum_j w_j^{-2}`: the variance before the last
    layers goes as :math:`s^{1-\theta_l} a^{\theta_l}`. l/L if balanced; a layer that starts large
    stays the same for all modes and takes no share. At two layers
    :math:`\theta_1 = (1 + c/\sqrt{c^2 + 4a/s})/2`, from 0 (lazy encoder, c → −∞: the first layer
    is the large one) to 1 (lazy head).

    Args:
      squares: w_l² at the end, of each layer and mode (`unbalanced_end`).

    Returns:
      θ_l, shape ``(depth, modes)``; 1 in the last row.

    Raises:
      InputError: Not float64.

    Accuracy:
      Exact derivative d ln(Gram_l)/d ln(a/s) at fixed imbalance.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     layer_shares(jnp.ones((4, 1)))[:, 0].tolist()
      [0.25, 0.5, 0.75, 1.0]
    """
    require_float64(squares=squares)
    inverse = 1.0 / jnp.asarray(squares)
    return jnp.cumsum(inverse, axis=0) / jnp.sum(inverse, axis=0)[None, :]


class DiagonalState(NamedTuple):
    """Weights of every feature: before the head (w₁), its threshold (b), and in the head (w₂)."""

    first: Values
    bias: Values
    second: Values


def activation(state: DiagonalState, size: Spectrum) -> Values:
    """Return the amplitude h = w₂ (w₁φ − b)₊ of each feature after the head; w₁φ before it."""
    size = jnp.broadcast_to(size, state.first.shape)
    return state.second * jnp.maximum(state.first * size - state.bias, 0.0)


def diagonal_end(state: DiagonalState, size: Spectrum, retention: Spectrum) -> DiagonalState:
    r"""Return where flow ends: a disrupted feature is gone after the head but not before it.

    Flow is that of the spectral loss −2ρh² + h⁴ of each feature. With :math:`u = w_1\phi - b`
    and :math:`C = u_0^2/(1+\phi^2) - w_{2,0}^2` conserved,

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
      both halves of σ are active. At ρ = 0 derivatives in the start are right; that of the part
      which vanishes as √ρ, u or w₂, does not exist in ρ and counts as 0.

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
    disc = _root(difference**2 + 4.0 * retention / spread)
    # The root that cancels is taken from the product of both, ρ/(1+φ²).
    larger = 0.5 * (jnp.abs(difference) + disc)
    smaller = retention / spread / jnp.where(larger > 0.0, larger, 1.0)
    gap = _root(spread * jnp.where(difference > 0.0, larger, smaller))
    second = _root(jnp.where(difference > 0.0, smaller, larger)) * jnp.sign(state.second)
    tilt = state.first + size * state.bias
    return DiagonalState(
        first=jnp.where(moves, (tilt + size * gap) / spread, state.first),
        bias=jnp.where(moves, (size * tilt - gap) / spread, state.bias),
        second=jnp.where(moves, second, state.second),
    )


def _root(square):
    """Return √ with derivative 0 at 0."""
    return jnp.where(square > 0.0, jnp.sqrt(jnp.where(square > 0.0, square, 1.0)), 0.0)
