"""Networks that several experiments share: each is trained once and kept.

They lie in the user's cache folder, outside any checkout, under a name that changes with
everything that decides the result: the configuration, the pixels and labels, the versions.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.small_data import fingerprint
from ssljax.checkpoint import saved_steps
from ssljax.config import Config, EvaluationConfig
from ssljax.datasets import Dataset
from ssljax.observers import Observer
from ssljax.train import Run, fit, load_run

# Raised by hand when a change of the trainer changes what a configuration means.
GENERATION = 1


def cache_folder() -> Path:
    """Where trained networks are kept: ``$XDG_CACHE_HOME/ssljax/trained``, or below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ssljax" / "trained"


def trained(config: Config, dataset: Dataset, *, observers: tuple[Observer, ...] = ()) -> Run:
    """A trained network, from the cache or made now; a stop in between is resumed.

    Args:
      config: What to train; its evaluation is left to the experiment.
      dataset: The images to train on.
      observers: Compiled into the step. They change no parameter, but their scalars are in the
        run's metrics, so a run with other observers is another run.

    Returns:
      The run at its last step.
    """
    config = dataclasses.replace(config, evaluation=EvaluationConfig(layers=()))
    folder = cache_folder() / run_name(config, dataset, observers)
    fit(config, folder, progress=False, observers=observers, dataset=dataset)
    return load_run(folder)


def is_trained(config: Config, dataset: Dataset) -> bool:
    """Whether the cache holds the finished run, so that `trained` returns at once."""
    config = dataclasses.replace(config, evaluation=EvaluationConfig(layers=()))
    return config.num_steps in saved_steps(cache_folder() / run_name(config, dataset))


def run_name(config: Config, dataset: Dataset, observers: Sequence[Observer] = ()) -> str:
    """The folder's name: what is trained in words, then a digest of everything that decides it.

    Example:
      >>> from ssljax.datasets import load_dataset
      >>> run_name(Config(seed=3), load_dataset("digits", "test"))[:21]
      'digits-nt_xent-seed3-'
    """
    facts: dict[str, Any] = {
        "config": dataclasses.asdict(config),
        "data": fingerprint(dataset),
        "observers": [sorted(observer.layers) for observer in observers],
        "generation": GENERATION,
        **{name: version(name) for name in ("jax", "flax", "optax")},
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    name = dataset.name.replace("/", "_").replace(":", "_").replace(" ", "_")
    return f"{name}-{config.loss.name}-seed{config.seed}-{digest}"
