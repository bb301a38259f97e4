"""The gradient of InfoNCE for a linear projector, as a difference of two covariances.

What drives the projector is the covariance of its negatives, weighted by similarity (a local
principal component analysis of the data), minus that of its positives (the augmentation).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, Scalar, compiled, require_float64

Features = Float[Arr, "images dim"]
Candidates = Float[Arr, "images dim"]
Weight = Float[Arr, "rank dim"]


class PairCovariances(NamedTuple):
    """Second moments of feature differences that drive a linear projector.

    Attributes:
      negative: Σ_neg = E_i Σ_j p_ij (h_i - h'_j)(h_i - h'_j)ᵀ, weights p of the softmax.
      positive: Σ_pos = E_i (h_i - h'_i)(h_i - h'_i)ᵀ.
    """

    negative: Matrix
    positive: Matrix


@compiled()
def pair_covariances(
    weight: Weight, features: Features, candidates: Candidates, temperature: float | Scalar
) -> PairCovariances:
    r"""Negative and positive covariance of Euclidean InfoNCE at a linear projector.

    For z = W h, similarity :math:`-\lVert z - z'\rVert^2/2` and candidates h' (h'_i the positive
    of h_i), :math:`-\partial L/\partial W = \tfrac1\tau W(\Sigma_{neg} - \Sigma_{pos})` exactly:
    directions where augmentation displaces more than the neighborhood spreads are removed.

    Args:
      weight: W, (rank, dim).
      features: h, first views, (images, dim).
      candidates: h', second views of the same images in the same order.
      temperature: τ > 0.

    Returns:
      `PairCovariances` at this weight.

    Accuracy:
      Exact for the batch. A low temperature makes the weights concentrate on neighbors.

    Source:
      Derived by differentiating the softmax; the same object as X of Jing et al., *Understanding
      dimensional collapse in contrastive self-supervised learning*, ICLR 2022.

    Example:
      Identical views have nothing to remove:

      >>> with jax.enable_x64(True):
      ...     h = jnp.array([[0.0, 1.0], [2.0, 0.0]])
      ...     print(pair_covariances(jnp.eye(2), h, h, 1.0).positive.trace())
      0.0
    """
    require_float64(
        weight=weight, features=features, candidates=candidates, temperature=temperature
    )
    features, candidates = jnp.asarray(features), jnp.asarray(candidates)
    z, other = features @ weight.T, candidates @ weight.T
    # -‖z - z'‖²/2 up to a term constant over the candidates.
    logits = (z @ other.T - 0.5 * jnp.sum(other**2, axis=1)[None, :]) / temperature
    shares = jax.nn.softmax(logits, axis=1) / len(features)
    crossed = features.T @ shares @ candidates
    negative = (
        features.T @ features / len(features)
        + (candidates * jnp.sum(shares, axis=0)[:, None]).T @ candidates
        - crossed
        - crossed.T
    )
    difference = features - candidates
    return PairCovariances(negative, difference.T @ difference / len(features))


@compiled()
def dot_product_drive(
    weight: Weight, features: Features, candidates: Candidates, temperature: float | Scalar
) -> Matrix:
    r"""Symmetric matrix that drives a linear projector under dot-product InfoNCE.

    :math:`-\partial L/\partial W = \tfrac1\tau W(C + C^\top)` with
    :math:`C = E_i[h_ih_i'^\top - \sum_j p_{ij}h_ih_j'^\top]`.

    Args:
      weight: W, (rank, dim).
      features: h, first views, (images, dim).
      candidates: h', second views of the same images in the same order.
      temperature: τ > 0.

    Returns:
      C + Cᵀ, (dim, dim).

    Accuracy:
      Exact for the batch.

    Source:
      Derived by differentiating the softmax.

    Example:
      At a weight of zero all candidates count alike, and C is the covariance of the pairs:

      >>> with jax.enable_x64(True):
      ...     h = jnp.array([[1.0], [-1.0]])
      ...     print(dot_product_drive(jnp.zeros((1, 1)), h, h, 0.5))
      [[2.]]
    """
    require_float64(
        weight=weight, features=features, candidates=candidates, temperature=temperature
    )
    features, candidates = jnp.asarray(features), jnp.asarray(candidates)
    shares = jax.nn.softmax(features @ weight.T @ weight @ candidates.T / temperature, axis=1)
    drive = features.T @ (candidates - shares @ candidates) / len(features)
    return drive + drive.T
