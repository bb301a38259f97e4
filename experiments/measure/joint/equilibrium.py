"""The imbalance that gradient noise and weight decay agree on, predicted and measured."""

from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.core.measurements import Measurement
from experiments.measure.rows import exact_row
from experiments.measure.subject import Subject
from experiments.networks.observers import WINDOWS
from theory.layers.ledger import stationary_imbalance

START = slice(0, 1)
# Gradients are taken before the imbalance, in windows that share no step and little memory: over
# one and the same window the law would be an identity.
EARLIER, LATER = slice(WINDOWS - 6, WINDOWS - 3), slice(WINDOWS - 3, WINDOWS)


def measure_equilibrium(subject: Subject) -> Iterator[Measurement]:
    """Yield |log predicted/measured| of the size of the mean imbalance at the end.

    The prediction is η/(λ(2 − ηλ)) (E g₂ᵀg₂ − E g₁g₁ᵀ) with gradients of earlier steps; the rival
    takes those at the start of the training.

    Args:
      subject: Trained at a constant rate with the observer `noise`.
    """
    observed, training = subject.observed, subject.training
    measured = np.linalg.norm(average_windows(observed, "imbalance", LATER))
    for variant, windows in (("theory", EARLIER), ("rival:first_gradients", START)):
        with jax.enable_x64(True):
            lower, upper = (
                jnp.asarray(average_windows(observed, name, windows)) for name in ("lower", "upper")
            )
            expected = stationary_imbalance(
                lower, upper, training.learning_rate, training.head_weight_decay
            )
            error = abs(float(np.log(np.linalg.norm(expected) / measured)))
        yield exact_row(subject.key("imbalance_error", variant), error)


def average_windows(
    observed: Mapping[str, np.ndarray], name: str, windows: slice
) -> Float[np.ndarray, "hidden hidden"]:
    """Return the mean over the steps of some windows of what the observer `noise` summed.

    Args:
      observed: Final states of the observers.
      name: `imbalance`, `lower` or `upper`.
      windows: Which.
    """
    counts = np.asarray(observed["noise/counts"], np.float64)[windows]
    sums = np.asarray(observed[f"noise/{name}"], np.float64)[windows]
    return sums.sum(axis=0) / counts.sum()
