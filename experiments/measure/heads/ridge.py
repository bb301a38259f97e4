"""Ridge regression and its errors from sums over examples, for many probes at once."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

PENALTY = 1e-2
"""Of a probe, (mean squared error) + penalty |w|², on features of total variance 1."""


class Sums(NamedTuple):
    """Sums over examples of features x and targets y, with any axes before the last ones.

    Attributes:
      examples: How many.
      x: Σ x.
      y: Σ y.
      xx: Σ x xᵀ.
      xy: Σ x yᵀ.
      yy: Σ y², target by target.
    """

    examples: int
    x: Float[np.ndarray, "*axes width"]
    y: Float[np.ndarray, "*axes outputs"]
    xx: Float[np.ndarray, "*axes width width"]
    xy: Float[np.ndarray, "*axes width outputs"]
    yy: Float[np.ndarray, "*axes outputs"]


class Probe(NamedTuple):
    """Linear probes, ŷ = wᵀx + b."""

    kernel: Float[np.ndarray, "*axes width outputs"]
    bias: Float[np.ndarray, "*axes outputs"]


def add_up(
    features: Float[np.ndarray, "*axes examples width"],
    targets: Float[np.ndarray, "examples outputs"],
) -> Sums:
    """Return the sums over examples."""
    turned = np.swapaxes(features, -1, -2)
    return Sums(
        features.shape[-2],
        features.sum(-2),
        targets.sum(-2),
        turned @ features,
        turned @ targets,
        (targets**2).sum(-2),
    )


def leave_out(whole: Sums, part: Sums) -> Sums:
    """Return the sums over examples that are not in a part."""
    return Sums(
        whole.examples - part.examples,
        whole.x - part.x,
        whole.y - part.y,
        whole.xx - part.xx,
        whole.xy - part.xy,
        whole.yy - part.yy,
    )


def fit_ridge(sums: Sums) -> Probe:
    """Return the probes that minimize (mean squared error) + `PENALTY` |w|²; b is free."""
    mean_x, mean_y = sums.x / sums.examples, sums.y / sums.examples
    width = mean_x.shape[-1]
    gram = sums.xx / sums.examples - mean_x[..., :, None] * mean_x[..., None, :]
    cross = sums.xy / sums.examples - mean_x[..., :, None] * mean_y[..., None, :]
    kernel = np.linalg.solve(gram + PENALTY * np.eye(width), cross)
    return Probe(kernel, mean_y - np.sum(mean_x[..., :, None] * kernel, axis=-2))


def squared_errors(probe: Probe, sums: Sums) -> Float[np.ndarray, "*axes outputs"]:
    """Return the mean squared error of every output on the examples of the sums."""
    kernel, bias = probe
    square = np.sum(kernel * (sums.xx @ kernel), axis=-2) - 2.0 * np.sum(kernel * sums.xy, axis=-2)
    shift = np.sum(kernel * sums.x[..., :, None], axis=-2) - sums.y
    return (square + sums.yy + 2.0 * bias * shift) / sums.examples + bias**2


def target_variances(sums: Sums) -> Float[np.ndarray, "*axes outputs"]:
    """Return the variance of every output."""
    return sums.yy / sums.examples - (sums.y / sums.examples) ** 2
