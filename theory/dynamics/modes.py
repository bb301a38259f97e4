"""Everything that is known of each mode of given moments, in one table."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from theory.dynamics.courses import escape_times, half_times, learning_order
from theory.linalg.arrays import Arr, Matrix, Scalar, Spectrum, compiled, require_float64
from theory.linalg.checks import (
    require_branch,
    require_depth,
    require_number,
    require_weight_decay,
)
from theory.linalg.whitening import Alignment
from theory.moments.alignment import alignment
from theory.moments.moments import Moments
from theory.optimum.thresholds import decay_thresholds, decayed_mode, learned_modes


class ModeTable(NamedTuple):
    """One entry a mode, in the order of the alignments.

    Attributes:
      alignment: a, share of the mode that augmentation leaves.
      scale: s, its variance in the data.
      size: n, its variance in the embedding where training ends; a without weight decay, 0 where
        weight decay has taken the mode.
      gram: Eigenvalue r of the first layer's Gram there; n = s r^L.
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
    size: Spectrum
    gram: Spectrum
    saddle_node: Spectrum
    global_minimum: Spectrum
    half_time: Spectrum
    escape_time: Spectrum
    order: Int[Arr, " modes"]
    active: Bool[Arr, " modes"]
    learned: Bool[Arr, " modes"]


def modes(
    moments: Moments,
    *,
    depth: int = 2,
    init_scale: float | Scalar = 0.1,
    weight_decay: float | Scalar = 0.0,
    branch: Literal["continued", "global"] = "continued",
    range_tolerance: float | None = None,
) -> ModeTable:
    r"""Return sizes, times and thresholds of every mode of a balanced deep linear network.

    The modes are those of the alignment of the moments, :math:`M v = a \Sigma v`, with the variance
    :math:`s = 1/\lVert v \rVert^2` at :math:`v^\top\Sigma v = 1`. The loss is the spectral one.

    Args:
      moments: Second moments of what the network receives.
      depth: Number of layers L, at least 1.
      init_scale: Every layer starts as this times the identity.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖², at least 0.
      branch: ``"continued"`` from no decay, or ``"global"``.
      range_tolerance: Covariance eigenvalues at or below this fraction of the largest are outside
        the data; ``None``: 1e-10, or 1e-6 where the moments were sampled.

    Returns:
      `ModeTable` of ``(dim,)`` each, strongest alignment first, directions outside the data last.

    Raises:
      InputError: Not float64, a depth below 1, or a start, decay or branch that means nothing.

    Accuracy:
      Exact where the moments commute (`commutator`), with the derivatives of its parts; otherwise
      sizes without decay are exact, times and decayed sizes of single modes estimates.

    Source:
      `theory.dynamics.courses` and `theory.optimum.thresholds`.

    Example:
      Learned by s·a, kept by a:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     covariance, cross = jnp.diag(jnp.array([0.5, 4.0])), jnp.diag(jnp.array([0.45, 1.2]))
      ...     table = modes(Moments(covariance, cross), init_scale=0.03)
      ...     print(table.order.tolist(), table.size.round(9))
      [1, 0] [0.9 0.3]
    """
    require_number("init_scale", init_scale, positive=True)
    require_weight_decay(weight_decay)
    require_branch(branch)
    found = alignment(moments, range_tolerance=range_tolerance)
    return mode_table(
        mode_scales(found),
        found.values,
        depth=depth,
        init_scale=init_scale,
        weight_decay=weight_decay,
        branch=branch,
    )


@compiled("depth", "branch")
def mode_table(
    scale: Spectrum,
    alignment: Spectrum,
    *,
    depth: int = 2,
    init_scale: float | Scalar | Spectrum = 0.1,
    weight_decay: float | Scalar = 0.0,
    branch: Literal["continued", "global"] = "continued",
) -> ModeTable:
    """Return the table of `modes` for modes that are given by scale and alignment.

    Args:
      scale: Variance s of each mode, 0 or more.
      alignment: Alignment a of each mode.
      depth: As in `modes`.
      init_scale: As in `modes`; may differ from mode to mode.
      weight_decay: As in `modes`.
      branch: As in `modes`.

    Returns:
      `ModeTable`.

    Raises:
      InputError: Not float64, or a depth below 1.
    """
    require_float64(
        scale=scale, alignment=alignment, init_scale=init_scale, weight_decay=weight_decay
    )
    require_depth(depth)
    s, a = jnp.asarray(scale), jnp.asarray(alignment)
    start = jnp.broadcast_to(jnp.asarray(init_scale) ** 2, s.shape)
    limits = decay_thresholds(s, a, depth=depth)
    inside = jnp.where(s > 0.0, s, 1.0), jnp.where(s > 0.0, a, 0.0)
    final = decayed_mode(*inside, weight_decay=weight_decay, depth=depth)
    if branch == "global":
        final = jnp.where(weight_decay < limits.global_minimum, final, 0.0)
    return ModeTable(
        alignment=a,
        scale=s,
        size=s * final**depth,
        gram=final,
        saddle_node=limits.saddle_node,
        global_minimum=limits.global_minimum,
        half_time=half_times(s, a, depth=depth, init_scale=init_scale),
        escape_time=escape_times(s, a, depth=depth, init_scale=init_scale),
        order=jnp.argsort(learning_order(s, a, depth=depth, init_scale=init_scale)),
        active=final > 0.0,
        learned=learned_modes(s, a, start, weight_decay=weight_decay, depth=depth),
    )


@compiled()
def mode_scales(found: Alignment) -> Float[Arr, " dim"]:
    r"""Return the variance s of each mode.

    :math:`s_i = 1/\lVert v_i \rVert^2` with :math:`v_i^\top\Sigma v_i = 1`.

    Where Σ and M commute v_i is an eigenvector u_i/√s_i of both and s_i its variance. Otherwise
    n_i/s_i is still the squared length n_i‖v_i‖² with which the mode enters the optimal Gram
    :math:`\sum_i n_i v_i v_i^\top`. 0 for directions outside the data.

    Args:
      found: `theory.moments.alignment.alignment` of the moments.

    Returns:
      Scales, ``(dim,)``.
    """
    squares = jnp.sum(jnp.asarray(found.vectors) ** 2, axis=0)
    return jnp.where(squares > 0.0, 1.0 / jnp.where(squares > 0.0, squares, 1.0), 0.0)


@compiled()
def commutator(covariance: Matrix, cross_covariance: Matrix) -> Scalar:
    r"""Return the relative commutator of two symmetric matrices.

    :math:`\lVert\Sigma M - M\Sigma\rVert_F / 2\lVert\Sigma M\rVert_F`, and 0 where ΣM = 0.

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
    size = jnp.sum(product**2)
    miss = jnp.sum((product - product.T) ** 2)
    share = jnp.where(size > 0.0, miss / jnp.where(size > 0.0, 4.0 * size, 1.0), 0.0)
    return jnp.where(share > 0.0, jnp.sqrt(jnp.where(share > 0.0, share, 1.0)), 0.0)
