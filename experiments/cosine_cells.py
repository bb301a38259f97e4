"""Imbalance of linear heads under a loss with a scale of its own and under one without."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.feature_banks import Bank
from experiments.head_comparison import Weights
from experiments.noise_equilibrium import Equilibrium, equilibrium
from ssljax.losses import nt_xent
from ssljax.measure.settle import PairLoss, SettlingPath, head_gradients, settle_head
from ssljax.runs.saved_run import Run
from theory.layers.ledger import relative_imbalance

TEMPERATURE = 0.5


class Noise(NamedTuple):
    """A setting of plain descent: what keeps a head out of balance, and what brings it back."""

    learning_rate: float
    weight_decay: float
    batch_size: int


class Course(NamedTuple):
    """Imbalance along a training.

    Attributes:
      clock: λ∫η, how much decay has acted; 0 at the start.
      imbalance: ‖D‖ / (‖W₁‖ ‖W₂‖) then.
    """

    clock: Float[np.ndarray, " moments"]
    imbalance: Float[np.ndarray, " moments"]


def cosine_loss(first: jax.Array, second: jax.Array) -> jax.Array:
    """NT-Xent; one function object, so that heads under it are compiled once."""
    return nt_xent(first, second, TEMPERATURE)


def imbalance_of(weights: Weights) -> float:
    """‖D‖ / (‖W₁‖ ‖W₂‖) of the first two layers."""
    with jax.enable_x64(True):
        lower, upper = (jnp.asarray(weight, jnp.float64) for weight in weights[:2])
        return float(relative_imbalance(lower, upper))


def plain_descent(
    weights: Weights,
    features: Bank,
    seed: int,
    noise: Noise,
    *,
    loss: PairLoss,
    parts: int,
    steps: int,
) -> list[Weights]:
    """A head under plain descent with constant step and decay, looked at now and then.

    Args:
      weights: Where it starts.
      features: Views of each image, centered.
      seed: Of the batches.
      noise: Step size, decay, images a step.
      loss: Of the embeddings of two views.
      parts: How many times it is looked at.
      steps: Between looks.

    Returns:
      Weights at the start and after every part.
    """
    bank = jnp.asarray(features, jnp.float32)
    path = SettlingPath(jnp.full(steps, noise.learning_rate), jnp.full(steps, noise.weight_decay))
    current = tuple(jnp.asarray(weight, jnp.float32) for weight in weights)
    found = [tuple(map(np.asarray, current))]
    for part in range(parts):
        key = jax.random.fold_in(jax.random.key(seed), part)
        current = settle_head(
            current, bank, key, path, batch_size=noise.batch_size, momentum=0.0, loss=loss
        )
        found.append(tuple(map(np.asarray, current)))
    return found


def frozen_course(looks: list[Weights], noise: Noise, steps: int) -> Course:
    """The course of a head under `plain_descent`."""
    clock = noise.weight_decay * noise.learning_rate * steps * np.arange(len(looks))
    return Course(clock, np.array([imbalance_of(look) for look in looks]))


def joint_course(start: Mapping[str, Any], runs: Mapping[int, Run], rates: np.ndarray) -> Course:
    """The course of a head that trained with its encoder, from its checkpoints.

    Args:
      start: Parameters before the first step.
      runs: The run at each of its checkpoints.
      rates: Learning rate of every step.

    Returns:
      The course; the clock counts momentum in, λ∫η/(1 − β).
    """
    optimizer = next(iter(runs.values())).config.optimizer
    heads = [start["head"], *(run.state.params["head"] for run in runs.values())]
    passed = np.concatenate([[0.0], np.cumsum(rates.astype(np.float64))])
    steps = [0, *runs]
    clock = optimizer.head_weight_decay * passed[steps] / (1.0 - optimizer.momentum)
    imbalances = [
        imbalance_of(tuple(np.asarray(head[f"layer{n}"]["kernel"]).T for n in (1, 2)))
        for head in heads
    ]
    return Course(clock, np.array(imbalances))


def frozen_equilibrium(
    looks: list[Weights], features: Bank, seed: int, noise: Noise, *, batches: int, steps: int
) -> Equilibrium:
    """Whether gradient noise explains the imbalance that a cosine head settles at.

    The first half of the looks is left to forget the start; in the second half gradients are taken
    at each look on batches that training does not see.

    Args:
      looks: A head under `plain_descent` and `cosine_loss`.
      features: What it was trained on.
      seed: Of the batches.
      noise: Its setting.
      batches: Fresh batches at every look.
      steps: Between looks.

    Returns:
      The comparison.
    """
    bank = jnp.asarray(features, jnp.float32)
    late = looks[len(looks) // 2 :]

    def moments(look: Weights, place: int) -> tuple[np.ndarray, np.ndarray]:
        key = jax.random.fold_in(jax.random.key(seed + 2**20), place)
        lower, upper = head_gradients(
            tuple(map(jnp.asarray, look)),
            bank,
            key,
            batches=batches,
            batch_size=noise.batch_size,
            loss=cosine_loss,
        )
        lower, upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
        return (
            np.einsum("bij,bkj->ik", lower, lower) / batches,
            np.einsum("bji,bjk->ik", upper, upper) / batches,
        )

    seen = [moments(look, place) for place, look in enumerate(late)]
    double = [[np.asarray(weight, np.float64) for weight in look] for look in late]
    measured = np.mean([w[1].T @ w[1] - w[0] @ w[0].T for w in double], axis=0)
    lower, upper = (np.mean([pair[side] for pair in seen], axis=0) for side in (0, 1))
    first = [np.asarray(weight, np.float64) for weight in looks[0]]
    start = first[1].T @ first[1] - first[0] @ first[0].T
    return equilibrium(
        measured,
        (lower, upper),
        moments(looks[0], len(looks)),
        start,
        learning_rate=noise.learning_rate,
        weight_decay=noise.weight_decay,
        num_steps=(len(looks) - 1) * steps,
    )
