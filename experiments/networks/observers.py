"""What is recorded inside the training step of linear heads, for laws that hold at every step.

`ssljax` compiles observers into its step without knowing what they compute. Those of a training
are named in its entry of the table and made from its configuration. They compute in the precision
of the network. Their scalars are logged at every step, their states are read from the finished run.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ssljax.config.config import Config
from ssljax.training.build import build_schedule
from ssljax.training.observers import Observer
from theory.layers.ledger import imbalance, imbalance_change

WINDOWS = 10
"""Equal parts of a training over which the moments of its gradients are averaged."""

Outputs = Mapping[str, jax.Array]
Scalars = dict[str, jax.Array]
State = Any


def make_observers(config: Config, names: tuple[str, ...]) -> dict[str, Observer]:
    """Return the observers of a training by name, in the order of the names.

    Args:
      config: Of the training.
      names: Keys of `OBSERVERS`.
    """
    return {name: OBSERVERS[name](config) for name in names}


def make_ledger_observer(config: Config) -> Observer:
    """Return the `ledger_observer` of a training.

    Args:
      config: Of a linear head of two layers or more under descent; under momentum β the account is
        kept with the step η/(1 − β), the effect that one gradient has in the long run.
    """
    schedule, settings = build_schedule(config), config.optimizer
    heavy = settings.momentum if settings.name == "sgd" else 0.0
    return ledger_observer(
        config.head.widths,
        lambda step: jnp.asarray(schedule(step)) / (1.0 - heavy),
        settings.head_weight_decay,
    )


def ledger_observer(
    widths: tuple[int, ...], learning_rate: Callable[[jax.Array], Any], weight_decay: float
) -> Observer:
    """Return the balance ledger of a linear head, kept beside training and held against it.

    For every pair l, l + 1 of layers, with D the imbalance and scale ‖W_{l+1}ᵀW_{l+1}‖ +
    ‖W_lW_lᵀ‖: ``balance/l`` is ‖D‖ / scale; ``ledger_error/l`` is ‖D − account‖ / scale, where the
    account starts at the first step's D and follows `theory.layers.ledger.imbalance_change` from
    the gradients alone, as a compensated sum; ``decay_error/l`` is the same for an account that
    leaves the gradients out. ``weight_norm/l`` is ‖W_l‖ and ``imbalance/l`` is ‖D‖. Under plain
    SGD with L2 the error stays at rounding, about 1e-6; momentum and adaptive steps make it grow.

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
        scalars = {f"weight_norm/{n}": jnp.linalg.norm(w) for n, w in enumerate(weights, start=1)}
        following = []
        for place, (account, residue, decayed) in enumerate(accounts):
            lower, upper = weights[place : place + 2]
            actual = imbalance(lower, upper)
            account = jnp.where(step == 0, actual, account)
            decayed = jnp.where(step == 0, actual, decayed)
            scale = jnp.linalg.norm(upper.T @ upper) + jnp.linalg.norm(lower @ lower.T)
            missed = (actual - account) - residue
            scalars[f"imbalance/{place + 1}"] = jnp.linalg.norm(actual)
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
    return Observer(observe, (jnp.zeros((), jnp.int32), accounts))


def make_noise_observer(config: Config) -> Observer:
    """Return sums of the imbalance and of second moments of its gradients, window by window.

    The state holds `counts`, the steps of each of `WINDOWS` equal parts of the training, and over
    those steps the sums of D in `imbalance`, of g₁g₁ᵀ in `lower` and of g₂ᵀg₂ in `upper`.

    Args:
      config: Of a linear head of two layers.
    """

    @jax.default_matmul_precision("highest")
    def observe(
        params: Any, gradients: Any, outputs: Outputs, state: State
    ) -> tuple[State, Scalars]:
        del outputs
        lower, upper = _matrices(gradients, 2)
        seen = {
            "imbalance": imbalance(*_matrices(params, 2)),
            "lower": lower @ lower.T,
            "upper": upper.T @ upper,
            "counts": jnp.ones(()),
        }
        window = jnp.minimum(state["step"] * WINDOWS // config.num_steps, WINDOWS - 1)
        sums = {name: state[name].at[window].add(value) for name, value in seen.items()}
        return {"step": state["step"] + 1, **sums}, {}

    squares = jnp.zeros((WINDOWS, config.head.widths[0], config.head.widths[0]))
    start = {
        "step": jnp.zeros((), jnp.int32),
        "counts": jnp.zeros(WINDOWS),
        **dict.fromkeys(("imbalance", "lower", "upper"), squares),
    }
    return Observer(observe, start)


def make_feature_observer(config: Config) -> Observer:
    """Return what drives a head: the features that the loss saw at every step, and the step size.

    The state holds `first` and `second`, (steps, batch, width), the features of both views as the
    head received them, in training mode. The scalar is `learning_rate`.

    Args:
      config: Of a residual network; at 600 steps of 128 pairs and 64 features the state is 39 MB.
    """
    schedule = build_schedule(config)

    def observe(
        params: Any, gradients: Any, outputs: Outputs, state: State
    ) -> tuple[State, Scalars]:
        del params, gradients
        step, views = state["step"], outputs["feature"]
        following = {"step": step + 1}
        for place, name in enumerate(("first", "second")):
            following[name] = state[name].at[step].set(views[:, place].astype(state[name].dtype))
        return following, {"learning_rate": jnp.asarray(schedule(step))}

    width = config.encoder.width * 2 ** (len(config.encoder.stage_sizes) - 1)
    features = jnp.zeros((config.num_steps, config.batch_size, width))
    start = {"step": jnp.zeros((), jnp.int32), "first": features, "second": features}
    return Observer(observe, start, ("feature",))


OBSERVERS: dict[str, Callable[[Config], Observer]] = {
    "ledger": make_ledger_observer,
    "noise": make_noise_observer,
    "features": make_feature_observer,
}
"""By their names in the table of trainings."""


def _matrices(tree: Any, depth: int) -> list[jax.Array]:
    """Return W_1 … W_L of a linear head, or their gradients, (out, in)."""
    return [tree["head"][f"layer{number}"]["kernel"].T for number in range(1, depth + 1)]
