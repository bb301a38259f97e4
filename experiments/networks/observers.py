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
    """Return the account of the imbalance D of the first two layers, held against the weights.

    The account starts at the first step's D and follows `theory.layers.ledger.imbalance_change`
    from the gradients alone, as a compensated sum. Scalars: `ledger/imbalance`, ‖D‖;
    `ledger/error`, ‖D − account‖; `ledger/first_norm` and `ledger/second_norm` of the layers.

    Args:
      config: Of a linear head of two layers under plain descent; under momentum β the account is
        kept with the step η/(1 − β), the effect that one gradient has in the long run.
    """
    schedule, settings = build_schedule(config), config.optimizer
    heavy = settings.momentum if settings.name == "sgd" else 0.0

    @jax.default_matmul_precision("highest")
    def observe(
        params: Any, gradients: Any, outputs: Outputs, state: State
    ) -> tuple[State, Scalars]:
        del outputs
        (first, second), slopes = _first_layers(params), _first_layers(gradients)
        actual = imbalance(first, second)
        account = jnp.where(state["step"] == 0, actual, state["account"])
        missed = (actual - account) - state["residue"]
        rate = jnp.asarray(schedule(state["step"])) / (1.0 - heavy)
        change = imbalance_change(account, *slopes, rate, settings.head_weight_decay)
        # Thousands of small changes: what rounding takes from one is added to the next.
        due = change.astype(actual.dtype) + state["residue"]
        total = account + due
        following = {
            "step": state["step"] + 1,
            "account": total,
            "residue": due - (total - account),
        }
        return following, {
            "ledger/imbalance": jnp.linalg.norm(actual),
            "ledger/error": jnp.linalg.norm(missed),
            "ledger/first_norm": jnp.linalg.norm(first),
            "ledger/second_norm": jnp.linalg.norm(second),
        }

    square = jnp.zeros((config.head.widths[0],) * 2)
    start = {"step": jnp.zeros((), jnp.int32), "account": square, "residue": square}
    return Observer(observe, start)


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
        lower, upper = _first_layers(gradients)
        seen = {
            "imbalance": imbalance(*_first_layers(params)),
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


def _first_layers(tree: Any) -> tuple[jax.Array, jax.Array]:
    """Return W₁ and W₂ of a linear head, or their gradients, (out, in)."""
    first, second = (tree["head"][f"layer{number}"]["kernel"].T for number in (1, 2))
    return first, second
