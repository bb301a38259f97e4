"""Imbalance of adjacent layers that two losses leave, and what optimizers do to its account."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.measure.heads.banks import Views, as_float64
from experiments.measure.heads.settle import MOMENTUM, Weights
from ssljax.measure.settle import head_gradients
from theory.layers.ledger import imbalance, imbalance_change, relative_imbalance

WEIGHT_DECAY = 0.1
RATES = {"sgd": 0.01, "momentum": 0.01, "adamw": 0.002}


def imbalance_of(weights: Weights) -> float:
    """Return ‖D‖ / (‖W₁‖ ‖W₂‖) of the first two layers."""
    with jax.enable_x64(True):
        return float(relative_imbalance(*as_float64(weights[:2])))


def ledger_error(start: Weights, views: Views, seed: int, optimizer: str, steps: int) -> float:
    """Return the largest ‖D − account‖/‖D‖ over steps of an optimizer, which is 0 under plain SGD.

    The account starts at the first D and then knows the gradients only. Under momentum β it is
    given the step η/(1 − β) that the same gradients have in the long run.

    Args:
      start: W_1 and W_2.
      views: Features that the head is trained on, with the spectral loss.
      seed: Of the batches.
      optimizer: `sgd`, `momentum` or `adamw`.
      steps: How many.
    """
    rate, bank = RATES[optimizer], jnp.asarray(views, jnp.float32)
    rule = {
        "sgd": optax.identity(),
        "momentum": optax.trace(decay=MOMENTUM),
        "adamw": optax.scale_by_adam(b1=MOMENTUM),
    }[optimizer]
    lasting = rate / (1.0 - MOMENTUM) if optimizer == "momentum" else rate
    errors = []
    with jax.enable_x64(True):
        weights = as_float64(start)
        state, account = rule.init(weights), imbalance(*weights)
        for step in range(steps):
            key = jax.random.fold_in(jax.random.key(seed), step)
            single = tuple(weight.astype(jnp.float32) for weight in weights)
            gradients = head_gradients(single, bank, key, batches=1)
            lower, upper = as_float64(tuple(np.asarray(gradient[0]) for gradient in gradients))
            pull = tuple(WEIGHT_DECAY * weight for weight in weights)
            if optimizer == "adamw":
                update, state = rule.update((lower, upper), state)
                update = optax.tree.add(update, pull)
            else:
                update, state = rule.update(optax.tree.add((lower, upper), pull), state)
            account = account + imbalance_change(account, lower, upper, lasting, WEIGHT_DECAY)
            weights = jax.tree.map(lambda weight, move: weight - rate * move, weights, update)
            actual = imbalance(*weights)
            errors.append(float(jnp.linalg.norm(actual - account) / jnp.linalg.norm(actual)))
    return max(errors)
