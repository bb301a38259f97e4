"""Gradient descent, where flow is only the limit: every layer, and the largest learning rate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Float

from theory.layers.chain import Weights, check_chain, end_to_end_map
from theory.linalg.arrays import Arr, Scalar, Spectrum, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.errors import InputError

Rates = float | Scalar | Float[Arr, " steps"]


def critical_learning_rate(
    scale: Spectrum,
    alignment: Spectrum,
    *,
    depth: int = 2,
    momentum: float | Scalar = 0.0,
) -> Scalar:
    r"""Return the learning rate above which descent leaves the optimum of the spectral loss.

    The curvature that couples modes i and j of the balanced optimum, layer by layer, is

    .. math:: h_{ij} = 4 s_i s_j \sum_{l=1}^{L} \left( r_i^{2L-l} r_j^{l-1}
        + r_j^{2L-l} r_i^{l-1} \right) - 4 s_j \min(a_j, 0)\, r_i^{L-1},
        \qquad r = (\max(a, 0)/s)^{1/L},

    and descent with momentum β is stable iff η < 2(1 + β)/max h. On the diagonal
    :math:`h_{ii} = 8 L s^{1/L} a^{2-1/L}`, so one mode alone needs η < 1/(4 L s^{1/L} a^{2-1/L}),
    at L = 2 the variance v and cross-covariance m of T12: v/(8 m^{3/2}). Where a large mode is
    less aligned than a small one the pair, not either mode, decides; a dropped mode of negative
    alignment counts by how fast the first layer forgets it.

    Args:
      scale: Variance s of each mode, 0 or more.
      alignment: Alignment a of each mode; values at or below 0 belong to modes not learned.
      depth: Number of layers L, at least 1.
      momentum: Heavy-ball momentum β in [0, 1).

    Returns:
      Learning rate, shape ``()``.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Exact for commuting moments, full batch and no weight decay. From two layers on descent just
      above it need not diverge: it may leave the balanced optimum for a flatter one of the same
      end-to-end map.

    Source:
      Derived: the Hessian of the loss in all layers, at the balanced aligned optimum.

    Example:
      Two layers, features of size 1.5 seen through noise of 0.5:

      >>> with jax.enable_x64(True):
      ...     variance, shared = jnp.array([2.5]), jnp.array([2.25])
      ...     round(float(critical_learning_rate(variance, shared / variance, depth=2)), 4)
      0.0926

      A feature whose views disagree is unlearned, which limits the rate too:

      >>> with jax.enable_x64(True):
      ...     s, a = jnp.array([1.0, 10.0]), jnp.array([0.5, -0.5])
      ...     [round(float(critical_learning_rate(s, a, depth=d)), 4) for d in (1, 2)]
      [0.05, 0.0707]
    """
    require_float64(scale=scale, alignment=alignment, momentum=momentum)
    require_depth(depth)
    learned = (alignment > 0.0) & (scale > 0.0)
    safe = jnp.where(learned, alignment / jnp.where(learned, scale, 1.0), 1.0)
    root = jnp.where(learned, safe ** (1.0 / depth), 0.0)
    layers = jnp.arange(1, depth + 1)
    # 0^0 = 1: a mode not learned still feels the first layer move.
    high, low = (root[None, :] ** power[:, None] for power in (2 * depth - layers, layers - 1))
    half = jnp.einsum("li,lj->ij", high, low)
    curvature = 4.0 * scale[:, None] * scale[None, :] * (half + half.T)
    forgets = -4.0 * scale * jnp.minimum(alignment, 0.0)
    curvature = curvature + root[:, None] ** (depth - 1) * forgets[None, :]
    return 2.0 * (1.0 + momentum) / jnp.max(curvature)


def descend(
    loss: Callable[[Float[Arr, "out dim"]], Scalar],
    weights: Weights,
    learning_rate: Rates,
    num_steps: int,
    *,
    weight_decay: float | Scalar = 0.0,
    momentum: float | Scalar = 0.0,
    num_snapshots: int = 1,
) -> tuple[Float[Arr, "samples _ _"], ...]:
    r"""Return every layer of a deep linear network along full-batch gradient descent.

    .. math:: v \leftarrow \beta v + \partial\,\text{loss}(W_L \cdots W_1)/\partial W_l
        + \lambda W_l, \qquad W_l \leftarrow W_l - \eta v

    Args:
      loss: Scalar loss of the end-to-end map; a `jax.tree_util.Partial` compiles once for all
        values of its arrays.
      weights: W_1, …, W_L; W_l is ``(width_l, width_{l-1})``.
      learning_rate: η, one number or one per step. The flow time of n steps is their sum, divided
        by 1 − β with momentum.
      num_steps: Number of steps, a multiple of ``num_snapshots``.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖², coupled: it enters the momentum.
      momentum: Heavy-ball momentum β in [0, 1).
      num_snapshots: How many equally spaced states to return besides the first.

    Returns:
      The layers at step 0 and at each snapshot, W_l of shape ``(num_snapshots + 1, …)``.

    Raises:
      InputError: Not float64, layers whose widths do not chain, or counts that do not divide.

    Accuracy:
      The method itself, up to rounding; it differs from flow by O(η).

    Source:
      The definition.

    Example:
      >>> with jax.enable_x64(True):
      ...     loss = lambda end_to_end: jnp.sum((end_to_end - 1.0) ** 2)
      ...     (path,) = descend(loss, (jnp.zeros((1, 1)),), 0.25, 2, num_snapshots=2)
      ...     path[:, 0, 0].tolist()
      [0.0, 0.5, 0.75]
    """
    check_chain(weights)
    named = {f"weights[{index}]": weight for index, weight in enumerate(weights)}
    require_float64(
        learning_rate=learning_rate, weight_decay=weight_decay, momentum=momentum, **named
    )
    if num_snapshots < 1 or num_steps % num_snapshots:
        raise InputError(
            f"{num_steps} steps do not divide into {num_snapshots} snapshots: choose num_steps as a"
            " multiple of num_snapshots, which is at least 1"
        )
    action = loss if isinstance(loss, Partial) else Partial(loss)
    rates = _spread_over_steps(learning_rate, num_steps).reshape(num_snapshots, -1)
    return _layer_path(action, weights, rates, weight_decay, momentum)


def _spread_over_steps(learning_rate, num_steps):
    rates = jnp.asarray(learning_rate, float)
    if rates.ndim == 1 and rates.shape[0] != num_steps:
        raise InputError(
            f"{rates.shape[0]} learning rates for {num_steps} steps: give one number or one a step"
        )
    return jnp.broadcast_to(rates, (num_steps,))


@jax.jit
def _layer_path(loss, weights, rates, weight_decay, momentum):
    slope = jax.grad(lambda layers: loss(end_to_end_map(layers)))

    def step(state, rate):
        layers, velocities = state
        pulls = zip(velocities, slope(layers), layers, strict=True)
        velocities = tuple(momentum * v + g + weight_decay * w for v, g, w in pulls)
        moves = zip(layers, velocities, strict=True)
        return (tuple(w - rate * v for w, v in moves), velocities), None

    def stretch(state, rates):
        state, _ = jax.lax.scan(step, state, rates)
        return state, state[0]

    start = tuple(jnp.asarray(weight) for weight in weights)
    _, path = jax.lax.scan(stretch, (start, tuple(0.0 * weight for weight in start)), rates)
    return tuple(jnp.concatenate([first[None], rest]) for first, rest in zip(start, path))
