"""Measurements on a schedule while a run trains: moments of layers, ranks, nearest neighbors.

Measurements fall on steps, not on times: a run that was killed and resumed takes each of them
once, with the same images, views and keys, and so writes the same files.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssljax.config.config import Config
from ssljax.data.datasets import Dataset
from ssljax.measure.evaluation import Accuracies, neighbor_accuracies
from ssljax.measure.features import layer_features
from ssljax.measure.measurements import (
    MOMENTS,
    draw_subset,
    measure_layer_moments,
    write_moments_folder,
)
from ssljax.measure.ranks import layer_ranks
from ssljax.nets.network import Network, resolve_layers
from ssljax.system.distributed import is_first
from ssljax.system.files import read_json_lines, write_text
from ssljax.training.build import take_evaluated_state
from ssljax.training.parallel import make_batch_sharding
from ssljax.training.state import TrainState

NEIGHBORS_FILE = "neighbors.jsonl"
PIXELS = "pixels"


class Measured(NamedTuple):
    """What was measured at one step.

    Attributes:
      text: A line to show.
      scalars: Numbers for the step's line of ``metrics.jsonl``: ``rank/LAYER/NAME`` for each layer
        whose moments were measured (`ssljax.measure.ranks.layer_ranks`).
    """

    text: str
    scalars: dict[str, float]


class Monitor(NamedTuple):
    """Measurements on a schedule.

    Attributes:
      every: Multiples of each of these steps must end a call; 0 stands for none.
      is_due: ``is_due(step)``, whether anything falls on the end of that step.
      measure: ``measure(step, state)`` writes what falls on it. Every process of a run calls it;
        the first writes.
    """

    every: tuple[int, ...]
    is_due: Callable[[int], bool]
    measure: Callable[[int, TrainState], Measured]


def step_folder(workdir: Path, step: int) -> Path:
    """Return ``moments/step_NNNNNNNN`` of a run folder."""
    return workdir / MOMENTS / f"step_{step:08d}"


def make_monitor(
    config: Config,
    workdir: Path,
    network: Network,
    dataset: Dataset,
    pair: tuple[Dataset, Dataset] | None,
    *,
    step: int,
) -> Monitor:
    """Return a function that takes the measurements that a configuration schedules.

    Args:
      config: What is measured how often, on how many images.
      workdir: Run folder: moments go to ``moments/step_NNNNNNNN/LAYER.npz``, nearest-neighbor
        accuracies to ``neighbors.jsonl``, one object a line with ``step``, ``pixels`` (those of
        raw pixels, the baseline) and every layer evaluated.
      network: The network.
      dataset: Images trained on, whose views are measured.
      pair: Labeled images that vote and that are classified; none: no nearest neighbors.
      step: Steps taken so far; what was written about later ones is dropped.

    Returns:
      The monitor.
    """
    moments, evaluated = config.moments, config.evaluation
    votes = evaluated.every if pair is not None else 0
    measured = draw_subset(dataset, moments.every_images)
    neighbors = None
    if votes and pair is not None:
        train, test = (draw_subset(part, evaluated.every_images) for part in pair)
        neighbors = _make_neighbors(config, workdir, network, (train, test), step)

    def measure(now: int, state: TrainState) -> Measured:
        state, texts, scalars = take_evaluated_state(config, state), [], {}
        if _falls_on(now, moments.every):
            found = measure_layer_moments(
                config,
                network,
                state,
                measured,
                layers=moments.layers,
                views=moments.views,
                progress=False,
            )
            write_moments_folder(config, step_folder(workdir, now), state, found)
            scalars |= {
                f"rank/{layer}/{name}": value
                for layer, arrays in found.items()
                for name, value in layer_ranks(arrays).items()
            }
            texts.append("moments written")
        if neighbors is not None and _falls_on(now, votes):
            accuracies = neighbors(now, state)
            found = ", ".join(f"{name} {value:.4f}" for name, value in accuracies.items())
            texts.append(f"k-NN {found}")
        return Measured(f"step {now}: {'; '.join(texts)}", scalars)

    return Monitor(
        (moments.every, votes),
        lambda now: _falls_on(now, moments.every) or _falls_on(now, votes),
        measure,
    )


def _falls_on(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _make_neighbors(
    config: Config, workdir: Path, network: Network, pair: tuple[Dataset, Dataset], step: int
) -> Callable[[int, TrainState], Accuracies]:
    path = workdir / NEIGHBORS_FILE
    kept = []
    if is_first():
        kept = [line for line in read_json_lines(path) if line["step"] <= step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
    layers = resolve_layers(network, config.evaluation.layers)
    labels = (pair[0].labels, pair[1].labels)
    pixels = neighbor_accuracies(
        ({PIXELS: _flatten(pair[0])}, {PIXELS: _flatten(pair[1])}), labels, config.evaluation
    )

    def measure(now: int, state: TrainState) -> Accuracies:
        train, test = (
            layer_features(
                network.apply,
                state.params,
                state.statistics,
                part.images,
                part.pixel_scale,
                layers=layers,
                sharding=make_batch_sharding(config.devices, config.mesh),
            )
            for part in pair
        )
        accuracies = pixels | neighbor_accuracies((train, test), labels, config.evaluation)
        if is_first() and (not kept or now > kept[-1]["step"]):
            kept.append({"step": now, **accuracies})
            with path.open("a") as file:
                file.write(json.dumps(kept[-1]) + "\n")
        return accuracies

    return measure


def _flatten(dataset: Dataset) -> np.ndarray:
    return dataset.images.reshape(len(dataset.images), -1).astype(np.float32)
