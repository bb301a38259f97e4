"""Optimum of a deep linear network with weight decay, for moments that need not commute."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from theory.linalg.alignment import fractional_gram, psd_power
from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.errors import InputError
from theory.linalg.newton import stationary_point
from theory.losses.quadratic import Optimum, QuadraticLoss, quadratic_optimum
from theory.optimum.continuation import Modes, decayed_value, followed, modes_of

Path = Float[Arr, " points"] | Sequence[float]

_STEPS = 24


def decayed_optimum(
    loss: QuadraticLoss,
    weight_decay: float | Scalar,
    depth: int,
    *,
    rank: int | None = None,
    branch: str = "continued",
    path: Path | None = None,
    range_tolerance: float = 1e-10,
) -> Optimum:
    r"""End-to-end Gram of a balanced network that has converged under weight decay.

    Minimizes, over the first layer P (rank × dim) of a balanced network,

    .. math:: \phi\big((P^\top P)^L\big) + \tfrac{\lambda L}{2} \lVert P \rVert^2, \qquad
        \phi(G) = \operatorname{tr} QGQG - 2 \operatorname{tr} BG,

    whose stationary points obey :math:`R^L H = (\lambda/4) R` with :math:`R = P^\top P`,
    :math:`H = B - QGQ`. One layer: closed form, B less (λ/4) I. From two layers on the origin is a
    minimum too and modes disappear by jumps, so the minimum is followed from the closed form
    without decay along a path of λ, as a network is that is trained while λ changes slowly.

    Args:
      loss: Quadratic Q and linear B part; `spectral_loss` of a covariance and cross-covariance.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖²; 0 or more.
      depth: Number of layers L, at least 1.
      rank: Narrowest width of the network; ``None`` for no limit.
      branch: ``"continued"`` is the minimum reached along the path; a mode near its saddle-node is
        then only locally optimal. ``"global"`` removes such modes, weakest gain first, while that
        lowers the loss.
      path: Values of λ that the network went through, 0 first and ``weight_decay`` last, e.g.
        ``(0, 1.25 * λ, λ)``; each stretch is followed in small steps. ``None`` is ``(0, λ)``.
      range_tolerance: Directions of Q at or below this fraction of its largest eigenvalue are
        outside the data.

    Returns:
      `Optimum`: end-to-end Gram, its factor (constant under differentiation), the loss with its
      penalty, and the number of active modes. Layer l's Gram is ``layer_grams(gram, depth)[l-1]``.

    Raises:
      InputError: Not float64, a depth below 1, a negative weight decay, or a path that does not
        lead from 0 to it.

    Accuracy:
      `decay_residual` below 1e-9 away from a saddle-node; exactly at one the problem is singular
      and accuracy halves. ``"global"`` is exact where the moments commute and otherwise compares
      with the removal of single modes only. Derivatives of Gram and loss by the implicit function
      theorem, where no mode is about to jump.

    Source:
      Derived. The penalty is (λL/2) tr G^{1/L}, a Schatten norm of order 2/L of W.

    Example:
      Decay takes weak modes entirely and leaves strong ones nearly alone:

      >>> from theory.losses.quadratic import spectral_loss
      >>> with jax.enable_x64(True):
      ...     loss = spectral_loss(jnp.eye(2), jnp.diag(jnp.array([0.9, 0.1])))
      ...     optimum = decayed_optimum(loss, 0.1, 2)
      ...     [round(float(x), 4) for x in jnp.diagonal(optimum.gram)], int(optimum.active)
      ([0.8732, 0.0], 1)
    """
    require_float64(
        quadratic=loss.quadratic, linear=loss.linear, weight_decay=weight_decay, path=_array(path)
    )
    require_depth(depth)
    if branch not in ("continued", "global"):
        raise InputError(f"branch is {branch!r}, wanted 'continued' or 'global'")
    dim = loss.quadratic.shape[0]
    points = jnp.array([0.0, 1.0]) * weight_decay if path is None else jnp.asarray(_array(path))
    _check_path(points, weight_decay)
    if depth == 1:
        shifted = loss.linear - 0.25 * weight_decay * jnp.eye(dim)
        tilted = QuadraticLoss(loss.quadratic, shifted)
        return quadratic_optimum(tilted, rank=rank, range_tolerance=range_tolerance)
    return _followed(
        loss,
        jnp.asarray(weight_decay, float),
        points,
        depth=depth,
        rank=dim if rank is None else min(rank, dim),
        climbs_down=branch == "global",
        range_tolerance=range_tolerance,
    )


def decay_residual(
    loss: QuadraticLoss, gram: Matrix, weight_decay: float | Scalar, depth: int
) -> Scalar:
    r"""How far a Gram is from stationary under weight decay: ‖R^L H − (λ/4) R‖ / ‖R^L B‖.

    Args:
      loss: Quadratic and linear part of the loss.
      gram: End-to-end Gram G = R^L of a balanced network.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      depth: Number of layers L.

    Returns:
      Relative residual, 0 at every stationary point, the origin included.

    Raises:
      InputError: Not float64, or a depth below 1.

    Example:
      >>> from theory.losses.quadratic import spectral_loss
      >>> with jax.enable_x64(True):
      ...     loss = spectral_loss(jnp.eye(1), jnp.ones((1, 1)))
      ...     gram = decayed_optimum(loss, 0.5, 3).gram
      ...     bool(decay_residual(loss, gram, 0.5, 3) < 1e-12)
      True
    """
    require_float64(gram=gram, weight_decay=weight_decay, quadratic=loss.quadratic)
    require_depth(depth)
    root = fractional_gram(gram, 1.0 / depth)
    pull = loss.linear - loss.quadratic @ gram @ loss.quadratic
    size = jnp.linalg.norm(gram @ loss.linear)
    miss = jnp.linalg.norm(gram @ pull - 0.25 * weight_decay * root)
    return miss / jnp.where(size > 0.0, size, 1.0)


def _objective(factor, loss, weight_decay, depth):
    """Loss and penalty as a function of the first layer's factor."""
    inner = factor @ factor.T
    rows = factor
    for _ in range(depth - 1):
        rows = inner @ rows
    weighted = rows @ loss.quadratic
    product = weighted @ factor.T
    value = jnp.sum(product * product.T) - 2.0 * jnp.sum((rows @ loss.linear) * factor)
    return value + 0.5 * depth * weight_decay * jnp.sum(factor * factor)


@functools.partial(jax.jit, static_argnames=("depth", "rank", "climbs_down", "range_tolerance"))
def _followed(loss, weight_decay, points, *, depth, rank, climbs_down, range_tolerance):
    projector = psd_power(loss.quadratic, 0.0, tolerance=range_tolerance)
    inside = QuadraticLoss(*(projector @ part @ projector for part in loss))
    fixed = jax.lax.stop_gradient((inside, weight_decay, points))
    optimum = quadratic_optimum(fixed[0], rank=rank, range_tolerance=range_tolerance)
    follow = functools.partial(followed, depth=depth, rank=rank, range_tolerance=range_tolerance)
    modes = _along(modes_of(optimum.gram, rank), fixed[0], fixed[2], follow)
    if climbs_down:
        modes = _without_losers(modes, fixed[0], fixed[1], depth, follow)
    # In the basis of these modes, scaled by the curvature that commuting moments would have.
    turned = QuadraticLoss(*(modes.vectors.T @ part @ modes.vectors for part in inside))
    roots = modes.values ** (1.0 / depth)
    scales = _curvature_roots(roots, jnp.diagonal(turned.quadratic), weight_decay, depth)[:rank]
    scales = jax.lax.stop_gradient(scales)

    def objective(loss, weight_decay):
        return lambda scaled: _objective(scaled / scales, loss, weight_decay, depth)

    start = scales * jnp.eye(rank, roots.shape[0]) * jnp.sqrt(roots)[:rank, None]
    still = objective(*jax.lax.stop_gradient((turned, weight_decay)))
    scaled = stationary_point(objective(turned, weight_decay), still, start)
    factor = (scaled / scales) @ modes.vectors.T
    inner = factor @ factor.T
    gram = factor.T @ jnp.linalg.matrix_power(inner, depth - 1) @ factor
    sizes, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(inner))
    alive = sizes > 1e-10 * jnp.max(sizes)
    lengths = jnp.where(alive, jnp.abs(sizes), 0.0) ** (0.5 * (depth - 1))
    rows = (lengths[:, None] * (vectors.T @ jax.lax.stop_gradient(factor)))[::-1]
    value = _objective(factor, inside, weight_decay, depth)
    return Optimum(gram, rows, value, jnp.sum(alive))


def _curvature_roots(roots, variances, weight_decay, depth):
    """√(4 q_i q_j r_i (Σ_l r_i^{L−1−l} r_j^l)² + λL), the curvature of entry (i, j)."""
    powers = jnp.arange(depth)
    high, low = (roots[None, :] ** p[:, None] for p in (depth - 1 - powers, powers))
    chain = jnp.einsum("li,lj->ij", high, low)
    curvature = 4.0 * variances[:, None] * variances[None, :] * roots[:, None] * chain**2
    return jnp.sqrt(curvature + depth * weight_decay + 1e-6 * jnp.max(curvature) + 1e-300)


def _along(modes, loss, points, follow):
    """The minimum followed through every λ of the path, in small steps."""
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


def _array(path):
    return path if path is None or isinstance(path, jax.Array) else np.asarray(path, float)


def _check_path(points, weight_decay):
    if isinstance(points, Tracer) or isinstance(weight_decay, Tracer):
        return
    given = np.asarray(points)
    if float(weight_decay) < 0.0 or np.any(given < 0.0):
        raise InputError(f"weight decay {float(np.min(given)):g} is negative: give 0 or more")
    if given.size < 2 or given[0] != 0.0 or not np.isclose(given[-1], float(weight_decay)):
        raise InputError(
            f"path {np.array2string(given, threshold=6)} does not lead from 0 to weight decay"
            f" {float(weight_decay):g}: start it with 0 and end it there"
        )
