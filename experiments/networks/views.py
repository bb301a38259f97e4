"""Views of images under the augmentation of a training, at any strength."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, UInt8

from experiments.networks.variant import BATCH_SIZE, Images, as_input
from ssljax.augment.augment import augment
from ssljax.augment.policies import Policy
from ssljax.config.config import Config
from ssljax.data.datasets import Dataset
from ssljax.training.build import build_views

View = Callable[[Images, float, int], Float32[np.ndarray, "images height width channels"]]
_VIEWS = 2**20  # keeps the keys of views apart from others of the same seed


def make_view(policy: Policy, seed: int, pixel_scale: float) -> View:
    """Return ``view(images, strength, number)``: one view of each image, in float32.

    A view is a function of the seed, the place of the image in the array, and its number.

    Args:
      policy: Augmentation at strength 1.
      seed: Of the draws.
      pixel_scale: Factor from stored pixels to floating point.
    """
    root = jax.random.fold_in(jax.random.key(seed), _VIEWS)

    def view(
        images: Images, strength: float, number: int
    ) -> Float32[np.ndarray, "images height width channels"]:
        key, size = jax.random.fold_in(root, number), min(BATCH_SIZE, len(images))
        parts = []
        for start in range(0, len(images), size):
            # The last batch is moved back to full size, so that one shape is compiled.
            first = min(start, len(images) - size)
            batch = as_input(images[first : first + size], pixel_scale)
            made = _augment(key, np.arange(first, first + size), batch, policy, strength)
            parts.append(np.asarray(made)[start - first :])
        return np.concatenate(parts)

    return view


@partial(jax.jit, static_argnames="policy")
def _augment(
    key: Array,
    places: Int[Array, " batch"],
    images: Float[Array, "batch height width channels"],
    policy: Policy,
    strength: Float[Array, ""],
) -> Float[Array, "batch height width channels"]:
    keys = jax.vmap(partial(jax.random.fold_in, key))(places)
    return augment(keys, images, policy, strength)


def show_examples(
    config: Config, dataset: Dataset, key: Array, count: int
) -> UInt8[np.ndarray, "images views height width channels"]:
    """Return the views of some training images that a network has in its first step.

    Args:
      config: Of the training.
      dataset: Its images; the first ones are shown.
      key: Root key of its state.
      count: How many images.
    """
    _, view_key = jax.random.split(key)
    images = jnp.asarray(dataset.images[:count], jnp.float32) * dataset.pixel_scale
    views = build_views(config, dataset)(view_key, 0, jnp.arange(count), images, config.strength)
    levels = np.floor(255 * np.clip(np.asarray(views[0]), 0, 1) + 0.5)
    return levels.astype(np.uint8)
