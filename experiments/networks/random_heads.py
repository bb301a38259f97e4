"""New draws of a projection head on a trained encoder: what a head does without training."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from experiments.networks.variant import Variant
from ssljax.config.config import Config
from ssljax.training.build import build_network

RANDOM_HEADS = 5
ESTIMATES = 100
"""Batches that the running statistics of a new head are estimated on."""
_HEADS = 2**21  # keeps the keys of heads apart from others of the same seed


def draw_heads(
    trained: Variant,
    config: Config,
    views: Float[np.ndarray, "images height width channels"],
) -> dict[str, Variant]:
    """Return a trained network under five heads as they might have been drawn.

    A head that normalizes gets running statistics of its own, estimated on training views with the
    trained encoder below it: those of another head would make it a map that no training sees.

    Args:
      trained: The network; without parameters in its head nothing is drawn.
      config: Of the training; its seed keys the draws.
      views: Training views, from 0 to 1.

    Returns:
      `random_head:0` … by name.
    """
    if "head" not in trained.params:
        return {}
    frozen = dataclasses.replace(config, freeze=("encoder",))
    network = build_network(frozen, views.shape[1:])  # once: its `apply` is what is compiled
    found = {}
    for number in range(RANDOM_HEADS):
        key = jax.random.fold_in(jax.random.key(config.seed), _HEADS + number)
        params, statistics = trained.network.init(key)
        params = {**trained.params, "head": params["head"]}
        if jax.tree.leaves(statistics.get("head", {})):
            statistics = {**trained.statistics, "head": statistics["head"]}
            for batch in _cut(views, config.batch_size):
                statistics = _estimate(network.apply, params, statistics, jnp.asarray(batch))
        else:
            statistics = trained.statistics
        found[f"random_head:{number}"] = dataclasses.replace(
            trained, params=params, statistics=statistics
        )
    return found


def _cut(views: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Batches of the training's size, over and over."""
    size = min(2 * size, len(views))
    for number in range(ESTIMATES):
        places = np.arange(number * size, (number + 1) * size) % len(views)
        yield views[places]


@partial(jax.jit, static_argnums=0)
@jax.default_matmul_precision("highest")
def _estimate(
    apply: Callable[..., Any], params: PyTree, statistics: PyTree, batch: jax.Array
) -> PyTree:
    """Return running statistics after one more batch."""
    return apply(params, statistics, batch, train=True)[1]
