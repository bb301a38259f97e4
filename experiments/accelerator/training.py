"""One SimCLR training, as long as its time allows, with k nearest neighbors along it."""

import dataclasses
import itertools
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from experiments.accelerator.images import draw_scenes, read_images
from experiments.accelerator.record import read_record
from experiments.accelerator.steps import Request
from ssljax.config.config import Config, EncoderConfig, HeadConfig
from ssljax.config.presets import PRESETS
from ssljax.data.sources import Dataset
from ssljax.measure.features import layer_features
from ssljax.measure.neighbors import cosine_knn
from ssljax.training.compiled import Training
from ssljax.training.state import TrainState
from ssljax.training.training import make_training

CIFAR_IMAGES = 50_000
LAYERS = ("feature", "embedding")
LOOKS = 10
NEIGHBORS = 20
_TRAINED_SHARE = 0.6
_FEWEST_STEPS = 20


def train_and_watch(request: Request) -> Iterator[dict[str, Any]]:
    """Yield loss, rate and accuracy of the nearest neighbors before, along and after training.

    The learning rate falls by a cosine over as many steps as the time should hold, by the time of
    an epoch that the step before measured; a run that is slower is stopped by the clock.
    """
    ends = time.monotonic() + 0.9 * request.seconds
    if request.data:
        train, test = read_images(request.data)
    else:
        train, test = draw_scenes(*((32, 16) if request.tiny else (50_000, 5_000)))
    measured = find_step_seconds(request)
    config = make_config(len(train), measured, request.seconds, tiny=request.tiny)
    yield {
        "what": "run",
        "images": train.name,
        "train": len(train),
        "test": len(test),
        "steps": config.num_steps,
        "batch_size": config.batch_size,
        "precision": config.precision,
        "chance": float(np.mean(test.labels == np.bincount(train.labels).argmax())),
    }
    yield from watch(make_training(config, train), config, train, test, ends)


def find_step_seconds(request: Request) -> float | None:
    """Return the time of a step of a ResNet-18 at batch 512 that was measured before, if it was."""
    results = read_record(request.record)["steps"].get("speed", {}).get("results", [])
    found = [row["ours"] for row in results if row["what"] == "epoch_gpu" and "ours" in row]
    return found[0] / (CIFAR_IMAGES // 512) if found and not request.tiny else None


def make_config(
    images: int, step_seconds: float | None, seconds: float, *, tiny: bool = False
) -> Config:
    """Return SimCLR's preset for CIFAR-10 with as many steps as a time holds.

    Args:
      images: Training images.
      step_seconds: Of a step; None where it is not known: then 2000 steps are planned.
      seconds: For all of the step, of which .6 are left to train in.
      tiny: Whether the network and the batch are those of a rehearsal.
    """
    config = PRESETS["simclr_cifar10_200ep"].config
    steps = 2_000 if step_seconds is None else int(_TRAINED_SHARE * seconds / step_seconds)
    steps = max(_FEWEST_STEPS, steps)
    if tiny:
        config = dataclasses.replace(
            config,
            encoder=EncoderConfig(kind="resnet", stage_sizes=(1,), width=4),
            head=HeadConfig(kind="mlp", widths=(8, 4)),
            batch_size=8,
        )
        steps = 4
    warmup = dataclasses.replace(config.optimizer, warmup_steps=steps // 20)
    batch_size = min(config.batch_size, images)
    return dataclasses.replace(config, num_steps=steps, batch_size=batch_size, optimizer=warmup)


def watch(
    training: Training, config: Config, train: Dataset, test: Dataset, ends: float
) -> Iterator[dict[str, Any]]:
    """Yield what is seen at ten moments of a training, and before it.

    Args:
      training: Of the configuration.
      config: Its steps and strength.
      train: Images trained on, of which the first 10 000 vote.
      test: Images classified.
      ends: When it is stopped, by `time.monotonic`.
    """
    state = training.init(config.seed)
    started, trained = time.monotonic(), 0.0
    yield {"what": "step", "step": 0, **measure_neighbors(training, state, train, test)}
    edges = np.linspace(0, config.num_steps, min(LOOKS, config.num_steps) + 1).astype(int)
    for first, last in itertools.pairwise(edges):
        begun = time.monotonic()
        state, metrics = training.run(state, config.strength, int(last - first))
        loss = float(np.mean(jax.device_get(metrics["loss"])))
        trained += time.monotonic() - begun
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} between steps {first} and {last}")
        yield {
            "what": "step",
            "step": int(last),
            "loss": loss,
            "seconds": time.monotonic() - started,
            "images_per_second": last * config.batch_size / trained,
            **measure_neighbors(training, state, train, test),
        }
        spent = time.monotonic() - begun
        if time.monotonic() + spent > ends and last < config.num_steps:
            yield {"what": "stopped", "message": f"the time is over after step {last}"}
            return


def measure_neighbors(
    training: Training, state: TrainState, train: Dataset, test: Dataset
) -> dict[str, float]:
    """Return the accuracy of the nearest neighbors in every layer looked at."""
    voters = slice(0, 10_000)
    apply, params, statistics = training.network.apply, state.params, state.statistics

    def read(images: np.ndarray) -> dict[str, np.ndarray]:
        return layer_features(apply, params, statistics, images, train.pixel_scale, layers=LAYERS)

    voting, asked = read(train.images[voters]), read(test.images)
    labels = train.labels[voters]
    return {
        f"knn_{name}": cosine_knn(
            voting[name],
            labels,
            asked[name],
            test.labels,
            neighbors=min(NEIGHBORS, len(labels)),
        )
        for name in LAYERS
    }
