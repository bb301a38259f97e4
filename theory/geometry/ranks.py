"""Ranks of a representation, each with its definition in its name.

Four numbers called "effective rank" of one matrix can differ by a factor of twenty (centered
or not, singular values or their squares), so nothing here guesses: a function takes exactly
the values its name says, and centering is the caller's.
"""

import jax.numpy as jnp
from jaxtyping import Float, Int

from theory.linalg.arrays import Arr, Scalar, Spectrum, compiled, require_float64
from theory.linalg.errors import InputError

Embeddings = Float[Arr, "examples dim"]


@compiled()
def singular_value_effective_rank(singular_values: Spectrum) -> Scalar:
    r"""Entropy effective rank of a matrix, in the singular-value convention.

    :math:`\exp(-\sum_k p_k \log p_k)` with :math:`p_k = s_k / \sum_j s_j`. Never smaller than
    `variance_effective_rank` of the squared values.

    Args:
      singular_values: s of the matrix, centered or not as the caller decides; >= 0, any scale.

    Returns:
      A number between 1 and the number of nonzero values; nan when all are zero.

    Accuracy:
      Exact to rounding; zeros count as nothing.

    Source:
      Roy and Vetterli, *The effective rank*, EUSIPCO 2007.

    Example:
      Half of the directions carry everything, so half of the dimensions count:

      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(round(float(singular_value_effective_rank(np.array([3.0, 3.0, 0.0, 0.0]))), 6))
      2.0
    """
    require_float64(singular_values=singular_values)
    return exponential_entropy(spectrum_shares(singular_values))


@compiled()
def variance_effective_rank(variances: Spectrum) -> Scalar:
    r"""Entropy effective rank in the variance convention: shares are eigenvalues of a covariance.

    :math:`\exp(-\sum_k p_k \log p_k)` with :math:`p_k = \lambda_k / \sum_j \lambda_j`.

    Args:
      variances: Eigenvalues of a covariance or raw second moment (squared singular values over
        the number of rows); >= 0, any scale.

    Returns:
      A number between 1 and the number of nonzero values; nan when all are zero.

    Accuracy:
      Exact to rounding. Negative values, as round-off leaves them, make it nan: clip them
      knowingly before the call.

    Source:
      Roy and Vetterli, *The effective rank*, EUSIPCO 2007, with squared singular values.

    Example:
      Squaring sharpens a spectrum, so the variance convention never counts more:

      >>> import jax, numpy as np
      >>> s = np.array([2.0, 1.0])
      >>> with jax.enable_x64(True):
      ...     print(float(variance_effective_rank(s**2)) < float(singular_value_effective_rank(s)))
      True
    """
    require_float64(variances=variances)
    return exponential_entropy(spectrum_shares(variances))


@compiled()
def threshold_rank(singular_values: Spectrum, relative_threshold: float | Scalar) -> Int[Arr, ""]:
    """Number of singular values above a fraction of the largest one.

    The sign of a trend can depend on the threshold and on the definition of rank: fix both
    before looking.

    Args:
      singular_values: s of the matrix; >= 0, any order. (For eigenvalues of a covariance
        square the threshold.)
      relative_threshold: epsilon in (0, 1); usual values 1e-1, 1e-2, 1e-3.

    Returns:
      #{k : s_k > epsilon max(s)}, shape ().

    Accuracy:
      Exact; not differentiable.

    Source:
      Standard numerical rank.

    Example:
      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(int(threshold_rank(np.array([1.0, 0.05, 1e-4]), 1e-2)))
      2
    """
    require_float64(singular_values=singular_values)
    return jnp.sum(jnp.asarray(singular_values) > relative_threshold * jnp.max(singular_values))


@compiled()
def participation_ratio(variances: Spectrum) -> Scalar:
    r"""Participation ratio :math:`(\sum_k \lambda_k)^2 / \sum_k \lambda_k^2` of variances.

    The order-2 relative of `variance_effective_rank`, never larger than it.

    Args:
      variances: Eigenvalues of a covariance; >= 0, any scale.

    Returns:
      A number between 1 and the number of nonzero values; nan when all are zero.

    Accuracy:
      Exact to rounding.

    Source:
      Standard (the inverse Simpson index of the shares).

    Example:
      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(round(float(participation_ratio(np.array([1.0, 1.0, 1.0, 0.0]))), 6))
      3.0
    """
    require_float64(variances=variances)
    return 1.0 / jnp.sum(spectrum_shares(variances) ** 2)


@compiled()
def rankme(embeddings: Embeddings, *, epsilon: float | Scalar = 1e-7) -> Scalar:
    r"""RankMe of uncentered embeddings, in the definition of its paper.

    :math:`\exp(-\sum_k p_k \log p_k)` with
    :math:`p_k = \sigma_k(Z) / \lVert\sigma(Z)\rVert_1 + \epsilon`: singular values of the
    embeddings *as they are*, not centered, shares not renormalized after adding epsilon, so it
    can exceed the dimension when epsilon is large.

    Args:
      embeddings: Z, one embedding a row, neither centered nor normalized; the number of rows
        caps the value, so report it.
      epsilon: Added to each share; 1e-7 is the paper's, some libraries use 1e-5 (+3 % at 512
        dimensions).

    Returns:
      RankMe, shape ().

    Accuracy:
      Singular values to 1e-15 of the largest. Compare runs of one method only.

    Source:
      Garrido et al., *RankMe*, ICML 2023.

    Example:
      A common offset is one large direction, and uncentered RankMe sees mostly that:

      >>> import jax, numpy as np
      >>> z = np.random.default_rng(0).standard_normal((400, 16))
      >>> with jax.enable_x64(True):
      ...     print(float(rankme(z + 10.0)) < 0.5 * float(rankme(z)))
      True
    """
    require_float64(embeddings=embeddings)
    values = jnp.linalg.svd(jnp.asarray(embeddings), compute_uv=False)
    return exponential_entropy(spectrum_shares(values) + epsilon)


@compiled("first", "last")
def alpha_req(variances: Spectrum, *, first: int, last: int) -> Scalar:
    r"""Decay exponent alpha of a covariance's eigenvalues, :math:`\lambda_j \propto j^{-\alpha}`.

    Minus the least-squares slope of :math:`\log\lambda_j` on :math:`\log j` over the ranks
    first..last. The range decides the value, so it has no default.

    Args:
      variances: Eigenvalues of the (usually centered) covariance, descending; > 0 in the range.
      first: First rank of the fit, counted from 1.
      last: Last rank of the fit, included.

    Returns:
      alpha, shape ().

    Raises:
      InputError: The range does not hold at least two ranks of the given values.

    Accuracy:
      Exact for a power law; a zero eigenvalue in the range gives nan or infinity.

    Source:
      Agrawal et al., *alpha-ReQ*, NeurIPS 2022.

    Example:
      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(round(float(alpha_req(np.arange(1.0, 101.0) ** -1.5, first=5, last=50)), 6))
      1.5
    """
    require_float64(variances=variances)
    if not 1 <= first < last <= len(variances):
        raise InputError(
            f"alpha_req fits ranks {first}..{last} of {len(variances)} eigenvalues: give"
            f" 1 <= first < last <= {len(variances)}"
        )
    log_rank = jnp.log(jnp.arange(first, last + 1, dtype=float))
    log_value = jnp.log(jnp.asarray(variances)[first - 1 : last])
    centered = log_rank - jnp.mean(log_rank)
    return -jnp.sum(centered * log_value) / jnp.sum(centered**2)


def spectrum_shares(values: Spectrum) -> Spectrum:
    """Values over their sum."""
    return jnp.asarray(values) / jnp.sum(values)


def exponential_entropy(shares: Spectrum) -> Scalar:
    """exp(-Σ p log p) of shares p."""
    # Zero shares count as nothing in the value and in the gradient; negative ones stay nan.
    return jnp.exp(-jnp.sum(shares * jnp.log(jnp.where(shares == 0.0, 1.0, shares))))
