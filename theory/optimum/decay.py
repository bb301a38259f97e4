"""Optimum of a deep linear network with weight decay, for moments that need not commute."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, require_float64
from theory.linalg.checks import (
    is_known,
    require_branch,
    require_depth,
    require_number,
    require_rank,
    require_weight_decay,
)
from theory.linalg.errors import InputError
from theory.linalg.factors import end_to_end_rows
from theory.linalg.newton import stationary_point
from theory.linalg.powers import leading_power, psd_power
from theory.linalg.spectral import symmetric_eigenpairs, symmetric_eigenvalues
from theory.losses.quadratic import QuadraticLoss
from theory.optimum.continuation import Modes, decayed_value, follow_minimum, take_modes
from theory.optimum.quadratic import Optimum, quadratic_optimum

Path = Float[Arr, " points"] | Sequence[float]

_STEPS = 24


def decayed_optimum(
    loss: QuadraticLoss,
    *,
    weight_decay: float | Scalar,
    depth: int,
    rank: int | None = None,
    branch: str = "continued",
    path: Path | None = None,
    range_tolerance: float | Scalar | None = None,
) -> Optimum:
    r"""Return the end-to-end optimum of a balanced network that has converged under weight decay.

    Minimizes, over the first layer P (rank × dim) of a balanced network,

    .. math:: \phi\big((P^\top P)^L\big) + \tfrac{\lambda L}{2} \lVert P \rVert^2, \qquad
        \phi(G) = \operatorname{tr} QGQG - 2 \operatorname{tr} BG,

    whose stationary points obey :math:`R^L H = (\lambda/4) R` with :math:`R = P^\top P`,
    :math:`H = B - QGQ`. One layer: closed form, B less (λ/4) I. From two layers on the origin is a
    minimum too and modes disappear by jumps, so the minimum is followed from the closed form
    without decay along a path of λ, as a network is that is trained while λ changes slowly.

    Args:
      loss: Quadratic Q and linear B part.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖²; 0 or more, a traced negative one gives NaN.
      depth: Number of layers L, at least 1.
      rank: Narrowest width of the network; ``None`` for no limit.
      branch: ``"continued"`` is the minimum reached along the path; a mode near its saddle-node is
        then only locally optimal. ``"global"`` removes such modes, weakest gain first, while that
        lowers the loss.
      path: Values of λ that the network went through, 0 first and ``weight_decay`` last, e.g.
        ``(0, 1.25 * λ, λ)``; each stretch is followed in small steps. ``None`` is ``(0, λ)``.
      range_tolerance: Directions of Q at or below this fraction of its largest eigenvalue are
        outside the data; ``None`` for that of the loss.

    Returns:
      `Optimum`: end-to-end Gram, its factor, the loss with its penalty, and the number of active
      modes. Layer l's Gram is ``layer_grams(gram, depth)[l-1]``.

    Raises:
      InputError: Not float64; a depth, rank, weight decay or branch that does not exist; a path
        that does not lead from 0 to the weight decay.

    Accuracy:
      R^L H = (λ/4) R to 1e-9 of ‖R^L B‖ away from a saddle-node; exactly at one the problem is
      singular and accuracy halves. ``"global"`` is exact where the moments commute and otherwise
      compares with the removal of single modes only. Derivatives of Gram, loss and FᵀF, of every
      order, by the implicit function theorem, where no mode is about to jump.

    Source:
      Derived. The penalty is (λL/2) tr G^{1/L}, a Schatten norm of order 2/L of W.

    Example:
      Decay takes weak modes entirely and leaves strong ones nearly alone:

      >>> with jax.enable_x64(True):
      ...     loss = QuadraticLoss(jnp.eye(2), jnp.diag(jnp.array([0.9, 0.1])))
      ...     optimum = decayed_optimum(loss, weight_decay=0.1, depth=2)
      ...     [round(float(x), 4) for x in jnp.diagonal(optimum.gram)], int(optimum.active)
      ([0.8732, 0.0], 1)
    """
    require_float64(
        quadratic=loss.quadratic,
        linear=loss.linear,
        weight_decay=weight_decay,
        path=_make_array(path),
    )
    require_depth(depth)
    require_rank(rank)
    require_weight_decay(weight_decay)
    require_branch(branch)
    dim = loss.quadratic.shape[0]
    points = (
        jnp.array([0.0, 1.0]) * weight_decay if path is None else jnp.asarray(_make_array(path))
    )
    _check_path(points, weight_decay)
    tolerance = loss.range_tolerance if range_tolerance is None else range_tolerance
    decay = jnp.asarray(weight_decay, float)
    decay = jnp.where(decay >= 0.0, decay, jnp.nan)
    if depth == 1:
        tilted = QuadraticLoss(loss.quadratic, loss.linear - 0.25 * decay * jnp.eye(dim))
        return quadratic_optimum(tilted, rank=rank, range_tolerance=tolerance)
    return _follow_decay(
        loss,
        decay,
        points,
        jnp.asarray(tolerance, float),
        depth=depth,
        rank=dim if rank is None else min(int(rank), dim),
        to_global=branch == "global",
    )


def _objective(factor, loss, weight_decay, depth):
    """Return loss and penalty as a function of the first layer's factor."""
    rows = end_to_end_rows(factor, depth)
    weighted = rows @ loss.quadratic
    product = weighted @ factor.T
    value = jnp.sum(product * product.T) - 2.0 * jnp.sum((rows @ loss.linear) * factor)
    return value + 0.5 * depth * weight_decay * jnp.sum(factor * factor)


def _scaled_objective(depth, scaled, parameters):
    loss, weight_decay, scales = parameters
    return _objective(scaled / scales, loss, weight_decay, depth)


@functools.partial(jax.jit, static_argnames=("depth", "rank", "to_global"))
def _follow_decay(loss, weight_decay, points, range_tolerance, *, depth, rank, to_global):
    projector = psd_power(loss.quadratic, 0.0, tolerance=range_tolerance)
    inside = dataclasses.replace(
        loss,
        quadratic=projector @ loss.quadratic @ projector,
        linear=projector @ loss.linear @ projector,
    )
    fixed = jax.lax.stop_gradient((inside, weight_decay, points))
    optimum = quadratic_optimum(fixed[0], rank=rank, range_tolerance=range_tolerance)
    follow = functools.partial(
        follow_minimum, depth=depth, rank=rank, range_tolerance=range_tolerance
    )
    modes = _follow_path(take_modes(optimum.gram, rank), fixed[0], fixed[2], follow)
    if to_global:
        modes = _without_losers(modes, fixed[0], fixed[1], depth, follow)
    modes = jax.lax.stop_gradient(modes)
    # In the basis of these modes, scaled by the curvature that commuting moments would have.
    turned = dataclasses.replace(
        inside,
        quadratic=modes.vectors.T @ inside.quadratic @ modes.vectors,
        linear=modes.vectors.T @ inside.linear @ modes.vectors,
    )
    roots = modes.values ** (1.0 / depth)
    scales = _curvature_roots(roots, jnp.diagonal(turned.quadratic), weight_decay, depth)[:rank]
    scales = jax.lax.stop_gradient(scales)
    start = scales * jnp.eye(rank, roots.shape[0]) * jnp.sqrt(roots)[:rank, None]
    objective = functools.partial(_scaled_objective, depth)
    scaled = stationary_point(objective, (turned, weight_decay, scales), start)
    factor = (scaled / scales) @ modes.vectors.T
    inner = factor @ factor.T
    # R^L H = (λ/4) R leaves no mode of the first layer's Gram R between 0 and this.
    strongest = jnp.max(symmetric_eigenvalues(jax.lax.stop_gradient(loss.linear)))
    sizes = symmetric_eigenvalues(jax.lax.stop_gradient(inner))
    pull = sizes ** (depth - 1) * jnp.maximum(strongest, 0.0)
    alive = (sizes > 1e-10 * jnp.max(sizes)) & (pull > 0.125 * fixed[1])
    active = jnp.sum(alive)
    factor = leading_power(inner, 0.0, active) @ factor
    gram = factor.T @ jnp.linalg.matrix_power(inner, depth - 1) @ factor
    # Rows of the end-to-end factor along its principal directions, strongest first.
    _, frame = symmetric_eigenpairs(inner)
    rows = frame[:, ::-1].T @ leading_power(inner, 0.5 * (depth - 1), active) @ factor
    value = _objective(factor, inside, weight_decay, depth)
    return Optimum(gram, rows, value, active)


def _curvature_roots(roots, variances, weight_decay, depth):
    """Return √(4 q_i q_j r_i (Σ_l r_i^{L−1−l} r_j^l)² + λL), the curvature of entry (i, j)."""
    powers = jnp.arange(depth)
    high, low = (roots[None, :] ** p[:, None] for p in (depth - 1 - powers, powers))
    chain = jnp.einsum("li,lj->ij", high, low)
    curvature = 4.0 * variances[:, None] * variances[None, :] * roots[:, None] * chain**2
    return jnp.sqrt(curvature + depth * weight_decay + 1e-6 * jnp.max(curvature) + 1e-300)


def _follow_path(modes, loss, points, follow):
    """Follow the minimum through every λ of the path, in small steps."""
    stretches = points.shape[0] - 1
    per_stretch = -(-_STEPS // stretches)
    parts = jnp.arange(1, per_stretch + 1) / per_stretch

    def step(modes, decay):
        return follow(modes, loss, decay, max_steps=10), None

    def stretch(modes, ends):
        before, after, max_steps = ends
        modes, _ = jax.lax.scan(step, modes, before + parts * (after - before))
        return follow(modes, loss, after, max_steps=max_steps), None

    # What was lost at a turning point must be gone before λ falls again; at the end Newton's
    # method takes over.
    limits = jnp.where(jnp.arange(stretches) < stretches - 1, 400, 60)
    return jax.lax.scan(stretch, modes, (points[:-1], points[1:], limits))[0]


def _without_losers(modes, loss, weight_decay, depth, follow):
    """Drop the mode whose loss lowers the objective most, as long as there is one."""

    def value(modes):
        return decayed_value(modes, loss, weight_decay, depth)

    def without(modes, index):
        kept = jnp.arange(modes.values.shape[0]) != index
        return Modes(jnp.where(kept, modes.values, 0.0), modes.vectors)

    def candidate(modes):
        indices = jnp.arange(modes.values.shape[0])
        values = jax.vmap(lambda index: value(without(modes, index)))(indices)
        worst = jnp.argmin(jnp.where(modes.values > 0.0, values, jnp.inf))
        left = without(modes, worst)
        order = jnp.argsort(-left.values)
        left = Modes(left.values[order], left.vectors[:, order])
        return follow(left, loss, weight_decay, max_steps=300)

    def step(state):
        modes, _ = state
        moved = candidate(modes)
        better = value(moved) < value(modes) - 1e-12 * jnp.abs(value(modes))
        kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), moved, modes)
        return kept, better

    return jax.lax.while_loop(lambda state: state[1], step, (modes, jnp.array(True)))[0]


def _make_array(path):
    return path if path is None or isinstance(path, jax.Array) else np.asarray(path, float)


def _check_path(points, weight_decay):
    if not is_known(points, weight_decay):
        return
    given = np.asarray(points)
    require_number("path", given)
    if given.size < 2 or given[0] != 0.0 or not np.isclose(given[-1], float(weight_decay)):
        raise InputError(
            f"path {np.array2string(given, threshold=6)} does not lead from 0 to weight decay"
            f" {float(weight_decay):g}: start it with 0 and end it there"
        )
