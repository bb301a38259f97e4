"""Gradient flow of the layers of a deep linear network: balanced by one factor, or all of them."""

import functools
from collections.abc import Callable

import jax
from jax.tree_util import Partial
from jaxtyping import Float

from theory.layers.chain import WeightPaths, Weights, check_chain, end_to_end_map
from theory.linalg.arrays import Arr, Factor, Scalar, Times
from theory.linalg.factors import end_to_end_rows
from theory.linalg.integration import Method, check_flow, integrate, require_reached
from theory.losses.quadratic import QuadraticLoss


def quadratic_flow(
    loss: QuadraticLoss,
    initial_factor: Factor,
    depth: int,
    times: Times,
    *,
    weight_decay: float | Scalar = 0.0,
    solver: Method = "explicit",
    relative_tolerance: float = 1e-10,
    absolute_tolerance: float = 1e-12,
    max_steps: int = 65536,
) -> Float[Arr, "times rank dim"]:
    r"""Return the first layer of a balanced network along gradient flow of a quadratic loss.

    Let every layer start balanced, :math:`W_{l+1}^\top W_{l+1} = W_l W_l^\top`. Then flow
    :math:`\dot W_l = -\partial\,\text{loss}/\partial W_l - \lambda W_l` keeps the Gram of layer l
    at :math:`(P^\top P)^l`, where, with :math:`E = (P P^\top)^{L-1} P`,

    .. math:: \dot P = -4 E (Q P^\top E Q - B) - \lambda P.

    The factor is integrated, never its Gram, which rounding would push out of the cone of positive
    semi-definite matrices; multiplied from the left it costs O(rank · dim²) a step.

    Args:
      loss: Quadratic part Q and linear part B.
      initial_factor: W_1 at time 0 or any P with PᵀP = W_1ᵀW_1; ``init_scale * eye(dim)`` for
        layers that start at ``init_scale`` times the identity. Its rows bound the rank.
      depth: Number of layers L, at least 1.
      times: Flow times, ascending, at least 0, finite; for gradient descent, the sum of learning
        rates.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      solver: ``"explicit"``, or ``"implicit"`` for long times and small factors, as in
        `theory.linalg.integration.integrate`.
      relative_tolerance: Error allowed per step, relative to the factor's entries.
      absolute_tolerance: Error allowed per step, in units of the factor's entries.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      P at each time, shape ``(times, rank, dim)``.

    Raises:
      InputError: Not float64, times that do not ascend, a depth below 1, or a flow that needed
        more than ``max_steps`` (under `jit` or `vmap` the unreached times are NaN instead).

    Accuracy:
      About 10 to 100 times the tolerance, derivatives of every kind included.

    Source:
      Derived from the conservation of W_{l+1}ᵀW_{l+1} − W_lW_lᵀ (Arora, Cohen and Hazan 2018 for
      the end-to-end dynamics of deep linear networks).

    Example:
      A feature that augmentation redraws (alignment 0) is forgotten, and only algebraically:

      >>> import jax.numpy as jnp
      >>> with jax.enable_x64(True):
      ...     loss = QuadraticLoss(jnp.eye(1), jnp.zeros((1, 1)))
      ...     path = quadratic_flow(loss, jnp.eye(1), 1, jnp.array([0.0, 1.0, 12.375]))
      ...     [round(float(p[0, 0] ** 2), 6) for p in path]
      [1.0, 0.111111, 0.01]
    """
    check_flow(
        depth,
        times,
        initial_factor=initial_factor,
        weight_decay=weight_decay,
        quadratic=loss.quadratic,
        linear=loss.linear,
    )
    path, done, _ = integrate(
        _factor_velocity(depth),
        initial_factor,
        times,
        (loss.quadratic, loss.linear, weight_decay),
        relative_tolerance=relative_tolerance,
        absolute_tolerance=absolute_tolerance,
        max_steps=max_steps,
        method=solver,
    )
    require_reached(done, max_steps)
    return path


def network_flow(
    loss: Callable[[Float[Arr, "out dim"]], Scalar],
    weights: Weights,
    times: Times,
    *,
    weight_decay: float | Scalar = 0.0,
    solver: Method = "explicit",
    relative_tolerance: float = 1e-10,
    absolute_tolerance: float = 1e-12,
    max_steps: int = 65536,
) -> WeightPaths:
    r"""Return every layer of a deep linear network along gradient flow, from any start.

    Integrates :math:`\dot W_l = -\partial\,\text{loss}(W_L \cdots W_1)/\partial W_l - \lambda W_l`
    by automatic differentiation, for any loss of the end-to-end map.

    Args:
      loss: Scalar loss of the end-to-end map W_L…W_1, shape ``(out, dim)``; a
        `jax.tree_util.Partial` compiles once for all values of its arrays.
      weights: W_1, …, W_L at time 0; W_l is ``(width_l, width_{l-1})``.
      times: Flow times, ascending, at least 0, finite.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      solver: As in `quadratic_flow`.
      relative_tolerance: Error allowed per step, relative to the weights' entries.
      absolute_tolerance: Error allowed per step, in units of the weights' entries.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      The layers at each time, W_l of shape ``(times, width_l, width_{l-1})``.

    Raises:
      InputError: As `quadratic_flow`, or layers whose widths do not chain.

    Accuracy:
      As `quadratic_flow`.

    Source:
      The definition.

    Example:
      The difference of two layers' squares never changes under flow:

      >>> import jax.numpy as jnp
      >>> with jax.enable_x64(True):
      ...     loss = lambda end_to_end: jnp.sum((end_to_end - 1.0) ** 2)
      ...     start = (jnp.array([[0.1]]), jnp.array([[0.7]]))
      ...     first, second = network_flow(loss, start, jnp.array([0.0, 10.0]))
      ...     [round(float(x), 6) for x in (second**2 - first**2)[:, 0, 0]]
      [0.48, 0.48]
    """
    check_chain(weights)
    named = {f"weights[{index}]": weight for index, weight in enumerate(weights)}
    check_flow(len(weights), times, weight_decay=weight_decay, **named)
    action = loss if isinstance(loss, Partial) else Partial(loss)
    path, done, _ = integrate(
        _network_velocity,
        tuple(weights),
        times,
        (action, weight_decay),
        relative_tolerance=relative_tolerance,
        absolute_tolerance=absolute_tolerance,
        max_steps=max_steps,
        method=solver,
    )
    require_reached(done, max_steps)
    return path


@functools.cache
def _factor_velocity(depth):
    def velocity(factor, arguments):
        quadratic, linear, weight_decay = arguments
        rows = end_to_end_rows(factor, depth)
        weighted = rows @ quadratic
        push = (weighted @ factor.T) @ weighted - rows @ linear
        return -4.0 * push - weight_decay * factor

    return velocity


def _network_velocity(layers, arguments):
    loss, weight_decay = arguments
    slopes = jax.grad(lambda layers: loss(end_to_end_map(layers)))(layers)
    pairs = zip(slopes, layers, strict=True)
    return tuple(-slope - weight_decay * weight for slope, weight in pairs)
