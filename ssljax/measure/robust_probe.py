"""Probes under group shift: worst-group accuracy and group-balanced last-layer retraining."""

from typing import NamedTuple

import numpy as np

from ssljax.system.arrays import Float, Int
from ssljax.system.errors import UsageError

PENALTIES = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
"""Inverse strengths C of the l1 penalty that retraining chooses from."""


class GroupAccuracy(NamedTuple):
    """Accuracy by group (label and spurious attributes together).

    Attributes:
        average: over all examples.
        worst: smallest over the groups that have examples.
        by_group: of each group, NaN where it has no example.
        sizes: examples in each group.
    """

    average: float
    worst: float
    by_group: Float[np.ndarray, " groups"]
    sizes: Int[np.ndarray, " groups"]


class RetrainedProbe(NamedTuple):
    """A last layer retrained on group-balanced data.

    Attributes:
        test: accuracies on the test examples.
        penalty: the chosen C.
        weights: (dim, classes), for the features as given.
        bias: (classes,).
    """

    test: GroupAccuracy
    penalty: float
    weights: Float[np.ndarray, "dim classes"]
    bias: Float[np.ndarray, " classes"]


def group_accuracy(
    predictions: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
) -> GroupAccuracy:
    """Average and worst-group accuracy.

    Args:
        predictions: predicted classes.
        labels: true classes.
        groups: group of each example, from 0.

    Returns:
        The accuracies.

    Raises:
        UsageError: for no examples or a negative group.
    """
    if len(labels) == 0 or groups.min() < 0:
        raise UsageError("group accuracy needs examples whose groups count from 0")
    sizes = np.bincount(groups)
    right = np.bincount(groups, weights=predictions == labels)
    by_group = np.divide(right, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0)
    return GroupAccuracy(
        float(np.mean(predictions == labels)), float(np.nanmin(by_group)), by_group, sizes
    )


def draw_balanced_rows(groups: Int[np.ndarray, " n"], seed: int) -> Int[np.ndarray, " rows"]:
    """Draw rows with as many random examples of every group as the smallest group has."""
    rng = np.random.default_rng(seed)
    present, counts = np.unique(groups, return_counts=True)
    return np.concatenate(
        [rng.permutation(np.flatnonzero(groups == group))[: counts.min()] for group in present]
    )


def retrain_probe(
    train_features: Float[np.ndarray, "train dim"],
    features: Float[np.ndarray, "n dim"],
    labels: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    test_features: Float[np.ndarray, "test dim"],
    test_labels: Int[np.ndarray, " test"],
    test_groups: Int[np.ndarray, " test"],
    *,
    seed: int,
    penalties: tuple[float, ...] = PENALTIES,
    refits: int = 20,
    standardize: bool = True,
) -> RetrainedProbe:
    """Retrain an l1 logistic probe on group-balanced held-out data (deep feature reweighting).

    The penalty is chosen by the worst-group accuracy on one half of the held-out data of a probe
    fitted on a balanced subset of the other; ties go to the stronger penalty. The final weights
    are the mean of `refits` probes on balanced subsets of all held-out data. Test data chooses
    nothing.

    Args:
        train_features: features of the encoder's training images; only their mean and standard
            deviation are used, for standardization.
        features: features of held-out (validation) images.
        labels: their classes, from 0.
        groups: their groups, from 0.
        test_features: features of test images.
        test_labels: their classes.
        test_groups: their groups.
        seed: of the halves and subsets.
        penalties: inverse penalty strengths C to choose from.
        refits: probes averaged.
        standardize: divide features by their standard deviation over `train_features`; it
            exactly undoes a diagonal head, so compare diagonal heads without it.

    Returns:
        The retrained probe and its test accuracies.

    Raises:
        UsageError: for fewer than two classes or two examples in a group.

    Source:
        Kirichenko, Izmailov and Wilson, "Last layer re-training is sufficient for robustness to
        spurious correlations" (2023).
    """
    counts = np.bincount(groups)
    if len(np.unique(labels)) < 2 or counts[counts > 0].min() < 2:
        raise UsageError(
            "retraining needs two classes and two held-out examples in every group, got "
            f"{len(np.unique(labels))} classes and groups of {counts.tolist()}"
        )
    mean = train_features.mean(axis=0, dtype=np.float64)
    scale = train_features.std(axis=0, dtype=np.float64) if standardize else np.ones(len(mean))
    scale = np.where(scale > 0, scale, 1.0)
    inputs = (features - mean) / scale
    first, second = _stratified_halves(groups, seed)
    rows = first[draw_balanced_rows(groups[first], seed)]

    def worst(penalty):
        weights, bias = _lasso(inputs[rows], labels[rows], penalty, seed)
        predictions = np.argmax(inputs[second] @ weights + bias, axis=1)
        return group_accuracy(predictions, labels[second], groups[second]).worst

    penalty = max(sorted(penalties), key=worst)
    fits = []
    for refit in range(refits):
        rows = draw_balanced_rows(groups, seed + 1 + refit)
        fits.append(_lasso(inputs[rows], labels[rows], penalty, seed))
    weights = np.mean([fit[0] for fit in fits], axis=0) / scale[:, None]
    bias = np.mean([fit[1] for fit in fits], axis=0) - mean @ weights
    predictions = np.argmax(test_features @ weights + bias, axis=1)
    return RetrainedProbe(
        group_accuracy(predictions, test_labels, test_groups), penalty, weights, bias
    )


def _stratified_halves(groups, seed):
    rng = np.random.default_rng(seed)
    halves = ([], [])
    for group in np.unique(groups):
        rows = rng.permutation(np.flatnonzero(groups == group))
        halves[0].append(rows[: len(rows) // 2])
        halves[1].append(rows[len(rows) // 2 :])
    return np.concatenate(halves[0]), np.concatenate(halves[1])


def _lasso(inputs, labels, penalty, seed):
    """Return weights (dim, classes) and bias of one-against-rest l1 logistic regressions."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    classes = int(labels.max()) + 1
    weights, bias = np.zeros((inputs.shape[1], classes)), np.zeros((classes,))
    # With two classes one regression decides; its negative is the other class's score.
    for label in (1,) if classes == 2 else range(classes):
        model = LogisticRegression(
            C=penalty, l1_ratio=1.0, solver="liblinear", random_state=seed, max_iter=1000
        ).fit(inputs, labels == label)
        weights[:, label], bias[label] = model.coef_[0], model.intercept_[0]
    return weights, bias
