"""Aligned modes of layers that do not start balanced: which layer does the work."""

import functools

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Float

from theory.linalg.arrays import Arr, Spectrum, Times, compiled, require_float64
from theory.linalg.errors import InputError
from theory.linalg.integration import check_flow, integrated_path, reached

LayerModes = Float[Arr, "depth modes"]


def unbalanced_time_courses(
    initial_weights: LayerModes,
    scale: Spectrum,
    alignment: Spectrum,
    times: Times,
    *,
    relative_tolerance: float = 1e-10,
    absolute_tolerance: float = 1e-12,
    max_steps: int = 65536,
) -> Float[Arr, "times depth modes"]:
    r"""Weight of each mode in each layer along flow of the spectral loss, from any aligned start.

    .. math:: \dot w_l = 4 s \prod_{j \ne l} w_j \; \Pi\, (a - s \Pi^2), \qquad
        \Pi = \prod_j w_j, \qquad w_l^2 - w_1^2 = \text{const}.

    Args:
      initial_weights: w_l of each layer, first to last, and mode.
      scale: Variance s of each mode.
      alignment: Alignment a of each mode.
      times: Flow times, ascending, at least 0.
      relative_tolerance: Error allowed per step, relative.
      absolute_tolerance: Error allowed per step.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      w_l at each time, shape ``(times, depth, modes)``.

    Raises:
      InputError: Not float64, times that do not ascend, or more than ``max_steps``.

    Accuracy:
      About 10 to 100 times the tolerance.

    Source:
      Derived.

    Example:
      A head that starts large does the work at the end too; the encoder stays lazy:

      >>> with jax.enable_x64(True):
      ...     start = jnp.array([[0.1], [2.0]])
      ...     end = unbalanced_time_courses(start, jnp.ones(1), jnp.ones(1), jnp.array([50.0]))
      ...     [round(float(w), 3) for w in end[0, :, 0]]
      [0.486, 2.056]
    """
    depth = initial_weights.shape[0]
    check_flow(depth, times, initial_weights=initial_weights, scale=scale, alignment=alignment)
    tolerances = (relative_tolerance, absolute_tolerance)
    path, done = _weight_path(
        initial_weights, scale, alignment, times, tolerances, max_steps=max_steps
    )
    return reached(path, done, max_steps)


@compiled()
def unbalanced_end(imbalances: LayerModes, scale: Spectrum, alignment: Spectrum) -> LayerModes:
    r"""Squared weights of each layer where flow from an unbalanced, aligned start ends.

    The root :math:`u > -\min_l c_l` of :math:`\prod_l (u + c_l) = a/s`, with
    :math:`c_l = w_l^2 - w_1^2` conserved.

    Args:
      imbalances: c_l of each layer and mode; the first row is 0.
      scale: Variance s of each mode, > 0.
      alignment: Alignment a of each mode, > 0.

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
    ratio = jnp.asarray(alignment / scale)
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
    return squares - (miss / slope)[None, :]


@compiled()
def layer_shares(squares: LayerModes) -> LayerModes:
    r"""Exponent of a/s in the Gram eigenvalue of each layer, cumulative, around an end state.

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


def two_layer_time(
    square: Spectrum,
    initial_square: Spectrum,
    imbalance: Spectrum,
    scale: Spectrum,
    alignment: Spectrum,
) -> Spectrum:
    r"""Time at which a mode of two layers has the squared first weight u.

    .. math:: t = \frac{1}{8 s a} \left[ \frac1c \ln\frac{u}{u+c} + \frac1\Delta
        \ln\frac{u - u_-}{u_+ - u} \right]_{u_0}^{u}, \qquad \Delta = \sqrt{c^2 + 4a/s},
        \quad u_\pm = \frac{-c \pm \Delta}{2}.

    Args:
      square: u = w_1², between its start and its end u₊.
      initial_square: u at time 0, above max(0, −c).
      imbalance: c = w_2² − w_1², not 0: for balanced layers use `modes.half_times` and
        `universal_curve.universal_time`.
      scale: Variance s of each mode.
      alignment: Alignment a of each mode, > 0.

    Returns:
      Flow times.

    Raises:
      InputError: Not float64, or an imbalance of 0.

    Accuracy:
      About machine precision / |c| for small imbalance; diverges at the end state.

    Source:
      Derived by partial fractions.

    Example:
      >>> with jax.enable_x64(True):
      ...     one = jnp.ones(1)
      ...     time = two_layer_time(0.5 * one, 0.01 * one, one, one, one)
      ...     weights = jnp.sqrt(jnp.array([[0.01], [1.01]]))
      ...     path = unbalanced_time_courses(weights, one, one, time)
      ...     round(float(path[0, 0, 0] ** 2), 8)
      0.5
    """
    require_float64(
        square=square,
        initial_square=initial_square,
        imbalance=imbalance,
        scale=scale,
        alignment=alignment,
    )
    if not isinstance(imbalance, Tracer) and bool(jnp.any(imbalance == 0.0)):
        raise InputError(
            "imbalance holds a 0, where this form is 0/0: use universal_curve.universal_time"
        )
    return _two_layer_time(square, initial_square, imbalance, scale, alignment)


@jax.jit
def _two_layer_time(square, initial_square, imbalance, scale, alignment):
    spread = jnp.sqrt(imbalance**2 + 4.0 * alignment / scale)
    low, high = 0.5 * (-imbalance - spread), 0.5 * (-imbalance + spread)

    def clock(u):
        early = jnp.log(u / (u + imbalance)) / imbalance
        return early + jnp.log((u - low) / (high - u)) / spread

    return (clock(square) - clock(initial_square)) / (8.0 * scale * alignment)


@functools.partial(jax.jit, static_argnames=("max_steps",))
def _weight_path(weights, scale, alignment, times, tolerances, *, max_steps):
    depth = weights.shape[0]

    def velocity(weights):
        product = jnp.prod(weights, axis=0)
        pull = 4.0 * scale * product * (alignment - scale * product**2)
        others = [
            jnp.prod(jnp.concatenate([weights[:layer], weights[layer + 1 :]]), axis=0)
            for layer in range(depth)
        ]
        return jnp.stack(others) * pull[None, :]

    return integrated_path(velocity, weights, times, tolerances, max_steps)
