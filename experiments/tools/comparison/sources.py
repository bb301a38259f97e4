"""Linear heads and the features they stand on: of runs of ssljax, and of files from anywhere."""

import dataclasses
import math
import re
import zipfile
from pathlib import Path

import jax
import numpy as np
import optax

from experiments.errors import InputError
from experiments.measure.heads.banks import Views
from experiments.measure.heads.settle import Weights
from ssljax.config.config import Config
from ssljax.data.datasets import load_dataset
from ssljax.losses.table import LOSSES
from ssljax.measure.features import view_features
from ssljax.runs.saved_run import Run, load_run
from ssljax.training.build import build_schedule
from ssljax.training.state import make_state

MAX_IMAGES = 10_000
PREDICTED_LOSS = "spectral"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadSource:
    """A linear head and the features it stands on.

    Attributes:
      name: For titles.
      views: Features as the head receives them, to predict from.
      settling_views: Other views of the same images, to settle on.
      weights: W_1 ... W_L, (out, in).
      untrained: The head before training, where it is known.
      weight_decay: Coefficient X that the head was trained with.
      loss: Name of the loss that trained it.
      facts: What is assumed or known of the source, as names and words.
      doubts: Reasons why theory may not apply, as sentences.
    """

    name: str
    views: Views
    settling_views: Views
    weights: Weights
    untrained: Weights | None
    weight_decay: float
    loss: str
    facts: tuple[tuple[str, str], ...]
    doubts: tuple[str, ...]

    @property
    def is_predicted(self) -> bool:
        """Whether theory predicts the optimum of the loss; else only the layer law is tested."""
        return self.loss == PREDICTED_LOSS

    @property
    def rank(self) -> int:
        """The narrowest width of the head."""
        return min(weight.shape[0] for weight in self.weights)


def read_source(
    path: Path,
    *,
    weight_decay: float | None = None,
    loss: str | None = None,
    views: int = 8,
    seed: int = 0,
) -> HeadSource:
    """Return head and features of a run folder, or of an npz file.

    Args:
      path: Of either.
      weight_decay: In place of the source's own.
      loss: Name of the loss, in place of the source's own.
      views: Views of each image of a run, for each of two banks.
      seed: Randomness of the views of a run, apart from training's.

    Raises:
      InputError: It cannot be compared.
    """
    if loss is not None and loss not in LOSSES:
        raise InputError(f"--loss {loss} given; wanted one of {', '.join(LOSSES)}")
    source = read_run(path, views=views, seed=seed) if path.is_dir() else read_file(path)
    changes = {"weight_decay": weight_decay, "loss": loss}
    return dataclasses.replace(source, **{k: v for k, v in changes.items() if v is not None})


def read_run(folder: Path, *, views: int, seed: int) -> HeadSource:
    """Return head and features of a run of ssljax.

    Args:
      folder: The run folder.
      views: Views of each image, for each of the two banks.
      seed: Randomness of the views, apart from training's.

    Raises:
      InputError: The run has no linear head, or what stands below it cannot be told apart.
    """
    run = load_run(folder)
    config = run.config
    if config.head.kind != "linear":
        raise InputError(
            f"{folder} has a head of kind {config.head.kind!r}; compare needs a linear head, train"
            " with --head.kind linear"
        )
    layer = _chain_start(config, folder)
    dataset = load_dataset(config.data, config.split, config.data_dir or None)
    images = dataset.images[:MAX_IMAGES]
    prediction, settling = (
        _draw_views(run, images, dataset.pixel_scale, views, seed, bank, layer) for bank in (1, 0)
    )
    initial = make_state(run.network, optax.identity(), config.seed).params
    return HeadSource(
        name=folder.name,
        views=prediction,
        settling_views=settling,
        weights=_chain(run.state.params, layer),
        untrained=_chain(initial, layer),
        weight_decay=config.optimizer.head_weight_decay,
        loss=config.loss.name,
        facts=(
            ("views", f"{views} new views an image in evaluation mode; as many others to settle"),
            ("features", f"of the layer {layer}, as the head receives them"),
            ("optimizer", config.optimizer.name),
            ("batch", _batch_words(config)),
            ("start", _start_words(config)),
            (
                "scope",
                "the moments were measured after training: the test is of the head, given its"
                " encoder, and no forecast of the encoder",
            ),
        ),
        doubts=_doubts(config),
    )


def read_file(path: Path) -> HeadSource:
    """Return head and features of an npz file, from any framework.

    Args:
      path: With `features` (images, views, width), `W1` ... `WL` (out, in) and optionally
        `weight_decay`.

    Returns:
      The source; even views are settled on and odd ones predicted from where there are four.

    Raises:
      InputError: Something is missing or does not fit.
    """
    arrays = _read_arrays(path)
    features = arrays.get("features")
    if features is None or features.ndim != 3 or features.shape[1] < 2:
        given = "no features" if features is None else f"features of shape {features.shape}"
        raise InputError(
            f"{path} holds {given}; wanted features of shape (images, views >= 2, width)"
        )
    weights = _read_weights(path, arrays, features.shape[-1])
    if not all(np.all(np.isfinite(array)) for array in (features, *weights)):
        raise InputError(f"{path} holds numbers that are not finite; export it again")
    decay = np.asarray(arrays.get("weight_decay", 0.0))
    if decay.size != 1 or not (np.isfinite(decay).all() and decay.min() >= 0):
        raise InputError(f"{path}: weight_decay is {decay}; wanted one number, 0 or more")
    count = features.shape[1]
    halves = count >= 4
    known = {"features", "weight_decay", *(f"W{layer}" for layer in range(1, len(weights) + 1))}
    return HeadSource(
        name=path.stem,
        views=features[:, 1::2] if halves else features,
        settling_views=features[:, ::2] if halves else features,
        weights=weights,
        untrained=None,
        weight_decay=float(decay.ravel()[0]),
        loss=PREDICTED_LOSS,
        facts=(
            (
                "views",
                f"{count} an image: {count // 2} odd ones to predict from, {count - count // 2}"
                " even ones to settle on"
                if halves
                else f"{count} an image, both to predict from and to settle on",
            ),
            ("features", "as given in the file: the test is of the head, given its features"),
        ),
        doubts=_left_out(sorted(set(arrays) - known)),
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is neither a run folder nor a readable npz file ({error}); give a folder of"
            " ssljax train, or an npz with features and W1, W2, ..."
        ) from error


def _read_weights(path: Path, arrays: dict[str, np.ndarray], width: int) -> Weights:
    depth = sum(re.fullmatch(r"W\d+", name) is not None for name in arrays)
    missing = [f"W{layer}" for layer in range(1, depth + 1) if f"W{layer}" not in arrays]
    if depth == 0 or missing:
        raise InputError(f"{path} lacks {', '.join(missing) or 'W1'}; give W1 ... WL, (out, in)")
    weights = tuple(arrays[f"W{layer}"] for layer in range(1, depth + 1))
    for layer, weight in enumerate(weights, start=1):
        if weight.ndim != 2 or weight.shape[1] != width:
            raise InputError(
                f"{path}: W{layer} has shape {weight.shape}; wanted (out, {width}), transpose a"
                " kernel stored as (in, out)"
            )
        width = weight.shape[0]
    return weights


def _left_out(names: list[str]) -> tuple[str, ...]:
    biases = [name for name in names if re.fullmatch(r"(b|bias)_?\d+", name)]
    others = [name for name in names if name not in biases]
    found = []
    if biases:
        found.append(
            f"The file has biases ({', '.join(biases)}). Theory has none: the head is compared as"
            " if they were zero, so the mean of its embedding may differ."
        )
    if others:
        found.append(f"The file has keys that compare does not know: {', '.join(others)}.")
    return tuple(found)


def _draw_views(
    run: Run,
    images: np.ndarray,
    pixel_scale: float,
    views: int,
    seed: int,
    bank: int,
    layer: str,
) -> Views:
    """Return features of a bank of views; training never sees these."""
    return view_features(
        run.network.apply,
        run.state.params,
        run.state.statistics,
        images,
        pixel_scale,
        jax.random.fold_in(jax.random.key(2**30 + bank), seed),
        run.config.policy,
        run.config.strength,
        views=views,
        layers=(layer,),
    )[layer]


def _chain_start(config: Config, folder: Path) -> str:
    """Return the layer that the chain of linear layers stands on."""
    if config.encoder.kind != "linear" or not config.encoder.widths:
        return "feature"
    if config.optimizer.weight_decay != config.optimizer.head_weight_decay:
        raise InputError(
            f"{folder}: encoder and head are one linear chain with weight decays"
            f" {config.optimizer.weight_decay} and {config.optimizer.head_weight_decay}; the"
            " prediction is for one decay, train with equal ones"
        )
    return "input"


def _chain(params: dict, layer: str) -> Weights:
    fetched = jax.device_get(params)
    parts = [fetched["head"]] if layer == "feature" else [fetched["encoder"], fetched["head"]]
    return tuple(
        part[f"layer{number}"]["kernel"].T
        for part in parts
        for number in range(1, 1 + sum(name.startswith("layer") for name in part))
    )


def _batch_words(config: Config) -> str:
    if config.sampling == "replacement":
        return f"{config.batch_size} pairs, drawn with replacement"
    return (
        f"{config.batch_size} pairs, drawn without replacement, which enlarges sizes by about the"
        " sum of their squares over the number of images"
    )


def _start_words(config: Config) -> str:
    """Return what the training's decay left of the imbalance that the head started with."""
    settings = config.optimizer
    rates = np.asarray(build_schedule(config)(np.arange(config.num_steps)))
    momentum = settings.momentum if settings.name == "sgd" else 0.0
    left = math.exp(-2 * settings.head_weight_decay * float(rates.sum()) / (1 - momentum))
    return (
        f"training left {100 * left:.2g} % of the imbalance of the head's start; below 0.25 % it is"
        " forgotten"
    )


def _doubts(config: Config) -> tuple[str, ...]:
    found = []
    if config.optimizer.name != "sgd":
        found.append(
            f"The optimizer was {config.optimizer.name}; adaptive steps do not keep layers"
            " balanced, so the layer law is not expected to hold."
        )
    if config.encoder.norm == "batch":
        found.append(
            "The encoder normalizes by batches while it trains and by running averages here, so"
            " features are not quite those that trained the head."
        )
    return tuple(found)
