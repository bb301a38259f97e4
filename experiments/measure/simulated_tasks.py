"""Few-label classification of one feature among others, simulated on the layers of a network."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from theory.downstream.layer_choice import Scenarios, scenario_edges, weight_threshold
from theory.linalg.powers import fractional_gram
from theory.moments.data_models import FeatureModel

VIEW_NOISE = 0.5
# The five other features, kept by augmentation: none sits at the noise level, where weights peak,
# so that the region in which the head helps is as wide as the three in which it hurts.
OTHER_STRENGTHS = (0.2, 0.3, 1.0, 1.5, 2.0)
LABELS = 12
TEST_EXAMPLES = 400


def task_model(
    retention: float | Array,
    strength: float | Array,
    others: Sequence[float] = OTHER_STRENGTHS,
    view_noise: float = VIEW_NOISE,
) -> FeatureModel:
    """Return the model of the task's feature and of others, which augmentation always keeps.

    Args:
      retention: α of the task's feature, between 0 and 1.
      strength: φ of it, > 0.
      others: Strengths of the other features.
      view_noise: Standard deviation of the noise of a view.
    """
    return FeatureModel(
        jnp.concatenate([jnp.asarray(strength)[None], jnp.array(others)]),
        jnp.concatenate([jnp.asarray(retention)[None], jnp.ones(len(others))]),
        jnp.asarray(view_noise),
        jnp.asarray(0.0),
    )


def task_edges(
    retention: float,
    strength: float,
    others: Sequence[float] = OTHER_STRENGTHS,
    view_noise: float = VIEW_NOISE,
) -> Scenarios:
    """Return where the layer before the head becomes the better one for the task, exactly.

    Args:
      retention: α of the task's feature, at which the edges in strength are taken.
      strength: φ of it, at which the edge in retention is taken.
      others: Strengths of the other features.
      view_noise: Standard deviation of the noise of a view.

    Returns:
      Edges of the three scenarios, without weight decay and at two layers.
    """
    model = task_model(1.0, 1.0, others, view_noise)
    variances = model.strength**2 + view_noise**2
    is_other = jnp.arange(variances.shape[0]) > 0
    threshold = jnp.asarray(weight_threshold(model.strength / variances, variances, is_other))
    found = scenario_edges(
        jnp.asarray(strength), jnp.asarray(retention), jnp.asarray(view_noise), threshold
    )
    return Scenarios(*(jnp.asarray(edge) for edge in found))


def layer_maps(gram: Float[Array, "dim dim"], depth: int = 2) -> Float[Array, "2 dim dim"]:
    """Return symmetric maps that stand for the layers before and after a head of one layer.

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
    view_noise: float | Float[Array, ""] = VIEW_NOISE,
) -> Float[Array, "repeats layers"]:
    """Return test accuracies of ridge classifiers of the first feature's sign, on each layer.

    Each classifier learns from `LABELS` examples.

    Downstream the data are not augmented, but as noisy as every view. The penalty of a classifier
    is the mean eigenvalue of its training second moment.

    Args:
      key: Draws every training and test set.
      strengths: φ of the features, the task's first.
      maps: Of the data into each layer; all layers see the same examples.
      repeats: Training sets.
      view_noise: Standard deviation of the noise of an example.

    Returns:
      Accuracies on `TEST_EXAMPLES` examples.
    """

    def one(key: Array) -> Array:
        train_key, test_key = jax.random.split(key)
        train = _labeled(train_key, strengths, LABELS, view_noise)
        test = _labeled(test_key, strengths, TEST_EXAMPLES, view_noise)
        return jnp.stack([_accuracy(train, test, layer) for layer in maps])

    return jax.vmap(one)(jax.random.split(key, repeats))


def clear_means(
    gains: Float[np.ndarray, "points repeats"],
) -> tuple[Float[np.ndarray, " points"], Bool[np.ndarray, " points"]]:
    """Return the mean gain of each point, and whether it is beyond two standard errors."""
    means, errors = np.mean(gains, axis=1), np.std(gains, axis=1) / np.sqrt(gains.shape[1])
    return means, np.abs(means) > 2 * errors


def _labeled(
    key: Array, strengths: Array, count: int, view_noise: float | Array
) -> tuple[Array, Array]:
    sign_key, noise_key = jax.random.split(key)
    shape = (count, strengths.shape[0])
    signs = jax.random.rademacher(sign_key, shape, strengths.dtype)
    noise = view_noise * jax.random.normal(noise_key, shape, strengths.dtype)
    return strengths[None] * signs + noise, signs[:, 0]


def _accuracy(train: tuple[Array, Array], test: tuple[Array, Array], layer: Array) -> Array:
    inputs, labels = train[0] @ layer, train[1]
    second = inputs.T @ inputs
    penalty = jnp.trace(second) / second.shape[0]
    classifier = jnp.linalg.solve(second + penalty * jnp.eye(second.shape[0]), inputs.T @ labels)
    return jnp.mean(jnp.sign(test[0] @ layer @ classifier) == test[1])
