"""Which layer serves a downstream task better, and by how much, from the weights of features.

The task is the sign of one feature k. A layer that weighs feature i by w_i, of variance v_i, has
squared radius Σ w_i²v_i and margin w_kφ_k; its indicator (radius/margin)² grows with the number of
labels the task needs. In a balanced network the weights of layer l are s_i^(l/L).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float

from theory.linalg.arrays import Arr, Scalar, compiled, require_float64

Features = Float[Arr, " features"]
Fractions = Float[Arr, " fractions"]


@compiled()
def sample_indicators(
    weights: Features,
    variances: Features,
    strengths: Features,
    fractions: Fractions,
) -> Float[Arr, "features fractions"]:
    r"""Return the indicator (radius/margin)² of each feature as the task, in each layer.

    :math:`I_k(t) = \sum_i v_i s_i^{2t} / (\varphi_k^2 s_k^{2t})` at fractional depth t = l/L,
    log-convex in t: there is one best layer.

    Args:
      weights: s_i >= 0, weights at the output. A feature of weight 0 is in no layer but the input.
      variances: v_i >= 0 of the features in the downstream data: φ² + σ², or φ² without noise.
      strengths: φ_i > 0, amplitudes of the features in the downstream data.
      fractions: Fractional depths; 1/2 and 1 are pre- and post-projection at two layers.

    Returns:
      Indicators, ``(features, fractions)``; lower needs fewer labels, infinite where the feature is
      absent.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact for hard margins over all sign patterns of the features.

    Source:
      Derived.

    Example:
      The weaker of two features is served better before the head, the stronger after it:

      >>> import jax

      >>> with jax.enable_x64(True):
      ...     ones = jnp.ones(2)
      ...     table = sample_indicators(jnp.array([1.0, 0.25]), ones, ones, jnp.array([0.5, 1.0]))
      ...     table.tolist()
      [[1.25, 1.0625], [5.0, 17.0]]
    """
    require_float64(weights=weights, variances=variances, strengths=strengths, fractions=fractions)
    kept = jnp.asarray(weights) > 0.0
    logs = jnp.log(jnp.where(kept, weights, 1.0))
    # Ratios to the task's own weight, so that no power of a small weight underflows.
    ratios = 2.0 * (logs[None, :] - logs[:, None])
    powers = jnp.exp(ratios[:, None, :] * fractions[None, :, None])
    present = kept[:, None] | (jnp.asarray(fractions) == 0.0)[None, :]
    sums = jnp.sum(jnp.where(present.T[None], powers * variances[None, None, :], 0.0), axis=-1)
    return jnp.where(present, sums / strengths[:, None] ** 2, jnp.inf)


@compiled()
def head_disadvantages(weights: Features, variances: Features) -> Features:
    r"""Return the ratio :math:`I_{post}/I_{pre} = \bar s / s_k` of each feature at two layers.

    :math:`\bar s = \sum_i s_i^2 v_i / \sum_i s_i v_i`. Above 1 the representation before the head
    is better, below 1 the one after it.

    Args:
      weights: s_i > 0, weights after the head.
      variances: v_i of the features in the downstream data.

    Returns:
      Ratios, ``(features,)``.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact.

    Source:
      Derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     head_disadvantages(jnp.array([1.0, 0.25]), jnp.ones(2)).tolist()
      [0.85, 3.4]
    """
    require_float64(weights=weights, variances=variances)
    return jnp.sum(weights**2 * variances) / jnp.sum(weights * variances) / weights


class Scenarios(NamedTuple):
    """Where the representation before the head is the better one for a feature, and why.

    Attributes:
      disrupted: Retention below which augmentation has disrupted the feature too much.
      weak: Strength below which the feature is too weak beside the noise of a view.
      strong: Strength above which it is too strong. Between weak and strong the head helps; where
        both are nan it never does.
    """

    disrupted: Scalar
    weak: Scalar
    strong: Scalar


@compiled()
def scenario_edges(
    strength: Scalar | float,
    retention: Scalar | float,
    view_noise: Scalar | float,
    threshold: Scalar | float,
) -> Scenarios:
    r"""Return the three scenarios in which a task's feature is better read before the head.

    A feature has weight :math:`\alpha\varphi / (\varphi^2 + \sigma^2)`, and is better read before
    the head iff that is below the threshold: α below :math:`\bar s (\varphi^2 + \sigma^2)/\varphi`,
    or φ outside of :math:`(\alpha \pm \sqrt{\alpha^2 - 4 \bar s^2 \sigma^2}) / 2 \bar s`.

    Args:
      strength: φ > 0 of the feature.
      retention: α of the feature, between 0 and 1.
      view_noise: σ > 0 of a view.
      threshold: s̄ of the other features, see `weight_threshold`.

    Returns:
      `Scenarios`: edges in retention at this strength, and in strength at this retention.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact, for resampling augmentations (`theory.moments.data_models.resampling_moments`).

    Source:
      Derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     edges = scenario_edges(1.0, 1.0, 0.5, 0.6)
      ...     [round(float(edge), 3) for edge in edges]
      [0.75, 0.167, 1.5]
    """
    require_float64(
        strength=strength, retention=retention, view_noise=view_noise, threshold=threshold
    )
    discriminant = jnp.asarray(retention**2 - 4.0 * threshold**2 * view_noise**2)
    root = jnp.sqrt(jnp.where(discriminant >= 0, discriminant, jnp.nan))
    strong = (retention + root) / (2.0 * threshold)
    return Scenarios(
        disrupted=jnp.asarray(threshold * (strength**2 + view_noise**2) / strength),
        # The product of the two edges is σ²; dividing keeps the small one exact.
        weak=view_noise**2 / strong,
        strong=strong,
    )


@compiled()
def weight_threshold(weights: Features, variances: Features, others: Bool[Arr, " features"]) -> Arr:
    r"""Return the weight :math:`\bar s = \sum s_i^2 v_i / \sum s_i v_i` over the other features.

    A feature with less weight than this is better read before the head, one with more after it. The
    threshold does not depend on the feature itself.

    Args:
      weights: s_i > 0, weights after the head.
      variances: v_i of the features in the downstream data.
      others: True for every feature but the task's.

    Returns:
      The threshold.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact.

    Source:
      Derived: Σ_{i≠k} s_i v_i (s_i − s_k) changes sign there.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     weights, others = jnp.array([1.0, 0.5, 0.1]), jnp.array([True, True, False])
      ...     round(float(weight_threshold(weights, jnp.ones(3), others)), 6)
      0.833333
    """
    require_float64(weights=weights, variances=variances)
    counted = jnp.where(others, variances, 0.0)
    return jnp.sum(weights**2 * counted) / jnp.sum(weights * counted)
