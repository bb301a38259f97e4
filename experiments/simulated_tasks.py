"""Few-label classification of one feature among others, simulated on the layers of a network."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from theory.downstream.layer_choice import (
    Scenarios,
    head_disadvantages,
    scenario_edges,
    weight_threshold,
)
from theory.linalg.powers import fractional_gram
from theory.losses.quadratic import spectral_loss
from theory.moments.data_models import FeatureModel, resampling_moments
from theory.optimum.quadratic import quadratic_optimum

VIEW_NOISE = 0.5
# The five other features, kept by augmentation: none sits at the noise level, where weights peak,
# so that the region in which the head helps is as wide as the three in which it hurts.
OTHER_STRENGTHS = (0.2, 0.3, 1.0, 1.5, 2.0)
LABELS = 12
TEST_EXAMPLES = 400


def task_model(retention: float | Array, strength: float | Array) -> FeatureModel:
    """The task's feature first, then the others, which augmentation always keeps.

    Args:
      retention: α of the task's feature, between 0 and 1.
      strength: φ of it, > 0.

    Returns:
      The model, with `VIEW_NOISE`.
    """
    return FeatureModel(
        jnp.concatenate([jnp.asarray(strength)[None], jnp.array(OTHER_STRENGTHS)]),
        jnp.concatenate([jnp.asarray(retention)[None], jnp.ones(len(OTHER_STRENGTHS))]),
        jnp.asarray(VIEW_NOISE),
        jnp.asarray(0.0),
    )


def task_edges(retention: float, strength: float) -> Scenarios:
    """Where the layer before the head becomes the better one for the task, exactly.

    Args:
      retention: α of the task's feature, at which the edges in strength are taken.
      strength: φ of it, at which the edge in retention is taken.

    Returns:
      Edges of the three scenarios, without weight decay and at two layers.
    """
    model = task_model(1.0, 1.0)
    variances = model.strength**2 + VIEW_NOISE**2
    others = jnp.arange(variances.shape[0]) > 0
    threshold = jnp.asarray(weight_threshold(model.strength / variances, variances, others))
    found = scenario_edges(
        jnp.asarray(strength), jnp.asarray(retention), jnp.asarray(VIEW_NOISE), threshold
    )
    return Scenarios(*(jnp.asarray(edge) for edge in found))


def layer_maps(gram: Float[Array, "dim dim"], depth: int = 2) -> Float[Array, "2 dim dim"]:
    """Symmetric maps that stand for the layers before and after a head of one layer.

    Square roots of the two layers' Grams: the layers up to a rotation, which neither margins nor
    ridge classifiers see.

    Args:
      gram: End-to-end Gram of a balanced network.
      depth: Its number of layers.

    Returns:
      The two maps.
    """
    fractions = ((depth - 1) / (2 * depth), 0.5)
    return jnp.stack([jnp.asarray(fractional_gram(gram, fraction)) for fraction in fractions])


@functools.partial(jax.jit, static_argnames="repeats")
def few_label_accuracies(
    key: PRNGKeyArray,
    strengths: Float[Array, " dim"],
    maps: Float[Array, "layers dim dim"],
    repeats: int,
) -> Float[Array, "repeats layers"]:
    """Test accuracy of ridge classifiers of the first feature's sign, from `LABELS` examples each.

    Downstream the data are not augmented, but as noisy as every view. The penalty of a classifier
    is the mean eigenvalue of its training second moment.

    Args:
      key: Draws every training and test set.
      strengths: φ of the features, the task's first.
      maps: Of the data into each layer; all layers see the same examples.
      repeats: Training sets.

    Returns:
      Accuracies on `TEST_EXAMPLES` examples.
    """

    def one(key: Array) -> Array:
        train_key, test_key = jax.random.split(key)
        train = _labeled(train_key, strengths, LABELS)
        test = _labeled(test_key, strengths, TEST_EXAMPLES)
        return jnp.stack([_accuracy(train, test, layer) for layer in maps])

    return jax.vmap(one)(jax.random.split(key, repeats))


def clear_means(
    gains: Float[np.ndarray, "points repeats"],
) -> tuple[Float[np.ndarray, " points"], Bool[np.ndarray, " points"]]:
    """Mean gain of each point, and whether it is beyond two standard errors."""
    means, errors = np.mean(gains, axis=1), np.std(gains, axis=1) / np.sqrt(gains.shape[1])
    return means, np.abs(means) > 2 * errors


class Sweep(NamedTuple):
    """One property of the task's feature varied, the classifier's gain by the layer before.

    Attributes:
      values: What was varied.
      predicted: log2 of labels needed after the head over before it.
      gains: Accuracy before the head less after it.
      clear: Whether a gain is beyond two standard errors.
    """

    values: Float[np.ndarray, " points"]
    predicted: Float[np.ndarray, " points"]
    gains: Float[np.ndarray, "seeds points"]
    clear: Bool[np.ndarray, "seeds points"]


def task_sweep(
    values: np.ndarray, points: list[tuple[float, float]], seeds: tuple[int, ...], repeats: int
) -> Sweep:
    """Predict and simulate which layer serves the task, point by point.

    Args:
      values: What is varied, for the axis.
      points: Retention and strength of the task's feature.
      seeds: Of the simulations.
      repeats: Classifiers at each point and seed.

    Returns:
      The sweep.
    """
    predicted, gains, clear = [], [], []
    for number, (alpha, phi) in enumerate(points):
        model = task_model(alpha, phi)
        moments = resampling_moments(model)
        loss = spectral_loss(moments.covariance, moments.cross_covariance)
        gram = jnp.asarray(quadratic_optimum(loss).gram)
        weights, variances = jnp.sqrt(jnp.diagonal(gram)), jnp.diagonal(moments.covariance)
        predicted.append(float(jnp.log2(head_disadvantages(weights, variances)[0])))
        each = []
        for seed in seeds:
            key = jax.random.fold_in(jax.random.key(seed), number)
            found = few_label_accuracies(
                key, jnp.asarray(model.strength), layer_maps(gram), repeats
            )
            each.append(np.asarray(found[:, 0] - found[:, 1]))
        means, beyond = clear_means(np.stack(each))
        gains.append(means)
        clear.append(beyond)
    return Sweep(values, np.array(predicted), np.stack(gains, axis=1), np.stack(clear, axis=1))


def _labeled(key: Array, strengths: Array, count: int) -> tuple[Array, Array]:
    sign_key, noise_key = jax.random.split(key)
    shape = (count, strengths.shape[0])
    signs = jax.random.rademacher(sign_key, shape, strengths.dtype)
    noise = VIEW_NOISE * jax.random.normal(noise_key, shape, strengths.dtype)
    return strengths[None] * signs + noise, signs[:, 0]


def _accuracy(train: tuple[Array, Array], test: tuple[Array, Array], layer: Array) -> Array:
    inputs, labels = train[0] @ layer, train[1]
    second = inputs.T @ inputs
    penalty = jnp.trace(second) / second.shape[0]
    classifier = jnp.linalg.solve(second + penalty * jnp.eye(second.shape[0]), inputs.T @ labels)
    return jnp.mean(jnp.sign(test[0] @ layer @ classifier) == test[1])
