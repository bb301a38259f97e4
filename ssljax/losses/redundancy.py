"""Losses that decorrelate coordinates instead of repelling images: VICReg and Barlow Twins."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from ssljax.losses.embeddings import at_least_float32, check_views, inner_products
from ssljax.losses.objective import LossContext, Objective, pair_objective
from ssljax.losses.spectral import mean_square_apart
from ssljax.system.arrays import Array, Float
from ssljax.system.settings import NONNEGATIVE, Settings, setting


@dataclass(frozen=True, kw_only=True)
class InvarianceSettings(Settings):
    """Settings of `vicreg_covariance`."""

    invariance: float = setting(25.0, "weight of the views' distance", NONNEGATIVE)


@dataclass(frozen=True, kw_only=True)
class VICRegSettings(InvarianceSettings):
    """Settings of `vicreg`."""

    variance: float = setting(25.0, "weight of the hinge on standard deviations", NONNEGATIVE)
    covariance: float = setting(1.0, "weight of off-diagonal covariances", NONNEGATIVE)


@dataclass(frozen=True, kw_only=True)
class BarlowTwinsSettings(Settings):
    """Settings of `barlow_twins`."""

    off_diagonal: float = setting(5e-3, "weight of off-diagonal correlations", NONNEGATIVE)


def vicreg_objective(settings: VICRegSettings, context: LossContext) -> Objective:
    """Return VICReg as an objective."""
    return pair_objective(
        partial(
            vicreg,
            invariance=settings.invariance,
            variance=settings.variance,
            covariance=settings.covariance,
        )
    )


def vicreg_covariance_objective(settings: InvarianceSettings, context: LossContext) -> Objective:
    """Return VICReg with the covariance term alone as an objective."""
    return pair_objective(partial(vicreg_covariance, invariance=settings.invariance))


def barlow_twins_objective(settings: BarlowTwinsSettings, context: LossContext) -> Objective:
    """Return Barlow Twins as an objective."""
    return pair_objective(partial(barlow_twins, off_diagonal=settings.off_diagonal))


def vicreg(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Float[Array, ""]:
    r"""Return VICReg: invariance, hinge on the standard deviations, off-diagonal covariances.

    .. math:: L = \frac{a}{nd}\lVert Z - Z^+\rVert^2
              + \frac{b}{2d}\sum_{Z,k}\big(1 - \sqrt{C_{kk} + 10^{-4}}\big)_+
              + \frac{c}{d}\sum_{Z,\,k\neq l} C_{kl}^2,

    with sums over both views Z and C the centered covariance of one view over the global
    batch, divided by n - 1. a, b, c are the three weights.

    Args:
      first: Embeddings of one view of n images.
      second: Embeddings of the other view, row i from the same image.
      invariance: a.
      variance: b.
      covariance: c.

    Returns:
      The loss; everything in at least float32. Finite gradients for constant embeddings.

    Raises:
      UsageError: If the shapes differ or there are fewer than two pairs.

    Source:
      Bardes, Ponce, LeCun, *VICReg*, ICLR 2022; constants as in the authors' code.
    """
    check_views(first, second, least=2)
    first, second = at_least_float32(first), at_least_float32(second)
    count, dim = first.shape
    spread, mixing = 0.0, 0.0
    for view in (first, second):
        centered = view - jnp.mean(view, axis=0, keepdims=True)
        moments = inner_products(centered.T, centered.T) / (count - 1)
        deviations = jnp.sqrt(jnp.diagonal(moments) + 1e-4)
        spread += jnp.mean(jax.nn.relu(1 - deviations)) / 2
        mixing += jnp.sum(jnp.where(jnp.eye(dim, dtype=bool), 0.0, moments) ** 2) / dim
    distance = jnp.mean((first - second) ** 2)
    return invariance * distance + variance * spread + covariance * mixing


def vicreg_covariance(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    invariance: float | Float[Array, ""],
) -> Float[Array, ""]:
    r"""Return VICReg in the covariance form of the theory, estimated without bias.

    Estimates ``‖C - I‖²_F + κ E‖z - z⁺‖²`` with C = E[z zᵀ] uncentered, by

    .. math:: \frac{1}{n(n-1)}\sum_{i\neq j}(z_i\cdot z_j^+)^2
              - \frac1n\sum_i(\lVert z_i\rVert^2 + \lVert z_i^+\rVert^2) + d
              + \frac{κ}{n}\sum_i\lVert z_i - z_i^+\rVert^2.

    At κ = 1 it is the spectral contrastive loss plus d, batch by batch.

    Args:
      first: Embeddings of one view of n images, not normalized.
      second: Embeddings of the other view, row i from the same image.
      invariance: κ >= 0.

    Returns:
      The loss over the global batch, in at least float32.

    Raises:
      UsageError: If the shapes differ or there are fewer than two pairs.

    Source:
      Derived.
    """
    check_views(first, second, least=2)
    first, second = at_least_float32(first), at_least_float32(second)
    count, dim = first.shape
    norms = (jnp.sum(first**2) + jnp.sum(second**2)) / count
    distance = jnp.sum((first - second) ** 2) / count
    return mean_square_apart(first, second) - norms + dim + invariance * distance


def barlow_twins(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    off_diagonal: float = 5e-3,
) -> Float[Array, ""]:
    r"""Return Barlow Twins with every coordinate standardized over the global batch.

    .. math:: L = \sum_k (1 - c_{kk})^2 + λ\sum_{k\neq l} c_{kl}^2,
              \quad c = \frac1n \hat Z^\top \hat Z^+,

    where the columns of Ẑ have mean 0 and variance 1 (biased variance plus 1e-5, as batch
    normalization without scale). Exchanging the views transposes c and leaves L.

    The 1e-5 decides wherever a coordinate's standard deviation σ is not far above 3e-3: it is
    then standardized to σ / sqrt(σ² + 1e-5) and not to 1. Of x with unit variances against
    1e-3 x, c_kk is 0.3015 instead of 1 and the loss 0.488 a coordinate instead of 0.

    Args:
      first: Embeddings of one view of n images.
      second: Embeddings of the other view, row i from the same image.
      off_diagonal: λ.

    Returns:
      The loss; everything in at least float32. A constant coordinate has c = 0.

    Raises:
      UsageError: If the shapes differ or there are fewer than two pairs.

    Source:
      Zbontar et al., *Barlow Twins*, ICML 2021, equations 1 and 2.
    """
    check_views(first, second, least=2)
    standardized = []
    for view in (at_least_float32(first), at_least_float32(second)):
        centered = view - jnp.mean(view, axis=0, keepdims=True)
        square = jnp.mean(centered**2, axis=0, keepdims=True)
        standardized.append(centered * jax.lax.rsqrt(square + 1e-5))
    dim = first.shape[1]
    correlation = inner_products(standardized[0].T, standardized[1].T) / first.shape[0]
    diagonal = jnp.eye(dim, dtype=bool)
    weights = jnp.where(diagonal, 1.0, off_diagonal)
    return jnp.sum(weights * (jnp.where(diagonal, 1.0, 0.0) - correlation) ** 2)


def barlow_twins_unnormalized(
    first: Float[Array, "batch dim"], second: Float[Array, "batch dim"]
) -> Float[Array, ""]:
    r"""Return Barlow Twins without standardization, as in the theory, estimated without bias.

    Estimates ``‖E[(z z⁺ᵀ + z⁺ zᵀ)/2] - I‖²_F``. With S_i the symmetrized outer product of
    pair i and S its mean over the batch,

    .. math:: \hat L = \frac{1}{n-1}\Big(n\lVert S\rVert_F^2
              - \frac1n\sum_i\lVert S_i\rVert_F^2\Big) - 2\operatorname{tr}S + d.

    Args:
      first: Embeddings of one view of n images, not normalized.
      second: Embeddings of the other view, row i from the same image.

    Returns:
      The loss over the global batch, in at least float32.

    Raises:
      UsageError: If the shapes differ or there are fewer than two pairs.

    Accuracy:
      The expectation is exact for independently drawn images. The subtraction loses digits
      where the batch is not larger than the width.

    Source:
      Simon et al., *On the Stepwise Nature of Self-Supervised Learning*, ICML 2023, for the
      loss; the estimator is derived: pairs i != j of S_i, S_j are independent.
    """
    check_views(first, second, least=2)
    first, second = at_least_float32(first), at_least_float32(second)
    count, dim = first.shape
    cross = inner_products(first.T, second.T) / count
    mean = 0.5 * (cross + cross.T)
    lengths = jnp.sum(first**2, axis=1) * jnp.sum(second**2, axis=1)
    own = 0.5 * jnp.mean(lengths + jnp.sum(first * second, axis=1) ** 2)
    return (count * jnp.sum(mean**2) - own) / (count - 1) - 2 * jnp.trace(mean) + dim
