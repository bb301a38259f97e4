"""Linear probes: what can be read off frozen features.

Every probe is the unique minimizer of a stated convex objective on the training features alone;
no test feature chooses anything, in particular no stopping time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ssljax.measure.neighbors import check_features
from ssljax.system.arrays import Float, Int
from ssljax.system.errors import UsageError


class ProbeResult(NamedTuple):
    """A trained linear classifier and how well it does.

    Attributes:
        train_accuracy: fraction of training features classified correctly.
        test_accuracy: the same on test features.
        predictions: class of each test feature.
        weights: (dim, classes), for the features as given (standardization folded in).
        bias: (classes,).
        loss: objective at the solution (0 for a ridge probe).
        gradient_norm: norm of the objective's gradient there (0 for a ridge probe).
        iterations: iterations of L-BFGS (0 for a ridge probe).
    """

    train_accuracy: float
    test_accuracy: float
    predictions: Int[np.ndarray, " test"]
    weights: Float[np.ndarray, "dim classes"]
    bias: Float[np.ndarray, " classes"]
    loss: float
    gradient_norm: float
    iterations: int


class RegressionResult(NamedTuple):
    """A trained linear regression; `r2` is 1 - residual/total sum of squares on test features."""

    r2: Float[np.ndarray, " targets"]
    weights: Float[np.ndarray, "dim targets"]
    bias: Float[np.ndarray, " targets"]


def linear_probe(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Int[np.ndarray, " train"],
    test_features: Float[np.ndarray, "test dim"],
    test_labels: Int[np.ndarray, " test"],
    *,
    num_classes: int,
    l2: float = 1e-3,
    standardize: bool = True,
    max_iterations: int = 500,
    tolerance: float = 1e-5,
    sample_weights: Float[np.ndarray, " train"] | None = None,
    start: ProbeResult | None = None,
) -> ProbeResult:
    r"""Fit multinomial logistic regression by L-BFGS and measure its accuracies.

    The objective is ``mean cross-entropy + (l2/2) |W|^2`` in the weights W of the (standardized)
    features; the bias is not penalized. In scikit-learn's terms ``C = 1 / (l2 * train)``.

    Args:
        train_features: features of the training images.
        train_labels: their classes, from 0.
        test_features: features of the test images.
        test_labels: their classes.
        num_classes: number of classes.
        l2: penalty, at least 0; with 0 and separable classes there is no minimizer and the
            iteration limit ends the fit.
        standardize: divide each feature by its standard deviation over the training images
            (the mean is always subtracted, which only moves the bias). It undoes a diagonal
            rescaling of the features: compare diagonal heads without it.
        max_iterations: limit of L-BFGS iterations.
        tolerance: stop when the gradient's norm is below this, or when five iterations in a row
            lower the objective by no more than its rounding: a gradient of 50 000 images summed
            in float32 may never get smaller than its own rounding.
        sample_weights: weight of each training image in the mean, by default equal.
        start: probe of features of the same width to start from, by default zero; it saves
            iterations and changes nothing else, since the minimizer is unique.

    Returns:
        The classifier and its accuracies.

    Raises:
        UsageError: for a label outside [0, num_classes), features that are not finite, or a
            negative penalty.

    Accuracy:
        float32 arithmetic: weights to about 1e-3 of scikit-learn's, accuracies equal but for
        features on the decision boundary.
    """
    check_probe_input(train_features, train_labels, test_features, test_labels, num_classes, l2)
    change = standardization(train_features, divide=standardize)
    inputs = standardize_features(change, train_features)
    weights = np.ones((len(inputs),)) if sample_weights is None else sample_weights
    weights = np.asarray(weights / np.sum(weights), np.float32)
    zero = (np.zeros((inputs.shape[1], num_classes), np.float32), np.zeros(num_classes, np.float32))
    begin = zero if start is None else fold_standardization(change, start.weights, start.bias)
    labels = np.asarray(train_labels)
    (kernel, bias), loss, gradient_norm, iterations = jax.device_get(
        _fit(inputs, labels, weights, begin, l2, max_iterations, tolerance)
    )
    return evaluate_classifier(
        unfold_standardization(change, kernel, bias),
        (train_features, train_labels),
        (test_features, test_labels),
        loss=float(loss),
        gradient_norm=float(gradient_norm),
        iterations=int(iterations),
    )


PATIENCE = 5
"""Iterations in a row without progress after which L-BFGS has converged as far as float32 goes."""


@jax.jit
@jax.default_matmul_precision("highest")
def _fit(inputs, labels, weights, start, l2, max_iterations, tolerance):
    def objective(params):
        kernel, bias = params
        logits = jnp.matmul(inputs, kernel, precision="highest") + bias[None]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.sum(weights * losses) + l2 / 2 * jnp.sum(kernel**2)

    solver = optax.lbfgs(memory_size=20)
    value_and_gradient = optax.value_and_grad_from_state(objective)

    def unfinished(carry):
        _, state, _, stalled = carry
        count = optax.tree.get(state, "count")
        gradient = optax.tree.get(state, "grad")
        large = optax.tree.norm(gradient) > tolerance
        return (count == 0) | ((count < max_iterations) & large & (stalled < PATIENCE))

    def iteration(carry):
        params, state, lowest, stalled = carry
        value, gradient = value_and_gradient(params, state=state)
        updates, state = solver.update(
            gradient, state, params, value=value, grad=gradient, value_fn=objective
        )
        rounding = jnp.finfo(inputs.dtype).eps * jnp.abs(value)
        stalled = jnp.where(lowest - value > rounding, 0, stalled + 1)
        return optax.apply_updates(params, updates), state, jnp.minimum(lowest, value), stalled

    begin = (start, solver.init(start), jnp.inf, 0)
    params, state, _, _ = jax.lax.while_loop(unfinished, iteration, begin)
    value, gradient = jax.value_and_grad(objective)(params)
    return params, value, optax.tree.norm(gradient), optax.tree.get(state, "count")


def ridge_probe(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Int[np.ndarray, " train"],
    test_features: Float[np.ndarray, "test dim"],
    test_labels: Int[np.ndarray, " test"],
    *,
    num_classes: int,
    l2: float = 1e-3,
    standardize: bool = True,
) -> ProbeResult:
    """Fit least squares on one-hot labels in closed form; predict the class of the largest output.

    Minimizes ``mean |y - W^T x - b|^2 + l2 |W|^2``; arguments as for :func:`linear_probe`.
    In scikit-learn's terms ``alpha = l2 * train``.
    """
    check_probe_input(train_features, train_labels, test_features, test_labels, num_classes, l2)
    targets = np.eye(num_classes)[train_labels]
    return evaluate_classifier(
        _ridge(train_features, targets, l2, standardize),
        (train_features, train_labels),
        (test_features, test_labels),
        loss=0.0,
        gradient_norm=0.0,
        iterations=0,
    )


def regression_probe(
    train_features: Float[np.ndarray, "train dim"],
    train_targets: Float[np.ndarray, "train targets"],
    test_features: Float[np.ndarray, "test dim"],
    test_targets: Float[np.ndarray, "test targets"],
    *,
    l2: float = 1e-3,
    standardize: bool = True,
) -> RegressionResult:
    """Fit linear regression of numbers, for instance of the augmentation's parameters.

    Minimizes ``mean |y - W^T x - b|^2 + l2 |W|^2`` in closed form.

    Args:
        train_features: features of the training views.
        train_targets: numbers to read off them, for instance the angle each was rotated by.
        test_features: features of test views.
        test_targets: their numbers.
        l2: penalty, at least 0.
        standardize: divide each feature by its standard deviation over the training views.

    Returns:
        R2 of each target on the test views (1: exact, 0: no better than the test mean).
    """
    if l2 < 0:
        raise UsageError(f"l2 is {l2}; wanted a number of at least 0")
    check_features(train_features, "training")
    check_features(test_features, "test")
    kernel, bias = _ridge(train_features, np.asarray(train_targets, np.float64), l2, standardize)
    residual = test_targets - (test_features @ kernel + bias)
    total = test_targets - np.mean(test_targets, axis=0)
    r2 = 1 - np.sum(residual**2, axis=0) / np.sum(total**2, axis=0)
    return RegressionResult(r2, kernel, bias)


def _ridge(features, targets, l2, standardize):
    change = standardization(features, divide=standardize)
    inputs = (features - change.mean) / change.scale
    mean_target = np.mean(targets, axis=0)
    gram = inputs.T @ inputs / len(inputs) + l2 * np.eye(inputs.shape[1])
    cross = inputs.T @ (targets - mean_target) / len(inputs)
    # Least squares rather than a solve: without a penalty the Gram matrix may be singular.
    kernel = np.linalg.lstsq(gram, cross, rcond=None)[0]
    return unfold_standardization(change, kernel, mean_target)


def evaluate_classifier(
    linear: tuple[Float[np.ndarray, "dim classes"], Float[np.ndarray, " classes"]],
    train: tuple[Float[np.ndarray, "train dim"], Int[np.ndarray, " train"]],
    test: tuple[Float[np.ndarray, "test dim"], Int[np.ndarray, " test"]],
    *,
    loss: float,
    gradient_norm: float,
    iterations: int,
) -> ProbeResult:
    """Return the accuracies of a linear classifier on training and test features."""
    kernel, bias = linear
    predictions = np.argmax(test[0] @ kernel + bias, axis=1)
    fitted = np.argmax(train[0] @ kernel + bias, axis=1)
    return ProbeResult(
        float(np.mean(fitted == train[1])),
        float(np.mean(predictions == test[1])),
        predictions,
        kernel,
        bias,
        loss,
        gradient_norm,
        iterations,
    )


def check_probe_input(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Int[np.ndarray, " train"],
    test_features: Float[np.ndarray, "test dim"],
    test_labels: Int[np.ndarray, " test"],
    num_classes: int,
    l2: float,
) -> None:
    """Refuse what no probe can be fitted to.

    Raises:
        UsageError: for a label outside [0, num_classes), features that are not finite, or a
            negative penalty.
    """
    if l2 < 0:
        raise UsageError(f"l2 is {l2}; wanted a number of at least 0")
    for labels in (train_labels, test_labels):
        if len(labels) and not 0 <= np.min(labels) <= np.max(labels) < num_classes:
            raise UsageError(
                f"labels from {np.min(labels)} to {np.max(labels)}; wanted 0 to {num_classes - 1}"
            )
    check_features(train_features, "training")
    check_features(test_features, "test")


class Standardization(NamedTuple):
    """``(features - mean) / scale`` is what a probe is fitted to.

    Attributes:
        mean: of each feature.
        scale: its standard deviation, or 1 where features are not divided.
    """

    mean: Float[np.ndarray, " dim"]
    scale: Float[np.ndarray, " dim"]


def standardization(features: Float[np.ndarray, "n dim"], *, divide: bool) -> Standardization:
    """Return each feature's mean and, if `divide`, standard deviation; constants keep scale 1."""
    mean = np.asarray(np.mean(features, axis=0, dtype=np.float64))
    if not divide:
        return Standardization(mean, np.ones_like(mean))
    deviation = np.std(features, axis=0, dtype=np.float64)
    # A constant feature is left alone rather than blown up to unit variance.
    constant = deviation <= 1e-6 * max(float(np.max(deviation)), 1e-30)
    return Standardization(mean, np.where(constant, 1.0, deviation))


def standardize_features(
    change: Standardization, features: Float[np.ndarray, "n dim"]
) -> Float[np.ndarray, "n dim"]:
    """Return the float32 features that a probe sees."""
    return ((features - change.mean) / change.scale).astype(np.float32)


def unfold_standardization(
    change: Standardization,
    kernel: Float[np.ndarray, "dim outputs"],
    bias: Float[np.ndarray, " outputs"],
) -> tuple[Float[np.ndarray, "dim outputs"], Float[np.ndarray, " outputs"]]:
    """Return the float64 map of features as given that equals a map of standardized ones."""
    kernel = np.asarray(kernel, np.float64) / change.scale[:, None]
    return kernel, np.asarray(bias, np.float64) - change.mean @ kernel


def fold_standardization(
    change: Standardization,
    kernel: Float[np.ndarray, "dim outputs"],
    bias: Float[np.ndarray, " outputs"],
) -> tuple[Float[np.ndarray, "dim outputs"], Float[np.ndarray, " outputs"]]:
    """Return the float32 map of standardized features that equals a map of features as given."""
    started = np.asarray(bias + change.mean @ kernel, np.float32)
    return np.asarray(kernel * change.scale[:, None], np.float32), started
