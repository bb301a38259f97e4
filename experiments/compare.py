"""Predicted against measured for any linear head: of a run, or of features from anywhere."""

import dataclasses
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax

from experiments.environment import environment
from experiments.errors import InputError
from experiments.feature_banks import feature_banks
from experiments.files import make_folder
from experiments.head_comparison import (
    HeadOutcome,
    Views,
    Weights,
    compared_head,
    settled_weights,
)
from experiments.head_report import write_head_report
from experiments.head_rows import head_rows
from experiments.progress import experiment_progress
from experiments.results import Results
from experiments.table import print_results
from ssljax.config.config import Config
from ssljax.data.datasets import load_dataset
from ssljax.runs.saved_run import Run, load_run
from ssljax.training.state import make_state

MAX_IMAGES = 10_000


class HeadSource(NamedTuple):
    """A linear head and the features it stands on.

    Attributes:
      name: For titles.
      views: Features as the head receives them, to predict from (images, views, width).
      settling_views: Other views of the same images, to settle on.
      weights: W_1 ... W_L, (out, in).
      untrained: The head before training, where it is known.
      weight_decay: Coefficient X that the head was trained with.
      scope: What the comparison can and cannot show, in a sentence.
      predictable: Whether the loss is one whose optimum theory predicts; otherwise only the
        layer law is tested.
    """

    name: str
    views: Views
    settling_views: Views
    weights: Weights
    untrained: Weights | None
    weight_decay: float
    scope: str
    predictable: bool


def run_comparison(
    source: Path,
    out: Path,
    *,
    weight_decay: float | None = None,
    settle: bool = False,
    views: int = 8,
    seed: int = 0,
) -> Results:
    """Compare a run or a file and write `results.json`, figures and `report.html`.

    Args:
      source: Run folder of ssljax with a linear head, or an npz file with `features` (images,
        views, width), `W1` ... `WL` (out, in) and optionally `weight_decay`.
      out: Folder of the report, created.
      weight_decay: Coefficient X, in place of the source's own.
      settle: Also train the head on with everything below it frozen.
      views: Views of each image of a run.
      seed: Randomness of views, settling and nulls.

    Returns:
      What was written.

    Raises:
      InputError: The source cannot be compared; nothing is written.
    """
    started = time.perf_counter()
    if weight_decay is not None and not (np.isfinite(weight_decay) and weight_decay >= 0):
        raise InputError(f"--weight-decay {weight_decay} given; give a finite number >= 0")
    if views < 2:
        raise InputError(f"--views {views} given; a positive pair needs at least 2")
    with experiment_progress(3.0, f"reading {source}") as advance:
        head = head_of_run(source, views=views, seed=seed) if source.is_dir() else None
        head = head_of_file(source) if head is None else head
        make_folder(out)
        advance("comparing the head as trained", 1.0)
        outcomes = {"as trained": (compared_source(head, seed=seed, weight_decay=weight_decay),)}
        advance("settling" if settle else "writing", 1.0)
        if settle:
            outcomes["settled"] = (
                compared_source(head, seed=seed, weight_decay=weight_decay, settling_steps=4000),
            )
        rows = tuple(
            row
            for label, both in outcomes.items()
            for row in head_rows(both, label, predictable=head.predictable)
        )
        results = Results(
            "compare", "laptop", (seed,), environment(time.perf_counter() - started), rows
        )
        write_head_report(out, head.name, head.scope, outcomes, results)
        advance("done", 1.0)
    print_results(results, out / "report.html")
    return results


def compared_source(
    source: HeadSource,
    *,
    seed: int,
    weight_decay: float | None = None,
    settling_steps: int = 0,
) -> HeadOutcome:
    """The comparison of one source, its head as it is or settled first.

    Args:
      source: Head and features.
      seed: Randomness of settling and nulls.
      weight_decay: In place of the source's own.
      settling_steps: Steps of settling; 0 takes the head as it is.

    Returns:
      Prediction, metrics, nulls.
    """
    decay = source.weight_decay if weight_decay is None else weight_decay
    views, weights = source.views, source.weights
    if settling_steps:
        # One mean for both banks: the head is settled and predicted on the same centered features.
        center = source.settling_views.mean(axis=(0, 1), keepdims=True)
        views = views - center
        # With decay a dead mode stays dead, so settling starts from weights where all live.
        start = source.weights if source.untrained is None else source.untrained
        weights = settled_weights(
            start,
            source.settling_views - center,
            seed,
            weight_decay=decay,
            num_steps=settling_steps,
        )
    return compared_head(views, weights, weight_decay=decay, untrained=source.untrained, seed=seed)


def head_of_run(folder: Path, *, views: int, seed: int) -> HeadSource:
    """Head and features of a run of ssljax.

    Args:
      folder: The run folder.
      views: Views of each image, for each of the two banks.
      seed: Randomness of the views, apart from training's.

    Returns:
      The source.

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
    pictures = dataclasses.replace(dataset, images=dataset.images[:MAX_IMAGES])
    banks = feature_banks(run, pictures, views=views, seed=seed, layer=layer)
    initial = make_state(run.network, optax.identity(), config.seed).params
    return HeadSource(
        name=folder.name,
        views=banks.prediction,
        settling_views=banks.settling,
        weights=_chain(run.state.params, layer),
        untrained=_chain(initial, layer),
        weight_decay=_decay(config),
        scope=_scope(run),
        predictable=config.loss.name == "spectral",
    )


def head_of_file(path: Path) -> HeadSource:
    """Head and features of an npz file, from any framework.

    Args:
      path: With `features` (images, views, width), `W1` ... `WL` (out, in) and optionally
        `weight_decay`.

    Returns:
      The source; even views are settled on and odd ones predicted from where there are four.

    Raises:
      InputError: Something is missing or does not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is neither a run folder nor a readable npz file ({error}); give a folder of"
            " ssljax train, or an npz with features and W1, W2, ..."
        ) from error
    features = arrays.get("features")
    if features is None or features.ndim != 3 or features.shape[1] < 2:
        given = "no features" if features is None else f"features of shape {features.shape}"
        raise InputError(
            f"{path} holds {given}; wanted features of shape (images, views >= 2, width)"
        )
    depth = sum(name.startswith("W") and name[1:].isdigit() for name in arrays)
    missing = [f"W{layer}" for layer in range(1, depth + 1) if f"W{layer}" not in arrays]
    if depth == 0 or missing:
        raise InputError(f"{path} lacks {', '.join(missing) or 'W1'}; give W1 ... WL, (out, in)")
    weights = tuple(arrays[f"W{layer}"] for layer in range(1, depth + 1))
    width = features.shape[-1]
    for layer, weight in enumerate(weights, start=1):
        if weight.ndim != 2 or weight.shape[1] != width:
            raise InputError(
                f"{path}: W{layer} has shape {weight.shape}; wanted (out, {width}), transpose a"
                " kernel stored as (in, out)"
            )
        width = weight.shape[0]
    if not all(np.all(np.isfinite(array)) for array in (features, *weights)):
        raise InputError(f"{path} holds numbers that are not finite; export it again")
    halves = features.shape[1] >= 4
    return HeadSource(
        name=path.stem,
        views=features[:, 1::2] if halves else features,
        settling_views=features[:, ::2] if halves else features,
        weights=weights,
        untrained=None,
        weight_decay=float(arrays.get("weight_decay", 0.0)),
        scope="The features are taken as given: the test is of the head conditional on them.",
        predictable=True,
    )


def _chain_start(config: Config, folder: Path) -> str:
    """The layer that the chain of linear layers stands on."""
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


def _decay(config: Config) -> float:
    return config.optimizer.head_weight_decay


def _scope(run: Run) -> str:
    config = run.config
    sentences = [
        "The moments were measured after training: the test is of the head conditional on its"
        " encoder, not a forecast of the encoder."
    ]
    if config.loss.name != "spectral":
        sentences.append(
            f"The loss was {config.loss.name}, whose optimum is not the spectral one: only the"
            " layer law is tested. On normalized embeddings weight decay does not balance the"
            " layers, so the law is expected to fail unless the start was balanced."
        )
    if config.optimizer.name == "adamw":
        sentences.append("AdamW does not keep layers balanced: the law is not expected to hold.")
    return " ".join(sentences)
