"""How well moments name the layer of a head to probe, over networks, tasks and labels."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from experiments.core.measurements import Measurement
from experiments.core.names import task_of
from experiments.measure.heads.banks import Banks, measure_moments
from experiments.measure.heads.probes import (
    FRACTIONS,
    Curves,
    Examples,
    MeasuredRisks,
    fractional_maps,
    head_maps,
    keep_active,
    measure_risks,
    predict_risks,
    regrets,
    share_of_spread,
)
from experiments.measure.heads.settle import RATES, draw_orthogonal_head, settle
from experiments.measure.heads.spectra import predict_grams
from experiments.measure.heads.targets import describe_images, drop_constant
from experiments.measure.rows import exact_row
from experiments.measure.subject import Subject

WEIGHT_DECAY = 0.1


class Risks(NamedTuple):
    """Risk of probes over depth, on the features of one network.

    Attributes:
      predicted: From moments.
      measured: Of probes with few labels.
    """

    predicted: Curves
    measured: MeasuredRisks


def measure_depths(
    subject: Subject, banks: Mapping[str, Banks], steps: int, counts: tuple[int, int], draws: int
) -> Iterator[Measurement]:
    """Yield regret of the depth that moments name and of rivals, and the error of the risk.

    Regret is the risk of the chosen depth less that of the best, as a share of the curve's spread
    over depths, mean over curves: one for each network, task and number of labels.

    Args:
      subject: Its networks' features are probed.
      banks: Of the networks, by name.
      steps: Of the heads.
      counts: Numbers of labels.
      draws: Of the labeled images.
    """
    split = subject.task("cifar10")
    classes = round(1 / task_of("cifar10").chance)
    targets = drop_constant(*(describe_images(part, classes) for part in split[:2]))
    found = []
    for name, bank in banks.items():
        features = subject.after[name].variants["trained"]
        clean = [features(part.images)["feature"].astype(np.float64) for part in split[:2]]
        center = clean[0].mean(axis=0)
        train, test = (
            Examples(one - center, about) for one, about in zip(clean, targets, strict=True)
        )
        found.append(compare_depths(bank, train, test, subject.seed, steps, counts, draws))
    yield from _judge_depths(subject, found)


def compare_depths(
    bank: Banks,
    train: Examples,
    test: Examples,
    seed: int,
    steps: int,
    counts: tuple[int, int],
    draws: int,
) -> Risks:
    """Return predicted and measured risks over the depth of a head settled on one bank.

    Args:
      bank: Features of views, in the unit of heads.
      train: Clean features that labeled images are drawn from, in any unit.
      test: Clean features that probes are tested on.
      seed: Of the head, its batches and the labels.
      steps: Of the head.
      counts: Numbers of labels.
      draws: Of the labeled images.
    """
    width = bank.training.shape[-1]
    weights = settle(
        draw_orthogonal_head(seed, width),
        bank.training,
        seed,
        weight_decay=WEIGHT_DECAY,
        steps=steps,
        learning_rate=RATES[2],
    )
    with jax.enable_x64(True):
        moments = measure_moments(bank.prediction)
        predicted = predict_grams(moments, 2, WEIGHT_DECAY, width // 2)["theory"]
        covariance, gram = np.asarray(moments.covariance), np.asarray(predicted)
    return Risks(
        predict_risks(train, fractional_maps(keep_active(gram, covariance)), counts),
        measure_risks(train, test, head_maps(weights, covariance), counts, draws=draws, seed=seed),
    )


def _judge_depths(subject: Subject, found: list[Risks]) -> Iterator[Measurement]:
    measured = [one.measured for one in found]
    fixed = [
        np.mean([regrets(risks, depth).mean() for risks in measured])
        for depth in range(len(FRACTIONS))
    ]
    crossed = [share_of_spread(risks, risks.crossvalidated).mean() for risks in measured]
    named = [regrets(one.measured, np.argmin(one.predicted, axis=-1)).mean() for one in found]
    for variant, value in (
        ("theory", np.mean(named)),
        ("rival:best_fixed", np.min(fixed)),
        ("rival:crossvalidation", np.mean(crossed)),
    ):
        yield exact_row(subject.key("regret", variant), float(value))
    clear = [np.ptp(one.mean, axis=-1) / one.error.max(axis=-1) for one in measured]
    yield exact_row(subject.key("spread"), float(np.median(clear)))
    for variant, depths in (("theory", slice(None)), ("rival:feature", slice(1))):
        errors = [np.abs(np.log(one.predicted[..., depths] / one.measured.mean)) for one in found]
        yield exact_row(subject.key("risk_error", variant), float(np.median(errors)))
