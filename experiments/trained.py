"""Networks that several experiments share: each is trained once and kept.

They lie in the user's cache folder, outside any checkout, under a name that changes with
everything that decides the result: the configuration, the pixels and labels, the versions.
"""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.small_data import fingerprint
from ssljax.config.config import Config, EvaluationConfig
from ssljax.data.datasets import Dataset
from ssljax.nets.network import Network
from ssljax.runs.checkpoint import list_saved_steps
from ssljax.runs.fit import FolderTaken, fit
from ssljax.runs.folder import is_held
from ssljax.runs.metrics import read_metrics
from ssljax.runs.saved_run import Run, load_run, run_network
from ssljax.training.observers import Observer
from ssljax.training.state import TrainState, make_state
from ssljax.training.training import Training, is_normalized, make_training

# Raised by hand when a change of the trainer changes what a configuration means.
GENERATION = 1

_BETWEEN_LOOKS = 0.5


def cache_folder() -> Path:
    """Where trained networks are kept: ``$XDG_CACHE_HOME/ssljax/trained``, or below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ssljax" / "trained"


def trained(config: Config, dataset: Dataset, *, observers: tuple[Observer, ...] = ()) -> Run:
    """A trained network, from the cache or made now; a stop in between is resumed.

    Where another process is training the same network, its end is waited for.

    Args:
      config: What to train; its evaluation is left to the experiment.
      dataset: The images to train on.
      observers: Compiled into the step. They change no parameter, but their scalars are in the
        run's metrics, so a run with other observers is another run.

    Returns:
      The run at its last step.
    """
    folder = run_folder(config, dataset, observers)
    config = dataclasses.replace(config, evaluation=EvaluationConfig(layers=()))
    while True:
        # A writer makes the last checkpoint visible before it seals it.
        if config.num_steps in list_saved_steps(folder) and not is_held(folder):
            run = _loaded(config, dataset, folder)
            if int(run.state.step) == config.num_steps:  # not an earlier one in place of a damaged
                return run
        try:
            _fit(config, folder, dataset, observers)
        except FolderTaken:
            time.sleep(_BETWEEN_LOOKS)


def untrained(run: Run) -> TrainState:
    """Where a run's training began: the null of everything that training is said to do."""
    return make_state(run.network, optax.identity(), run.config.seed)


def is_trained(config: Config, dataset: Dataset, *, observers: tuple[Observer, ...] = ()) -> bool:
    """Whether the cache holds the finished run, so that `trained` returns at once."""
    return config.num_steps in list_saved_steps(run_folder(config, dataset, observers))


def work_left(config: Config, dataset: Dataset) -> float:
    """What `trained` and measuring will take, in units of measuring: for a bar's estimate."""
    return 1.0 if is_trained(config, dataset) else 6.0


def checkpoints(config: Config, dataset: Dataset) -> dict[int, Run]:
    """A trained network at every step that was kept while it trained, ascending.

    Args:
      config: As for `trained`, which is called first.
      dataset: The images it was trained on.

    Returns:
      The run at each of its checkpoints; how many there are is up to the configuration.
    """
    trained(config, dataset)
    folder = run_folder(config, dataset)
    return {step: _loaded(config, dataset, folder, step) for step in list_saved_steps(folder)}


def training_metrics(
    config: Config, dataset: Dataset, *, observers: tuple[Observer, ...] = ()
) -> list[dict[str, Any]]:
    """What a finished training logged, line by line: its loss and what its observers saw."""
    return read_metrics(run_folder(config, dataset, observers))


def run_folder(config: Config, dataset: Dataset, observers: Sequence[Observer] = ()) -> Path:
    """Where a run lies, or will."""
    config = dataclasses.replace(config, evaluation=EvaluationConfig(layers=()))
    return cache_folder() / run_name(config, dataset, observers)


def run_name(config: Config, dataset: Dataset, observers: Sequence[Observer] = ()) -> str:
    """The folder's name: what is trained in words, then a digest of everything that decides it.

    Example:
      >>> from ssljax.data.datasets import load_dataset
      >>> run_name(Config(seed=3), load_dataset("digits", "test"))[:21]
      'digits-nt_xent-seed3-'
    """
    facts: dict[str, Any] = {
        "config": dataclasses.asdict(config),
        "data": fingerprint(dataset),
        "observers": [_described(observer) for observer in observers],
        "generation": GENERATION,
        **{name: version(name) for name in ("jax", "flax", "optax")},
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    name = dataset.name.replace("/", "_").replace(":", "_").replace(" ", "_")
    return f"{name}-{config.loss.name}-seed{config.seed}-{digest}"


def _loaded(config: Config, dataset: Dataset, folder: Path, step: int | None = None) -> Run:
    """A run from its folder; runs that differ in seed or training alone share one network."""
    built_from = Config(
        encoder=config.encoder,
        head=config.head,
        loss=config.loss,
        precision=config.precision,
        mean_image=config.mean_image,
        input_scale=config.input_scale,
    )
    return load_run(folder, step=step, network=_network(built_from, dataset.image_shape))


@cache
def _network(config: Config, image_shape: tuple[int, int, int]) -> Network:
    """Built once, so that what is compiled for one of its trainings serves all."""
    return run_network(config, image_shape)


def _fit(config: Config, folder: Path, dataset: Dataset, observers: tuple[Observer, ...]) -> None:
    """Train in a folder, with what was compiled for another seed or strength."""
    # A mean image is measured from views, whose strength it depends on.
    strength = config.strength if is_normalized(config) else 0.0
    common = dataclasses.replace(config, seed=0, strength=strength)
    recipe = _Recipe(run_name(common, dataset, observers), common, dataset, observers)
    fit(
        config,
        folder,
        progress=False,
        observers=observers,
        dataset=dataset,
        training=_training(recipe),
    )


@dataclasses.dataclass(frozen=True)
class _Recipe:
    """All that a training is compiled from, told apart by its name."""

    name: str
    config: Config = dataclasses.field(compare=False)
    dataset: Dataset = dataclasses.field(compare=False)
    observers: tuple[Observer, ...] = dataclasses.field(compare=False)


@lru_cache(maxsize=8)  # each keeps its images on the device
def _training(recipe: _Recipe) -> Training:
    return make_training(recipe.config, recipe.dataset, observers=recipe.observers)


def _described(observer: Observer) -> tuple[list[str], str]:
    """What tells observers apart that may share their layers: the shapes of their states."""
    shapes = jax.tree.map(lambda leaf: str(jnp.asarray(leaf).shape), observer.initial_state)
    return sorted(observer.layers), str(shapes)
