"""stable-pretraining's JAX backend: its NT-Xent, and its two views."""
# pyright: reportMissingImports=false

import itertools

import jax
import jax.numpy as jnp
from stable_pretraining.jax.augment import two_crop
from stable_pretraining.jax.losses import NTXEntLoss

from experiments.speed.augmentation_tasks import images
from experiments.speed.loss_tasks import TEMPERATURE, embeddings
from experiments.speed.task import Task, finished


def nt_xent_512() -> Task:
    """The loss of 512 pairs of width 128, and its gradient."""
    views = tuple(map(jnp.asarray, embeddings(512)))
    slope = jax.jit(jax.value_and_grad(NTXEntLoss(temperature=TEMPERATURE), argnums=(0, 1)))
    return Task(finished(lambda: slope(*views)), check=float(slope(*views)[0]))


def two_views_256() -> Task:
    """Two views of 256 images: crop, flip, brightness, contrast, grayscale; no hue, no aspect."""
    stored = jnp.asarray(images())
    views = jax.jit(lambda key, x: two_crop(key, x.astype(jnp.float32) / 255, 32, False))
    keys = (jax.random.key(step) for step in itertools.count())
    return Task(finished(lambda: views(next(keys), stored)))
