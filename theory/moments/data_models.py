"""Data of independent features of given strength, and augmentations that act on each of them.

Features are orthonormal directions. An image has feature i with amplitude φ_i ε_i, ε_i = ±1, and
noise of variance τ² that its views share; a view keeps feature i with probability α_i, and adds
noise of variance σ². Not keeping means drawing the sign afresh (resampling), or zero (dropping):
the two differ in what a network makes of the feature.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, compiled, require_float64
from theory.moments.moments import Moments

Features = Float[Arr, " dim"]


class FeatureModel(NamedTuple):
    """Strengths of features and what augmentation does to them.

    Attributes:
      strength: φ_i, amplitude of each feature, at least 0.
      retention: α_i, probability that a view keeps it, between 0 and 1.
      view_noise: σ, standard deviation of the noise of a view in every direction.
      shared_noise: τ, standard deviation of the noise that all views of an image share.
    """

    strength: Features
    retention: Features
    view_noise: float | Scalar = 0.0
    shared_noise: float | Scalar = 0.0


@compiled()
def resampling_moments(model: FeatureModel) -> Moments:
    """Return moments of views that redraw signs: Σ_ii = φ² + τ² + σ², M_ii = α²φ² + τ².

    Keeping always (α = 1) leaves views that differ by noise alone. Without shared noise the weight
    of a feature after the head is αφ/(φ² + σ²).

    Args:
      model: The features.

    Returns:
      Population `Moments`, diagonal.

    Raises:
      InputError: The model is not float64.

    Accuracy:
      Exact.

    Source:
      Derived: both views keep a feature with probability α².

    Example:
      Augmentation that resamples a feature lowers its weight:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     model = FeatureModel(jnp.ones(2), jnp.array([1.0, 0.5]), view_noise=1.0)
      ...     moments = resampling_moments(model)
      ...     (jnp.diagonal(moments.cross_covariance) ** 0.5 / 2.0).tolist()
      [0.5, 0.25]
    """
    _require_float64(model)
    squares = model.strength**2
    return _diagonal_moments(model, squares, model.retention**2 * squares)


@compiled()
def dropping_moments(model: FeatureModel) -> Moments:
    """Return moments of views that drop features: Σ_ii = αφ² + τ² + σ², M_ii = α²φ² + τ².

    Without any noise the weight after the head is 1/φ whatever the retention, for only the
    alignment falls: dropping alone does not make a network forget a feature.

    Args:
      model: The features.

    Returns:
      Population `Moments`, diagonal.

    Raises:
      InputError: The model is not float64.

    Accuracy:
      Exact.

    Source:
      Derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     moments = dropping_moments(FeatureModel(jnp.ones(2), jnp.array([1.0, 0.5])))
      ...     variance, shared = map(jnp.diagonal, (moments.covariance, moments.cross_covariance))
      ...     (shared**0.5 / variance).tolist(), (shared / variance).tolist()
      ([1.0, 1.0], [1.0, 0.5])
    """
    _require_float64(model)
    squares = model.strength**2
    return _diagonal_moments(model, model.retention * squares, model.retention**2 * squares)


def _require_float64(model: FeatureModel) -> None:
    require_float64(**model._asdict())


def _diagonal_moments(model: FeatureModel, variance: Features, shared: Features) -> Moments:
    common = shared + model.shared_noise**2
    noise = model.shared_noise**2 + model.view_noise**2
    return Moments(jnp.diag(variance + noise), jnp.diag(common), mean=jnp.zeros_like(variance))
