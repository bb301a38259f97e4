"""The imbalance of a two-layer linear head trained with its encoder, and its account."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.core.intervals import ledger_bound
from experiments.core.measurements import Measurement
from experiments.measure.rows import exact_row
from experiments.measure.subject import Subject
from theory.layers.ledger import relative_imbalance


class Audit(NamedTuple):
    """The step at which the account is furthest off.

    Attributes:
      error: ‖D − account‖ / ‖D‖ there, the largest of the training.
      bound: What rounding may have made of it by then.
    """

    error: float
    bound: float


def measure_ledger(subject: Subject) -> Iterator[Measurement]:
    """Yield the largest error of the account, its rounding bound, and the imbalance at the end.

    Args:
      subject: Trained with the observers `ledger` and `features`.
    """
    weights = subject.variants["trained"].head_weights()
    audit = audit_account(subject.observed, hidden=len(weights[0]))
    yield exact_row(subject.key("ledger_error"), audit.error, subject.steps)
    yield exact_row(subject.key("ledger_bound"), audit.bound, subject.steps)
    with jax.enable_x64(True):
        first, second = (jnp.asarray(weight, float) for weight in weights)
        left = float(relative_imbalance(first, second))
    yield exact_row(subject.key("imbalance"), left)
    rates = subject.observed["learning_rate"].astype(np.float64)
    forgotten = subject.training.head_weight_decay * float(rates.sum())
    yield exact_row(subject.key("forgotten"), forgotten)


def audit_account(observed: Mapping[str, np.ndarray], hidden: int) -> Audit:
    """Return the largest relative error of the account, with the bound of that step.

    Args:
      observed: Scalars of the observer `ledger`, one a step.
      hidden: Width between the two layers.
    """
    missed, balance, size, first, second = (
        np.asarray(observed[name], np.float64)
        for name in ("ledger_error/1", "balance/1", "imbalance/1", "weight_norm/1", "weight_norm/2")
    )
    errors = missed / balance
    worst = int(np.argmax(errors))
    # Rounding adds up in quadrature, and each update's goes with the squared norms of its time.
    before = slice(0, worst + 1)
    lower, upper = (float(np.mean(norms[before] ** 4) ** 0.25) for norms in (first, second))
    bound = ledger_bound(max(worst, 1), hidden, lower, upper, float(size[worst]))
    return Audit(float(errors[worst]), bound)
