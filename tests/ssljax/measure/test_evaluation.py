"""Accuracies of frozen features: one pass, stated protocol, nothing chosen by test images."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.config.config import EvaluationConfig
from ssljax.data.clean_images import resize_images_like
from ssljax.data.datasets import Dataset
from ssljax.measure.evaluation import measure_accuracies
from ssljax.measure.neighbors import cosine_knn
from ssljax.measure.probe import linear_probe
from ssljax.measure.probe_protocols import probe_path
from ssljax.measure.robust_probe import group_accuracy
from ssljax.nets.network import Network, resolve_layers
from ssljax.system.errors import UsageError
from ssljax.training.state import TrainState


def _dataset(seed, count):
    """Three classes that differ in brightness along one direction of 2 x 2 pixels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    centers = np.array([[90, 10, 40, 60], [20, 90, 50, 70], [60, 60, 99, 10]])
    pixels = np.clip(centers[labels] + rng.normal(scale=30, size=(count, 4)), 0, 255)
    images = pixels.astype(np.uint8).reshape(-1, 2, 2, 1)
    return Dataset(images, labels.astype(np.int32), 1 / 255, 3, "clouds")


TRAIN, TEST = _dataset(0, 120), _dataset(1, 90)
CALLS = []


def _apply(params, statistics, images, *, train, layers=()):
    CALLS.append(layers)
    flat = images.reshape(len(images), -1)
    feature = flat @ params
    # As wide as the feature, so that one compiled probe serves both; half of it says nothing.
    embedding = feature * jnp.array([1.0, 1.0, 0.0, 0.0])[None]
    outputs = {"input": flat, "feature": feature, "embedding": embedding}
    return {name: outputs[name] for name in ("embedding", *layers)}, statistics


NETWORK = Network(lambda key: ({}, {}), _apply, ("input", "feature", "embedding"))
WEIGHTS = np.random.default_rng(5).normal(size=(4, 4)).astype(np.float32)
STATE = TrainState(jnp.zeros((), jnp.int32), jnp.asarray(WEIGHTS), {}, {}, jnp.zeros(()), ())


def _features(dataset, weights=WEIGHTS):
    pixels = dataset.images.reshape(-1, 4).astype(np.float32) * np.float32(1 / 255)
    return np.asarray(pixels @ weights)


PAIR = (_features(TRAIN), TRAIN.labels, _features(TEST), TEST.labels)


def _evaluated(train=TRAIN, test=TEST, **changes):
    settings = EvaluationConfig(**({"layers": ("feature",), "neighbors": 5} | changes))
    return measure_accuracies(NETWORK, STATE, train, test, settings, progress=False)


def test_every_layer_is_read_from_one_pass_over_the_features():
    CALLS.clear()
    found = _evaluated(layers=("all",), few_shot=(4,), few_shot_draws=2)
    assert list(found) == ["feature", "embedding"]
    # Traced once for the training images and once for the test images, with all layers together.
    assert CALLS == [("feature", "embedding")] * 2
    wanted = linear_probe(*PAIR, num_classes=3)
    assert abs(found["feature"]["probe_accuracy"] - wanted.test_accuracy) < 0.02
    assert found["feature"]["probe_l2"] == 1e-3
    assert abs(found["feature"]["knn_accuracy"] - cosine_knn(*PAIR, neighbors=5)) < 0.02
    assert 1 / 3 < found["feature"]["few_shot_4_accuracy"] < found["feature"]["probe_accuracy"]
    assert found["feature"]["few_shot_4_standard_error"] > 0
    assert found["feature"]["probe_accuracy"] > found["embedding"]["probe_accuracy"]


def test_the_probe_asked_for_is_the_one_that_is_run():
    path = _evaluated(path=(1e-2, 10.0))["feature"]
    wanted = probe_path(*PAIR, penalties=(1e-2, 10.0), num_classes=3)
    assert path["probe_l2"] == wanted.l2
    assert abs(path["probe_accuracy"] - wanted.probe.test_accuracy) < 0.02
    # Without dividing by the deviation a penalty of 1 leaves almost nothing of the weights.
    weak, strong = (
        _evaluated(l2=1.0, standardize=standardize)["feature"]["probe_train_accuracy"]
        for standardize in (False, True)
    )
    assert weak < strong


def test_groups_add_worst_group_accuracies():
    groups = tuple((2 * part.labels + np.arange(len(part.labels)) % 2) for part in (TRAIN, TEST))
    parts = [dataclasses.replace(part, groups=own) for part, own in zip((TRAIN, TEST), groups)]
    found = _evaluated(*parts)["feature"]
    probe = linear_probe(*PAIR, num_classes=3)
    before = group_accuracy(probe.predictions, TEST.labels, groups[1])
    assert abs(found["probe_worst_group_accuracy"] - before.worst) < 0.1
    assert found["retrained_worst_group_accuracy"] <= found["retrained_accuracy"]


def test_all_means_each_layer_once_but_the_input_and_a_wrong_name_is_refused():
    assert resolve_layers(NETWORK, ("all",)) == ("feature", "embedding")
    # The last layer of a head is the embedding.
    headed = NETWORK._replace(layers=("input", "feature", "head1", "head2", "embedding"))
    assert resolve_layers(headed, ("all",)) == ("feature", "head1", "embedding")
    assert resolve_layers(NETWORK, ("input",)) == ("input",)
    with pytest.raises(UsageError, match="no layer 'head9'"):
        resolve_layers(NETWORK, ("feature", "head9"))


def test_transferred_images_take_the_size_and_channels_of_the_network():
    gray = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4, 1)
    same = resize_images_like(gray, (4, 4, 3))
    np.testing.assert_array_equal(same, np.repeat(gray, 3, axis=3))
    small = resize_images_like(gray, (2, 2, 1))
    # Halving with antialiasing keeps a linear ramp: symmetric about its mean.
    assert small.shape == (2, 2, 2, 1)
    assert abs(small[0].mean() - gray[0].mean()) <= 0.5
    assert resize_images_like(gray, (4, 4, 1)) is gray
    with pytest.raises(UsageError, match="3 channels for a network trained on 1"):
        resize_images_like(same, (4, 4, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probe": "sgd", "path": (1e-3,)}, "lbfgs where"),
        ({"few_shot_draws": 1}, "at least 2"),
        ({"every": 10, "layers": ()}, "at least one layer"),
        ({"path": (-1.0,)}, "at least 0"),
        ({"few_shot": (0,)}, "positive"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(EvaluationConfig(), **changes)
