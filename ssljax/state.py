"""Everything that training carries from one step to the next."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ssljax.arrays import Array, Int, PRNGKeyArray, PyTree
from ssljax.network import Network
from ssljax.observers import Observer


class TrainState(NamedTuple):
    """The whole state of a run; two equal states continue identically.

    Attributes:
      step: Steps taken, a device array so that it never causes a retrace.
      params: Trained weights, ``{"encoder": …, "head": …}``.
      statistics: Running statistics of the network, not trained.
      optimizer_state: Optax's.
      key: Root key of batches and augmentation; never changes, steps are folded into it.
      observer_states: One entry for each observer of the step.
    """

    step: Int[Array, "..."]
    params: PyTree
    statistics: PyTree
    optimizer_state: Any
    key: PRNGKeyArray
    observer_states: tuple[PyTree, ...]


def make_state(
    network: Network,
    optimizer: optax.GradientTransformation,
    seed: int | Int[Array, ""],
    observers: tuple[Observer, ...] = (),
) -> TrainState:
    """The state before the first step; the same seed gives the same state.

    Args:
      network: Initializes parameters and statistics.
      optimizer: Initializes its own state.
      seed: Root of the run's randomness; may be traced, so that seeds can be mapped over.
      observers: Their initial states are carried along.

    Returns:
      State at step 0.
    """
    init_key, run_key = jax.random.split(jax.random.key(seed))
    params, statistics = network.init(init_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        statistics=statistics,
        optimizer_state=optimizer.init(params),
        key=run_key,
        observer_states=tuple(
            jax.tree.map(jnp.asarray, observer.initial_state) for observer in observers
        ),
    )
