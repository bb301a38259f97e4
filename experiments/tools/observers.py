"""Theory's quantities looked at while `ssljax` trains: effective ranks, defects, the ledger.

`ssljax` compiles observers into its step without knowing what they compute; here they are made of
`theory`'s functions. They compute in the precision of the network.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from experiments.errors import InputError
from experiments.networks.observers import ledger_observer
from ssljax.config.config import Config
from ssljax.training.build import build_schedule
from ssljax.training.observers import Observer
from theory.geometry.invariance import trace_invariance_defect
from theory.geometry.ranks import exponential_entropy, spectrum_shares

Outputs = Mapping[str, jax.Array]
Scalars = dict[str, jax.Array]
State = Any

OBSERVABLES = ("ranks", "defects", "ledger")


def observers_of(
    config: Config, names: tuple[str, ...], layers: tuple[str, ...], every: int
) -> tuple[Observer, ...]:
    """Observers of a run, by the names of the command line.

    Args:
      config: The run; the ledger needs its learning rates and weight decay.
      names: Some of `OBSERVABLES`.
      layers: Layers whose ranks and defects are observed.
      every: Steps between effective ranks, the only ones with a cost worth mentioning.

    Returns:
      The observers.

    Raises:
      InputError: An unknown name, or a ledger for a run that the law does not cover.
    """
    for name in names:
        if name not in OBSERVABLES:
            raise InputError(f"nothing called {name!r} to observe: {', '.join(OBSERVABLES)}")
    found = []
    for layer in layers:
        if "ranks" in names:
            found.append(rank_observer(layer, every))
        if "defects" in names:
            found.append(defect_observer(layer))
    if "ledger" in names:
        depth = len(config.head.widths)
        if config.head.kind != "linear" or depth < 2 or config.optimizer.name != "sgd":
            raise InputError(
                "the balance ledger is that of a linear head of two layers or more under sgd, this"
                f" run has a {config.head.kind} head of {depth} under {config.optimizer.name}:"
                " observe ranks,defects"
            )
        decay = config.optimizer.head_weight_decay
        found.append(ledger_observer(config.head.widths, build_schedule(config), decay))
    return tuple(found)


def rank_observer(layer: str, every: int = 1) -> Observer:
    """Effective rank of a layer's centered views, over the batch, every few steps.

    The scalar ``effective_rank/LAYER`` keeps its last value in between. A batch of n views shows
    at most n - 1 directions.
    """

    def rank(views: Float[jax.Array, "n dim"]) -> jax.Array:
        centered = views - jnp.mean(views, axis=0, keepdims=True)
        small = centered.T @ centered if len(views) > views.shape[1] else centered @ centered.T
        variances = jnp.clip(jnp.linalg.eigvalsh(small), 0.0)
        return jnp.asarray(exponential_entropy(spectrum_shares(variances)))

    def observe(
        params: Any, gradients: Any, outputs: Outputs, state: State
    ) -> tuple[State, Scalars]:
        del params, gradients
        step, last = state
        views = outputs[layer].reshape(-1, outputs[layer].shape[-1])
        views = views.astype(last.dtype)
        value = jax.lax.cond(step % every == 0, rank, lambda _: last, views)
        return (step + 1, value), {f"effective_rank/{layer}": value}

    return Observer(observe, (jnp.zeros((), jnp.int32), jnp.zeros(())), (layer,))


def defect_observer(layer: str) -> Observer:
    """Invariance defect of a layer over the batch's pairs: ``invariance_defect/LAYER``."""

    def observe(
        params: Any, gradients: Any, outputs: Outputs, state: State
    ) -> tuple[State, Scalars]:
        del params, gradients
        views = outputs[layer].astype(jnp.promote_types(outputs[layer].dtype, jnp.float32))
        count, dim = views.shape[1], views.shape[-1]
        flat = views.reshape(-1, dim)
        centered = (flat - jnp.mean(flat, axis=0, keepdims=True)).reshape(views.shape)
        square = jnp.mean(jnp.sum(centered**2, axis=-1))
        sums = jnp.mean(jnp.sum(jnp.sum(centered, axis=1) ** 2, axis=-1))
        product = (sums - count * square) / (count * (count - 1))
        defect = jnp.asarray(trace_invariance_defect(square, product))
        return state, {f"invariance_defect/{layer}": defect}

    return Observer(observe, (), (layer,))
