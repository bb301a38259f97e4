"""The state that training carries from one step to the next."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ssljax.nets.network import Network
from ssljax.system.arrays import Array, Int, PRNGKeyArray, PyTree
from ssljax.training.observers import Observer


class Average(NamedTuple):
    """Moving averages over the steps, one for each leaf of the network.

    Attributes:
      params: Of the trained weights.
      statistics: Of the running statistics.
    """

    params: PyTree
    statistics: PyTree


class TrainState(NamedTuple):
    """The whole state of a run; two equal states continue identically.

    Attributes:
      step: Steps taken, a device array so that it never causes a retrace.
      params: Trained weights, ``{"encoder": …, "head": …}``.
      statistics: Running statistics of the network, not trained.
      optimizer_state: Optax's.
      key: Root key of batches and augmentation; never changes, steps are folded into it.
      observer_states: One entry for each observer of the step.
      average: Moving averages, BYOL's target or the weights to evaluate; None where there are
        none.
    """

    step: Int[Array, "..."]
    params: PyTree
    statistics: PyTree
    optimizer_state: Any
    key: PRNGKeyArray
    observer_states: tuple[PyTree, ...]
    average: PyTree = None


def make_state(
    network: Network,
    optimizer: optax.GradientTransformation,
    seed: int | Int[Array, ""],
    observers: tuple[Observer, ...] = (),
    *,
    averaged: bool = False,
) -> TrainState:
    """Return the state before the first step; the same seed gives the same state.

    Args:
      network: Initializes parameters and statistics.
      optimizer: Initializes its own state.
      seed: Root of the run's randomness; may be traced, so that seeds can be mapped over.
      observers: Their initial states are carried along.
      averaged: Carry moving averages, which start at the weights drawn.

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
        # A copy: two leaves of a state that is given up must not share a buffer.
        average=jax.tree.map(jnp.copy, Average(params, statistics)) if averaged else None,
    )


def take_averages(state: TrainState) -> TrainState:
    """Return the state with moving averages in place of parameters and statistics.

    Args:
      state: A state that carries averages.

    Returns:
      The same state, not to be trained further.
    """
    return state._replace(params=state.average.params, statistics=state.average.statistics)
