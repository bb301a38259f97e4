"""The linear probe as most papers train it: stochastic gradient descent on a cosine schedule."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ssljax.measure.probe import (
    ProbeResult,
    check_probe_input,
    evaluate_classifier,
    standardization,
    standardize_features,
    unfold_standardization,
)
from ssljax.system.arrays import Float, Int
from ssljax.system.errors import UsageError


def sgd_probe(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Int[np.ndarray, " train"],
    test_features: Float[np.ndarray, "test dim"],
    test_labels: Int[np.ndarray, " test"],
    *,
    num_classes: int,
    l2: float = 1e-3,
    standardize: bool = True,
    epochs: int = 100,
    batch_size: int = 256,
    learning_rate: float | None = None,
    momentum: float = 0.9,
    seed: int = 0,
) -> ProbeResult:
    r"""Fit multinomial logistic regression by mini-batch descent, a fixed number of epochs.

    The objective of :func:`ssljax.measure.probe.linear_probe`, minimized by heavy-ball momentum
    with a learning rate :math:`\eta (1 + \cos(\pi k / K)) / 2` at step k of K. The weights of the
    last step are the answer: no epoch is picked by looking at test features.

    Args:
        train_features: features of the training images.
        train_labels: their classes, from 0.
        test_features: features of the test images.
        test_labels: their classes.
        num_classes: number of classes.
        l2: penalty, at least 0.
        standardize: as for :func:`ssljax.measure.probe.linear_probe`.
        epochs: passes over the training features; what does not fill a batch is left out of an
            epoch, in a new random order each.
        batch_size: features a step.
        learning_rate: :math:`\eta`; by default 1 / L with the smoothness
            :math:`L = \lambda_{\max}(X^\top X / n) / 2 + l2` of the objective, which needs no
            tuning and so no data to tune on.
        momentum: in [0, 1).
        seed: of the order.

    Returns:
        The classifier, its accuracies, and the objective and gradient where descent ended.

    Raises:
        UsageError: as for :func:`ssljax.measure.probe.linear_probe`, and for no epochs or a batch
        of none.

    Accuracy:
        The excess loss over the minimizer falls with the number of epochs; accuracies of the two
        differ by features near the decision boundary.
    """
    check_probe_input(train_features, train_labels, test_features, test_labels, num_classes, l2)
    if epochs < 1 or batch_size < 1 or not 0 <= momentum < 1:
        raise UsageError(
            f"{epochs} epochs, batches of {batch_size}, momentum {momentum}; wanted at least one"
            " epoch, batches of at least one and momentum in [0, 1)"
        )
    change = standardization(train_features, divide=standardize)
    inputs = standardize_features(change, train_features)
    rate = 0.0 if learning_rate is None else learning_rate
    (kernel, bias), loss, gradient_norm = jax.device_get(
        _descend(
            inputs,
            np.asarray(train_labels),
            jax.random.key(seed),
            l2,
            rate,
            momentum,
            num_classes,
            epochs,
            min(batch_size, len(inputs)),
        )
    )
    return evaluate_classifier(
        unfold_standardization(change, kernel, bias),
        (train_features, train_labels),
        (test_features, test_labels),
        loss=float(loss),
        gradient_norm=float(gradient_norm),
        iterations=epochs * (len(inputs) // min(batch_size, len(inputs))),
    )


@partial(jax.jit, static_argnums=(6, 7, 8))
@jax.default_matmul_precision("highest")
def _descend(inputs, labels, key, l2, rate, momentum, num_classes, epochs, batch_size):
    count, dim = inputs.shape
    per_epoch = count // batch_size

    def objective(params, x, y):
        kernel, bias = params
        logits = jnp.matmul(x, kernel, precision="highest") + bias[None]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
        return jnp.mean(losses) + l2 / 2 * jnp.sum(kernel**2)

    rate = jnp.where(rate > 0, rate, 1 / (_largest_eigenvalue(inputs) / 2 + l2))

    def step(carry, now):
        params, velocity = carry
        number, rows = now
        gradient = jax.grad(objective)(params, inputs[rows], labels[rows])
        velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, gradient)
        cosine = (1 + jnp.cos(jnp.pi * number / (epochs * per_epoch))) / 2
        params = jax.tree.map(lambda p, v: p - rate * cosine * v, params, velocity)
        return (params, velocity), None

    def epoch(carry, number):
        order = jax.random.permutation(jax.random.fold_in(key, number), count)
        rows = jnp.reshape(order[: per_epoch * batch_size], (per_epoch, batch_size))
        numbers = number * per_epoch + jnp.arange(per_epoch)
        return jax.lax.scan(step, carry, (numbers, rows))

    start = (jnp.zeros((dim, num_classes)), jnp.zeros((num_classes,)))
    carry = (start, jax.tree.map(jnp.zeros_like, start))
    (params, _), _ = jax.lax.scan(epoch, carry, jnp.arange(epochs))
    value, gradient = jax.value_and_grad(objective)(params, inputs, labels)
    return params, value, optax.tree.norm(gradient)


def _largest_eigenvalue(inputs):
    """Return the second moment's largest eigenvalue, at least 1 (the bias sees the constant 1)."""

    def iteration(_, vector):
        product = inputs.T @ (inputs @ vector) / len(inputs)
        return product / jnp.maximum(jnp.linalg.norm(product), 1e-30)

    start = jnp.full((inputs.shape[1],), inputs.shape[1] ** -0.5)
    start = start + 0.1 * jnp.cos(jnp.arange(inputs.shape[1]))  # in no eigenvector's complement
    vector = jax.lax.fori_loop(0, 30, iteration, start)
    return jnp.maximum(jnp.sum((inputs @ vector) ** 2) / len(inputs), 1.0)
