"""k nearest neighbors by cosine similarity: the accuracy of features without any training."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.system.arrays import Float, Int
from ssljax.system.errors import UsageError

_CHUNK = 512


@partial(jax.jit, static_argnames=("neighbors", "num_classes"))
@jax.default_matmul_precision("highest")
def _count_votes(train, labels, test, temperature, neighbors, num_classes):
    similarity = jnp.matmul(test, train.T, precision="highest")
    nearest, rows = jax.lax.top_k(similarity, neighbors)
    # The largest exponent is 0; without a temperature every neighbor has one vote.
    weights = jnp.where(
        temperature > 0,
        jnp.exp((nearest - nearest[:, :1]) / jnp.where(temperature > 0, temperature, 1.0)),
        1.0,
    )
    one_hot = jax.nn.one_hot(labels[rows], num_classes)
    return jnp.argmax(jnp.sum(weights[:, :, None] * one_hot, axis=1), axis=1)


def knn_predictions(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Int[np.ndarray, " train"],
    test_features: Float[np.ndarray, "test dim"],
    *,
    neighbors: int,
    temperature: float,
    num_classes: int | None = None,
) -> Int[np.ndarray, " test"]:
    """Return the class that the most similar training features vote for.

    Features are divided by their norms (a zero feature stays zero: similarity 0 to all). A
    neighbor with similarity c votes with weight ``exp(c / temperature)``, or 1 if the
    temperature is 0; ties go to the smaller label.

    Args:
        train_features: features that vote.
        train_labels: their classes, from 0.
        test_features: features to classify, in chunks of 512.
        neighbors: how many vote.
        temperature: of the weights; at least 0.
        num_classes: by default one more than the largest training label.

    Returns:
        Predicted classes.

    Raises:
        UsageError: for more neighbors than training features, a negative temperature, no test
            features, a feature that is not finite, or a label below 0.
    """
    if not 1 <= neighbors <= len(train_features):
        raise UsageError(
            f"{neighbors} neighbors among {len(train_features)} training features; wanted at "
            "least 1 and at most all of them"
        )
    if temperature < 0:
        raise UsageError(f"temperature {temperature}; wanted at least 0 (0: equal votes)")
    check_features(train_features, "training")
    check_features(test_features, "test")
    check_labels(train_labels, "training")
    if num_classes is None:
        num_classes = int(np.max(train_labels)) + 1
    train, test = _normalize(train_features), _normalize(test_features)
    chunk = min(_CHUNK, len(test))
    filled = np.concatenate([test, np.zeros((-len(test) % chunk, test.shape[1]), test.dtype)])
    on_device = jax.device_put((train, np.asarray(train_labels)))
    predictions = [
        _count_votes(*on_device, part, temperature, neighbors, num_classes)
        for part in np.split(filled, len(filled) // chunk)
    ]
    return np.concatenate(jax.device_get(predictions))[: len(test)]


def cosine_knn(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Int[np.ndarray, " train"],
    test_features: Float[np.ndarray, "test dim"],
    test_labels: Int[np.ndarray, " test"],
    *,
    neighbors: int = 10,
    temperature: float = 0.1,
    center: bool = False,
) -> float:
    """Test accuracy of :func:`knn_predictions`.

    Args:
        train_features: features that vote.
        train_labels: their classes, from 0.
        test_features: features to classify.
        test_labels: their classes.
        neighbors: how many vote.
        temperature: of the votes; 0 for equal votes.
        center: subtract the mean of the training features first.

    Returns:
        Fraction of test features whose class is predicted.
    """
    check_labels(test_labels, "test")
    if center:
        mean = np.mean(train_features, axis=0, dtype=np.float64).astype(train_features.dtype)
        train_features, test_features = train_features - mean, test_features - mean
    predictions = knn_predictions(
        train_features,
        train_labels,
        test_features,
        neighbors=neighbors,
        temperature=temperature,
        num_classes=int(max(np.max(train_labels), np.max(test_labels, initial=0))) + 1,
    )
    return float(np.mean(predictions == test_labels))


def check_features(features: Float[np.ndarray, "n dim"], name: str) -> None:
    """Refuse features that are not there or not finite, naming the first such row."""
    if not len(features):
        raise UsageError(f"no {name} features were given; an accuracy needs at least one")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise UsageError(
            f"{np.sum(~finite)} of {len(features)} {name} features hold NaN or infinity (the first"
            f" in row {np.argmin(finite)}); look at the run's loss first"
        )


def check_labels(labels: Int[np.ndarray, " n"], name: str) -> None:
    """Refuse labels below 0, which mark images without a class."""
    if len(labels) and np.min(labels) < 0:
        raise UsageError(
            f"{np.sum(labels < 0)} of {len(labels)} {name} images have a label below 0, that is no"
            " class; leave them out"
        )


def _normalize(features):
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.where(norms > 0, norms, 1)).astype(np.float32)
