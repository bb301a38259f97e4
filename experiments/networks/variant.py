"""A network at one set of parameters, as a function of images and as maps that have derivatives."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float, Float32, PyTree, UInt8

from ssljax.nets.network import Network, resolve_layers

PIXEL_SCALE = 1 / 255
"""Of stored pixels, but those of scikit-learn's digits."""
BATCH_SIZE = 500

Images = (
    UInt8[np.ndarray, "images height width channels"]
    | Float32[np.ndarray, "images height width channels"]
)
"""Stored pixels, or what a network is given, from 0 to 1."""
Features = Mapping[str, Float32[np.ndarray, "images dim"]]
"""By layer: `stem`, `stage1` … , `feature`, `head1` … , `embedding`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
    """A network and its parameters, evaluated in float32 with products at the highest precision.

    Attributes:
      network: Pure `init` and `apply`.
      params: Parameters.
      statistics: Running statistics, used and not updated.
      pixel_scale: Factor from stored pixels to what the network is given.
      head: The head alone, from `ssljax.nets.network.make_head_map`.
    """

    network: Network
    params: PyTree
    statistics: PyTree
    pixel_scale: float
    head: Callable[[PyTree, PyTree, Array], Array]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that `__call__` returns; a head's last one is called `embedding` only."""
        return resolve_layers(self.network, ("all",))

    def __call__(self, images: Images) -> Features:
        """Return the features of all layers, pooled, from one pass over the images."""
        size = min(BATCH_SIZE, len(images))
        parts = []
        for start in range(0, len(images), size):
            # The last batch is moved back to full size, so that one shape is compiled.
            first = min(start, len(images) - size)
            batch = as_input(images[first : first + size], self.pixel_scale)
            found = _layer_outputs(
                self.network.apply, self.layers, self.params, self.statistics, batch
            )
            parts.append(
                {name: np.asarray(value)[start - first :] for name, value in found.items()}
            )
        return {name: np.concatenate([part[name] for part in parts]) for name in self.layers}

    def map_to(
        self, layer: str
    ) -> Callable[[Float[Array, "images height width channels"]], Float[Array, "images dim"]]:
        """Return the map from images, from 0 to 1, to a layer: pure JAX, for jit, jvp and vmap."""
        return partial(_layer_output, self.network.apply, layer, self.params, self.statistics)

    def head_map(self) -> Callable[[Float[Array, "images dim"]], Float[Array, "images out"]]:
        """Return the map from features to embeddings: pure JAX, for jit, jacfwd and vmap."""
        return partial(self.head, self.params, self.statistics)

    def head_weights(self) -> tuple[Float32[np.ndarray, "out in"], ...]:
        """Return the matrices W1 … WL of a head of dense layers; none without a head."""
        head = self.params.get("head", {})
        names = [f"layer{number}" for number in range(1, len(head) + 1)]
        return tuple(np.asarray(head[name]["kernel"]).T for name in names if name in head)


def as_input(
    images: Images, pixel_scale: float = PIXEL_SCALE
) -> Float32[np.ndarray, "images height width channels"]:
    """Return images as a network is given them, from 0 to 1."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) * np.float32(pixel_scale)
    return images.astype(np.float32, copy=False)


@partial(jax.jit, static_argnums=(0, 1))
@jax.default_matmul_precision("highest")
def _layer_outputs(apply, layers, params, statistics, images):
    outputs, _ = apply(params, statistics, images, train=False, layers=layers)
    return {name: outputs[name] for name in layers}


def _layer_output(apply, layer, params, statistics, images):
    with jax.default_matmul_precision("highest"):
        return apply(params, statistics, images, train=False, layers=(layer,))[0][layer]
