"""Differentiable numbers of what a network keeps: a direction's share, ranks, active modes.

Any of them can be differentiated with respect to the parameters of an augmentation: `jax.grad`
runs through the moments and `theory.solve`, as in the example of `layer_share`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.geometry.ranks import variance_effective_rank
from theory.layers.grams import HasGrams, layer_weights
from theory.linalg.arrays import Arr, Matrix, Scalar, Vector, require_float64
from theory.optimum.solve import Prediction


def layer_share(
    prediction: HasGrams, direction: Vector, covariance: Matrix
) -> Float[Arr, " depth"]:
    r"""Return the share of every layer's variance that lies along a direction of the features.

    With u the direction and Π = I − uuᵀ the rest,
    :math:`u^\top G_l u\, u^\top \Sigma u / (u^\top G_l u\, u^\top \Sigma u +
    \operatorname{tr} G_l \Pi \Sigma \Pi)`: one over the indicator (radius/margin)² of the labels
    that a task along u needs, for data without noise (`theory.downstream.layer_choice`).

    Args:
      prediction: `theory.solve` of the moments.
      direction: Unit vector u.
      covariance: Σ of the data that the layers are to be read on.

    Returns:
      Shares in [0, 1] of layers 1 to L, (depth,); 0 in a layer that keeps nothing.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      That of the Grams, derivatives included.

    Source:
      Derived.

    Example:
      How fast does the head lose a weak feature as noise grows? Differentiate through `solve`:

      >>> from theory.losses.family import spectral
      >>> from theory.moments.augmentations import noise_moments
      >>> from theory.optimum.solve import solve
      >>> with jax.enable_x64(True):
      ...     data, feature = jnp.diag(jnp.array([1.0, 0.1])), jnp.array([0.0, 1.0])
      ...     def share_after_head(noise):
      ...         moments = noise_moments(data, noise)
      ...         return layer_share(solve(spectral(moments)), feature, data)[-1]
      ...     print(round(float(jax.grad(share_after_head)(0.05)), 3))
      -2.522
    """
    require_float64(direction=direction, covariance=covariance)
    unit = jnp.asarray(direction)
    rest = jnp.eye(unit.shape[0]) - jnp.outer(unit, unit)
    along = layer_weights(prediction, unit) ** 2 * (unit @ covariance @ unit)
    across = jnp.einsum("lij,ji->l", prediction.grams, rest @ covariance @ rest)
    total = along + across
    return jnp.where(total > 0.0, along / jnp.where(total > 0.0, total, 1.0), 0.0)


def effective_ranks(prediction: Prediction) -> Float[Arr, " layers"]:
    """Return the entropy effective rank of every layer spectrum, data first; differentiable.

    Args:
      prediction: `theory.solve` of the moments.

    Returns:
      Ranks of layers 0 to L, (depth + 1,), in the variance convention; the last two of a network
      whose last layer is the head are the ranks before and after it. NaN where nothing is left.

    Accuracy:
      That of the spectra, derivatives included.
    """
    return jax.vmap(variance_effective_rank)(jnp.maximum(prediction.layer_spectra, 0.0))


def count_active(prediction: Prediction, *, width: float | Scalar = 1e-3) -> Scalar:
    r"""Return a smooth count :math:`\sum_i n_i / (n_i + \epsilon)` of the modes that are kept.

    Args:
      prediction: `theory.solve` of the moments.
      width: ε, the variance in the embedding at which a mode counts half.

    Returns:
      Number between 0 and the number of active modes, which it tends to as ε falls; its gradient
      says which augmentation starves the modes near ε.

    Accuracy:
      That of the spectra, derivatives included.
    """
    sizes = jnp.maximum(prediction.layer_spectra[-1], 0.0)
    return jnp.sum(sizes / (sizes + width))
