"""Layers and spectra of heads that weight decay has settled, beside what moments say."""

from collections.abc import Iterator, Mapping

import jax

from experiments.core.measurements import Measurement
from experiments.measure.heads.banks import Banks, measure_moments
from experiments.measure.heads.layers import law_distance, rival_distances
from experiments.measure.heads.settle import (
    RATES,
    Weights,
    cosine_loss,
    draw_head,
    settle,
    sum_decay,
)
from experiments.measure.heads.spectra import (
    count_error,
    gap_share,
    keep_alive,
    make_axes,
    output_of,
    predict_grams,
    read_along,
    spectrum_error,
)
from experiments.measure.rows import exact_row
from experiments.measure.subject import Curve, Subject
from experiments.networks.settings import SETTLED_DECAYS
from theory.moments.moments import Moments

Heads = Mapping[int, Mapping[float, Weights]]
"""By depth and weight decay."""

LAW_DECAY = 0.1
"""Weight decay of the heads whose layers are compared."""

ADAPTIVE_RATE, ADAPTIVE_DECAY = 0.002, 0.5
UNSETTLED = 20
"""A head that decay had no time to settle takes steps so many times smaller."""


def measure_settled(subject: Subject, bank: Banks, steps: int) -> Iterator[Measurement | Curve]:
    """Yield how well theory has layers and spectra of settled heads, at several depths and decays.

    Args:
      subject: Its seed draws starts and batches.
      bank: Features.
      steps: Of each head.
    """
    width = bank.training.shape[-1]
    starts = {depth: draw_head(subject.seed, width, depth) for depth in RATES}
    heads = {
        depth: {
            decay: settle(
                starts[depth],
                bank.training,
                subject.seed,
                weight_decay=decay,
                steps=steps,
                learning_rate=rate,
            )
            for decay in SETTLED_DECAYS
        }
        for depth, rate in RATES.items()
    }
    outside = settle_outside(subject.seed, bank, steps)
    forgotten = sum_decay(steps, RATES[2], LAW_DECAY)
    yield exact_row(subject.key("forgotten", decay=LAW_DECAY, depth=2), forgotten)
    with jax.enable_x64(True):
        moments = measure_moments(bank.prediction)
        found = (
            *_compare_layers(subject, heads, outside, moments),
            *_compare_spectra(subject, heads, moments),
        )
    yield from found


def _compare_layers(
    subject: Subject, heads: Heads, outside: Mapping[str, Weights], moments: Moments
) -> Iterator[Measurement]:
    covariance = moments.covariance
    for depth in (2, 3):
        weights = heads[depth][LAW_DECAY]
        rivals = rival_distances(weights, covariance, subject.seed)
        found = {f"rival:{name}": distance for name, distance in rivals.items()}
        found["theory"] = law_distance(weights, covariance)
        for variant, distance in found.items():
            key = subject.key("gram_distance", variant, decay=LAW_DECAY, depth=depth)
            yield exact_row(key, distance)
    for name, weights in outside.items():
        key = subject.key("gram_distance", "theory", decay=LAW_DECAY, depth=2, head=name)
        yield exact_row(key, law_distance(weights, covariance))


def settle_outside(seed: int, bank: Banks, steps: int) -> dict[str, Weights]:
    """Return heads of two layers that the law does not cover, by name."""
    start = draw_head(seed, bank.training.shape[-1], 2)
    common = {"weight_decay": LAW_DECAY, "steps": steps, "learning_rate": RATES[2]}
    settings = {
        "adamw": common
        | {"weight_decay": ADAPTIVE_DECAY, "learning_rate": ADAPTIVE_RATE, "adaptive": True},
        "cosine": common | {"loss": cosine_loss},
        "unsettled": common | {"learning_rate": RATES[2] / UNSETTLED},
    }
    return {name: settle(start, bank.training, seed, **chosen) for name, chosen in settings.items()}


def _compare_spectra(
    subject: Subject, heads: Heads, moments: Moments
) -> Iterator[Measurement | Curve]:
    axes, width = make_axes(moments), moments.covariance.shape[0]
    for depth, settled in heads.items():
        outputs = {decay: output_of(weights, axes) for decay, weights in settled.items()}
        found = {}
        for decay, output in outputs.items():
            for variant, gram in predict_grams(moments, depth, decay, width // 2).items():
                found.setdefault(variant, {})[decay] = read_along(gram, output, axes)
        for variant, along in found.items():
            value = spectrum_error(tuple(along.values()), axes.least)
            yield exact_row(subject.key("spectrum_error", variant, depth=depth), value)
        if depth < 3:
            share = gap_share(tuple(outputs.values()), axes, depth=2)
            yield exact_row(subject.key("share", depth=depth, modes="gap"), share)
        if depth == 2:
            for variant in ("theory", "rival:no_decay"):
                value = count_error(tuple(found[variant].values()), axes.least)
                yield exact_row(subject.key("count_error", variant, depth=depth), value)
            for decay, along in found["theory"].items():
                sizes = dict(zip(("theory", "trained"), keep_alive(along, axes.least), strict=True))
                for variant, values in sizes.items():
                    yield Curve(subject.key("sizes", variant, decay=decay, depth=depth), values)
