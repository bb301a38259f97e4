"""Layers of a network by the names that people give: checked, and how wide they are."""

import jax
import jax.numpy as jnp

from ssljax.nets.network import Network
from ssljax.system.arrays import Array, PRNGKeyArray
from ssljax.system.errors import UsageError

ALL_LAYERS = "all"


def named_layers(network: Network, layers: tuple[str, ...]) -> tuple[str, ...]:
    """The layers asked for; ``all`` means each once, but for the input.

    (The last layer of a head is the embedding, and not named twice then.)

    Raises:
      UsageError: There is no such layer.
    """
    if layers == (ALL_LAYERS,):
        heads = [name for name in network.layers if name.startswith("head")]
        left_out = ("input", *heads[-1:])
        return tuple(name for name in network.layers if name not in left_out)
    for name in layers:
        if name not in network.layers:
            raise UsageError(
                f"no layer {name!r} in this network: it has {', '.join(network.layers)}"
            )
    return layers


def layer_dims(
    network: Network, image_shape: tuple[int, int, int], layers: tuple[str, ...]
) -> dict[str, int]:
    """Width of each of the named, pooled layers; nothing is computed."""

    def outputs(key: PRNGKeyArray) -> dict[str, Array]:
        images = jnp.zeros((1, *image_shape))
        return network.apply(*network.init(key), images, train=False, layers=layers)[0]

    shapes = jax.eval_shape(outputs, jax.random.key(0))
    return {name: shapes[name].shape[1] for name in layers}
