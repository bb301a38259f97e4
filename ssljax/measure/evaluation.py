"""Accuracies of frozen features: probes, nearest neighbors and few shots at every named layer.

Each layer's features are computed once, all layers in one pass over the clean images, and every
accuracy is read off them. Nothing is chosen by a test image, and nothing is a best over epochs.
"""

from typing import Any

import jax
import numpy as np

from ssljax.config.config import EvaluationConfig
from ssljax.data.datasets import Dataset
from ssljax.measure.features import layer_features
from ssljax.measure.neighbors import cosine_knn
from ssljax.measure.probe import ProbeResult, linear_probe
from ssljax.measure.probe_protocols import few_shot_accuracy, probe_path
from ssljax.measure.robust_probe import group_accuracy, retrain_probe
from ssljax.measure.sgd_probe import sgd_probe
from ssljax.nets.network import Network, resolve_layers
from ssljax.system.arrays import Float, Int
from ssljax.system.progress import notice, open_counter
from ssljax.training.state import TrainState

EVALUATION_FILE = "evaluation.json"
PROTOCOL = "protocol"
ASKED = "images_asked_for"

Accuracies = dict[str, float]


def measure_accuracies(
    network: Network,
    state: TrainState,
    train: Dataset,
    test: Dataset,
    settings: EvaluationConfig,
    *,
    sharding: jax.sharding.NamedSharding | None = None,
    progress: bool = True,
) -> dict[str, Accuracies]:
    """Return the accuracies of frozen, clean features of each layer.

    Args:
      network: The trained network, used in evaluation mode.
      state: Its state.
      train: Images and labels that probes are fitted to and that vote.
      test: Images and labels that are classified; nothing is chosen with them.
      settings: Layers, probe, penalties, neighbors and shots.
      sharding: How devices share the images, as `ssljax.training.parallel.make_batch_sharding`
        gives it; by default one does.
      progress: Show how far it is.

    Returns:
      For each layer ``probe_accuracy``, ``probe_train_accuracy``, ``probe_l2`` and
      ``knn_accuracy``; for each number of shots ``few_shot_N_accuracy`` and its
      ``few_shot_N_standard_error``; where both sets have groups ``probe_worst_group_accuracy``
      and, of the last layer retrained on group-balanced training images, ``retrained_accuracy``
      and ``retrained_worst_group_accuracy``.

    Raises:
      UsageError: A layer does not exist, or the labels do not suffice for the shots.
    """
    layers = resolve_layers(network, settings.layers)
    state = move_to_one_device(state) if sharding is None else state

    def features(part: Dataset, name: str) -> dict[str, np.ndarray]:
        with open_counter(f"{name} features", len(part.images), enabled=progress) as report:
            return layer_features(
                network.apply,
                state.params,
                state.statistics,
                part.images,
                part.pixel_scale,
                layers=layers,
                sharding=sharding,
                progress=report,
            )

    groups = None
    if train.groups is not None and test.groups is not None:
        groups = (train.groups, test.groups)
    train_features, test_features = features(train, "training"), features(test, "test")
    num_classes = max(train.num_classes, test.num_classes)
    accuracies = {}
    for name in layers:
        accuracies[name] = _layer_accuracies(
            (train_features[name], train.labels, test_features[name], test.labels),
            num_classes,
            settings,
            groups,
        )
        if progress:
            notice(f"{name}: {accuracy_text(accuracies[name])}")
    return accuracies


def _layer_accuracies(
    pair: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    num_classes: int,
    settings: EvaluationConfig,
    groups: tuple[np.ndarray, np.ndarray] | None,
) -> Accuracies:
    probe, l2 = _probe(pair, num_classes, settings)
    found = {
        "probe_accuracy": probe.test_accuracy,
        "probe_train_accuracy": probe.train_accuracy,
        "probe_l2": l2,
        "knn_accuracy": cosine_knn(
            *pair,
            neighbors=min(settings.neighbors, len(pair[1])),
            temperature=settings.neighbor_temperature,
        ),
    }
    for shots in settings.few_shot:
        few = few_shot_accuracy(
            *pair,
            shots=shots,
            draws=settings.few_shot_draws,
            seed=0,
            num_classes=num_classes,
        )
        found[f"few_shot_{shots}_accuracy"] = few.accuracy
        found[f"few_shot_{shots}_standard_error"] = few.standard_error
    if groups is not None:
        found |= _group_accuracies(probe, pair, groups)
    return found


def _probe(
    pair: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    num_classes: int,
    settings: EvaluationConfig,
) -> tuple[ProbeResult, float]:
    options: dict[str, Any] = {"num_classes": num_classes, "standardize": settings.standardize}
    if settings.path:
        path = probe_path(*pair, penalties=settings.path, **options)
        return path.probe, path.l2
    fit = sgd_probe if settings.probe == "sgd" else linear_probe
    return fit(*pair, l2=settings.l2, **options), settings.l2


def _group_accuracies(
    probe: ProbeResult,
    pair: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    groups: tuple[np.ndarray, np.ndarray],
) -> Accuracies:
    train, train_labels, test, test_labels = pair
    before = group_accuracy(probe.predictions, test_labels, groups[1])
    after = retrain_probe(
        train, train, train_labels, groups[0], test, test_labels, groups[1], seed=0
    )
    return {
        "probe_worst_group_accuracy": before.worst,
        "retrained_accuracy": after.test.average,
        "retrained_worst_group_accuracy": after.test.worst,
    }


def describe_protocol(settings: EvaluationConfig, data: str) -> dict[str, Any]:
    """Return how the accuracies are measured, as it stands beside them in ``evaluation.json``."""
    return {
        "data": data,
        "probe": settings.probe,
        "standardized": settings.standardize,
        "l2": list(settings.path) or settings.l2,
        "l2_chosen_on": "a held-out tenth of the training images" if settings.path else "nothing",
        "neighbors": settings.neighbors,
        "neighbor_temperature": settings.neighbor_temperature,
        "few_shot_draws": settings.few_shot_draws,
        ASKED: settings.images,
    }


def count_images(train: Dataset, test: Dataset) -> dict[str, int]:
    """Return how many clean images were used, and of how many in the data set."""
    counts = {}
    for name, part in (("training", train), ("test", test)):
        counts[f"{name}_images"] = len(part.images)
        counts[f"{name}_images_available"] = max(part.available, len(part.images))
    return counts


def accuracy_text(accuracies: Accuracies) -> str:
    """Return a text like ``probe 0.9512, k-NN 0.9301``."""
    return f"probe {accuracies['probe_accuracy']:.4f}, k-NN {accuracies['knn_accuracy']:.4f}"


def neighbor_accuracies(
    features: tuple[dict[str, Float[np.ndarray, "train ..."]], dict[str, np.ndarray]],
    labels: tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]],
    settings: EvaluationConfig,
) -> Accuracies:
    """Return the k-nearest-neighbor accuracy of each layer's (training, test) features."""
    return {
        name: cosine_knn(
            value,
            labels[0],
            features[1][name],
            labels[1],
            neighbors=min(settings.neighbors, len(labels[0])),
            temperature=settings.neighbor_temperature,
        )
        for name, value in features[0].items()
    }


def move_to_one_device(state: TrainState) -> TrainState:
    """Return the state on one device: when measuring, replicas would repeat the same work."""
    return jax.device_put(state, jax.local_devices()[0])
