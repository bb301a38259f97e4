"""Local geometry of a point cloud: intrinsic dimension, and non-negative kernel neighborhoods.

A representation can be of high rank globally and low dimension locally: report both.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from theory.linalg.arrays import Arr, Scalar, compiled, require_float64
from theory.linalg.errors import InputError

Cloud = Float[Arr, "points dim"]


class Neighborhood(NamedTuple):
    """Non-negative kernel regression of one point on its candidates.

    Attributes:
      weights: θ >= 0 of each candidate; the support are its neighbors.
      neighbors: Number of neighbors, a local dimension.
      diameter: Largest distance between two neighbors, small for an invariant manifold.
    """

    weights: Float[Arr, " candidates"]
    neighbors: Int[Arr, ""]
    diameter: Scalar


def neighbor_distances(cloud: Cloud, num_neighbors: int) -> Float[Arr, "points neighbors"]:
    """Euclidean distances of each point to its nearest others, ascending.

    Args:
      cloud: One point a row; memory grows as points².
      num_neighbors: k, fewer than the points.

    Returns:
      Distances, (points, k); right to about 1e-8 of the largest norm.

    Raises:
      InputError: Fewer than num_neighbors + 1 points.
    """
    require_float64(cloud=cloud)
    if not 1 <= num_neighbors < cloud.shape[0]:
        raise InputError(
            f"{num_neighbors} neighbors among {cloud.shape[0]} points: give between 1 and"
            f" {cloud.shape[0] - 1}"
        )
    cloud = jnp.asarray(cloud)
    squares = jnp.sum(cloud**2, axis=1)
    distances = squares[:, None] + squares[None, :] - 2.0 * cloud @ cloud.T
    distances = jnp.where(jnp.eye(len(cloud), dtype=bool), jnp.inf, distances)
    nearest = -jax.lax.top_k(-distances, num_neighbors)[0]
    return jnp.sqrt(jnp.maximum(nearest, 0.0))


@compiled()
def local_intrinsic_dimension(distances: Float[Arr, "points neighbors"]) -> Float[Arr, " points"]:
    r"""Maximum-likelihood intrinsic dimension at each point from its neighbor distances.

    :math:`\mathrm{LID} = -\big(\tfrac1k\sum_{i\le k}\log (r_i/r_k)\big)^{-1}`. Average over points
    geometrically, `jnp.exp(jnp.mean(jnp.log(lid)))`.

    Args:
      distances: Ascending distances r to the k nearest neighbors, (points, k), k >= 2, > 0.

    Returns:
      One dimension a point.

    Accuracy:
      For locally uniform density the mean of 1 / LID is (1 - 1/k) / dimension, its relative
      spread 1/√k; curvature, boundaries and duplicates (distance 0) bias it.

    Source:
      Amsaleg et al., *Estimating local intrinsic dimensionality*, KDD 2015.

    Example:
      Distances of a uniform density on a line grow linearly with the rank of the neighbor:

      >>> with jax.enable_x64(True):
      ...     distances = jnp.arange(1.0, 1001.0)[None, :]
      ...     print(round(float(local_intrinsic_dimension(distances)[0]), 2))
      1.0
    """
    require_float64(distances=distances)
    distances = jnp.asarray(distances)
    return -1.0 / jnp.mean(jnp.log(distances / distances[:, -1:]), axis=1)


@compiled()
def neighborhood_overlap(
    first_point: Float[Arr, " dim"],
    first: Float[Arr, "candidates dim"],
    first_support: Bool[Arr, " candidates"],
    second_point: Float[Arr, " dim"],
    second: Float[Arr, "candidates dim"],
    second_support: Bool[Arr, " candidates"],
) -> Scalar:
    r"""Mean squared cosine between the subspaces of two adjacent neighborhoods.

    Each neighborhood (a polytope around its point) spans the directions from the point to its
    neighbors; the cosines are those of the principal angles between the two spans. 1 where the
    manifold is flat there, less where it bends; the angle is :math:`\arccos\sqrt{\cdot}`.

    Args:
      first_point: A point, (dim,).
      first: Its candidates, (candidates, dim).
      first_support: Which of them are neighbors, ``weights > 0`` of `kernel_neighborhood`.
      second_point: The adjacent point.
      second: Its candidates.
      second_support: Which of them are its neighbors.

    Returns:
      Number in [0, 1]; nan where either has no neighbor.

    Accuracy:
      Machine precision. Directions below 1e-6 of the longest count as none.

    Source:
      Subspace angles of adjacent polytopes as a measure of curvature: Cosentino et al., *The
      geometry of self-supervised learning models and its impact on transfer learning*, 2022.

    Example:
      Two neighborhoods in one plane:

      >>> with jax.enable_x64(True):
      ...     plane, both = jnp.eye(3)[:2], jnp.array([True, True])
      ...     shifted = plane + jnp.array([[1.0, 0.0, 0.0]])
      ...     zero, one = jnp.zeros(3), jnp.array([1.0, 0.0, 0.0])
      ...     print(float(neighborhood_overlap(zero, plane, both, one, shifted, both).round(9)))
      1.0
    """
    require_float64(first=first, second=second, first_point=first_point, second_point=second_point)
    first_projector, first_rank = _span(first_point, first, first_support)
    second_projector, second_rank = _span(second_point, second, second_support)
    shared = jnp.sum(first_projector * second_projector)
    return shared / jnp.minimum(first_rank, second_rank)


def _span(point, candidates, support):
    """Projector on the span of the directions to the neighbors, and its rank."""
    directions = jnp.where(support[:, None], candidates - jnp.asarray(point)[None, :], 0.0)
    _, singular, right = jnp.linalg.svd(directions, full_matrices=False)
    kept = (singular > 1e-6 * jnp.max(singular)).astype(singular.dtype)
    return (right.T * kept[None, :]) @ right, jnp.sum(kept)


@compiled("num_sweeps")
def kernel_neighborhood(
    point: Float[Arr, " dim"],
    candidates: Float[Arr, "candidates dim"],
    bandwidth: float | Scalar,
    *,
    num_sweeps: int = 200,
) -> Neighborhood:
    r"""Neighborhood of a point by non-negative kernel regression.

    Minimizes :math:`\tfrac12\theta^\top K\theta - \kappa^\top\theta` over
    :math:`\theta \ge 0` with the Gaussian kernel of the candidates and of the point. A
    candidate hidden behind a nearer one in the same direction gets no weight, so the number of
    neighbors follows the local geometry and not the number of candidates.

    Args:
      point: q, (dim,).
      candidates: Its k nearest points, (k, dim), distinct.
      bandwidth: Standard deviation of the kernel, in units of the points.
      num_sweeps: Sweeps of coordinate descent.

    Returns:
      `Neighborhood`.

    Accuracy:
      Coordinate descent converges linearly at the kernel's conditioning: weights right to 1e-5
      where candidates are a bandwidth apart, better with more sweeps.

    Source:
      Shekkizhar and Ortega, *Neighborhood and graph constructions using non-negative kernel
      regression*; used by Cosentino et al., *The geometry of self-supervised learning models and
      its impact on transfer learning*, 2022.

    Example:
      The second point on one ray is screened by the first:

      >>> with jax.enable_x64(True):
      ...     candidates = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      ...     print(int(kernel_neighborhood(jnp.zeros(2), candidates, 1.0).neighbors))
      2
    """
    require_float64(point=point, candidates=candidates, bandwidth=bandwidth)
    candidates = jnp.asarray(candidates)
    between = jnp.sum((candidates[:, None, :] - candidates[None, :, :]) ** 2, axis=-1)
    to_point = jnp.sum((candidates - jnp.asarray(point)[None, :]) ** 2, axis=-1)
    kernel = jnp.exp(-0.5 * between / bandwidth**2)
    similarity = jnp.exp(-0.5 * to_point / bandwidth**2)

    def update(index, weights):
        # The kernel's diagonal is 1, so this is the exact minimum along one coordinate.
        gradient = kernel[index] @ weights - similarity[index]
        return weights.at[index].set(jnp.maximum(weights[index] - gradient, 0.0))

    def sweep(weights, _):
        return jax.lax.fori_loop(0, len(similarity), update, weights), None

    weights, _ = jax.lax.scan(sweep, jnp.zeros_like(similarity), None, length=num_sweeps)
    support = weights > 1e-10
    pairs = support[:, None] & support[None, :]
    diameter = jnp.sqrt(jnp.max(jnp.where(pairs, between, 0.0)))
    return Neighborhood(weights, jnp.sum(support), diameter)
