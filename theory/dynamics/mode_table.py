"""Everything that is known of each mode of given moments, in one table."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from theory.dynamics.modes import escape_time, half_times, learning_order
from theory.linalg.arrays import Arr, Matrix, Scalar, Spectrum, compiled, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.whitening import Alignment
from theory.optimum.thresholds import decay_thresholds, decayed_mode, learned_modes


class ModeTable(NamedTuple):
    """One entry a mode, in the order of the alignments; r are eigenvalues of layer 1's Gram.

    Attributes:
      alignment: a, share of the mode that augmentation leaves.
      scale: s, its variance in the data.
      final: r where training ends, 0 where weight decay has taken the mode.
      final_variance: n = s r^L, its variance in the embedding; a without weight decay.
      saddle_node: Weight decay above which only zero is left.
      global_minimum: Weight decay above which zero has the lower loss.
      half_time: Flow time, without weight decay, at which n is a/2; infinite if never.
      escape_time: Its small-start estimate.
      order: Rank in the order of learning, 0 first.
      active: Whether the mode survives weight decay along the branch.
      learned: Whether flow with the constant weight decay learns it from its start.
    """

    alignment: Spectrum
    scale: Spectrum
    final: Spectrum
    final_variance: Spectrum
    saddle_node: Spectrum
    global_minimum: Spectrum
    half_time: Spectrum
    escape_time: Spectrum
    order: Int[Arr, " modes"]
    active: Bool[Arr, " modes"]
    learned: Bool[Arr, " modes"]


@compiled()
def mode_scales(found: Alignment) -> Float[Arr, " dim"]:
    r"""Variance s of each mode: :math:`1/\lVert v_i \rVert^2` with :math:`v_i^\top\Sigma v_i = 1`.

    Where Σ and M commute v_i is an eigenvector u_i/√s_i of both and s_i its variance. Otherwise
    n_i/s_i is still the squared length n_i‖v_i‖² with which the mode enters the optimal Gram
    :math:`\sum_i n_i v_i v_i^\top`. 0 for directions outside the data.

    Args:
      found: `theory.linalg.whitening.generalized_eigenpairs` of the moments.

    Returns:
      Scales, ``(dim,)``.
    """
    squares = jnp.sum(jnp.asarray(found.vectors) ** 2, axis=0)
    return jnp.where(squares > 0.0, 1.0 / jnp.where(squares > 0.0, squares, 1.0), 0.0)


@compiled()
def commutator(covariance: Matrix, cross_covariance: Matrix) -> Scalar:
    r"""Relative commutator :math:`\lVert\Sigma M - M\Sigma\rVert_F / 2\lVert\Sigma M\rVert_F`.

    0 where the modes of learning are the modes of the optimum, so that the closed forms of single
    modes are exact.

    Args:
      covariance: Σ over views.
      cross_covariance: M over positive pairs.

    Returns:
      Number in [0, 1], shape ().

    Raises:
      InputError: Not float64.

    Accuracy:
      Machine precision.

    Source:
      Derived: antisymmetric part of the product; at most 1 by the triangle inequality.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     covariance = jnp.diag(jnp.array([2.0, 1.0]))
      ...     print(float(commutator(covariance, 0.5 * covariance)))
      0.0
    """
    require_float64(covariance=covariance, cross_covariance=cross_covariance)
    product = jnp.asarray(covariance) @ cross_covariance
    return jnp.linalg.norm(product - product.T) / (2.0 * jnp.linalg.norm(product))


@compiled("depth", "branch")
def mode_table(
    scale: Spectrum,
    alignment: Spectrum,
    initial: Spectrum,
    depth: int,
    *,
    weight_decay: float | Scalar = 0.0,
    branch: str = "continued",
) -> ModeTable:
    r"""Sizes, times and thresholds of modes of a balanced deep linear network.

    Args:
      scale: Variance s of each mode, 0 or more.
      alignment: Alignment a of each mode.
      initial: Layer-1 Gram eigenvalue at the start, ``init_scale**2``, > 0.
      depth: Number of layers L, at least 1.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      branch: ``"continued"`` from no decay, or ``"global"``.

    Returns:
      `ModeTable`.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Exact where the moments commute; each column as its own function.

    Source:
      `theory.dynamics.modes` and `theory.optimum.thresholds`.

    Example:
      Learned by s·a, kept by a:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     s, a = jnp.array([0.5, 4.0]), jnp.array([0.9, 0.3])
      ...     table = mode_table(s, a, jnp.full(2, 1e-3), 2)
      ...     print(table.order.tolist(), table.final_variance.round(9))
      [1, 0] [0.9 0.3]
    """
    require_float64(scale=scale, alignment=alignment, initial=initial, weight_decay=weight_decay)
    require_depth(depth)
    s, a, start = (jnp.asarray(values) for values in (scale, alignment, initial))
    possible = (s > 0.0) & (a > 0.0) & (start > 0.0)
    safe_s, safe_a, safe_start = (jnp.where(possible, values, 1.0) for values in (s, a, start))
    limits = decay_thresholds(s, a, depth=depth)
    final = decayed_mode(
        jnp.where(s > 0.0, s, 1.0),
        jnp.where(s > 0.0, a, 0.0),
        weight_decay=weight_decay,
        depth=depth,
    )
    if branch == "global":
        final = jnp.where(weight_decay < limits.global_minimum, final, 0.0)
    return ModeTable(
        alignment=a,
        scale=s,
        final=final,
        final_variance=s * final**depth,
        saddle_node=limits.saddle_node,
        global_minimum=limits.global_minimum,
        half_time=half_times(s, a, start, depth),
        escape_time=jnp.where(possible, escape_time(safe_s, safe_a, safe_start, depth), jnp.inf),
        order=jnp.argsort(learning_order(s, a, start, depth)),
        active=final > 0.0,
        learned=learned_modes(s, a, start, weight_decay=weight_decay, depth=depth),
    )
