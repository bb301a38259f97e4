"""What views of held-out images look like at the feature and at the embedding.

Invariance and ranks, and what theory forecasts of the embedding from the feature's statistics.
The embedding is put on the sphere first, as a cosine loss sees it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.policies import Policy
from ssljax.data.sources import Dataset
from ssljax.measure.features import view_features
from ssljax.nets.network import Network
from ssljax.system.arrays import Float
from theory.geometry.invariance import (
    augmentation_fractions,
    orbit_covariances,
    view_invariance_defect,
)
from theory.geometry.ranks import threshold_rank, variance_effective_rank
from theory.geometry.water_filling import cosine_projector

LAYERS = ("feature", "embedding")
RANK_THRESHOLD = 1e-2
"""Singular values below this fraction of the largest do not count."""

Views = Mapping[str, Float[np.ndarray, "images views dim"]]
Pair = Float[np.ndarray, "2"]


class ViewGeometry(NamedTuple):
    """Numbers of one network; pairs are (feature, embedding).

    Attributes:
      probe_defects: Invariance defect under views of a fixed strength.
      training_defects: The same under views of the training strength.
      effective_ranks: Exponential entropy of the variances of views of the training strength.
      threshold_ranks: Count of the singular values above `RANK_THRESHOLD` of the largest.
      predicted_rank: Water-filling forecast of the embedding's effective rank.
      predicted_defect: The same of its defect at the training strength.
      valid: Whether the forecast's relaxation holds.
    """

    probe_defects: Pair
    training_defects: Pair
    effective_ranks: Pair
    threshold_ranks: Pair
    predicted_rank: float
    predicted_defect: float
    valid: bool


def network_views(
    network: Network,
    state: Any,
    dataset: Dataset,
    key: jax.Array,
    policy: Policy,
    strength: float,
    views: int,
) -> dict[str, np.ndarray]:
    """Feature and embedding of several views of each image.

    Args:
      network: Whose outputs.
      state: Its parameters and statistics.
      dataset: Images.
      key: Draws the views.
      policy: Augmentation per unit of strength.
      strength: Factor on it.
      views: Views of each image.

    Returns:
      Arrays (images, views, dim); the embedding has length 1.
    """
    outputs = view_features(
        network.apply,
        state.params,
        state.statistics,
        dataset.images,
        dataset.pixel_scale,
        key,
        policy,
        strength,
        views=views,
        layers=LAYERS,
    )
    return outputs | {"embedding": on_sphere(outputs["embedding"])}


def on_sphere(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings divided by their length; zero stays zero."""
    norms = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return embeddings / np.maximum(norms, 1e-12)


def view_geometry(probe: Views, training: Views, temperature: float) -> ViewGeometry:
    """Everything theory makes of the views of one network, in float64.

    Call inside ``with jax.enable_x64(True):``.

    Args:
      probe: Views of a strength that is the same for all networks compared.
      training: Views of the strength the network was trained at.
      temperature: Of its cosine loss.

    Returns:
      The numbers.
    """
    at_probe = [jnp.asarray(probe[layer], jnp.float64) for layer in LAYERS]
    at_training = [jnp.asarray(training[layer], jnp.float64) for layer in LAYERS]
    orbits = [orbit_covariances(views) for views in at_training]
    totals = [orbit.within + orbit.between for orbit in orbits]
    variances = [jnp.clip(jnp.linalg.eigvalsh(total), 0.0) for total in totals]
    fractions = augmentation_fractions(orbits[0].within, totals[0]).values
    optimum = cosine_projector(fractions, temperature, rank=at_training[1].shape[-1])
    return ViewGeometry(
        probe_defects=_numbers(view_invariance_defect(views) for views in at_probe),
        training_defects=_numbers(view_invariance_defect(views) for views in at_training),
        effective_ranks=_numbers(variance_effective_rank(values) for values in variances),
        threshold_ranks=_numbers(
            threshold_rank(jnp.sqrt(values), RANK_THRESHOLD) for values in variances
        ),
        predicted_rank=float(optimum.effective_rank),
        predicted_defect=float(optimum.defect),
        valid=bool(optimum.valid),
    )


def _numbers(values: Any) -> np.ndarray:
    return np.array([float(value) for value in values])
