"""Few-shot accuracy: probes fitted on a handful of labeled examples a class."""

from typing import NamedTuple

import numpy as np

from ssljax.measure.probe import linear_probe
from ssljax.system.arrays import Float, Int
from ssljax.system.errors import UsageError


class FewShotResult(NamedTuple):
    """Mean test accuracy over draws of the labeled examples, and its standard error."""

    accuracy: float
    standard_error: float
    accuracies: Float[np.ndarray, " draws"]


def few_shot_accuracy(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Int[np.ndarray, " train"],
    test_features: Float[np.ndarray, "test dim"],
    test_labels: Int[np.ndarray, " test"],
    *,
    shots: int,
    draws: int,
    seed: int,
    num_classes: int,
    l2: float = 1e-2,
) -> FewShotResult:
    """Accuracy of the logistic probe fitted on `shots` examples of every class.

    Features are standardized by the labeled examples of the draw: nothing else is seen.

    Args:
        train_features: features to draw labeled examples from.
        train_labels: their classes, from 0.
        test_features: features of test images, the same for every draw.
        test_labels: their classes.
        shots: labeled examples per class.
        draws: independent draws, at least 2.
        seed: of the draws.
        num_classes: number of classes.
        l2: penalty of the probe, see :func:`ssljax.measure.probe.linear_probe`.

    Returns:
        Mean accuracy, standard error and the accuracy of every draw.

    Raises:
        UsageError: if a class has fewer than `shots` examples, or for fewer than two draws.
    """
    counts = np.bincount(train_labels, minlength=num_classes)
    if not 1 <= shots <= counts.min():
        raise UsageError(
            f"{shots} shots, but the smallest class has {counts.min()} training examples; wanted "
            "from 1 to that number"
        )
    if draws < 2:
        raise UsageError(f"{draws} draws; a standard error needs at least 2")
    rng = np.random.default_rng(seed)
    accuracies = []
    for _ in range(draws):
        rows = np.concatenate(
            [
                rng.permutation(np.flatnonzero(train_labels == label))[:shots]
                for label in range(num_classes)
            ]
        )
        probe = linear_probe(
            train_features[rows],
            train_labels[rows],
            test_features,
            test_labels,
            num_classes=num_classes,
            l2=l2,
        )
        accuracies.append(probe.test_accuracy)
    values = np.array(accuracies)
    return FewShotResult(float(values.mean()), float(values.std(ddof=1) / np.sqrt(draws)), values)
