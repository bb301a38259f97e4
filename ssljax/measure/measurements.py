"""Write what is measured on a trained network: layers' moments, Grams of its head, accuracies."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ssljax.config.config import Config
from ssljax.data.clean_images import clean_dataset
from ssljax.data.datasets import Dataset
from ssljax.data.run_data import read_measured_images
from ssljax.measure.evaluation import (
    ASKED,
    EVALUATION_FILE,
    PROTOCOL,
    count_images,
    describe_protocol,
    measure_accuracies,
    move_to_one_device,
)
from ssljax.measure.moments import layer_moments, write_moments
from ssljax.nets.network import Network, resolve_layers
from ssljax.system.arrays import Float
from ssljax.system.distributed import agree, is_first
from ssljax.system.errors import UsageError
from ssljax.system.files import read_json, write_json
from ssljax.system.progress import notice, open_counter, open_loading_counter
from ssljax.training.build import build_reading
from ssljax.training.parallel import make_batch_sharding, make_local_sharding
from ssljax.training.state import TrainState

MOMENTS = "moments"
HEAD_WEIGHTS_FILE = "head_weights.npz"
HEAD_GRAMS_FILE = "head_grams.npz"


def check_layers(network: Network, layers: tuple[str, ...]) -> None:
    """Refuse the name of a layer that the network does not have (`resolve_layers`)."""
    resolve_layers(network, layers)


def moments_file(folder: Path, layer: str) -> Path:
    """Return the path ``folder/LAYER.npz``."""
    return folder / f"{layer.replace('/', '-')}.npz"


def head_weights(config: Config, state: TrainState) -> dict[str, np.ndarray]:
    """Return matrices ``W1``, …, ``WL`` of a linear head, each (out, in); empty for other heads."""
    if config.head.kind != "linear":
        return {}
    head = jax.device_get(state.params["head"])
    return {
        f"W{number}": head[f"layer{number}"]["kernel"].T
        for number in range(1, len(config.head.widths) + 1)
    }


def head_grams(weights: dict[str, np.ndarray]) -> Float[np.ndarray, "depth dim dim"]:
    r"""Return Grams of a linear head's layers: ``W_1^T ... W_l^T W_l ... W_1`` for each l.

    Args:
      weights: ``W1``, …, ``WL`` as `head_weights` gives them, at least one.

    Returns:
      The form in which ``theory solve`` writes predicted Grams, float64.
    """
    grams, product = [], np.eye(weights["W1"].shape[1])
    for number in range(1, len(weights) + 1):
        product = np.asarray(weights[f"W{number}"], np.float64) @ product
        grams.append(product.T @ product)
    return np.stack(grams)


def write_layer_moments(
    config: Config,
    folder: Path,
    network: Network,
    state: TrainState,
    dataset: Dataset,
    *,
    layers: tuple[str, ...],
    views: int,
    progress: bool = True,
) -> list[Path]:
    """Write the moments of each layer of a network to a file that ``theory solve`` reads.

    The views are those of training's policy and strength, drawn with keys of their own, the same
    ones at every call: two measurements of one run differ by what the network learned between
    them. The network is in evaluation mode. The matrices of a linear head and their Grams are
    written beside the moments.

    Args:
      config: What was trained.
      folder: Files go to ``folder/LAYER.npz``; made if need be.
      network: The network.
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
    layers = resolve_layers(network, layers)
    moments = measure_layer_moments(
        config, network, state, dataset, layers=layers, views=views, progress=progress
    )
    return write_moments_folder(config, folder, state, moments)


def measure_layer_moments(
    config: Config,
    network: Network,
    state: TrainState,
    dataset: Dataset,
    *,
    layers: tuple[str, ...],
    views: int,
    progress: bool = True,
) -> dict[str, dict[str, np.ndarray]]:
    """Return the moments of a network's layers; arguments as for `write_layer_moments`."""
    layers = resolve_layers(network, layers)
    state = move_to_one_device(state)
    with open_counter("moments", len(dataset.images), enabled=progress) as report:
        return layer_moments(
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
            sharding=make_local_sharding(config.devices, config.mesh),
            progress=report,
        )


def write_moments_folder(
    config: Config, folder: Path, state: TrainState, moments: dict[str, dict[str, np.ndarray]]
) -> list[Path]:
    """Write moments by layer, and the matrices of a linear head; return the files.

    Only the first of many processes writes.
    """
    if not is_first():
        return []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made ({error.strerror}): give a run folder that can be written"
        ) from error
    written = []
    for name in moments:
        written.append(moments_file(folder, name))
        write_moments(written[-1], moments[name])
    weights = head_weights(config, state)
    if weights:
        for file, arrays in (
            (HEAD_WEIGHTS_FILE, weights),
            (HEAD_GRAMS_FILE, {"gram": head_grams(weights)}),
        ):
            written.append(folder / file)
            write_moments(written[-1], arrays)
    return written


def draw_subset(dataset: Dataset, count: int) -> Dataset:
    """Return some images, drawn once and for all, or every image for ``count`` 0 or beyond all."""
    if not 0 < count < len(dataset.images):
        return dataset
    total = len(dataset.images)
    rows = np.sort(np.random.default_rng(0).permutation(total)[:count])
    groups = None if dataset.groups is None else dataset.groups[rows]
    return dataclasses.replace(
        dataset,
        images=dataset.images[rows],
        labels=dataset.labels[rows],
        groups=groups,
        available=max(dataset.available, total),
    )


def load_pair(
    config: Config, report: Callable[[int, int], None] | None, *, train: Dataset | None = None
) -> tuple[Dataset, Dataset] | None:
    """Read the labeled training and test images of a run's data set; none where it has none.

    Args:
      config: Names the data set.
      report: Called while images are read.
      train: The training images, where they are there already.
    """
    try:
        test = read_measured_images(build_reading(config), "test", report)
    except UsageError as error:
        if not config.data.startswith(("arrays:", "folder:")):
            raise
        notice(f"no evaluation: {error}")
        return None
    if train is None:
        train = read_measured_images(build_reading(config), "train", report)
    if not (train.is_labeled and test.is_labeled):
        notice(f"no evaluation: {config.data} has images without a class")
        return None
    if max(train.available - len(train), test.available - len(test)) > 0:
        notice(
            f"evaluation: {len(train)} training and {len(test)} test images of {config.data}, as"
            f" many as --resident-gib {config.resident_gib:g} holds; --evaluation.images N asks for"
            " a number of them"
        )
    strength = config.digit_strength
    return clean_dataset(train, strength), clean_dataset(test, strength)


def measure_run(
    config: Config,
    workdir: Path,
    network: Network,
    state: TrainState,
    dataset: Dataset,
    *,
    test: Dataset | None = None,
    train: Dataset | None = None,
    progress: bool = True,
) -> dict[str, dict[str, float]]:
    """Measure and write everything that a configuration asks for when training ends.

    What is there already (from a run that had ended) is kept. Every process of a run calls it and
    takes part; the first writes.

    Args:
      config: Which layers are measured, and how.
      workdir: Run folder.
      network: The trained network.
      state: Its state.
      dataset: Images trained on.
      test: Test images where ``dataset`` is not the configuration's own.
      train: The configuration's training images, where they are in memory already.
      progress: Show how far it is.

    Returns:
      Accuracies by layer; empty where none were asked for or there are no test images.
    """
    folder = workdir / MOMENTS
    if config.moments.views:
        layers = resolve_layers(network, config.moments.layers)
        missing = tuple(
            agree(lambda: [name for name in layers if not moments_file(folder, name).exists()])
        )
        if missing:
            write_layer_moments(
                config,
                folder,
                network,
                state,
                draw_subset(dataset, config.moments.images),
                layers=missing,
                views=config.moments.views,
                progress=progress,
            )
    path = workdir / EVALUATION_FILE
    if not config.evaluation.layers:
        return {}
    wanted = describe_protocol(config.evaluation, config.data)
    layers = resolve_layers(network, config.evaluation.layers)
    found = agree(lambda: _read_accuracies(path, wanted, layers))
    if found:
        return found
    if test is not None:
        pair = (dataset, test)
    else:
        with open_loading_counter(config.data, enabled=progress) as report:
            pair = load_pair(config, report, train=train)
    if pair is None:
        return {}
    count = config.evaluation.images
    pair = draw_subset(pair[0], count), draw_subset(pair[1], count)
    accuracies = measure_accuracies(
        network,
        state,
        *pair,
        config.evaluation,
        sharding=make_batch_sharding(config.devices, config.mesh),
        progress=progress,
    )
    if is_first():
        write_json(path, {**accuracies, PROTOCOL: {**wanted, **count_images(*pair)}})
    return accuracies


def _read_accuracies(
    path: Path, wanted: dict[str, Any], layers: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Return accuracies that were measured before in this way on these layers; otherwise none."""
    if not path.exists():
        return {}
    found = read_json(path)
    kept = {ASKED: 0} | (found.pop(PROTOCOL, None) or {})
    return found if wanted.items() <= kept.items() and set(found) == set(layers) else {}
