"""An epoch of SimCLR on an accelerator."""

import jax
import numpy as np

from experiments.speed.task import Task
from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from ssljax.data.datasets import Dataset
from ssljax.training.training import make_training

IMAGES, BATCH = 50_000, 512


def stored_images(count: int = IMAGES) -> np.ndarray:
    """As many images as CIFAR-10 trains on; what is in them does not change the time."""
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def epoch(
    images: int = IMAGES,
    batch: int = BATCH,
    width: int = 64,
    stage_sizes: tuple[int, ...] = (2, 2, 2, 2),
) -> Task:
    """ResNet-18, batch 512, bfloat16, all augmentation on the device.

    Args:
      images: In an epoch.
      batch: Images a step.
      width: Channels of the first stage.
      stage_sizes: Blocks in each stage.
    """
    steps = images // batch
    config = Config(
        policy=SIMCLR_POLICY,
        encoder=EncoderConfig(kind="resnet", stage_sizes=stage_sizes, width=width),
        head=HeadConfig(kind="mlp", widths=(2048, 128), norm="none"),
        loss=LossConfig(name="nt_xent"),
        optimizer=OptimizerConfig(learning_rate=0.03),
        batch_size=batch,
        num_steps=100 * steps,
        precision="bfloat16",
    )
    dataset = Dataset(stored_images(images), np.zeros(images, np.int32), 1 / 255, 10, "random")
    training = make_training(config, dataset)
    state = training.init(0)

    def call() -> None:
        nonlocal state
        state, metrics = training.run(state, 1.0, steps)
        jax.block_until_ready((state.params, metrics))

    return Task(call)
