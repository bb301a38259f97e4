"""Trained networks on disk: each is trained once and kept.

They lie in the user's cache folder, outside any checkout, under a name that changes with everything
that decides the result: configuration, pixels and labels, versions.
"""

import dataclasses
import hashlib
import json
import os
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments.networks.images import fingerprint
from ssljax.config.config import Config
from ssljax.data.datasets import Dataset
from ssljax.nets.network import Network
from ssljax.runs.checkpoint import list_saved_steps
from ssljax.runs.fit import FolderTaken, StopRequested, fit
from ssljax.runs.folder import is_held, read_config
from ssljax.runs.saved_run import Run, load_run, run_network
from ssljax.training.observers import Observer

GENERATION = 2
"""Raised by hand when a change of the trainer changes what a configuration means."""

_BETWEEN_LOOKS = 0.5


def find_cache() -> Path:
    """Return where networks are kept: ``$XDG_CACHE_HOME/ssljax/trained``, or below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ssljax" / "trained"


def train_network(config: Config, dataset: Dataset, observers: tuple[Observer, ...] = ()) -> Path:
    """Train a network unless the cache has it; a stop in between is resumed.

    Where another process is training the same network, its end is waited for.

    Args:
      config: What to train.
      dataset: The images to train on.
      observers: Compiled into the step. They change no parameter, but what they record is kept
        with the run, so a run with other observers is another run.

    Returns:
      The folder of the finished run.

    Raises:
      KeyboardInterrupt: SIGTERM arrived; the state was saved. Whoever trains many networks stops
        as a whole, where a failed network would let the next one begin.
    """
    folder = find_cache() / name_run(config, dataset, observers)
    while True:
        # A writer makes the last checkpoint visible before it seals it.
        if config.num_steps in list_saved_steps(folder) and not is_held(folder):
            run = load_network(folder, dataset)
            if int(run.state.step) == config.num_steps:  # not an earlier one, the last damaged
                return folder
        try:
            fit(config, folder, progress=False, observers=observers, dataset=dataset)
        except FolderTaken:
            time.sleep(_BETWEEN_LOOKS)
        except StopRequested as stop:
            raise KeyboardInterrupt(str(stop)) from stop


def load_network(folder: Path, dataset: Dataset, step: int | None = None) -> Run:
    """Return a run of the cache.

    Args:
      folder: From `train_network`.
      dataset: The images it was trained on.
      step: One of `ssljax.runs.checkpoint.list_saved_steps`; by default the last.
    """
    config = read_config(folder)
    # Runs that differ in seed or training alone share one network, and what is compiled for it.
    parts = {name: getattr(config, name) for name in ("encoder", "head", "loss", "precision")}
    return load_run(folder, step=step, network=_build_network(Config(**parts), dataset.image_shape))


@cache
def _build_network(config: Config, image_shape: tuple[int, int, int]) -> Network:
    return run_network(config, image_shape)


def name_run(config: Config, dataset: Dataset, observers: tuple[Observer, ...] = ()) -> str:
    """Return a folder's name: what is trained in words, then a digest of what decides it."""
    name = dataset.name.replace("/", "_").replace(":", "_").replace(" ", "_")
    return f"{name}-{config.loss.name}-seed{config.seed}-{digest_run(config, dataset, observers)}"


def digest_run(config: Config, dataset: Dataset, observers: tuple[Observer, ...] = ()) -> str:
    """Return twelve characters that change with all that decides what a training ends at."""
    facts: dict[str, Any] = {
        "config": dataclasses.asdict(config),
        "data": fingerprint(dataset),
        "observers": [_describe(observer) for observer in observers],
        "generation": GENERATION,
        **{name: version(name) for name in ("jax", "flax", "optax")},
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _describe(observer: Observer) -> tuple[list[str], str]:
    """What tells observers apart that may share their layers: the shapes of their states."""
    shapes = jax.tree.map(lambda leaf: str(jnp.asarray(leaf).shape), observer.initial_state)
    return sorted(observer.layers), str(shapes)
