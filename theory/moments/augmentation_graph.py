"""Finitely many views as a graph: the spectral loss of any function, not only linear ones."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, compiled, require_float64
from theory.linalg.errors import InputError
from theory.linalg.spectral import symmetric_eigenpairs

Views = Float[Arr, " views"]


class AugmentationGraph(NamedTuple):
    """Views as vertices, joined by how often they are two views of one image.

    Attributes:
      weights: w(x, x') of a positive pair, (views, views); they add up to 1.
      degrees: w(x) = Σ w(x, x'), probability of each view.
    """

    weights: Float[Arr, "views views"]
    degrees: Views


class SpectralEmbedding(NamedTuple):
    """Optimum of the spectral contrastive loss over all functions of a view.

    Attributes:
      features: f(x) of each view, (views, rank), columns by descending eigenvalue.
      values: Eigenvalues γ of the normalized graph, (rank,), negative ones as 0.
      loss: Spectral loss −2 E f(x)ᵀf(x⁺) + E(f(x)ᵀf(x'))², −Σγ².
    """

    features: Float[Arr, "views rank"]
    values: Float[Arr, " rank"]
    loss: Scalar


@compiled()
def augmentation_graph(
    view_probabilities: Float[Arr, "images views"],
    image_probabilities: Float[Arr, " images"] | None = None,
) -> AugmentationGraph:
    r"""Graph of the views: :math:`w_{xx'} = E_{\bar x} A(x|\bar x) A(x'|\bar x)`.

    It is the spectral loss's moments with one feature a view: Σ = diag(degrees), M = weights.

    Args:
      view_probabilities: A(x | x̄), rows that add up to 1.
      image_probabilities: Of each image; uniform without.

    Returns:
      `AugmentationGraph`.

    Raises:
      InputError: Not float64.

    Accuracy:
      Machine precision.

    Source:
      HaoChen, Wei, Gaidon and Ma, *Provable guarantees for self-supervised deep learning with
      spectral contrastive loss*, 2021.

    Example:
      Two images with a view in common:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     graph = augmentation_graph(jnp.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]))
      ...     graph.degrees.tolist(), float(graph.weights[0, 2])
      ([0.25, 0.5, 0.25], 0.0)
    """
    require_float64(view_probabilities=view_probabilities, image_probabilities=image_probabilities)
    shares = jnp.asarray(view_probabilities)
    count = shares.shape[0]
    chances = jnp.full(count, 1.0 / count) if image_probabilities is None else image_probabilities
    weights = shares.T @ (chances[:, None] * shares)
    return AugmentationGraph(weights, jnp.sum(weights, axis=1))


@compiled("rank")
def spectral_embedding(graph: AugmentationGraph, rank: int) -> SpectralEmbedding:
    r"""Features that minimize the spectral contrastive loss over all functions of a view.

    With :math:`\bar A = D^{-1/2} w D^{-1/2}` the loss is
    :math:`\lVert \bar A - FF^\top \rVert^2 - \lVert \bar A \rVert^2`, rows of F being
    :math:`\sqrt{w_x} f(x)`: f is :math:`D^{-1/2}` times the leading eigenvectors times √γ, up to a
    rotation.

    Args:
      graph: The views' graph; every view has a positive degree.
      rank: Number of features, at most that of views.

    Returns:
      `SpectralEmbedding`.

    Raises:
      InputError: Not float64, or a rank out of range.

    Accuracy:
      Machine precision; features are unique up to a rotation where the last value kept is simple.

    Source:
      HaoChen, Wei, Gaidon and Ma, 2021; Eckart and Young.

    Example:
      Two images that share no view get features of their own:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     found = spectral_embedding(augmentation_graph(jnp.eye(2)), 2)
      ...     print(found.loss.round(9), (found.features @ found.features.T).round(6)[0])
      -2.0 [2. 0.]
    """
    require_float64(weights=graph.weights, degrees=graph.degrees)
    views = graph.weights.shape[0]
    if not 1 <= rank <= views:
        raise InputError(f"rank is {rank}, wanted between 1 and the {views} views")
    scales = jnp.asarray(graph.degrees) ** -0.5
    values, vectors = symmetric_eigenpairs(scales[:, None] * graph.weights * scales[None, :])
    kept = jnp.maximum(values[::-1][:rank], 0.0)
    features = scales[:, None] * vectors[:, ::-1][:, :rank] * jnp.sqrt(kept)[None, :]
    return SpectralEmbedding(features, kept, -jnp.sum(kept**2))
