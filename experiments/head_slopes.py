"""The head's local linear map at each image: exact, since ReLU heads are piecewise linear."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.system.arrays import Float
from theory.geometry.ranks import threshold_rank, variance_effective_rank
from theory.geometry.relu_projector import relu_local_map

# Singular values below this share of the largest are rounding.
RANK_TOLERANCE = 1e-9
Slopes = Float[np.ndarray, "images out width"]


class HeadLayers(NamedTuple):
    """A head of dense layers with ReLU between them, float64.

    Attributes:
      kernels: W_1 ... W_L, (out, in).
      biases: One for each.
    """

    kernels: tuple[Float[np.ndarray, "_ _"], ...]
    biases: tuple[Float[np.ndarray, " _"], ...]


class LocalRanks(NamedTuple):
    """Ranks of the slope, averaged over images.

    Attributes:
      effective: Exponential entropy of the squared singular values.
      numerical: Number of singular values that are not rounding.
    """

    effective: float
    numerical: float


def head_layers(params: Mapping[str, Any], width: int) -> HeadLayers:
    """The head's layers out of a network's parameters.

    Args:
      params: Of the network; a linear head has no biases, no head has no layers.
      width: Of the feature; the identity stands for no head.

    Returns:
      Kernels and biases.
    """
    head = jax.device_get(params.get("head", {}))
    names = [f"layer{number}" for number in range(1, len(head) + 1)]
    kernels = tuple(np.asarray(head[name]["kernel"], np.float64).T for name in names)
    if not kernels:
        return HeadLayers((np.eye(width),), (np.zeros(width),))
    biases = tuple(
        np.asarray(head[name]["bias"], np.float64)
        if "bias" in head[name]
        else np.zeros(len(kernel))
        for name, kernel in zip(names, kernels)
    )
    return HeadLayers(kernels, biases)


def local_slopes(layers: HeadLayers, features: Float[np.ndarray, "images width"]) -> Slopes:
    """The matrix A with which the head maps small changes of each feature.

    Opens the precision context: everything inside is float64.

    Args:
      layers: The head.
      features: Exactly as the head receives them.

    Returns:
      One matrix for each image.
    """
    with jax.enable_x64(True):
        points = jnp.asarray(features, jnp.float64)
        return np.asarray(_slopes(layers, points))


@jax.jit
def _slopes(layers: HeadLayers, points: Any) -> Any:
    return jax.vmap(partial(_slope, *layers))(points)


def _slope(kernels: Any, biases: Any, point: Any) -> Any:
    return relu_local_map(kernels, biases, point).slope


def local_ranks(slopes: Slopes) -> LocalRanks:
    """Ranks of the slopes, averaged over images.

    Args:
      slopes: From `local_slopes`.

    Returns:
      Means; an image in whose region the head is constant counts as rank 0.
    """
    singular = np.linalg.svd(slopes, compute_uv=False)
    alive = singular[singular[:, 0] > 0]
    if len(alive) == 0:
        return LocalRanks(0.0, 0.0)
    with jax.enable_x64(True):
        effective = jax.vmap(variance_effective_rank)(jnp.asarray(alive**2))
        numerical = jax.vmap(lambda values: threshold_rank(values, RANK_TOLERANCE))(
            jnp.asarray(alive)
        )
        share = len(alive) / len(singular)
        return LocalRanks(share * float(jnp.mean(effective)), share * float(jnp.mean(numerical)))
