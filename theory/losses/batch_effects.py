"""What a finite batch does to the embedding: biased estimators and noise that kills modes."""

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, Spectrum, require_float64


def same_view_variances(alignment: Spectrum, batch_size: int | Float[Arr, ""]) -> Spectrum:
    r"""Embedding variances when the uniformity term is ‖Ĉ_B‖² of one view, pairs i = j kept.

    For Gaussian data :math:`\mathbb{E}\lVert \hat C_B \rVert^2 = (1 + 1/B) \operatorname{tr} C^2 +
    (\operatorname{tr} C)^2 / B`, and the optimum is

    .. math:: n_i = \frac{(a_i - T/B)_+}{1 + 1/B}, \qquad T = \sum_i n_i:

    a soft threshold that drops every mode with alignment below T/B. The estimator over i ≠ j has
    none.

    Args:
      alignment: Alignment of each mode, any order.
      batch_size: B, number of images in a batch.

    Returns:
      Variance n of each mode in the embedding.

    Raises:
      InputError: Not float64.

    Accuracy:
      Exact for Gaussian data and commuting moments.

    Source:
      Derived.

    Example:
      Many weak modes together push the weakest out:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     kept = same_view_variances(jnp.array([0.9] * 9 + [0.1]), 32)
      ...     float(kept[-1])
      0.0
    """
    require_float64(alignment=alignment)
    values = jnp.sort(jnp.maximum(alignment, 0.0))[::-1]
    counts = jnp.arange(1, values.shape[0] + 1)
    totals = jnp.cumsum(values) / (1.0 + (1.0 + counts) / batch_size)
    # The kept modes are the largest set whose weakest member is still above its own threshold.
    kept = values > totals / batch_size
    total = jnp.max(jnp.where(kept, totals, 0.0))
    return jnp.maximum(alignment - total / batch_size, 0.0) / (1.0 + 1.0 / batch_size)


def cross_view_variances(alignment: Spectrum, batch_size: int | Float[Arr, ""]) -> Spectrum:
    r"""Embedding variances when the uniformity term is over both views, positives i = j kept.

    For Gaussian data the term has mean :math:`(1 - 1/B) \operatorname{tr} C^2 + ((\operatorname{tr}
    C_+)^2 + \operatorname{tr} C^2 + \operatorname{tr} C_+^2)/B` with C₊ the embedding's
    cross-covariance, and

    .. math:: n_i = \frac{a_i (1 - T_+/B)}{1 + a_i^2/B}, \qquad T_+ = \sum_i a_i n_i:

    all modes shrink together, none is dropped.

    Args:
      alignment: Alignment of each mode; negative ones count as 0.
      batch_size: B, number of images in a batch.

    Returns:
      Variance n of each mode in the embedding.

    Raises:
      InputError: Not float64.

    Accuracy:
      Exact for Gaussian data and commuting moments.

    Source:
      Derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     shares = cross_view_variances(jnp.array([0.9] * 9 + [0.1]), 32) / 0.9
      ...     round(float(shares[0]), 3), round(float(9 * shares[-1]), 3)
      (0.798, 0.818)
    """
    require_float64(alignment=alignment)
    values = jnp.maximum(alignment, 0.0)
    shares = values / (1.0 + values**2 / batch_size)
    total = jnp.sum(values * shares)
    return shares * (1.0 - total / (batch_size + total))


def collapse_exponent(
    scale: Spectrum,
    alignment: Spectrum,
    learning_rate: float | Scalar,
    batch_size: int | Float[Arr, ""],
) -> Spectrum:
    r"""Growth rate per step of a mode near the origin under SGD, one layer.

    .. math:: \mathbb{E} \ln |1 + 4 \eta \hat s_+| \approx 4 \eta s a - 8 \eta^2 \left(
        s^2 a^2 + \frac{s^2 + s^2 a^2}{B} \right)

    where :math:`\hat s_+` is the batch's estimate of the cross-covariance s·a, of variance
    :math:`(s^2 + s^2 a^2)/B` for Gaussian data. Where it is negative gradient noise alone
    collapses the mode: roughly a < 2 η s / B.

    Args:
      scale: Variance s of each mode.
      alignment: Alignment a of each mode.
      learning_rate: η.
      batch_size: B, number of positive pairs in a batch.

    Returns:
      Exponent per step.

    Raises:
      InputError: Not float64.

    Accuracy:
      Error O(η³).

    Source:
      Derived: second order in η of the Lyapunov exponent at the origin.

    Example:
      A weak mode survives a large batch and dies in a small one:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     rates = [collapse_exponent(jnp.ones(1), jnp.full(1, 0.01), 0.1, b) for b in (256, 8)]
      ...     [float(rate[0]) > 0 for rate in rates]
      [True, False]
    """
    require_float64(scale=scale, alignment=alignment, learning_rate=learning_rate)
    shared = scale * alignment
    second = shared**2 + (scale**2 + shared**2) / batch_size
    return 4.0 * learning_rate * shared - 8.0 * learning_rate**2 * second
