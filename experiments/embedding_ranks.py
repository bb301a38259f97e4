"""How many dimensions a representation of clean images fills, by each definition in use."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.view_geometry import on_sphere
from ssljax.system.arrays import Float
from theory.geometry.ranks import (
    participation_ratio,
    rankme,
    singular_value_effective_rank,
    threshold_rank,
    variance_effective_rank,
)

THRESHOLDS = (1e-1, 1e-2, 1e-3)
DEFINITIONS = (
    "effective rank (variances)",
    "effective rank (singular values)",
    "participation ratio",
    "RankMe",
    *(f"singular values above {threshold:g}" for threshold in THRESHOLDS),
)
"""In the order of `clean_ranks`; thresholds are shares of the largest singular value."""


def centered_singular_values(
    embeddings: Float[np.ndarray, "images dim"],
) -> Float[np.ndarray, " _"]:
    """Singular values of embeddings on the sphere less their mean, per square root of an image.

    Args:
      embeddings: One for each image, of any length.

    Returns:
      Descending; their squares are variances.
    """
    sphere = on_sphere(np.asarray(embeddings, np.float64))
    centered = sphere - np.mean(sphere, axis=0)[None]
    return np.linalg.svd(centered, compute_uv=False) / np.sqrt(len(centered))


def clean_ranks(
    embeddings: Float[np.ndarray, "images dim"],
) -> Float[np.ndarray, " definitions"]:
    """Rank of embeddings by each of `DEFINITIONS`.

    RankMe is of the embeddings as they are; every other one of the centered embeddings on the
    sphere, as a cosine loss sees them.

    Args:
      embeddings: One for each image.

    Returns:
      One number for each definition.
    """
    values = centered_singular_values(embeddings)
    with jax.enable_x64(True):
        singular = jnp.asarray(values)
        ranks = (
            variance_effective_rank(singular**2),
            singular_value_effective_rank(singular),
            participation_ratio(singular**2),
            rankme(jnp.asarray(embeddings, jnp.float64)),
            *(threshold_rank(singular, threshold) for threshold in THRESHOLDS),
        )
        return np.array([float(rank) for rank in ranks])
