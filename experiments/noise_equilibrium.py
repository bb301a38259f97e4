"""The imbalance that gradient noise and weight decay agree on, predicted and measured."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.observers import noise_observer
from ssljax.config.config import Config
from ssljax.runs.saved_run import Run
from ssljax.training.observers import Observer
from theory.layers.ledger import balance_memory, stationary_imbalance

Square = Float[np.ndarray, "hidden hidden"]
WINDOWS = 10
# Gradients are taken before the imbalance, in windows that share no step and little memory.
_EARLIER, _LATER = slice(4, 7), slice(7, 10)


class Equilibrium(NamedTuple):
    """Measured mean imbalance against E D = η/(λ(2 − ηλ)) (E g₂ᵀg₂ − E g₁g₁ᵀ).

    Attributes:
      measured: ‖E D‖.
      predicted: ‖·‖ of the prediction.
      flow: ‖D‖ that flow would have left of the first imbalance: no noise at all.
      cosine: Between measured and predicted D, as vectors.
      swapped: The same with the layers' gradients exchanged; minus the cosine.
      early: The same with gradients taken at the start of training.
    """

    measured: float
    predicted: float
    flow: float
    cosine: float
    swapped: float
    early: float


def equilibrium(
    measured: Square,
    moments: tuple[Square, Square],
    early: tuple[Square, Square],
    start: Square,
    *,
    learning_rate: float,
    weight_decay: float,
    num_steps: int,
) -> Equilibrium:
    """Hold a mean imbalance against the gradients' second moments.

    Args:
      measured: Mean of D while nothing drifts any more.
      moments: E g₁g₁ᵀ and E g₂ᵀg₂ from other steps.
      early: The same at the start of training: another time, a null.
      start: D at the start.
      learning_rate: η, constant.
      weight_decay: λ.
      num_steps: Steps since the start.

    Returns:
      The comparison.
    """
    with jax.enable_x64(True):

        def due(lower: Square, upper: Square) -> np.ndarray:
            sides = (jnp.asarray(lower, jnp.float64), jnp.asarray(upper, jnp.float64))
            return np.asarray(stationary_imbalance(*sides, learning_rate, weight_decay))

        predicted, other = due(*moments), due(*early)
        swapped = due(moments[1], moments[0])
        left = float(balance_memory(jnp.full(num_steps, learning_rate, float), weight_decay))
    return Equilibrium(
        measured=float(np.linalg.norm(measured)),
        predicted=float(np.linalg.norm(predicted)),
        flow=left * float(np.linalg.norm(start)),
        cosine=_cosine(measured, predicted),
        swapped=_cosine(measured, swapped),
        early=_cosine(measured, other),
    )


def window_observer(config: Config) -> Observer:
    """The observer that `joint_equilibrium` reads."""
    return noise_observer(config.head.widths, config.num_steps, WINDOWS)


def joint_equilibrium(run: Run, place: int = -1) -> Equilibrium:
    """The comparison for a head that trained with its encoder at a constant rate.

    Args:
      run: Trained with `window_observer` among its observers.
      place: Of that observer among them.

    Returns:
      Gradients of the windows just before those of the imbalance; the first window is the null.
    """
    state, optimizer = run.state.observer_states[place], run.config.optimizer
    counts = np.asarray(state["counts"], np.float64)
    sums = np.asarray(state["sums"], np.float64)[:, 0]

    def mean(windows: slice) -> np.ndarray:
        return sums[windows].sum(axis=0) / counts[windows].sum()

    def moments(windows: slice) -> tuple[np.ndarray, np.ndarray]:
        _, upper, lower = mean(windows)
        return lower, upper

    first = slice(0, 1)
    return equilibrium(
        mean(_LATER)[0],
        moments(_EARLIER),
        moments(first),
        mean(first)[0],
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.head_weight_decay,
        num_steps=int(counts[1:].sum()),
    )


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sum(first * second) / (np.linalg.norm(first) * np.linalg.norm(second)))
