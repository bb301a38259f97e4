"""Linear heads trained on frozen features until weight decay has made them forget their start."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.measure.heads.banks import Views
from ssljax.losses import nt_xent, spectral_contrastive
from ssljax.measure.settle import PairLoss, SettlingPath, settle_head, settling_path
from ssljax.nets.linear import linear_weights

Weights = tuple[Float[np.ndarray, "_ _"], ...]

OVERSHOOT = 1.25
"""Weight decay goes past its final value and back: modes at the edge of existence are decided."""

MOMENTUM = 0.9
TEMPERATURE = 0.5

RATES = {1: 0.01, 2: 0.01, 3: 0.005}
"""Learning rate by depth: deeper heads lose modes to gradient noise at the larger one."""


class Descent(NamedTuple):
    """Plain descent with a constant step.

    Attributes:
      learning_rate: η.
      weight_decay: λ of the penalty (λ/2) Σ ‖W‖².
      batch_size: Images a step.
    """

    learning_rate: float
    weight_decay: float
    batch_size: int


def cosine_loss(first: jax.Array, second: jax.Array) -> jax.Array:
    """Return NT-Xent; one function object, so that heads under it are compiled once."""
    return nt_xent(first, second, TEMPERATURE)


def draw_head(seed: int, width: int, depth: int) -> Weights:
    """Return a Gaussian head, out of balance: hidden layers as wide as the feature, then half."""
    widths = (*(width,) * depth, width // 2)
    return tuple(map(np.asarray, linear_weights(jax.random.key(seed), widths, init="gaussian")))


def draw_orthogonal_head(seed: int, width: int) -> Weights:
    """Return a balanced head of two layers: a rotation, then half of the rows of another."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2**24))
    first, second = (np.asarray(jax.random.orthogonal(key, width)) for key in keys)
    return first, second[: width // 2]


def settle(
    start: Weights,
    views: Views,
    seed: int,
    *,
    weight_decay: float,
    steps: int,
    learning_rate: float,
    loss: PairLoss = spectral_contrastive,
    adaptive: bool = False,
) -> Weights:
    """Return a head after stochastic descent along `path_of`, with momentum.

    Args:
      start: W_1 ... W_L, (out, in).
      views: Features that the head is trained on.
      seed: Of the batches.
      weight_decay: Final coefficient.
      steps: How many.
      learning_rate: Before it falls.
      loss: Of the embeddings of two views.
      adaptive: AdamW in place of momentum.
    """
    settled = settle_head(
        tuple(jnp.asarray(weight, jnp.float32) for weight in start),
        jnp.asarray(views, jnp.float32),
        jax.random.key(seed),
        path_of(steps, learning_rate, weight_decay),
        momentum=MOMENTUM,
        loss=loss,
        adaptive=adaptive,
    )
    return tuple(np.asarray(weight) for weight in settled)


def path_of(steps: int, learning_rate: float, weight_decay: float) -> SettlingPath:
    """Return learning rate and weight decay of every step of `settle`."""
    return settling_path(
        steps, learning_rate=learning_rate, weight_decay=weight_decay, overshoot=OVERSHOOT
    )


def sum_decay(steps: int, learning_rate: float, weight_decay: float) -> float:
    """Return weight decay times step size, summed over `settle`; momentum lengthens each step."""
    path = path_of(steps, learning_rate, weight_decay)
    rates, decays = (np.asarray(part, np.float64) for part in path)
    return float(np.sum(rates * decays) / (1.0 - MOMENTUM))


def descend(
    start: Weights,
    views: Views,
    seed: int,
    descent: Descent,
    *,
    loss: PairLoss,
    looks: int,
    steps: int,
) -> Sequence[Weights]:
    """Return a head at the start of plain descent and after every `steps` of it.

    Args:
      start: W_1 ... W_L.
      views: Features that the head is trained on.
      seed: Of the batches.
      descent: Step, decay, images a step.
      loss: Of the embeddings of two views.
      looks: After the start.
      steps: Between looks.
    """
    bank = jnp.asarray(views, jnp.float32)
    path = SettlingPath(
        jnp.full(steps, descent.learning_rate), jnp.full(steps, descent.weight_decay)
    )
    current = tuple(jnp.asarray(weight, jnp.float32) for weight in start)
    found = [tuple(map(np.asarray, current))]
    for look in range(looks):
        key = jax.random.fold_in(jax.random.key(seed), look)
        current = settle_head(
            current, bank, key, path, batch_size=descent.batch_size, momentum=0.0, loss=loss
        )
        found.append(tuple(map(np.asarray, current)))
    return found
