"""What a network trained under a fixed reweighting head has in each coordinate of its feature."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments.representations import (
    MAX_ITERATIONS,
    PROBE_L2,
    Representation,
    probed,
    representations,
)
from ssljax.data.datasets import Dataset
from ssljax.measure.features import view_features
from ssljax.measure.probe import linear_probe
from ssljax.runs.saved_run import Run
from ssljax.system.arrays import Float

ENDS = ("feature", "embedding")
LEAST_FACTOR = 0.1
"""Coordinates that the head leaves less than this share of are hardly trained."""
RANDOM_DRAWS = 4


class HeadCell(NamedTuple):
    """One network; pairs are (feature, embedding).

    Attributes:
      standardized: Accuracy of a probe that divides each coordinate by its deviation.
      one_scale: Of one that divides all by one number.
      sizes: Root mean square of each coordinate of the feature, over augmented views.
      first: Accuracy from the first eighth of the feature's coordinates.
      random: From as many random ones, mean of some draws.
    """

    standardized: Float[np.ndarray, "2"]
    one_scale: Float[np.ndarray, "2"]
    sizes: Float[np.ndarray, " coordinates"]
    first: float
    random: float


def head_cell(run: Run, train: Dataset, test: Dataset, views: int, seed: int) -> HeadCell:
    """Measure one network.

    Args:
      run: The network.
      train: Images probes are fitted on; views are taken of the first of them.
      test: Images they are tested on.
      views: Views of each image, for the coordinates' sizes.
      seed: Of views and random coordinates.

    Returns:
      The cell.
    """
    state = run.state
    found = representations(run.network, state.params, state.statistics, train, test, ENDS)
    labels = (train.labels, test.labels, train.num_classes)

    def accuracy(representation: Representation, *, standardize: bool = True) -> float:
        return probed(representation, *labels, standardize=standardize).test_accuracy

    width = found["feature"].train.shape[1]
    few = max(width // 8, 1)
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(width, few, replace=False) for _ in range(RANDOM_DRAWS)]

    def only(coordinates: Sequence[int] | np.ndarray) -> float:
        return accuracy(Representation(*(part[:, coordinates] for part in found["feature"])))

    seen = view_features(
        run.network.apply,
        state.params,
        state.statistics,
        test.images,
        test.pixel_scale,
        jax.random.fold_in(jax.random.key(seed), 2**22),
        run.config.policy,
        run.config.strength,
        views=views,
        layers=("feature",),
    )["feature"]
    return HeadCell(
        np.array([accuracy(found[layer]) for layer in ENDS]),
        np.array([accuracy(found[layer], standardize=False) for layer in ENDS]),
        np.sqrt(np.mean(np.square(seen, dtype=np.float64), axis=(0, 1))),
        only(np.arange(few)),
        float(np.mean([only(coordinates) for coordinates in chosen])),
    )


def kept_coordinates(width: int, ratio: float) -> int:
    """How many coordinates the head leaves at least `LEAST_FACTOR` of."""
    return min(width, 1 + int(np.log(1 / LEAST_FACTOR) / np.log(ratio)))


def log_slope(sizes: Float[np.ndarray, " coordinates"], count: int) -> float:
    """Least-squares slope of the logarithm of the first coordinates' sizes against their index.

    NaN where one of them is zero for every view.
    """
    if count < 2 or np.any(sizes[:count] <= 0):
        return float("nan")
    return float(np.polyfit(np.arange(count), np.log(sizes[:count]), 1)[0])


def used_coordinates(sizes: Float[np.ndarray, " coordinates"], ratio: float) -> float:
    """Participation ratio (Σp)²/Σp² of the coordinates' second moments p behind the head."""
    powers = (sizes * ratio ** -np.arange(len(sizes))) ** 2
    return float(np.sum(powers) ** 2 / np.sum(powers**2))


class AppliedHead(NamedTuple):
    """Accuracy behind fixed heads put on one trained feature, one number for each ratio.

    Attributes:
      none: Without a head, standardized and by one scale.
      standardized: Of a probe that divides each coordinate by its deviation, in float64.
      one_scale: Of one that divides all by one number.
    """

    none: Float[np.ndarray, "2"]
    standardized: Float[np.ndarray, " ratios"]
    one_scale: Float[np.ndarray, " ratios"]


def applied_heads(run: Run, train: Dataset, test: Dataset, ratios: Sequence[float]) -> AppliedHead:
    """Multiply a trained feature by κ^-(i−1) in float32, and probe what comes out.

    Args:
      run: The network whose feature it is.
      train: Images probes are fitted on.
      test: Images they are tested on.
      ratios: κ of the heads.

    Returns:
      Accuracies.
    """
    state = run.state
    feature = representations(
        run.network, state.params, state.statistics, train, test, ("feature",)
    )["feature"]
    labels = (train.labels, test.labels, train.num_classes)
    exponents = np.arange(feature.train.shape[1])

    def both(representation: Representation) -> tuple[float, float]:
        divided = _divided(representation)
        standardized = linear_probe(
            divided.train,
            train.labels,
            divided.test,
            test.labels,
            num_classes=train.num_classes,
            l2=PROBE_L2,
            standardize=False,
            max_iterations=MAX_ITERATIONS,
        ).test_accuracy
        return standardized, probed(representation, *labels, standardize=False).test_accuracy

    found = []
    for ratio in ratios:
        factors = np.exp(-np.log(ratio) * exponents).astype(np.float32)
        found.append(both(Representation(*(part * factors for part in feature))))
    columns = np.array(found).T
    return AppliedHead(np.array(both(feature)), columns[0], columns[1])


def _divided(representation: Representation) -> Representation:
    """Standardized in float64, however small a coordinate is; only zero ones stay."""
    mean = np.mean(representation.train, axis=0, dtype=np.float64)
    deviation = np.std(representation.train.astype(np.float64), axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    return Representation(
        *(((part - mean) / deviation).astype(np.float32) for part in representation)
    )
