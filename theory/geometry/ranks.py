"""Ranks of a representation, each with its definition in its name.

Four numbers called "effective rank" of one matrix can differ by a factor of twenty (centered or
not, singular values or their squares). Every function here takes exactly the values that its name
says; the caller centers.
"""

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, Scalar, Spectrum, compiled, require_float64
from theory.linalg.spectral import singular_values, symmetric_eigenvalues

Embeddings = Float[Arr, "examples dim"]


@compiled()
def variance_effective_rank(variances: Spectrum) -> Scalar:
    r"""Return the entropy effective rank of a covariance, in the variance convention.

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
      Two equal variances, and a third too small to count:

      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(round(float(variance_effective_rank(np.array([3.0, 3.0, 1e-9]))), 6))
      2.0
    """
    require_float64(variances=variances)
    return exponential_entropy(spectrum_shares(variances))


@compiled()
def rankme(embeddings: Embeddings, *, epsilon: float | Scalar = 1e-7) -> Scalar:
    r"""Return RankMe of uncentered embeddings, in the definition of its paper.

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
    values = singular_values(jnp.asarray(embeddings))
    return exponential_entropy(spectrum_shares(values) + epsilon)


@compiled()
def lidar(
    between: Matrix, within: Matrix, *, delta: float | Scalar = 1e-4, epsilon: float | Scalar = 1e-8
) -> Scalar:
    r"""Return LiDAR, the effective rank that linear discriminant analysis sees, images as classes.

    :math:`\exp(-\sum p\log p)` with :math:`p = \lambda/\lVert\lambda\rVert_1 + \epsilon` and
    :math:`\lambda` the eigenvalues of
    :math:`(\Sigma_w + \delta I)^{-1/2}\Sigma_b(\Sigma_w + \delta I)^{-1/2}` themselves (not
    their squares, which is what a principal component analysis of that matrix would give). Class
    labels play no role.

    Args:
      between: Σ_b, covariance of the images' mean representations, (dim, dim); from moments
        M − E[x]E[x]ᵀ, from q views of each image that plus Σ_w/q.
      within: Σ_w, mean covariance of the views of one image, (dim, dim), without delta; from
        moments Σ − M.
      delta: Added to the diagonal of the within covariance, in its units; > 0, or the covariance
        invertible.
      epsilon: Added to each share.

    Returns:
      LiDAR, shape ().

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact to rounding times the condition of the within covariance plus delta. With delta = 0 the
      eigenvalues are (1 − ρ)/ρ of `theory.geometry.invariance.augmentation_fractions`.

    Source:
      Thilak et al., *LiDAR*, ICLR 2024.

    Example:
      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(round(float(lidar(np.diag([1.0, 1.0, 0.0]), np.eye(3))), 4))
      2.0
    """
    require_float64(between=between, within=within)
    within = jnp.asarray(within)
    factor = jnp.linalg.cholesky(within + delta * jnp.eye(len(within)))
    half = jnp.linalg.solve(factor, jnp.asarray(between))
    values = symmetric_eigenvalues(jnp.linalg.solve(factor, half.T))
    # Round-off leaves the null space of a rank-deficient between covariance at -1e-17.
    return exponential_entropy(spectrum_shares(jnp.where(values > 0, values, 0.0)) + epsilon)


def spectrum_shares(values: Spectrum) -> Spectrum:
    """Return values over their sum."""
    return jnp.asarray(values) / jnp.sum(values)


def exponential_entropy(shares: Spectrum) -> Scalar:
    """Return exp(−Σ p log p) of shares p."""
    # Zero shares count as nothing in the value and in the gradient; negative ones stay nan.
    return jnp.exp(-jnp.sum(shares * jnp.log(jnp.where(shares == 0.0, 1.0, shares))))
