"""Accuracy on clean and on corrupted images of probes fitted to clean ones."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.representations import Representation, features_of, probed, random_map
from ssljax.data.datasets import Dataset
from ssljax.measure.probe import ProbeResult
from ssljax.runs.saved_run import Run
from ssljax.system.arrays import Float, UInt8

NO_HEAD, BEFORE, AFTER, NARROW = "no head", "before the head", "after the head", "random map"
REPRESENTATIONS = (NO_HEAD, BEFORE, AFTER, NARROW)
Shifted = Mapping[tuple[str, int], UInt8[np.ndarray, "n h w c"]]


class Task(NamedTuple):
    """Images of one data set.

    Attributes:
      train: Clean images that probes are fitted to.
      test: Clean images.
      shifted: The same test images corrupted, by (kind, severity).
    """

    train: Dataset
    test: Dataset
    shifted: Shifted


class ShiftCell(NamedTuple):
    """One seed; the first axis is `REPRESENTATIONS`, the second the probes' training images.

    Attributes:
      clean: Accuracy on clean test images.
      shifted: On corrupted ones, in the order of `Task.shifted`.
    """

    clean: Float[np.ndarray, "representations sizes"]
    shifted: Float[np.ndarray, "representations sizes corruptions"]


def shift_cell(
    without: Run, trained: Run, task: Task, sizes: Sequence[int], seed: int
) -> ShiftCell:
    """Probe a network without a head, and one with a head on both of its sides.

    Args:
      without: Trained without a head.
      trained: Trained with one.
      task: Images.
      sizes: Numbers of training images of the probes, the first ones of the task.
      seed: Of the random map to the embedding's width, the null for losing dimensions.

    Returns:
      Accuracies.
    """
    train = _features(without, trained, task.train)
    narrowing = random_map(train[BEFORE], train[AFTER].shape[1], seed)

    def seen(images: Dataset) -> dict[str, np.ndarray]:
        features = _features(without, trained, images)
        return features | {NARROW: features[BEFORE] @ narrowing}

    train[NARROW] = train[BEFORE] @ narrowing
    test, labels = seen(task.test), task.test.labels
    probes = {
        name: [
            probed(
                Representation(train[name][:size], test[name]),
                task.train.labels[:size],
                labels,
                task.train.num_classes,
            )
            for size in sizes
        ]
        for name in REPRESENTATIONS
    }
    shifted = []
    for images in task.shifted.values():
        features = seen(dataclasses.replace(task.test, images=images))
        shifted.append(
            [
                [_accuracy(probe, features[name], labels) for probe in probes[name]]
                for name in REPRESENTATIONS
            ]
        )
    clean = [[probe.test_accuracy for probe in probes[name]] for name in REPRESENTATIONS]
    return ShiftCell(np.array(clean), np.moveaxis(np.array(shifted), 0, -1))


def _features(without: Run, trained: Run, images: Dataset) -> dict[str, np.ndarray]:
    def of(run: Run, layers: tuple[str, ...]) -> dict[str, np.ndarray]:
        state = run.state
        return features_of(run.network, state.params, state.statistics, images, layers)

    both = of(trained, ("feature", "embedding"))
    return {
        NO_HEAD: of(without, ("feature",))["feature"],
        BEFORE: both["feature"],
        AFTER: both["embedding"],
    }


def _accuracy(probe: ProbeResult, features: np.ndarray, labels: np.ndarray) -> float:
    predictions = np.argmax(features @ probe.weights + probe.bias, axis=1)
    return float(np.mean(predictions == labels))
