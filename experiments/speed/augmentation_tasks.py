"""The task of augmentation: two views of a batch, as a training step makes them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.speed.task import Task, finished
from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.augment.views import make_view_pair
from ssljax.system.cpu import compiler_options

IMAGES = 256


def images(count: int = IMAGES) -> np.ndarray:
    """Images of 32x32 pixels in color, uint8, smooth as photographs are."""
    draws = np.random.default_rng(0)
    coarse = draws.uniform(0, 255, (count, 8, 8, 3))
    return np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2).astype(np.uint8)


def two_views_256(count: int = IMAGES) -> Task:
    """Crop, flip, jitter with hue, and grayscale of 256 images, twice."""
    stored = jnp.asarray(images(count))
    identity = jnp.arange(count)

    def views(key, step, stored):
        pixels = stored.astype(jnp.float32) / 255
        return make_view_pair(key, step, identity, pixels, SIMCLR_POLICY, 1.0)

    compiled = jax.jit(views, compiler_options=compiler_options())
    key, steps = jax.random.key(0), itertools.count()
    return Task(finished(lambda: compiled(key, next(steps), stored)))
