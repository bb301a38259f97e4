"""When weight decay switches a mode off: thresholds and sizes of single modes."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from theory.linalg.arrays import Arr, Scalar, Spectrum, compiled, require_float64
from theory.linalg.checks import require_depth, require_weight_decay


class DecayThresholds(NamedTuple):
    """Largest weight decay that a mode survives, per mode; and its size there, as a fraction n/a.

    Attributes:
      saddle_node: Weight decay above which only the zero solution is left.
      global_minimum: Weight decay above which zero has the lower loss; below it for L >= 2.
      gap_fraction: n/a at the saddle-node: no mode is ever found between 0 and this.
      global_fraction: n/a where both losses are equal.
    """

    saddle_node: Spectrum
    global_minimum: Spectrum
    gap_fraction: Float[Arr, ""]
    global_fraction: Float[Arr, ""]


@compiled("depth")
def decay_thresholds(scale: Spectrum, alignment: Spectrum, *, depth: int) -> DecayThresholds:
    r"""Return the weight decay at which each mode of a balanced network disappears.

    With a penalty :math:`(\lambda/2) \sum_l \lVert W_l \rVert^2` a mode of layer-1 Gram eigenvalue
    r is stationary where :math:`4 s r^{L-1} (a - s r^L) = \lambda`, and

    .. math:: \lambda_{sn} = 4 s^{1/L} a^{2-1/L}\, \tfrac{L}{2L-1}
        \left(\tfrac{L-1}{2L-1}\right)^{(L-1)/L}, \qquad
        \lambda_{g} = 4 s^{1/L} a^{2-1/L}\, \tfrac{1}{2L-1}
        \left(\tfrac{2(L-1)}{2L-1}\right)^{(L-1)/L}.

    One layer loses modes continuously (both are 4sa); from two layers on a mode jumps to zero.

    Args:
      scale: Variance s of each mode.
      alignment: Alignment a of each mode; values at or below 0 give threshold 0.
      depth: Number of layers L, at least 1.

    Returns:
      `DecayThresholds`.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Exact for commuting moments.

    Source:
      Derived. In the notation m = sa, v = s and penalty λ' Σ‖W_l‖² (λ = 2λ') the two-layer
      thresholds are λ' = 4/(3√3) m^{3/2}/v and (2/3)^{3/2} m^{3/2}/v.

    Example:
      At two layers a mode disappears while it still has a third of its size:

      >>> with jax.enable_x64(True):
      ...     limits = decay_thresholds(jnp.ones(1), jnp.ones(1), depth=2)
      ...     [round(float(x), 4) for x in (limits.saddle_node[0] / 2, limits.gap_fraction)]
      [0.7698, 0.3333]
    """
    require_float64(scale=scale, alignment=alignment)
    require_depth(depth)
    learned = (alignment > 0.0) & (scale > 0.0)
    s, a = jnp.where(learned, scale, 1.0), jnp.where(learned, alignment, 1.0)
    unit = jnp.where(learned, 4.0 * s ** (1.0 / depth) * a ** (2.0 - 1.0 / depth), 0.0)
    gap = (depth - 1) / (2 * depth - 1)
    power = (depth - 1) / depth
    return DecayThresholds(
        saddle_node=unit * (depth / (2 * depth - 1) * gap**power),
        global_minimum=unit * ((2 * gap) ** power / (2 * depth - 1)),
        gap_fraction=jnp.array(gap),
        global_fraction=jnp.array(2 * gap),
    )


@compiled("depth")
def decayed_mode(
    scale: Spectrum, alignment: Spectrum, *, weight_decay: float | Scalar, depth: int
) -> Spectrum:
    r"""Return the layer-1 Gram eigenvalue of each mode under weight decay: the largest stationary.

    The largest root r of :math:`4 s r^{L-1} (a - s r^L) = \lambda`, the branch that continues the
    optimum without decay; 0 above the saddle-node. Embedding variance is n = s r^L.

    Args:
      scale: Variance s of each mode, > 0.
      alignment: Alignment a of each mode.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      depth: Number of layers L, at least 1.

    Returns:
      r of each mode.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      About 1e-15 relative, falling to 1e-8 at the saddle-node itself, a double root. Derivatives
      by the implicit function theorem; they diverge there.

    Source:
      Derived.

    Example:
      Two layers: at the largest weight decay a third is left, just above it nothing.

      >>> with jax.enable_x64(True):
      ...     mode = jnp.ones(1), jnp.ones(1)
      ...     limit = decay_thresholds(*mode, depth=2).saddle_node[0]
      ...     below = decayed_mode(*mode, weight_decay=0.9999999 * limit, depth=2)
      ...     above = decayed_mode(*mode, weight_decay=1.0000001 * limit, depth=2)
      ...     round(float(below[0] ** 2), 3), float(above[0])
      (0.334, 0.0)
    """
    require_float64(scale=scale, alignment=alignment, weight_decay=weight_decay)
    require_depth(depth)
    require_weight_decay(weight_decay)
    limit = decay_thresholds(scale, alignment, depth=depth).saddle_node
    alive = (alignment > 0.0) & (weight_decay <= limit)
    s, a = jnp.where(alive, scale, 1.0), jnp.where(alive, alignment, 1.0)
    if depth == 1:
        return jnp.where(alive, (a - weight_decay / (4.0 * s)) / s, 0.0)
    pull = weight_decay / (4.0 * s ** (1.0 / depth) * a ** (2.0 - 1.0 / depth))
    root = _largest_root(jnp.where(alive, pull, 0.0), depth)
    return jnp.where(alive, (a / s) ** (1.0 / depth) * root, 0.0)


@compiled("depth")
def learned_modes(
    scale: Spectrum,
    alignment: Spectrum,
    initial: Spectrum,
    *,
    weight_decay: float | Scalar,
    depth: int,
) -> Bool[Arr, " modes"]:
    r"""Tell which modes a flow with constant weight decay learns from its start.

    From two layers on the origin attracts: a mode is learned iff it starts above the smaller root
    of :math:`4 s r^{L-1} (a - s r^L) = \lambda`. From a small start that is iff
    :math:`4 s r_0^{L-1} (a - s r_0^L) > \lambda`, so the modes with s·a above λ/(4 r₀^{L−1}).

    Args:
      scale: Variance s of each mode.
      alignment: Alignment a of each mode.
      initial: Layer-1 Gram eigenvalue r₀ of each mode at the start.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      depth: Number of layers L, at least 1.

    Returns:
      True for each mode that is learned; their number is the initialization rule's count.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Exact for commuting moments and a balanced, aligned start.

    Source:
      Derived.

    Example:
      The same two modes, both possible at this weight decay, from a large and from a small start:

      >>> with jax.enable_x64(True):
      ...     s, a = jnp.ones(2), jnp.array([0.9, 0.5])
      ...     starts = jnp.array([0.5, 0.05])
      ...     [learned_modes(s, a, r * s, weight_decay=0.12, depth=2).tolist() for r in starts]
      [[True, True], [True, False]]
    """
    require_float64(scale=scale, alignment=alignment, initial=initial, weight_decay=weight_decay)
    require_depth(depth)
    require_weight_decay(weight_decay)
    limits = decay_thresholds(scale, alignment, depth=depth)
    size = scale * initial**depth
    growing = 4.0 * scale * initial ** (depth - 1) * (alignment - size) > weight_decay
    # Past the peak of the pull a mode shrinks to the stable root, it does not die.
    past = (size >= limits.gap_fraction * alignment) & (alignment > 0.0)
    return (growing | past) & (weight_decay < limits.saddle_node) & (initial > 0.0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
@functools.partial(jax.jit, static_argnums=(1,))
def _largest_root(pull, depth):
    """Return the largest root of x^{L−1}(1 − x^L) = pull, by Newton from 1 (concave: monotone)."""

    def step(_, x):
        miss = x ** (depth - 1) * (1.0 - x**depth) - pull
        slope = _root_slope(x, depth)
        # At the double root both vanish together.
        return jnp.where(slope < 0.0, x - miss / jnp.where(slope < 0.0, slope, -1.0), x)

    return jax.lax.fori_loop(0, 60, step, jnp.ones_like(pull))


def _root_slope(x, depth):
    return x ** (depth - 2) * (depth - 1 - (2 * depth - 1) * x**depth)


@_largest_root.defjvp
def _largest_root_jvp(depth, primals, tangents):
    (pull,), (tangent,) = primals, tangents
    root = _largest_root(pull, depth)
    return root, tangent / _root_slope(root, depth)
