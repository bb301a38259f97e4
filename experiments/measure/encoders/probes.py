"""The one probe of all tasks: multinomial logistic regression with one penalty, converged."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from ssljax.measure.probe import linear_probe

PENALTY = 1e-3
MAX_ITERATIONS = 1000

Features = Float32[np.ndarray, "images width"]
Labels = Int[np.ndarray, " images"]
Scaling = Literal["each", "one"]
"""Whether each coordinate is divided by its own standard deviation, or all by one number."""


class Probe(NamedTuple):
    """A linear classifier of features as they are.

    Attributes:
      weights: One column for each class.
      bias: One number for each class.
    """

    weights: Float[np.ndarray, "width classes"]
    bias: Float[np.ndarray, " classes"]


def fit_probe(features: Features, labels: Labels, *, scaling: Scaling = "each") -> Probe:
    """Return the probe of a representation.

    Args:
      features: Of the training images.
      labels: Their classes, from 0.
      scaling: `each` undoes a diagonal map of the features exactly; `one` divides by the root of
        the coordinates' mean variance, so that the penalty means the same for every representation
        and a diagonal map is seen.
    """
    size = 1.0
    if scaling == "one":
        size = float(np.sqrt(np.mean(np.var(features, axis=0, dtype=np.float64)))) or 1.0
        features = (features / size).astype(np.float32)
    found = linear_probe(
        features,
        labels,
        features[:1],
        labels[:1],
        num_classes=int(labels.max()) + 1,
        l2=PENALTY,
        standardize=scaling == "each",
        max_iterations=MAX_ITERATIONS,
    )
    return Probe(found.weights / size, found.bias)


def find_correct(probe: Probe, features: Features, labels: Labels) -> Bool[np.ndarray, " images"]:
    """Return which images a probe classifies correctly."""
    return np.argmax(features @ probe.weights + probe.bias, axis=1) == labels
