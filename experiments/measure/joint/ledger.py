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
    decay = subject.training.head_weight_decay
    audit = audit_account(subject.observed, len(weights[0]), decay)
    yield exact_row(subject.key("ledger_error"), audit.error, subject.steps)
    yield exact_row(subject.key("ledger_bound"), audit.bound, subject.steps)
    with jax.enable_x64(True):
        first, second = (jnp.asarray(weight, float) for weight in weights)
        left = float(relative_imbalance(first, second))
    yield exact_row(subject.key("imbalance"), left)
    rates = subject.observed["learning_rate"].astype(np.float64)
    forgotten = decay * float(rates.sum())
    yield exact_row(subject.key("forgotten"), forgotten)


def audit_account(observed: Mapping[str, np.ndarray], hidden: int, weight_decay: float) -> Audit:
    """Return the largest relative error of the account, with the bound of that step.

    Each update rounds the weights, and the error it leaves in D shrinks by (1 − ηλ)² a step, as D
    itself does. The bound adds what is left of all updates in quadrature.

    Args:
      observed: Scalars of the observers `ledger` and `features`, one a step.
      hidden: Width between the two layers.
      weight_decay: λ of the head.
    """
    missed, balance, size, first, second, rates = (
        np.asarray(observed[name], np.float64)
        for name in (
            "ledger_error/1",
            "balance/1",
            "imbalance/1",
            "weight_norm/1",
            "weight_norm/2",
            "learning_rate",
        )
    )
    errors = missed / balance
    worst = max(int(np.argmax(errors)), 1)
    shrinking = np.log1p(-rates * weight_decay)
    # What is left, at the worst step, of the update of each step before.
    left = np.exp(4 * (np.sum(shrinking[:worst]) - np.cumsum(shrinking[:worst])))
    lower, upper = (float(np.sum(left * norms[:worst] ** 4) ** 0.25) for norms in (first, second))
    return Audit(float(errors[worst]), ledger_bound(1, hidden, lower, upper, float(size[worst])))
