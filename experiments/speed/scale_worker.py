"""One process of `experiments.speed.scale`: times a few steps and writes the seconds."""

import sys
import time
from pathlib import Path

import jax
import numpy as np

from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from ssljax.data.datasets import Dataset
from ssljax.system.distributed import Cluster, is_first, join, leave
from ssljax.training.training import make_training


def timed_steps(steps: int) -> float:
    """Seconds of so many steps on all devices, after three that compile and warm up."""
    config = Config(
        policy=SIMCLR_POLICY,
        encoder=EncoderConfig(stage_sizes=(1, 1), width=16),
        head=HeadConfig(kind="mlp", widths=(64, 32), norm="batch"),
        loss=LossConfig(name="nt_xent"),
        optimizer=OptimizerConfig(learning_rate=0.01),
        batch_size=64,
        num_steps=1000,
        steps_per_call=1,
    )
    images = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 3)).astype(np.uint8)
    dataset = Dataset(images, np.zeros(256, np.int32), 1 / 255, 1, "random")
    training = make_training(config, dataset)
    state = training.init(0)
    for _ in range(3):
        state, metrics = training.run(state, 1.0, 1)
        jax.block_until_ready(metrics)
    start = time.perf_counter()
    for _ in range(steps):
        state, _ = training.run(state, 1.0, 1)
    jax.block_until_ready(state.params)
    return time.perf_counter() - start


def main(out: str, steps: str, *cluster: str) -> None:
    """Join the others where there are any, time, write."""
    if cluster:
        join(Cluster(cluster[0], int(cluster[1]), int(cluster[2])))
    seconds = timed_steps(int(steps))
    if is_first():
        Path(out).write_text(repr(seconds))
    if cluster:
        leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
