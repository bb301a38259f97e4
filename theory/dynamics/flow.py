"""Gradient flow of a balanced deep linear network, as one matrix ODE, and of the whole network."""

import functools
from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Float

from theory.layers.chain import WeightPaths, Weights, check_chain, end_to_end_map
from theory.linalg.arrays import Arr, Factor, Grams, Matrix, Scalar, Times, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.integration import check_flow, integrated_path, reached
from theory.losses.quadratic import QuadraticLoss

# Dopri8 takes fewer evaluations, but sums up to thirteen of them at every stage, and a factor's
# right-hand side is cheap enough for that to show (python -m experiments speed --only factor_flow).
FACTOR_SOLVER = diffrax.Tsit5()


def balanced_flow(
    gradient: Callable[[Matrix], Matrix],
    initial_factor: Factor,
    depth: int,
    times: Times,
    *,
    weight_decay: float | Scalar = 0.0,
    relative_tolerance: float = 1e-10,
    absolute_tolerance: float = 1e-12,
    max_steps: int = 65536,
) -> Float[Arr, "times rank dim"]:
    r"""First layer of a balanced network along gradient flow, for any loss of WᵀW.

    Let every layer start balanced, :math:`W_{l+1}^\top W_{l+1} = W_l W_l^\top`, and let the loss
    depend on the end-to-end map only through its Gram :math:`G = W^\top W`, with gradient
    :math:`\Phi(G) = \partial\,\text{loss}/\partial G`. Then flow :math:`\dot W_l = -\partial
    \,\text{loss}/\partial W_l - \lambda W_l` keeps layer l's Gram at :math:`(P^\top P)^l`, where

    .. math:: \dot P = -2 (P P^\top)^{L-1} P\, \Phi(G) - \lambda P,
        \qquad G = P^\top (P P^\top)^{L-1} P.

    The factor is integrated, never its Gram, which rounding would push out of the cone of positive
    semi-definite matrices.

    Args:
      gradient: Symmetric Φ, for example ``Partial(quadratic_gradient, loss)`` or
        `objectives.gram_gradient`. A `jax.tree_util.Partial` compiles once for all values of its
        arrays; another function compiles once per function object.
      initial_factor: W_1 at time 0 or any P with PᵀP = W_1ᵀW_1; ``init_scale * eye(dim)`` for
        layers that start at ``init_scale`` times the identity. Its rows bound the rank.
      depth: Number of layers L, at least 1.
      times: Flow times, ascending, at least 0; for gradient descent, the sum of learning rates.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      relative_tolerance: Error allowed per step, relative to the factor's entries.
      absolute_tolerance: Error allowed per step, in units of the factor's entries.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      P at each time, shape ``(times, rank, dim)``.

    Raises:
      InputError: Not float64, times that do not ascend, a depth below 1, or a flow that needed
        more than ``max_steps`` (under `jit` or `vmap` the unreached times are NaN instead).

    Accuracy:
      About 10 to 100 times the tolerance. The solver is explicit (Tsitouras 5(4)): its cost
      grows like the time times the largest curvature, so far beyond convergence use the optimum.
      Derivatives are reverse-mode only, of the steps taken.

    Source:
      Derived from the conservation of W_{l+1}ᵀW_{l+1} − W_lW_lᵀ (Arora, Cohen and Hazan 2018 for
      the end-to-end dynamics of deep linear networks).

    Example:
      Two layers, one feature: it is learned slowly, then all at once, and ends at √(a/s).

      >>> from theory.losses.quadratic import quadratic_gradient, spectral_loss
      >>> with jax.enable_x64(True):
      ...     loss = spectral_loss(jnp.eye(1), 0.25 * jnp.eye(1))
      ...     start, times = 0.1 * jnp.eye(1), jnp.array([0.0, 30.0, 50.0, 60.0])
      ...     path = balanced_flow(Partial(quadratic_gradient, loss), start, 2, times)
      ...     [round(float(p[0, 0] ** 2), 3) for p in path]
      [0.01, 0.025, 0.419, 0.5]
    """
    check_flow(depth, times, initial_factor=initial_factor, weight_decay=weight_decay)
    action = gradient if isinstance(gradient, Partial) else Partial(gradient)
    tolerances = (relative_tolerance, absolute_tolerance)
    path, done = _gram_path(
        action, initial_factor, times, weight_decay, tolerances, depth=depth, max_steps=max_steps
    )
    return reached(path, done, max_steps)


def quadratic_flow(
    loss: QuadraticLoss,
    initial_factor: Factor,
    depth: int,
    times: Times,
    *,
    weight_decay: float | Scalar = 0.0,
    relative_tolerance: float = 1e-10,
    absolute_tolerance: float = 1e-12,
    max_steps: int = 65536,
) -> Float[Arr, "times rank dim"]:
    r"""`balanced_flow` of a quadratic loss, in O(rank · dim²) a step: no Gram is ever formed.

    With :math:`E = (P P^\top)^{L-1} P`, :math:`\dot P = -4 E (Q P^\top E Q - B) - \lambda P`,
    multiplied from the left.

    Args:
      loss: Quadratic part Q and linear part B.
      initial_factor: As in `balanced_flow`.
      depth: Number of layers L, at least 1.
      times: Flow times, ascending, at least 0.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      relative_tolerance: Error allowed per step, relative to the factor's entries.
      absolute_tolerance: Error allowed per step, in units of the factor's entries.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      P at each time, shape ``(times, rank, dim)``.

    Raises:
      InputError: As `balanced_flow`.

    Accuracy:
      As `balanced_flow`.

    Source:
      Derived, as `balanced_flow`.

    Example:
      A feature that augmentation redraws (alignment 0) is forgotten, and only algebraically:

      >>> from theory.losses.quadratic import spectral_loss
      >>> with jax.enable_x64(True):
      ...     loss = spectral_loss(jnp.eye(1), jnp.zeros((1, 1)))
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
    tolerances = (relative_tolerance, absolute_tolerance)
    path, done = _quadratic_path(
        loss, initial_factor, times, weight_decay, tolerances, depth=depth, max_steps=max_steps
    )
    return reached(path, done, max_steps)


def factor_layer_grams(factor: Factor, depth: int) -> Grams:
    """Layer Grams (PᵀP)^l, l = 1..depth, of a balanced network whose first layer is P; exact.

    Args:
      factor: P, shape ``(rank, dim)``.
      depth: Number of layers.

    Returns:
      Grams, shape ``(depth, dim, dim)``.

    Raises:
      InputError: The factor is not float64, or the depth below 1.

    Example:
      Each layer repeats the reweighting of the first:

      >>> with jax.enable_x64(True):
      ...     factor_layer_grams(jnp.array([[0.5]]), 3)[:, 0, 0].tolist()
      [0.25, 0.0625, 0.015625]
    """
    require_float64(factor=factor)
    require_depth(depth)
    inner = factor @ factor.T
    rows, grams = factor, []
    for _ in range(depth):
        grams.append(factor.T @ rows)
        rows = inner @ rows
    return jnp.stack(grams)


def network_flow(
    loss: Callable[[Float[Arr, "out dim"]], Scalar],
    weights: Weights,
    times: Times,
    *,
    weight_decay: float | Scalar = 0.0,
    relative_tolerance: float = 1e-10,
    absolute_tolerance: float = 1e-12,
    max_steps: int = 65536,
) -> WeightPaths:
    r"""Gradient flow of every layer of a deep linear network, from any start.

    Integrates :math:`\dot W_l = -\partial\,\text{loss}(W_L \cdots W_1)/\partial W_l - \lambda W_l`
    by automatic differentiation: the reference for `balanced_flow`, and the way to follow layers
    that are not balanced.

    Args:
      loss: Scalar loss of the end-to-end map W_L…W_1, shape ``(out, dim)``; a
        `jax.tree_util.Partial` compiles once for all values of its arrays.
      weights: W_1, …, W_L at time 0; W_l is ``(width_l, width_{l-1})``.
      times: Flow times, ascending, at least 0.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      relative_tolerance: Error allowed per step, relative to the weights' entries.
      absolute_tolerance: Error allowed per step, in units of the weights' entries.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      The layers at each time, W_l of shape ``(times, width_l, width_{l-1})``.

    Raises:
      InputError: As `balanced_flow`, or layers whose widths do not chain.

    Accuracy:
      About 10 to 100 times the tolerance.

    Source:
      The definition.

    Example:
      The difference of two layers' squares never changes under flow:

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
    tolerances = (relative_tolerance, absolute_tolerance)
    path, done = _network_path(
        action, weights, times, weight_decay, tolerances, max_steps=max_steps
    )
    return tuple(reached(layer, done, max_steps) for layer in path)


@functools.partial(jax.jit, static_argnames=("depth", "max_steps"))
def _gram_path(gradient, factor, times, weight_decay, tolerances, *, depth, max_steps):
    def velocity(factor):
        rows = _end_rows(factor, depth)
        return -2.0 * rows @ gradient(factor.T @ rows) - weight_decay * factor

    return integrated_path(velocity, factor, times, tolerances, max_steps, solver=FACTOR_SOLVER)


@functools.partial(jax.jit, static_argnames=("depth", "max_steps"))
def _quadratic_path(loss, factor, times, weight_decay, tolerances, *, depth, max_steps):
    def velocity(factor):
        rows = _end_rows(factor, depth)
        weighted = rows @ loss.quadratic
        push = (weighted @ factor.T) @ weighted - rows @ loss.linear
        return -4.0 * push - weight_decay * factor

    return integrated_path(velocity, factor, times, tolerances, max_steps, solver=FACTOR_SOLVER)


@functools.partial(jax.jit, static_argnames=("max_steps",))
def _network_path(loss, weights, times, weight_decay, tolerances, *, max_steps):
    slope = jax.grad(lambda layers: loss(end_to_end_map(layers)))

    def velocity(layers):
        pairs = zip(slope(layers), layers, strict=True)
        return tuple(-gradient - weight_decay * weight for gradient, weight in pairs)

    return integrated_path(velocity, weights, times, tolerances, max_steps)


def _end_rows(factor, depth):
    """(PPᵀ)^{L−1}P, so that Pᵀ times it is the end-to-end Gram."""
    inner = factor @ factor.T
    rows = factor
    for _ in range(depth - 1):
        rows = inner @ rows
    return rows
