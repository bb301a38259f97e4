"""Invariance defect and effective rank of a representation on the unit sphere."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Float64

from experiments.core.blocks import sum_blocks
from experiments.core.measurements import Key, Measurement
from experiments.measure.encoders.passes import Passes, Place, Rows
from experiments.measure.rows import mean_row, sums_row
from theory.geometry.ranks import variance_effective_rank

STRENGTH = 0.3
"""Of the views that all networks are compared under."""
VIEWS = 2
"""Of each test image: with ten thousand images more views would not make a defect more exact."""


def measure_defect(*places: Place, task: str = "cifar10") -> Rows:
    """Return the part that measures the defect under views of one strength, at some places."""

    def measure(passes: Passes) -> Iterator[Measurement]:
        images = passes.subject.task(task).test.images
        for place in places:
            key = passes.subject.key("defect", *place, task, strength=STRENGTH)
            draws = passes.views(place, images, STRENGTH, VIEWS)
            yield mean_row(key, [_defect_row(key, views) for views in draws])

    return measure


def measure_rank(*places: Place, task: str = "cifar10") -> Rows:
    """Return the part that measures the effective rank of clean test images, at some places."""

    def measure(passes: Passes) -> Iterator[Measurement]:
        images = passes.subject.task(task).test.images
        for place in places:
            key = passes.subject.key("erank", *place, task)
            rows = [_rank_row(key, features) for features in passes.at(place, images)]
            yield mean_row(key, rows)

    return measure


def put_on_sphere(
    features: Float[np.ndarray, "images width"],
) -> Float64[np.ndarray, "images width"]:
    """Return features divided by their length, as a cosine loss sees them; zero stays zero."""
    features = np.asarray(features, np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def sum_orbits(
    views: Sequence[Float[np.ndarray, "images width"]],
) -> tuple[Float64[np.ndarray, "blocks ..."], ...]:
    """Return what the defect of views needs, summed over the images of each block.

    Args:
      views: One array for each view; at least two.

    Returns:
      The number of images, the squared distances of an image's views to their mean, the squared
      lengths of these means, and the means.
    """
    stacked = np.stack(views)
    means = stacked.mean(axis=0)
    within = np.sum((stacked - means) ** 2, axis=(0, 2))
    per_image = (np.ones(len(means)), within, np.sum(means**2, axis=1), means)
    return tuple(sum_blocks(values) for values in per_image)


def find_defect(
    count: float, within: float, squares: float, mean: Float64[np.ndarray, " width"], views: int
) -> float:
    """Return the share of a representation's variance that lies between views of one image.

    The numerator and the denominator are without bias, as those of
    `theory.geometry.invariance.view_invariance_defect`.

    Args:
      count: Number of images.
      within: Squared distances of an image's views to their mean, summed over images.
      squares: Squared lengths of these means, summed.
      mean: These means, summed.
      views: Of each image.
    """
    inside = within / (count * (views - 1))
    spread = (squares - np.sum(mean**2) / count) / (count - 1)
    return float(inside / (inside + spread - inside / views))


def find_effective_rank(
    count: float,
    total: Float64[np.ndarray, " width"],
    products: Float64[np.ndarray, "width width"],
) -> float:
    """Return the effective rank of a covariance: the exponential of its variances' entropy.

    Args:
      count: Number of images.
      total: Features, summed over images.
      products: Outer products of the features with themselves, summed.
    """
    mean = total / count
    variances = np.linalg.eigvalsh(products / count - np.outer(mean, mean))
    with jax.enable_x64(True):
        return float(variance_effective_rank(jnp.asarray(np.clip(variances, 0.0, None))))


def _defect_row(key: Key, views: Sequence[Float32[np.ndarray, "images width"]]) -> Measurement:
    sums = sum_orbits([put_on_sphere(view) for view in views])
    return sums_row(key, lambda *some: find_defect(*some, views=len(views)), sums, len(views[0]))


def _rank_row(key: Key, features: Float32[np.ndarray, "images width"]) -> Measurement:
    sphere = put_on_sphere(features)
    blocks = np.array_split(sphere, len(sum_blocks(sphere[:, 0])))
    products = np.stack([block.T @ block for block in blocks])
    sums = (sum_blocks(np.ones(len(sphere))), sum_blocks(sphere), products)
    return sums_row(key, find_effective_rank, sums, len(sphere))
