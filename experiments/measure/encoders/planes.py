"""Planes in the space of a feature, one at each image: what a head keeps, where data lie."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64

from experiments.networks.variant import Variant
from theory.geometry.subspaces import subspace_overlap

Bases = Float64[np.ndarray, "images width rank"]
"""An orthonormal basis at each image, in columns."""

RANK_TOLERANCE = 1e-5
"""Singular values of a slope below this share of the largest are rounding of float32."""


def find_slopes(
    draw: Variant, features: Float[np.ndarray, "images width"]
) -> Float64[np.ndarray, "images out width"]:
    """Return the derivative of a head's output with respect to the feature, at each image.

    Args:
      draw: Whose head.
      features: Exactly as the head receives them.

    Returns:
      One matrix for each image; exact for a head of rectified linear units, which is linear
      around almost every feature.
    """
    return np.asarray(_find_slopes(draw.head, draw.params, draw.statistics, features), np.float64)


@partial(jax.jit, static_argnums=0)
def _find_slopes(head: Any, params: Any, statistics: Any, features: Any) -> Any:
    def embed(feature):
        return head(params, statistics, feature[None])[0]

    return jax.vmap(jax.jacrev(embed))(features)


def count_ranks(slopes: Float64[np.ndarray, "images out width"]) -> Float64[np.ndarray, " images"]:
    """Return the number of singular values of each slope that are not rounding."""
    singular = np.linalg.svd(slopes, compute_uv=False)
    return np.sum(singular > RANK_TOLERANCE * singular[:, :1], axis=1).astype(np.float64)


def find_leading_planes(matrices: Float[np.ndarray, "images rows width"], rank: int) -> Bases:
    """Return the leading right singular vectors of each matrix.

    Args:
      matrices: Slopes of a head, or displacements of a feature in their rows.
      rank: Dimensions of the planes.

    Returns:
      The leading eigenvectors of each matrix's Gram matrix, in float64: exact to the square root
      of rounding where singular values are that small beside the largest.
    """
    matrices = np.asarray(matrices, np.float64)
    _, vectors = np.linalg.eigh(np.swapaxes(matrices, 1, 2) @ matrices)
    return vectors[:, :, ::-1][:, :, :rank]


def find_neighbor_differences(
    points: Float[np.ndarray, "points width"], pool: Float[np.ndarray, "pool width"], count: int
) -> Float64[np.ndarray, "points count width"]:
    """Return the differences from each point to its nearest ones of a pool.

    Args:
      points: At which.
      pool: Among which; a point's own copy in it would count as a neighbor.
      count: Neighbors, at most the size of the pool.
    """
    points, pool = np.asarray(points, np.float64), np.asarray(pool, np.float64)
    squares = np.sum(pool**2, axis=1)[None] - 2 * points @ pool.T
    nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
    return pool[nearest] - points[:, None]


def find_data_planes(
    points: Float[np.ndarray, "points width"], pool: Float[np.ndarray, "pool width"], rank: int
) -> Bases:
    """Return the planes in which the nearest images of a pool lie.

    Args:
      points: The feature of the images at which planes are wanted.
      pool: The feature of other images.
      rank: Dimensions; twice as many neighbors make a plane.
    """
    count = min(2 * rank, len(pool))
    return find_leading_planes(find_neighbor_differences(points, pool, count), rank)


def find_overlaps(
    first: Bases, second: Float64[np.ndarray, "images width other"]
) -> Float64[np.ndarray, " images"]:
    """Return the mean squared cosine of the principal angles of two planes, at each image."""
    with jax.enable_x64(True):
        return np.asarray(_find_overlaps(jnp.asarray(first), jnp.asarray(second)))


_find_overlaps = jax.jit(jax.vmap(subspace_overlap))
