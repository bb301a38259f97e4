"""Digits on natural images: what is read of both before and after the head."""

from typing import Any, NamedTuple

import numpy as np

from experiments.representations import (
    PROBE_L2,
    Representation,
    drawn_again,
    random_map,
    representations,
)
from experiments.small_data import Pair
from ssljax.data.clean_images import clean_dataset
from ssljax.data.sources import Dataset
from ssljax.measure.probe import ridge_probe
from ssljax.nets.network import Network
from ssljax.system.arrays import Float, Int

LAYERS = ("feature", "embedding")
Layers = Float[np.ndarray, " layers"]


class CompositeImages(NamedTuple):
    """Composites with their digits present, and the labels of digit and background.

    Attributes:
      train: Images that probes are fitted on.
      test: Images they are tested on.
      digits: Classes of (train, test), and how many there are.
      backgrounds: The same of the natural images below.
    """

    train: Dataset
    test: Dataset
    digits: tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"], int]
    backgrounds: tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"], int]


def composite_images(pair: Pair, strength: float) -> CompositeImages:
    """Clean composites, no digit dropped, at the strength that a network was trained with.

    Args:
      pair: Backgrounds with ink, as `ssljax.data.composites.overlay_digits` makes them.
      strength: Opacity of the digits.

    Returns:
      Images and both kinds of labels.
    """
    digits = pair.train.num_classes
    backgrounds = len(pair.train.group_names) // digits
    train, test = (clean_dataset(part, strength) for part in pair)
    below = [_background_labels(part, backgrounds) for part in pair]
    return CompositeImages(
        train,
        test,
        (train.labels, test.labels, digits),
        (below[0], below[1], backgrounds),
    )


def _background_labels(dataset: Dataset, backgrounds: int) -> Int[np.ndarray, " n"]:
    """A composite's group is backgrounds × digit + background."""
    assert dataset.groups is not None
    return dataset.groups % backgrounds


class CompositeCell(NamedTuple):
    """Test accuracies of least-squares probes, coordinates divided by their standard deviations.

    The layers are feature and embedding.

    Attributes:
      digit: Of the digit.
      background: Of the background's class.
      narrowed: Of the digit, through a random linear map of the feature to the embedding's width:
        what losing dimensions alone costs.
    """

    digit: Layers
    background: Layers
    narrowed: float


def composite_cell(
    network: Network, params: Any, statistics: Any, images: CompositeImages, seed: int
) -> CompositeCell:
    """Probe one network.

    Args:
      network: The network.
      params: Its parameters.
      statistics: Its running statistics.
      images: What it is shown.
      seed: Of the random map.

    Returns:
      The cell.
    """
    outputs = representations(network, params, statistics, images.train, images.test, LAYERS)
    feature, embedding = (outputs[layer] for layer in LAYERS)
    matrix = random_map(feature.train, embedding.train.shape[1], seed)
    narrow = Representation(feature.train @ matrix, feature.test @ matrix)
    return CompositeCell(
        digit=np.array([_accuracy(part, images.digits) for part in (feature, embedding)]),
        background=np.array([_accuracy(part, images.backgrounds) for part in (feature, embedding)]),
        narrowed=_accuracy(narrow, images.digits),
    )


def untrained_cell(network: Network, images: CompositeImages, seed: int) -> CompositeCell:
    """The same of a network before its first step."""
    params, statistics = drawn_again(network, seed)
    return composite_cell(network, params, statistics, images, seed)


def _accuracy(
    representation: Representation,
    labels: tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"], int],
) -> float:
    train, test, classes = labels
    return ridge_probe(
        representation.train, train, representation.test, test, num_classes=classes, l2=PROBE_L2
    ).test_accuracy
