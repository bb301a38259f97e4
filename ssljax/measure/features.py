"""Features of named layers, of clean images or of many augmented views of each, on the host.

For moments alone no feature has to be kept (`ssljax.measure.moments` streams them); training a head
on frozen features and probing for augmentation parameters need the views' features themselves.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.augment import augment
from ssljax.augment.policies import Policy
from ssljax.system.arrays import Array, Float, Key, PRNGKeyArray, PyTree, UInt8
from ssljax.system.errors import UsageError
from ssljax.training.parallel import gather_outputs, place_tree, round_up_batch


@partial(jax.jit, static_argnums=(0, 1))
@jax.default_matmul_precision("highest")
def _outputs(apply, layers, params, statistics, images, pixel_scale):
    outputs, _ = apply(
        params, statistics, images.astype(jnp.float32) * pixel_scale, train=False, layers=layers
    )
    return {name: outputs[name] for name in layers}


def layer_features(
    apply: Callable[..., Any],
    params: PyTree,
    statistics: PyTree,
    images: UInt8[np.ndarray, "n height width channels"],
    pixel_scale: float,
    *,
    layers: tuple[str, ...],
    batch_size: int = 256,
    sharding: jax.sharding.NamedSharding | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Float[np.ndarray, "n ..."]]:
    """Return the outputs of named layers for clean images.

    Args:
        apply: ``apply(params, statistics, images, *, train, layers) -> (dict, statistics)``.
        params: the network's parameters.
        statistics: its running statistics, used and not updated.
        images: the data set.
        pixel_scale: factor from uint8 to floats.
        layers: names of the layers.
        batch_size: images per compiled call; the last call is filled up, its surplus dropped.
        sharding: how devices share a batch, of this process or of all, which then all call this
            (`ssljax.training.parallel.make_batch_sharding`); by default one does.
        progress: called with (images submitted, images in all).

    Returns:
        For each layer an array (n, dim), or (n, height, width, channels) for ``NAME/map``, on
        the host and in the order of the images.

    Raises:
        UsageError: for no images.
    """
    if len(images) == 0:
        raise UsageError("no images were given; features need at least one")
    batch_size = min(batch_size, len(images))
    if sharding is not None:
        batch_size = round_up_batch(batch_size, sharding)
        whole = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
        params, statistics = place_tree((params, statistics), whole)
    parts = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        count = len(batch)
        if count < batch_size:
            batch = np.concatenate([batch, np.repeat(batch[:1], batch_size - count, axis=0)])
        batch = place_tree(batch, sharding)
        outputs = gather_outputs(_outputs(apply, layers, params, statistics, batch, pixel_scale))
        # Fetched one call late: the device works on this batch while the last one is copied.
        if parts:
            parts[-1] = jax.device_get(parts[-1])
        parts.append({name: value[:count] for name, value in outputs.items()})
        if progress is not None:
            progress(start + count, len(images))
    parts[-1] = jax.device_get(parts[-1])
    return {name: np.concatenate([part[name] for part in parts]) for name in layers}


def view_keys(key: PRNGKeyArray, num_images: int, num_views: int) -> Key[Array, "images views"]:
    """Return the key that draws each view, a function of (root key, image, view) alone.

    Args:
      key: Root key, shape ().
      num_images: Images of the data set.
      num_views: Views of each.

    Returns:
      Keys of shape (images, views).
    """
    of_image = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(num_images))
    return jax.vmap(lambda k: jax.random.split(k, num_views))(of_image)


@partial(jax.jit, static_argnames=("apply", "policy", "layers"))
@jax.default_matmul_precision("highest")
def _view_outputs(apply, params, statistics, images, pixel_scale, keys, strength, policy, layers):
    batch, views = keys.shape
    pixels = jnp.repeat(images.astype(jnp.float32) * pixel_scale, views, axis=0)
    pixels = augment(keys.reshape(-1), pixels, policy, strength)
    outputs, _ = apply(params, statistics, pixels, train=False, layers=layers)
    return {name: outputs[name].reshape(batch, views, -1) for name in layers}


def view_features(
    apply: Callable[..., Any],
    params: PyTree,
    statistics: PyTree,
    images: UInt8[np.ndarray, "images height width channels"],
    pixel_scale: float,
    key: PRNGKeyArray,
    policy: Policy,
    strength: float | Float[Array, ""],
    *,
    views: int,
    layers: tuple[str, ...],
    batch_size: int = 256,
) -> dict[str, Float[np.ndarray, "images views dim"]]:
    """Return outputs of named layers for several views of each image, in evaluation mode.

    Args:
      apply: The network's pure ``apply``.
      params: Its parameters.
      statistics: Its running statistics.
      images: Stored pixels.
      pixel_scale: Factor from stored pixels to floating point.
      key: Root key; another key gives independent views.
      policy: Augmentation per unit of strength.
      strength: Factor on its ranges; may vary from call to call without recompiling.
      views: Views of each image, >= 1.
      layers: Which outputs are wanted.
      batch_size: Images at a time.

    Returns:
      For each layer an array (images, views, dim) on the host.

    Raises:
      UsageError: There are no images or no views.
    """
    if views < 1 or len(images) == 0:
        raise UsageError(
            f"{views} views of {len(images)} images were asked for; give at least one of each"
        )
    keys = view_keys(key, len(images), views)
    batch_size = min(batch_size, len(images))
    pending = []
    for start in range(0, len(images), batch_size):
        # The last batch is moved back to full size, so that one shape is compiled.
        first = min(start, len(images) - batch_size)
        part = _view_outputs(
            apply,
            params,
            statistics,
            images[first : first + batch_size],
            pixel_scale,
            keys[first : first + batch_size],
            strength,
            policy,
            layers,
        )
        pending.append({name: value[start - first :] for name, value in part.items()})
    fetched = jax.device_get(pending)
    return {name: np.concatenate([part[name] for part in fetched]) for name in layers}
