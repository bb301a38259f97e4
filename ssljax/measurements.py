"""What is measured on a trained network: moments of its layers, and accuracies of its features."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from ssljax.config import Config, EvaluationConfig
from ssljax.datasets import Dataset, load_dataset
from ssljax.errors import UsageError
from ssljax.features import layer_features
from ssljax.files import read_json, write_json
from ssljax.moment_sums import write_moments
from ssljax.moments import layer_moments
from ssljax.neighbors import cosine_knn
from ssljax.network import Network
from ssljax.probe import linear_probe
from ssljax.progress import counted, loading_progress, notice
from ssljax.state import TrainState

MOMENTS = "moments"
EVALUATION_FILE = "evaluation.json"
HEAD_WEIGHTS_FILE = "head_weights.npz"


def check_layers(network: Network, layers: tuple[str, ...]) -> None:
    """Refuse the name of a layer that the network does not have.

    Raises:
      UsageError: There is no such layer.
    """
    for name in layers:
        if name not in network.layers:
            raise UsageError(
                f"no layer {name!r} in this network: it has {', '.join(network.layers)}"
            )


def head_weights(config: Config, state: TrainState) -> dict[str, np.ndarray]:
    """Matrices ``W1``, …, ``WL`` of a linear head, each (out, in); empty for other heads."""
    if config.head.kind != "linear":
        return {}
    head = jax.device_get(state.params["head"])
    return {
        f"W{number}": head[f"layer{number}"]["kernel"].T
        for number in range(1, len(config.head.widths) + 1)
    }


def write_layer_moments(
    config: Config,
    workdir: Path,
    network: Network,
    state: TrainState,
    dataset: Dataset,
    *,
    layers: tuple[str, ...],
    views: int,
    progress: bool = True,
) -> list[Path]:
    """Moments of a trained network's layers, each in a file that ``theory solve`` reads.

    The views are those of training's policy and strength, drawn with keys of their own; the
    network is in evaluation mode. The matrices of a linear head are written beside them.

    Args:
      config: What was trained.
      workdir: Run folder; files go to ``moments/LAYER.npz``.
      network: The trained network.
      state: Its state.
      dataset: Images to augment.
      layers: Names of the layers.
      views: Views of each image, at least 2.
      progress: Show how far it is.

    Returns:
      The files written.

    Raises:
      UsageError: A layer does not exist or the folder cannot be written.
    """
    check_layers(network, layers)
    state = _on_one_device(state)
    with counted("moments", len(dataset.images), enabled=progress) as report:
        moments = layer_moments(
            network.apply,
            state.params,
            state.statistics,
            dataset.images,
            dataset.pixel_scale,
            jax.random.fold_in(jax.random.key(config.seed, impl="threefry2x32"), 1),
            config.policy,
            config.strength,
            views=views,
            layers=layers,
            batch_size=max(1, config.moments.batch_size // views),
            progress=report,
        )
    folder = workdir / MOMENTS
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made ({error.strerror}): give a run folder that can be written"
        ) from error
    written = []
    for name in layers:
        path = folder / f"{name.replace('/', '-')}.npz"
        write_moments(path, moments[name])
        written.append(path)
    weights = head_weights(config, state)
    if weights:
        path = folder / HEAD_WEIGHTS_FILE
        write_moments(path, weights)
        written.append(path)
    return written


def evaluation(
    network: Network,
    state: TrainState,
    train: Dataset,
    test: Dataset,
    settings: EvaluationConfig,
    *,
    progress: bool = True,
) -> dict[str, dict[str, float]]:
    """Accuracies of a linear probe and of cosine k nearest neighbors on frozen, clean features.

    Args:
      network: The trained network, used in evaluation mode.
      state: Its state.
      train: Images and labels that the probe is fitted to and that vote.
      test: Images and labels that are classified; nothing is chosen with them.
      settings: Layers, penalty, neighbors and temperature.
      progress: Show how far it is.

    Returns:
      For each layer ``probe_accuracy``, ``probe_train_accuracy`` and ``knn_accuracy``.
    """
    check_layers(network, settings.layers)
    state = _on_one_device(state)

    def features(part: Dataset, name: str) -> dict[str, np.ndarray]:
        with counted(f"{name} features", len(part.images), enabled=progress) as report:
            return layer_features(
                network.apply,
                state.params,
                state.statistics,
                part.images,
                part.pixel_scale,
                layers=settings.layers,
                progress=report,
            )

    train_features, test_features = features(train, "training"), features(test, "test")
    accuracies = {}
    for name in settings.layers:
        pair = (train_features[name], train.labels, test_features[name], test.labels)
        probe = linear_probe(*pair, num_classes=train.num_classes, l2=settings.l2)
        accuracies[name] = {
            "probe_accuracy": probe.test_accuracy,
            "probe_train_accuracy": probe.train_accuracy,
            "knn_accuracy": cosine_knn(
                *pair,
                neighbors=min(settings.neighbors, len(train.labels)),
                temperature=settings.neighbor_temperature,
            ),
        }
        if progress:
            notice(f"{name}: {accuracy_text(accuracies[name])}")
    return accuracies


def accuracy_text(accuracies: dict[str, float]) -> str:
    """``probe 0.9512, k-NN 0.9301``."""
    return f"probe {accuracies['probe_accuracy']:.4f}, k-NN {accuracies['knn_accuracy']:.4f}"


def load_pair(
    config: Config, report: Callable[[int, int], None] | None
) -> tuple[Dataset, Dataset] | None:
    """Labeled training and test images of a run's data set; none where it has no test images."""
    data_dir = config.data_dir or None
    try:
        test = load_dataset(config.data, "test", data_dir, progress=report)
    except UsageError as error:
        if not config.data.startswith("arrays:"):
            raise
        notice(f"no evaluation: {error}")
        return None
    return load_dataset(config.data, "train", data_dir, progress=report), test


def measured_run(
    config: Config,
    workdir: Path,
    network: Network,
    state: TrainState,
    dataset: Dataset,
    *,
    test: Dataset | None = None,
    progress: bool = True,
) -> dict[str, dict[str, float]]:
    """Everything that a configuration asks to be measured when training ends.

    What is there already (from a run that had ended) is kept.

    Args:
      config: Which layers are measured, and how.
      workdir: Run folder.
      network: The trained network.
      state: Its state.
      dataset: Images trained on.
      test: Test images where ``dataset`` is not the configuration's own.
      progress: Show how far it is.

    Returns:
      Accuracies by layer; empty where none were asked for or there are no test images.
    """
    missing = tuple(
        name
        for name in config.moments.layers
        if not (workdir / MOMENTS / f"{name.replace('/', '-')}.npz").exists()
    )
    if config.moments.views and missing:
        write_layer_moments(
            config,
            workdir,
            network,
            state,
            dataset,
            layers=missing,
            views=config.moments.views,
            progress=progress,
        )
    path = workdir / EVALUATION_FILE
    if not config.evaluation.layers:
        return {}
    if path.exists() and set(read_json(path)) == set(config.evaluation.layers):
        return read_json(path)
    if test is not None:
        pair = (dataset, test)
    else:
        with loading_progress(config.data, enabled=progress) as report:
            pair = load_pair(config, report)
    if pair is None:
        return {}
    accuracies = evaluation(network, state, *pair, config.evaluation, progress=progress)
    write_json(path, accuracies)
    return accuracies


def _on_one_device(state: TrainState) -> TrainState:
    """Measuring is done on one device; replicas would all repeat the same work."""
    return jax.device_put(state, jax.devices()[0])
