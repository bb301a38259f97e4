"""What moments of the feature say of the embedding's invariance and rank, and how wrong it is."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.core.measurements import Measurement
from experiments.measure.encoders.geometry import find_defect, put_on_sphere, sum_orbits
from experiments.measure.encoders.passes import EMBEDDING, FEATURE, Passes
from experiments.measure.rows import exact_row
from theory.geometry.invariance import augmentation_fractions, orbit_covariances
from theory.geometry.ranks import variance_effective_rank
from theory.geometry.water_filling import cosine_projector

RANGE_TOLERANCE = 1e-6
"""Features are float32: directions below this share of the largest variance are rounding."""
VIEWS = 2


class Shape(NamedTuple):
    """How a representation treats views of the strength that it was trained at.

    Attributes:
      defect: Share of the variance that lies between views of one image.
      rank: Exponential of the entropy of the variances of all views.
    """

    defect: float
    rank: float


def compare_with_moments(passes: Passes) -> Iterator[Measurement]:
    """Yield the errors of the forecast of a linear head, and of the feature's own numbers.

    The forecast is the optimum of a linear head under NT-Xent on the feature; it knows the
    feature's moments under views of test images, the temperature and the width of the embedding.
    Its rival takes the feature's own defect and rank. Defects and ranks that are measured are on
    the unit sphere.
    """
    subject = passes.subject
    images = subject.task("cifar10").test.images
    strength = subject.training.strength
    features, embeddings = (
        passes.views(place, images, strength, VIEWS)[0] for place in (FEATURE, EMBEDDING)
    )
    width = embeddings[0].shape[1]
    measured = measure_shape(embeddings)
    predictions = {
        "theory": predict_shape(features, subject.training.temperature, width),
        "rival:feature": measure_shape(features),
    }
    for variant, predicted in predictions.items():
        for quantity, guess, truth in zip(
            ("defect_error", "rank_error"), predicted, measured, strict=True
        ):
            yield exact_row(subject.key(quantity, variant), abs(float(np.log(guess / truth))))


def measure_shape(views: Sequence[Float[np.ndarray, "images width"]]) -> Shape:
    """Return the shape of a representation on the unit sphere.

    Args:
      views: One array for each view; at least two.
    """
    sphere = [put_on_sphere(view) for view in views]
    sums = [parts.sum(axis=0) for parts in sum_orbits(sphere)]
    with jax.enable_x64(True):
        orbit = orbit_covariances(jnp.stack(sphere, axis=1))
        variances = jnp.linalg.eigvalsh(orbit.within + orbit.between)
        rank = float(variance_effective_rank(jnp.clip(variances, 0.0)))
    return Shape(find_defect(*sums, views=len(views)), rank)


def predict_shape(
    views: Sequence[Float[np.ndarray, "images width"]], temperature: float, width: int
) -> Shape:
    """Return the shape of the best linear head's output, from the feature's moments.

    Args:
      views: The feature of several views of the same images, an array for each.
      temperature: Of NT-Xent.
      width: Of the head's output.
    """
    with jax.enable_x64(True):
        orbit = orbit_covariances(jnp.stack([jnp.asarray(v, jnp.float64) for v in views], axis=1))
        fractions = augmentation_fractions(
            orbit.within, orbit.within + orbit.between, range_tolerance=RANGE_TOLERANCE
        )
        head = cosine_projector(fractions.values, temperature, rank=width)
        return Shape(float(head.defect), float(head.effective_rank))
