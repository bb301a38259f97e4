"""The optimal linear projector of InfoNCE: which directions survive, with how much variance.

Views are h = m + ξ with m ~ N(·, Σ_b), ξ ~ N(0, Σ_w), S = Σ_w + Σ_b and infinitely many
negatives. Everything depends on the encoder only through the augmentation fractions ρ of
`theory.geometry.invariance`. Variances u of the embedding along them are in units of the
temperature.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from theory.geometry.ranks import variance_effective_rank
from theory.linalg.arrays import Arr, Matrix, Scalar, Vector, compiled, require_float64
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


@compiled("rank")
def euclidean_projector(fractions: Vector, *, rank: int | None = None) -> Vector:
    r"""Variances of the optimal linear projector under Euclidean InfoNCE.

    The population loss separates into
    :math:`\varphi_\rho(u) = \rho u - \tfrac12\log(1+u) - \tfrac12 u/(1+u)`, whose minimum is
    :math:`u^*(\rho) = 1/v - 1`, :math:`v = (\sqrt{1+8\rho}-1)/2`; a projector of rank K keeps the
    K directions with the smallest fractions. :math:`u^* \approx 1/(2\rho)` for small fractions,
    0 from :math:`\rho = 1` on.

    Args:
      fractions: ρ > 0 of the directions, any order; 1 outside the data.
      rank: Output dimension K of the projector; None keeps every direction.

    Returns:
      u per direction, in units of the temperature; zero where dropped.

    Raises:
      InputError: The rank is below 1, or the fractions are not float64.

    Accuracy:
      Exact global minimum for Gaussian views and infinitely many negatives. A fraction of 0 gives
      infinity: nothing bounds the gain of a direction that augmentation never touches.

    Source:
      Derived: for fixed eigenvalues of the whitened Gram von Neumann's trace inequality aligns it
      with the fractions, and the loss separates.

    Example:
      A clean direction is amplified, a noisy one barely kept, pure noise removed:

      >>> with jax.enable_x64(True):
      ...     print(jnp.round(euclidean_projector(jnp.array([0.01, 0.5, 1.0])), 2))
      [49.98  0.62  0.  ]
    """
    require_float64(fractions=fractions)
    fractions = jnp.asarray(fractions)
    return _kept(fractions, rank) * _variance(fractions)


def cosine_projector(
    fractions: Vector, temperature: float | Scalar, *, rank: int | None = None
) -> CosineProjector:
    r"""Optimal linear projector under cosine InfoNCE: reverse water-filling with a rank cut.

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
    kept = _kept(fractions, rank)
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


def temperature_limit(fractions: Vector, *, rank: int | None = None) -> Scalar:
    r"""Lowest temperature for which the water-filling is valid, :math:`1/\sum_k u^*(\rho_k)`.

    Below it the budget exceeds what even an unconstrained projector wants, the multiplier turns
    negative and the relaxation of the norm fails.

    Args:
      fractions: ρ > 0 of the directions.
      rank: Output dimension of the projector; None keeps every direction.

    Returns:
      τ*, shape (); infinite when every direction is pure noise.

    Source:
      Derived: the multiplier is zero there.

    Example:
      >>> with jax.enable_x64(True):
      ...     print(round(float(temperature_limit(jnp.full(50, 0.1))), 4))
      0.0041
    """
    return 1.0 / jnp.sum(euclidean_projector(fractions, rank=rank))


@compiled()
def projector_loss(fractions: Vector, variances: Vector) -> Scalar:
    r"""Population InfoNCE :math:`\sum_k \rho_k u_k - \tfrac12\log(1+u_k) - \tfrac12 u_k/(1+u_k)`.

    The constant logarithm of the number of negatives is left out.

    Args:
      fractions: ρ of the generalized directions.
      variances: u of the embedding along them, in units of the temperature, >= 0.

    Returns:
      The loss, shape (); 0 for u = 0.
    """
    require_float64(fractions=fractions, variances=variances)
    variances = jnp.asarray(variances)
    decay = 0.5 * jnp.log1p(variances) + 0.5 * variances / (1.0 + variances)
    return jnp.sum(jnp.asarray(fractions) * variances - decay)


@compiled()
def euclidean_infonce_loss(
    weight: Float[Arr, "rank dim"],
    within: Matrix,
    covariance: Matrix,
    temperature: float | Scalar,
) -> Scalar:
    r"""Population InfoNCE of a linear projector, similarity minus half the squared distance.

    :math:`\mathrm{tr}(W\Sigma_wW^\top)/\tau - \tfrac12\log\det(I + C/\tau) -
    \tfrac12\mathrm{tr}\,C(\tau I + C)^{-1}` with :math:`C = WSW^\top`, for Gaussian views and
    infinitely many negatives (their logarithm left out).

    Args:
      weight: W of the projector, (rank, dim).
      within: Σ_w.
      covariance: S = Σ_w + Σ_b.
      temperature: τ > 0.

    Returns:
      The loss, shape (); 0 for W = 0.

    Accuracy:
      Exact for Gaussian views.

    Source:
      Derived: Gaussian integral over the negatives.

    Example:
      A direction of pure augmentation noise only costs:

      >>> with jax.enable_x64(True):
      ...     one = jnp.eye(1)
      ...     print(float(euclidean_infonce_loss(one, one, one, 1.0)) > 0)
      True
    """
    require_float64(weight=weight, within=within, covariance=covariance, temperature=temperature)
    weight = jnp.asarray(weight)
    output = weight @ covariance @ weight.T / temperature
    identity = jnp.eye(len(output))
    _, log_determinant = jnp.linalg.slogdet(identity + output)
    spread = jnp.trace(jnp.linalg.solve(identity + output, output))
    return jnp.trace(weight @ within @ weight.T) / temperature - 0.5 * (log_determinant + spread)


@compiled()
def projector_weight(variances: Vector, directions: Matrix, temperature: float | Scalar) -> Matrix:
    """Weight W with embedding variance τu along generalized directions, one row a direction.

    The optimum is this up to a rotation of the output; its Gram WᵀW is unique.

    Args:
      variances: u along each direction, in units of the temperature.
      directions: Columns g of `theory.geometry.invariance.augmentation_fractions`.
      temperature: τ > 0.

    Returns:
      W, (directions, dim).
    """
    require_float64(variances=variances, directions=directions, temperature=temperature)
    return jnp.sqrt(temperature * jnp.asarray(variances))[:, None] * jnp.asarray(directions).T


def _kept(fractions: Vector, rank: int | None) -> Vector:
    if rank is None:
        return jnp.ones_like(fractions)
    if rank < 1:
        raise InputError(f"a projector of rank {rank} keeps nothing: give a rank of at least 1")
    position = jnp.argsort(jnp.argsort(fractions))
    return (position < rank).astype(fractions.dtype)


def _variance(level: Vector) -> Vector:
    """Solution u >= 0 of v + v² = 2 level with v = 1/(1 + u), free of cancellation."""
    inside = level < 1.0
    safe = jnp.where(inside, level, 0.5)
    return jnp.where(inside, (jnp.sqrt(1.0 + 8.0 * safe) + 1.0) / (4.0 * safe) - 1.0, 0.0)


def _water_level(gaps: Vector, kept: Vector, budget: Scalar) -> Scalar:
    """Root x of Σ kept u(x + gaps) = budget; gaps >= 0, the smallest 0."""

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
