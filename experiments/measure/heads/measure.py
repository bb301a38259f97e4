"""Everything that is measured on linear heads on frozen features, for one seed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from experiments.core.measurements import Measurement
from experiments.measure.heads.balance import imbalance_of, ledger_error
from experiments.measure.heads.banks import Banks, scale_banks
from experiments.measure.heads.depths import measure_depths
from experiments.measure.heads.embedding import forecast_embedding
from experiments.measure.heads.forecast import (
    compare_half_times,
    course_error,
    forecast_head,
    size_error,
    time_errors,
)
from experiments.measure.heads.settle import Descent, cosine_loss, descend, draw_head
from experiments.measure.heads.settled import measure_settled
from experiments.measure.rows import exact_row
from experiments.measure.subject import Curve, Subject
from ssljax.losses import spectral_contrastive

LOSSES = {"spectral": spectral_contrastive, "cosine": cosine_loss}


class Effort(NamedTuple):
    """How much of everything.

    Attributes:
      images: Whose features heads are trained on.
      views: Of each image, in both banks.
      steps: Of a head that settles.
      course: Descent whose courses are forecast, looks at it, and steps between them.
      balance: Descent after which imbalance is read, and its steps.
      ledger: Steps of optimizers that break the account.
      embedding: Steps of a head under NT-Xent.
      counts: Labels of probes.
      draws: Of labels.
    """

    images: int
    views: int
    steps: int
    course: tuple[Descent, int, int]
    balance: tuple[Descent, int]
    ledger: int
    embedding: int
    counts: tuple[int, int]
    draws: int


FULL = Effort(
    images=2500,
    views=8,
    steps=4000,
    course=(Descent(0.005, 0.0, 256), 320, 50),
    balance=(Descent(0.005, 0.2, 128), 5000),
    ledger=100,
    embedding=1500,
    counts=(50, 500),
    draws=40,
)
SMOKE = Effort(
    images=64,
    views=3,
    steps=100,
    course=(Descent(0.02, 0.0, 64), 10, 20),
    balance=(Descent(0.02, 0.2, 32), 50),
    ledger=20,
    embedding=50,
    counts=(20, 60),
    draws=3,
)


def measure_heads(subject: Subject) -> Iterator[Measurement | Curve]:
    """Yield everything of the heads of a seed, on the features of the networks it comes after."""
    effort = FULL if subject.size.judged else SMOKE
    images = subject.task("cifar10").train.images[: effort.images]
    banks = {
        name: view_banks(network, images, effort.views) for name, network in subject.after.items()
    }
    yield from measure_settled(subject, banks["base"], effort.steps)
    yield from measure_course(subject, banks["base"], effort)
    yield from measure_balance(subject, banks["base"], effort)
    for name, bank in banks.items():
        yield from measure_embedding(subject, name, bank, effort)
    yield from measure_depths(subject, banks, effort.steps, effort.counts, effort.draws)


def view_banks(network: Subject, images: np.ndarray, views: int) -> Banks:
    """Return features of views under the network's own augmentation, in two banks."""
    strength, features = network.training.strength, network.variants["trained"]
    found = np.stack(
        [
            features(network.view(images, strength, number))["feature"]
            for number in range(2 * views)
        ],
        axis=1,
    )
    return scale_banks(found[:, :views], found[:, views:])


def measure_course(subject: Subject, bank: Banks, effort: Effort) -> Iterator[Measurement | Curve]:
    """Yield how well the learning of modes was forecast."""
    found = forecast_head(bank, subject.seed, *effort.course)
    count = len(found.alignments)
    yield exact_row(subject.key("modes"), float(count), count)
    for variant, courses in found.courses.items():
        error = course_error(courses, found.measured)
        yield exact_row(subject.key("course_error", variant), error, count)
        if variant != "rival:one_curve":
            error = size_error(courses, found.measured)
            yield exact_row(subject.key("size_error", variant), error, count)
    for variant, error in time_errors(found).items():
        yield exact_row(subject.key("time_error", variant), error, count)
    halves = compare_half_times(found)
    for variant, courses, times in (
        ("theory", found.courses["theory"], halves.predicted),
        ("trained", found.measured, halves.measured),
    ):
        yield Curve(subject.key("sizes", variant), courses[-1])
        yield Curve(subject.key("half_times", variant), times)


def measure_balance(subject: Subject, bank: Banks, effort: Effort) -> Iterator[Measurement]:
    """Yield the imbalance that two losses leave, and how optimizers break its account."""
    start = draw_head(subject.seed, bank.training.shape[-1], 2)
    descent, steps = effort.balance
    for name, loss in LOSSES.items():
        end = descend(start, bank.training, subject.seed, descent, loss=loss, looks=1, steps=steps)[
            -1
        ]
        yield exact_row(subject.key("imbalance", loss=name), imbalance_of(end))
    forgotten = descent.learning_rate * descent.weight_decay * steps
    yield exact_row(subject.key("forgotten", loss="cosine"), forgotten)
    for optimizer in ("momentum", "adamw"):
        error = ledger_error(start, bank.training, subject.seed, optimizer, effort.ledger)
        yield exact_row(subject.key("ledger_error", f"optimizer:{optimizer}"), error)


def measure_embedding(
    subject: Subject, features: str, bank: Banks, effort: Effort
) -> Iterator[Measurement]:
    """Yield errors of forecasts of a head's invariance and rank, on the features of a network."""
    found = forecast_embedding(bank, subject.seed, effort.embedding)
    for variant, guess in (("theory", found.theory), ("rival:feature", found.feature)):
        for quantity, one, other in (
            ("defect_error", guess.defect, found.measured.defect),
            ("rank_error", guess.rank, found.measured.rank),
        ):
            key = subject.key(quantity, variant, features=features)
            yield exact_row(key, abs(float(np.log(one / other))))
