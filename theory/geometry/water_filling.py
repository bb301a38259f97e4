"""The optimal linear projector of InfoNCE: which directions survive, with how much variance.

Views are h = m + ξ with m ~ N(·, Σ_b), ξ ~ N(0, Σ_w), S = Σ_w + Σ_b and infinitely many
negatives. Everything depends on the encoder only through the augmentation fractions ρ of
`theory.geometry.invariance`. Variances u of the embedding along them are in units of the
temperature.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Int

from theory.geometry.ranks import variance_effective_rank
from theory.linalg.arrays import Arr, Scalar, Vector, compiled, require_float64
from theory.linalg.errors import InputError

MAX_NEWTON_STEPS = 100


class CosineProjector(NamedTuple):
    """Water-filling optimum of a linear projector under cosine InfoNCE.

    Attributes:
      variances: u, embedding variance along each direction in units of the temperature.
      shares: p = u / Σu, share of the embedding's variance.
      active: Number of directions alive, those with ρ < 1 - multiplier.
      multiplier: μ of the variance budget.
      effective_rank: Entropy effective rank of the shares (variance convention).
      defect: Predicted invariance defect of the embedding, Σ p ρ.
      valid: Whether μ >= 0; otherwise the temperature is too low for the relaxation.
    """

    variances: Vector
    shares: Vector
    active: Int[Arr, ""]
    multiplier: Scalar
    effective_rank: Scalar
    defect: Scalar
    valid: Bool[Arr, ""]


def cosine_projector(
    fractions: Vector, temperature: float | Scalar, *, rank: int | None = None
) -> CosineProjector:
    r"""Return the optimal linear projector under cosine InfoNCE: reverse water-filling.

    The population loss separates over directions into :math:`\rho u - \tfrac12\log(1+u) -
    \tfrac12 u/(1+u)`; a projector of rank K keeps the K directions of smallest ρ.

    Normalization fixes the budget :math:`\sum_k u_k = 1/\tau`. With its multiplier
    :math:`\mu`, :math:`v_k = (\sqrt{1+8(\rho_k+\mu)}-1)/2` and
    :math:`u_k = \max(0, 1/v_k - 1)`, so exactly the directions with :math:`\rho_k < 1-\mu`
    survive. Their number never grows with the temperature; the effective rank also falls at
    high temperature but need not near the validity limit, where few directions take most.

    Args:
      fractions: ρ of the directions, any order; 1 outside the data.
      temperature: τ > 0.
      rank: Output dimension K of the projector; None keeps every direction.

    Returns:
      `CosineProjector`; vectors in the order of the fractions.

    Raises:
      InputError: Temperature not positive, rank below 1, or input not float64.

    Accuracy:
      Root to machine precision (Newton from the side where it is monotone). The model relaxes
      ‖ẑ‖ = 1 to E‖z‖² = 1: against trained linear projectors about 10 % while `valid`, worst when
      only about five directions remain; meaningless when not `valid`.

    Source:
      Derived: Karush-Kuhn-Tucker conditions of the relaxed population loss.

    Example:
      Ten clean directions share the budget; ten that are mostly augmentation are cut:

      >>> with jax.enable_x64(True):
      ...     rho = jnp.concatenate([jnp.full(10, 0.05), jnp.full(10, 0.9)])
      ...     head = cosine_projector(rho, 0.5)
      ...     print(int(head.active), round(float(head.effective_rank), 6), bool(head.valid))
      10 10.0 True
    """
    require_float64(fractions=fractions, temperature=temperature)
    if isinstance(temperature, int | float) and temperature <= 0:
        raise InputError(f"temperature {temperature} is not positive: give a value such as 0.2")
    return _cosine_projector(fractions, temperature, rank)


@compiled("rank")
def _cosine_projector(
    fractions: Vector, temperature: float | Scalar, rank: int | None
) -> CosineProjector:
    fractions = jnp.asarray(fractions)
    kept = _select_kept(fractions, rank)
    lowest = jnp.min(fractions)
    level = _water_level(fractions - lowest, kept, 1.0 / jnp.asarray(temperature))
    variances = kept * _variance(level + (fractions - lowest))
    shares = variances / jnp.sum(variances)
    multiplier = level - lowest
    return CosineProjector(
        variances=variances,
        shares=shares,
        active=jnp.sum(variances > 0),
        multiplier=multiplier,
        effective_rank=variance_effective_rank(shares),
        defect=jnp.sum(shares * fractions),
        valid=multiplier >= 0,
    )


def _select_kept(fractions: Vector, rank: int | None) -> Vector:
    if rank is None:
        return jnp.ones_like(fractions)
    if rank < 1:
        raise InputError(f"a projector of rank {rank} keeps nothing: give a rank of at least 1")
    position = jnp.argsort(jnp.argsort(fractions))
    return (position < rank).astype(fractions.dtype)


def _variance(level: Vector) -> Vector:
    """Return the solution u >= 0 of v + v² = 2 level with v = 1/(1 + u), free of cancellation."""
    inside = level < 1.0
    safe = jnp.where(inside, level, 0.5)
    return jnp.where(inside, (jnp.sqrt(1.0 + 8.0 * safe) + 1.0) / (4.0 * safe) - 1.0, 0.0)


def _water_level(gaps: Vector, kept: Vector, budget: Scalar) -> Scalar:
    """Return the root x of Σ kept u(x + gaps) = budget; gaps >= 0, the smallest 0."""

    def newton_step(level, gaps, budget):
        excess, slope = jax.jvp(
            lambda x: jnp.sum(kept * _variance(x + gaps)) - budget,
            (level,),
            (jnp.ones_like(level),),
        )
        return level - excess / slope

    fixed_gaps, fixed_budget = jax.lax.stop_gradient((gaps, budget))

    def unfinished(state):
        level, previous, count = state
        return (level > previous) & (count < MAX_NEWTON_STEPS)

    def advance(state):
        level, _, count = state
        return newton_step(level, fixed_gaps, fixed_budget), level, count + 1

    # One direction alone meets the budget here, so the excess is >= 0, and the sum is convex and
    # decreasing: Newton climbs monotonically to the root and stops when rounding stops it.
    alone = 1.0 / (1.0 + fixed_budget)
    start = 0.5 * (alone + alone**2)
    level, _, _ = jax.lax.while_loop(unfinished, advance, (start, -jnp.ones_like(start), 0))
    # At the root one more step moves nothing and carries the implicit derivative.
    return newton_step(jax.lax.stop_gradient(level), gaps, budget)
