"""Theory's quantities looked at while `ssljax` trains: effective ranks, defects, the ledger.

`ssljax` compiles observers into its step without knowing what they compute; here they are made of
`theory`'s functions. They compute in the precision of the network.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from experiments.errors import InputError
from ssljax.config.config import Config
from ssljax.training.build import build_schedule
from ssljax.training.observers import Observer
from theory.geometry.invariance import trace_invariance_defect
from theory.geometry.ranks import exponential_entropy, spectrum_shares
from theory.layers.ledger import imbalance, imbalance_change

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


def ledger_observer(
    widths: tuple[int, ...], learning_rate: Callable[[jax.Array], Any], weight_decay: float
) -> Observer:
    """The balance ledger of a linear head, kept beside training and held against it.

    For every pair l, l + 1 of layers, with D the imbalance and scale ‖W_{l+1}ᵀW_{l+1}‖ +
    ‖W_lW_lᵀ‖: ``balance/l`` is ‖D‖ / scale; ``ledger_error/l`` is ‖D − account‖ / scale, where the
    account starts at the first step's D and follows `theory.layers.ledger.imbalance_change` from
    the gradients alone, as a compensated sum; ``decay_error/l`` is the same for an account that
    leaves the gradients out. Under plain SGD with L2 the error stays at rounding, about 1e-6;
    momentum and adaptive steps make it grow.

    Args:
      widths: Output width of each layer of the head.
      learning_rate: Of each step.
      weight_decay: λ of the head's layers.
    """

    @jax.default_matmul_precision("highest")
    def observe(
        params: Any, gradients: Any, outputs: Outputs, state: State
    ) -> tuple[State, Scalars]:
        del outputs
        step, accounts = state
        rate = learning_rate(step)
        weights, slopes = _matrices(params, len(widths)), _matrices(gradients, len(widths))
        scalars, following = {}, []
        for place, (account, residue, decayed) in enumerate(accounts):
            lower, upper = weights[place : place + 2]
            actual = imbalance(lower, upper)
            account = jnp.where(step == 0, actual, account)
            decayed = jnp.where(step == 0, actual, decayed)
            scale = jnp.linalg.norm(upper.T @ upper) + jnp.linalg.norm(lower @ lower.T)
            missed = (actual - account) - residue
            scalars[f"balance/{place + 1}"] = jnp.linalg.norm(actual) / scale
            scalars[f"ledger_error/{place + 1}"] = jnp.linalg.norm(missed) / scale
            scalars[f"decay_error/{place + 1}"] = jnp.linalg.norm(actual - decayed) / scale
            change = imbalance_change(
                account, slopes[place], slopes[place + 1], rate, weight_decay
            ).astype(actual.dtype)
            # Thousands of small changes: what rounding takes from one is added to the next.
            due = change + residue
            total = account + due
            decayed = decayed * (1.0 - rate * weight_decay) ** 2
            following.append((total, due - (total - account), decayed.astype(actual.dtype)))
        return (step + 1, tuple(following)), scalars

    accounts = tuple((jnp.zeros((width, width)),) * 3 for width in widths[:-1])
    return Observer(observe, (jnp.zeros((), jnp.int32), accounts), ())


def noise_observer(widths: tuple[int, ...], num_steps: int, windows: int) -> Observer:
    """Mean imbalance and second moments of the gradients of a linear head, window by window.

    Nothing is logged; the state is read from the finished run: ``sums[window, pair]`` holds the
    sums over the window's steps of D, of g_{l+1}ᵀg_{l+1} and of g_lg_lᵀ, and ``counts`` the steps.

    Args:
      widths: Output width of each layer of the head; all hidden ones equal.
      num_steps: Steps of the run.
      windows: Number of equal parts that training is cut into.
    """

    @jax.default_matmul_precision("highest")
    def observe(
        params: Any, gradients: Any, outputs: Outputs, state: State
    ) -> tuple[State, Scalars]:
        del outputs
        weights, slopes = _matrices(params, len(widths)), _matrices(gradients, len(widths))
        seen = jnp.stack(
            [
                jnp.stack(
                    [
                        imbalance(weights[place], weights[place + 1]),
                        slopes[place + 1].T @ slopes[place + 1],
                        slopes[place] @ slopes[place].T,
                    ]
                )
                for place in range(len(widths) - 1)
            ]
        )
        window = jnp.minimum(state["step"] * windows // num_steps, windows - 1)
        return {
            "step": state["step"] + 1,
            "counts": state["counts"].at[window].add(1.0),
            "sums": state["sums"].at[window].add(seen),
        }, {}

    pairs, hidden = len(widths) - 1, widths[0]
    start = {
        "step": jnp.zeros((), jnp.int32),
        "counts": jnp.zeros(windows),
        "sums": jnp.zeros((windows, pairs, 3, hidden, hidden)),
    }
    return Observer(observe, start, ())


def _matrices(tree: Any, depth: int) -> list[jax.Array]:
    """W_1 ... W_L of a linear head, or their gradients, (out, in)."""
    return [tree["head"][f"layer{number}"]["kernel"].T for number in range(1, depth + 1)]
