"""Invariance and rank of what a linear head puts out, from the moments of what it is given."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.measure.heads.banks import RANGE_TOLERANCE, Banks, Views
from experiments.measure.heads.settle import (
    TEMPERATURE,
    Weights,
    cosine_loss,
    draw_head,
    settle,
)
from theory.geometry.invariance import (
    augmentation_fractions,
    orbit_covariances,
    view_invariance_defect,
)
from theory.geometry.ranks import variance_effective_rank
from theory.geometry.water_filling import cosine_projector

RATE = 0.002
"""Of Adam: one layer has no balance that it could break, and settles sooner."""


class Geometry(NamedTuple):
    """Invariance and rank of views on the unit sphere.

    Attributes:
      defect: Share of the variance that augmentation makes.
      rank: Exponential entropy of the variances.
    """

    defect: float
    rank: float


class EmbeddingForecast(NamedTuple):
    """Geometry of a head's embedding.

    Attributes:
      theory: From the moments of the feature.
      feature: Of the feature itself, a rival.
      measured: Of the embedding of the settled head.
    """

    theory: Geometry
    feature: Geometry
    measured: Geometry


def forecast_embedding(banks: Banks, seed: int, steps: int) -> EmbeddingForecast:
    """Return the geometry of the embedding of a head settled under NT-Xent, and its forecasts.

    The head has one layer, half as wide as the feature: its optimum is that of any depth, and it
    gets there fastest. What is measured is measured on other views than the moments.

    Args:
      banks: Features.
      seed: Of the head and of its batches.
      steps: Of training.
    """
    width = banks.training.shape[-1]
    (weight,) = settle(
        draw_head(seed, width, 1),
        banks.training,
        seed,
        weight_decay=0.0,
        steps=steps,
        learning_rate=RATE,
        loss=cosine_loss,
        adaptive=True,
    )
    return EmbeddingForecast(
        predict_geometry(banks.prediction, rank=width // 2),
        measure_geometry(banks.prediction),
        measure_geometry(embed(banks.training, (weight,))),
    )


def predict_geometry(views: Views, rank: int) -> Geometry:
    """Return the geometry that the optimal linear head under NT-Xent gives its embedding.

    Args:
      views: Of the feature, as the head receives them.
      rank: Width of the embedding.
    """
    with jax.enable_x64(True):
        within, between = orbit_covariances(jnp.asarray(views, jnp.float64))
        fractions = augmentation_fractions(
            within, within + between, range_tolerance=RANGE_TOLERANCE
        )
        optimum = cosine_projector(fractions.values, TEMPERATURE, rank=rank)
        return Geometry(float(optimum.defect), float(optimum.effective_rank))


def measure_geometry(views: Views) -> Geometry:
    """Return the geometry of views on the unit sphere."""
    with jax.enable_x64(True):
        points = jnp.asarray(views, jnp.float64)
        points = points / jnp.linalg.norm(points, axis=-1, keepdims=True)
        within, between = orbit_covariances(points)
        variances = jnp.clip(jnp.linalg.eigvalsh(within + between), 0.0)
        defect = view_invariance_defect(points)
        return Geometry(float(defect), float(variance_effective_rank(variances)))


def embed(
    views: Float[np.ndarray, "images views _"], weights: Weights
) -> Float[np.ndarray, "images views _"]:
    """Return what a linear head makes of views."""
    for weight in weights:
        views = views @ weight.T
    return np.asarray(views)
