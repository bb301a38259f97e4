"""Clean-image features of a network and what a linear probe of a stated kind reads off them.

Two probes, and they can disagree about a head. One divides every coordinate by its own standard
deviation, which exactly undoes a diagonal head. The other divides all coordinates by one number,
so that its penalty means the same for every representation and a diagonal head is seen.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ssljax.data.datasets import Dataset
from ssljax.measure.features import layer_features
from ssljax.measure.probe import ProbeResult, linear_probe
from ssljax.nets.network import Network
from ssljax.system.arrays import Float, Int

PROBE_L2 = 1e-3
MAX_ITERATIONS = 300


class Representation(NamedTuple):
    """One layer's outputs for the images a probe is fitted on and for those it is tested on."""

    train: Float[np.ndarray, "train dim"]
    test: Float[np.ndarray, "test dim"]


def drawn_again(network: Network, seed: int) -> tuple[Any, Any]:
    """Parameters and statistics a network might have started from: not the draw it did."""
    return network.init(jax.random.fold_in(jax.random.key(seed), 2**21))


def features_of(
    network: Network, params: Any, statistics: Any, images: Dataset, layers: Sequence[str]
) -> dict[str, Float[np.ndarray, "n dim"]]:
    """Outputs of layers for the images of a data set, pooled.

    Args:
      network: Whose layers.
      params: Its parameters.
      statistics: Its running statistics.
      images: What it is shown, as stored.
      layers: Names.

    Returns:
      An array for each layer.
    """
    return layer_features(
        network.apply,
        params,
        statistics,
        images.images,
        images.pixel_scale,
        layers=tuple(layers),
    )


def representations(
    network: Network,
    params: Any,
    statistics: Any,
    train: Dataset,
    test: Dataset,
    layers: Sequence[str],
) -> dict[str, Representation]:
    """Layers for the images of two splits; arguments as for `features_of`."""
    parts = [features_of(network, params, statistics, part, layers) for part in (train, test)]
    return {layer: Representation(parts[0][layer], parts[1][layer]) for layer in layers}


def one_scale(representation: Representation) -> Representation:
    """Divided by one number, so that the coordinates' mean variance over training images is 1."""
    variances = np.var(representation.train, axis=0, dtype=np.float64)
    size = float(np.sqrt(np.mean(variances)))
    size = size if size > 0 else 1.0
    return Representation(*((part / size).astype(np.float32) for part in representation))


def probed(
    representation: Representation,
    train_labels: Int[np.ndarray, " train"],
    test_labels: Int[np.ndarray, " test"],
    num_classes: int,
    *,
    standardize: bool = True,
) -> ProbeResult:
    """Multinomial logistic regression on a representation, with one penalty for all of them.

    Args:
      representation: Features.
      train_labels: Classes the probe is fitted to.
      test_labels: Classes it is tested on, once.
      num_classes: Number of classes.
      standardize: Divide each coordinate by its own standard deviation; else all by one number.

    Returns:
      The probe.
    """
    features = representation if standardize else one_scale(representation)
    return linear_probe(
        features.train,
        train_labels,
        features.test,
        test_labels,
        num_classes=num_classes,
        l2=PROBE_L2,
        standardize=standardize,
        max_iterations=MAX_ITERATIONS,
    )


def random_map(
    features: Float[np.ndarray, "n dim"], width: int, seed: int
) -> Float[np.ndarray, "dim width"]:
    """A random linear map to a width: what losing dimensions alone costs.

    Coordinates are divided by their standard deviation first, so that the map favors none.

    Args:
      features: Whose coordinates; a constant one is left as it is.
      width: Of the outputs.
      seed: Of the map.

    Returns:
      The matrix; features @ matrix are the outputs.
    """
    deviations = np.std(features, axis=0, dtype=np.float64)
    deviations = np.where(deviations > 0, deviations, 1.0)
    gaussian = np.random.default_rng(seed).normal(size=(len(deviations), width))
    return (gaussian / deviations[:, None] / np.sqrt(len(deviations))).astype(features.dtype)
