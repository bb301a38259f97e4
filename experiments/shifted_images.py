"""Corrupted copies of a test set, made as the published ones are: at full size, in 256 levels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.corruptions import corrupt
from ssljax.data.datasets import Dataset
from ssljax.system.arrays import UInt8

BATCH = 500


def corrupted_images(
    dataset: Dataset, kind: str, severity: int, seed: int
) -> UInt8[np.ndarray, "n h w c"]:
    """Every image of a data set corrupted in one way.

    Args:
      dataset: Images of 256 levels from 0.
      kind: One of `ssljax.augment.corruptions.CORRUPTIONS`.
      severity: 1 to 5.
      seed: Of the corruption; images, kinds and severities differ by themselves.

    Returns:
      Pixels, rounded down to whole levels as in the published files.
    """
    root = jax.random.fold_in(jax.random.key(seed), severity)
    count = len(dataset.images)
    batch = min(BATCH, count)
    parts = []
    for start in range(0, count, batch):
        rows = np.arange(start, start + batch) % count  # the last batch is filled up
        parts.append(_corrupted(root, dataset.images[rows], jnp.asarray(rows), severity, kind))
    return np.concatenate([np.asarray(part) for part in parts])[:count]


@partial(jax.jit, static_argnums=4)
def _corrupted(root, images, rows, severity, kind):
    keys = jax.vmap(partial(jax.random.fold_in, root))(rows)
    changed = corrupt(keys, images.astype(jnp.float32) / 255, kind, severity)
    return jnp.floor(changed * 255).astype(jnp.uint8)
