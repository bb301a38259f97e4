"""Moments of augmented data in closed form, for augmentations that act linearly on the data.

An augmentation x = T x̄ with random T gives Σ = E[T Σ_x Tᵀ] and, for independent views,
M = E[T] Σ_x E[T]ᵀ, where Σ_x is the second moment of the data before augmentation. All moments are
analytic in the strength, so that alignments have derivatives with respect to it.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64
from theory.linalg.errors import InputError
from theory.moments.moments import Moments

Operators = Float[Arr, "operators out dim"]
Probabilities = Float[Arr, " operators"]


def noise_moments(data_covariance: Matrix, noise_variance: float | Scalar) -> Moments:
    """Return moments under additive noise: Σ = Σ_x + σ²I, M = Σ_x, so that a = s/(s + σ²).

    Args:
      data_covariance: Σ_x of the data before augmentation.
      noise_variance: σ², variance of the noise a view adds to each coordinate.

    Returns:
      Population `Moments`.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact for noise of any distribution, independent of the data.

    Source:
      Derived.

    Example:
      How fast does noise destroy a feature of unit variance? Differentiate:

      >>> import jax
      >>> from theory.moments.alignment import alignment
      >>> with jax.enable_x64(True):
      ...     def kept(variance):
      ...         return alignment(noise_moments(jnp.eye(1), variance)).values[0]
      ...     round(float(kept(1.0)), 12), round(float(jax.grad(kept)(1.0)), 12)
      (0.5, -0.25)
    """
    require_float64(data_covariance=data_covariance, noise_variance=noise_variance)
    noise = noise_variance * jnp.eye(data_covariance.shape[0])
    return Moments(data_covariance + noise, jnp.asarray(data_covariance))


def mask_moments(data_covariance: Matrix, keep_probability: float | Scalar) -> Moments:
    """Return moments under masks that keep each coordinate with probability q, independently.

    Σ = q²Σ_x + q(1 − q) diag Σ_x, M = q²Σ_x.

    Args:
      data_covariance: Σ_x of the data before augmentation.
      keep_probability: q, between 0 and 1.

    Returns:
      Population `Moments`.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact.

    Source:
      Derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     moments = mask_moments(jnp.array([[1.0, 0.5], [0.5, 1.0]]), 0.5)
      ...     moments.covariance.tolist(), moments.cross_covariance.tolist()
      ([[0.5, 0.125], [0.125, 0.5]], [[0.25, 0.125], [0.125, 0.25]])
    """
    require_float64(data_covariance=data_covariance, keep_probability=keep_probability)
    shared = keep_probability**2 * data_covariance
    variance = keep_probability * (1.0 - keep_probability) * jnp.diagonal(data_covariance)
    return Moments(shared + jnp.diag(variance), shared)


def complementary_mask_moments(data_covariance: Matrix) -> Moments:
    """Return moments under masks of which one view keeps half, the other view the other half.

    Σ = (Σ_x + diag Σ_x)/4, M = (Σ_x − diag Σ_x)/4: variances that no two coordinates share, such as
    independent noise, leave no trace in M. M is indefinite; negative modes are dropped in training.

    Args:
      data_covariance: Σ_x of the data before augmentation.

    Returns:
      Population `Moments`.

    Raises:
      InputError: The argument is not float64.

    Accuracy:
      Exact.

    Source:
      Derived; known as diagonal-deletion principal components.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     moments = complementary_mask_moments(jnp.array([[1.0, 0.5], [0.5, 9.0]]))
      ...     moments.cross_covariance.tolist()
      [[0.0, 0.125], [0.125, 0.0]]
    """
    require_float64(data_covariance=data_covariance)
    diagonal = jnp.diag(jnp.diagonal(data_covariance))
    return Moments(0.25 * (data_covariance + diagonal), 0.25 * (data_covariance - diagonal))


def gain_moments(
    data_covariance: Matrix, mean_gain: float | Scalar, gain_variance: float | Scalar
) -> Moments:
    """Return moments under random contrast c: Σ = E[c²] Σ_x, M = E[c]² Σ_x; one a for all modes.

    Args:
      data_covariance: Σ_x of the data before augmentation.
      mean_gain: E[c].
      gain_variance: Var c, at least 0.

    Returns:
      Population `Moments`.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact.

    Source:
      Derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     moments = gain_moments(jnp.eye(1), 1.0, 0.25)
      ...     float(moments.covariance[0, 0]), float(moments.cross_covariance[0, 0])
      (1.25, 1.0)
    """
    require_float64(
        data_covariance=data_covariance, mean_gain=mean_gain, gain_variance=gain_variance
    )
    return Moments((mean_gain**2 + gain_variance) * data_covariance, mean_gain**2 * data_covariance)


def linear_operator_moments(
    data_covariance: Matrix, operators: Operators, probabilities: Probabilities | None = None
) -> Moments:
    """Return moments under an augmentation that draws one of finitely many linear operators.

    Σ = Σ_g p_g T_g Σ_x T_gᵀ and M = T̄ Σ_x T̄ᵀ with T̄ = Σ_g p_g T_g. Where the operators are a group
    with equal probabilities, T̄ projects on what the group leaves alone. Crops, blurs and color
    matrices: draw operators and pass the sample.

    Args:
      data_covariance: Σ_x of the data before augmentation, ``(dim, dim)``.
      operators: T_g, ``(operators, out, dim)``.
      probabilities: p_g, adding up to 1; equal if ``None``.

    Returns:
      Population `Moments` of size ``out``.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact for these operators; as a sample of others the error falls as 1/√operators, and M is
      biased by (Σ − M)/operators.

    Source:
      Derived.

    Example:
      Flips of a two-pixel image: the sum is invariant, the difference is destroyed.

      >>> import jax
      >>> from theory.moments.alignment import alignment
      >>> with jax.enable_x64(True):
      ...     operators = jnp.stack([jnp.eye(2), jnp.eye(2)[::-1]])
      ...     print(alignment(linear_operator_moments(jnp.eye(2), operators)).values.round(12))
      [1. 0.]
    """
    count = operators.shape[0]
    weights = np.full(count, 1.0 / count) if probabilities is None else probabilities
    require_float64(data_covariance=data_covariance, operators=operators, probabilities=weights)
    mean = jnp.einsum("g,gij->ij", weights, operators)
    moved = jnp.einsum("gij,jk->gik", operators, data_covariance)
    covariance = jnp.einsum("g,gik,gjk->ij", weights, moved, operators)
    return Moments(covariance, mean @ data_covariance @ mean.T)


def flip_operators(height: int, width: int) -> Operators:
    """Return identity and horizontal flip of row-major images, ``(2, pixels, pixels)``."""
    require_size("height", height)
    require_size("width", width)
    identity = np.eye(height * width)
    flipped = identity.reshape(height, width, -1)[:, ::-1].reshape(height * width, -1)
    return np.stack([identity, flipped])


def shift_operators(height: int, width: int) -> Operators:
    """Return all cyclic shifts of row-major images, ``(pixels, pixels, pixels)``."""
    require_size("height", height)
    require_size("width", width)
    identity = np.eye(height * width).reshape(height, width, -1)
    shifts = [
        np.roll(identity, (down, right), axis=(0, 1)).reshape(height * width, -1)
        for down in range(height)
        for right in range(width)
    ]
    return np.stack(shifts)


def require_size(name: str, value: int) -> None:
    """Refuse a size below 1."""
    if value < 1:
        raise InputError(f"{name} is {value}, wanted at least 1")
