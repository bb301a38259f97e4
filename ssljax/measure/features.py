"""Features of a data set: every named layer in one pass over the images, in evaluation mode."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.system.arrays import Float, PyTree, UInt8
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
    """Outputs of named layers for clean images.

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
