"""Protocols around the logistic probe: a penalty chosen on held-out images, a few labels each."""

from typing import NamedTuple

import numpy as np

from ssljax.measure.probe import ProbeResult, linear_probe
from ssljax.system.arrays import Float, Int
from ssljax.system.errors import UsageError


class ProbePath(NamedTuple):
    """A probe whose penalty was chosen without a look at test features.

    Attributes:
        probe: fitted to all training features with the chosen penalty.
        l2: the chosen penalty.
        penalties: those tried, from the strongest.
        held_out_accuracies: of the held-out training features, for each penalty.
        iterations: iterations of L-BFGS for each penalty.
    """

    probe: ProbeResult
    l2: float
    penalties: Float[np.ndarray, " penalties"]
    held_out_accuracies: Float[np.ndarray, " penalties"]
    iterations: Int[np.ndarray, " penalties"]


def probe_path(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Int[np.ndarray, " train"],
    test_features: Float[np.ndarray, "test dim"],
    test_labels: Int[np.ndarray, " test"],
    *,
    penalties: tuple[float, ...],
    num_classes: int,
    held_out: float = 0.1,
    seed: int = 0,
    standardize: bool = True,
    max_iterations: int = 500,
) -> ProbePath:
    """Fit logistic probes from the strongest penalty to the weakest, each from the last one.

    A random part of the training features is held out, the path is fitted to the rest, and the
    penalty with the best held-out accuracy wins (ties: the stronger one). The probe with that
    penalty is then fitted to all training features. Test features choose nothing.

    Args:
        train_features: features of the training images.
        train_labels: their classes, from 0.
        test_features: features of the test images.
        test_labels: their classes.
        penalties: values of l2 as in :func:`ssljax.measure.probe.linear_probe`, in any order.
        num_classes: number of classes.
        held_out: fraction of the training features held out, in (0, 1).
        seed: of the part held out.
        standardize: as for :func:`ssljax.measure.probe.linear_probe`, by the features fitted to.
        max_iterations: limit of L-BFGS iterations for each penalty.

    Returns:
        The probe, the path and what was chosen.

    Raises:
        UsageError: for no penalties, a negative one, or a fraction that leaves either part empty.
    """
    if not penalties or min(penalties) < 0:
        raise UsageError(
            f"penalties {penalties}; wanted one or more numbers of at least 0, such as 1e-4,1e-2"
        )
    count = round(held_out * len(train_labels))
    if not 0 < count < len(train_labels):
        raise UsageError(
            f"{held_out} of {len(train_labels)} training features held out; wanted a fraction that"
            " leaves features in both parts"
        )
    order = np.random.default_rng(seed).permutation(len(train_labels))
    out, rest = order[:count], order[count:]
    descending = sorted(set(penalties), reverse=True)
    settings = {
        "num_classes": num_classes,
        "standardize": standardize,
        "max_iterations": max_iterations,
    }
    fits: list[ProbeResult] = []
    for l2 in descending:
        fit = linear_probe(
            train_features[rest],
            train_labels[rest],
            train_features[out],
            train_labels[out],
            l2=l2,
            start=fits[-1] if fits else None,
            **settings,
        )
        fits.append(fit)
    accuracies = np.array([fit.test_accuracy for fit in fits])
    best = int(np.argmax(accuracies))
    probe = linear_probe(
        train_features,
        train_labels,
        test_features,
        test_labels,
        l2=descending[best],
        start=fits[best],
        **settings,
    )
    iterations = np.array([fit.iterations for fit in fits])
    return ProbePath(probe, descending[best], np.array(descending), accuracies, iterations)


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
    """Return the accuracy of the logistic probe fitted on `shots` examples of every class.

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
