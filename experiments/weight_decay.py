"""Claim 2: weight decay shrinks the advantage of the layer before the head.

Hypothesis: decay takes from a linear network, in all layers at once, the features that only the
layer before the head served well, so that its advantage goes. Prediction: the optimum continued
from no decay (`theory.optimum.decay`, `theory.optimum.thresholds`) and the indicator of labels
needed. Measurement: real descent under decay against that optimum; few-label classifiers on both
layers of exact models; and probes on CIFAR-10 networks with a linear head whose weight decay
differs. Nulls: the optimum without decay, no trend. A trend holds from Kendall's tau 0.7; at the
largest decay at most half of the advantage may be left. All rules were set before the laptop run.
"""

import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from experiments.environment import environment
from experiments.figures.weight_decay import weight_decay_figure
from experiments.files import make_folder
from experiments.progress import experiment_progress
from experiments.report import Figure, Section, write_report
from experiments.results import Results, write_results
from experiments.sizes import SIZES
from experiments.table import print_results
from experiments.trained import trained
from experiments.training_images import images_of
from experiments.trainings import DECAYS, seeded, trainings
from experiments.weight_decay_cells import (
    AUGMENTATIONS,
    Region,
    TaskCurve,
    descent_check,
    exact_region,
    network_accuracies,
    task_curve,
)
from experiments.weight_decay_rows import (
    Setting,
    descent_rows,
    network_rows,
    region_rows,
    task_rows,
)

MAP_DECAYS = (0.0, 0.0125, 0.025, 0.05, 0.1, 0.2)
SCOPE = (
    "Scope. The synthetic part is linear and balanced, where decay acts on every layer alike. The"
    " trained networks have a convolutional encoder under a small decay that does not change; what"
    " changes is the decay of their two-layer linear head, so the feature keeps what the head"
    " drops. That the advantage of surviving features does not shrink at all points of the exact"
    " map was known from an earlier experiment (phase) when its row was worded. The grid of"
    " synthetic decays was made finer at its low end after numbers of the smoke scale had been"
    " seen."
)


class _Sizes(NamedTuple):
    depths: tuple[int, ...]
    fractions: tuple[float, ...]
    repeats: int
    resolution: int
    checks: tuple[float, ...]
    time: float
    decays: tuple[float, ...]
    draws: int


# Weak and disrupted features are gone at a few hundredths of what the strongest one survives.
_FRACTIONS = (0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.9)
_SIZES = {
    "smoke": _Sizes((2,), (0.0, 0.4, 0.9), 20, 12, (0.3,), 60.0, (0.0, DECAYS[-1]), 2),
    "laptop": _Sizes((2, 3), _FRACTIONS, 400, 60, (0.1, 0.4, 0.8), 400.0, (0.0, *DECAYS), 20),
    "paper": _Sizes((2, 3), _FRACTIONS, 2000, 160, (0.1, 0.4, 0.8), 800.0, (0.0, *DECAYS), 50),
}


class _Outcome(NamedTuple):
    curves: dict[Setting, TaskCurve]
    regions: dict[str, Region]
    depths: tuple[int, ...]
    decays: tuple[float, ...]
    accuracies: Float[np.ndarray, "seeds decays probes layers"]


def run(out: Path, scale: str) -> Results:
    """Descend, simulate, probe trained networks, and write results, figure and report.

    Args:
      out: Folder, created.
      scale: "smoke", "laptop" or "paper".

    Returns:
      What was written.

    Raises:
      InputError: The folder cannot be written.
      UsageError: The images are not there.
    """
    started = time.perf_counter()
    sizes, seeds = _SIZES[scale], SIZES[scale].seeds
    make_folder(out)
    with experiment_progress(3.0 + len(sizes.decays), "descent") as advance:
        with jax.enable_x64(True):
            check = descent_check(sizes.depths, sizes.checks, sizes.time)
            advance("few-label classifiers", 1.0)
            fractions = np.array(sizes.fractions)
            curves = {
                (name, depth): task_curve(name, depth, fractions, seeds, sizes.repeats)
                for name in AUGMENTATIONS
                for depth in sizes.depths
            }
            regions = {
                name: exact_region(name, sizes.depths, MAP_DECAYS, sizes.resolution)
                for name in AUGMENTATIONS
            }
        advance("networks", 1.0)
        accuracies = []
        for decay in sizes.decays:
            accuracies.append(_probed(decay, scale, sizes.draws))
            advance(f"decay {decay:g} probed", 1.0)
        advance("writing", 1.0)
    outcome = _Outcome(curves, regions, sizes.depths, sizes.decays, np.stack(accuracies, axis=1))
    label = "CIFAR-10" if scale != "smoke" else "digits"
    rows = (
        *descent_rows(check),
        *task_rows(curves),
        *region_rows(regions),
        *network_rows(sizes.decays, outcome.accuracies, label),
    )
    results = Results(
        "weight_decay", scale, seeds, environment(time.perf_counter() - started), rows
    )
    figure = _figure(out, outcome, label)
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "Weight decay and the advantage of the layer before the head",
        _summary(outcome, label),
        SCOPE,
        [
            Section(
                "What is left of the advantage",
                [
                    "Synthetic tasks (a): six features, each the label in turn; those tasks are"
                    " followed for which the layer before the head needs fewer labels when there"
                    " is no decay. Decay is given relative to the largest that one of their"
                    " features survives. The exact map (b) counts tasks over retention and"
                    " strength of one feature among six.",
                    "Decay lowers the weight of weak features most. Just below the decay that"
                    " takes it, a feature therefore ranks lower than without decay, which favors"
                    " the layer before the head more, not less; above it the feature is in neither"
                    " layer and the lead is gone at once.",
                    "Networks (c): a small residual network with a head of two linear layers,"
                    " spectral loss, momentum SGD. All features are divided by one number, so that"
                    " the probes' penalties see the layer spectrum: logistic regression (penalty"
                    " 0.001) on all labels, and ridge classifiers of 20 labels a class whose"
                    " penalty is the mean variance of a coordinate.",
                ],
                [figure],
            )
        ],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _probed(decay: float, scale: str, draws: int) -> np.ndarray:
    """Accuracies of every seed of one decay, (seeds, probes, layers)."""
    size = SIZES[scale]
    images = images_of("cifar10", scale)
    training = trainings(size)[f"decay-{decay:g}"]
    found = []
    for seed in size.seeds:
        run = trained(seeded(training, seed), images.train)
        found.append(
            network_accuracies(run.network, run.state, images.train, images.test, seed, draws)
        )
    return np.stack(found)


def _summary(outcome: _Outcome, label: str) -> list[str]:
    gaps = np.mean([curve.gaps for curve in outcome.curves.values()], axis=(0, 1))
    kept = np.mean([curve.kept for curve in outcome.curves.values()], axis=0)
    few = outcome.accuracies[:, :, 1, 0] - outcome.accuracies[:, :, 1, 2]
    shown = ", ".join(
        f"{100 * gap:+.1f} at {decay:g}" for gap, decay in zip(np.mean(few, axis=0), outcome.decays)
    )
    return [
        "Without weight decay a linear network keeps every feature in every layer, weakly weighted"
        " ones less weakly before the head. Weight decay removes features, the least weighted"
        " first, from all layers at once: what is gone cannot be read anywhere.",
        f"On synthetic tasks that the layer before the head serves better, its lead is"
        f" {100 * gaps[0]:.2f} points without decay and {100 * gaps[-1]:.2f} at the largest decay,"
        f" where {kept[-1]:.0%} of their features are left. On {label}, feature less embedding"
        f" with few labels, by decay of the head, in points: {shown}.",
    ]


def _figure(out: Path, outcome: _Outcome, label: str) -> Figure:
    path = out / "weight_decay.png"
    accuracies, decays = outcome.accuracies, np.array(outcome.decays)
    weight_decay_figure(
        path,
        {
            f"{name}, {depth} layers": (curve.fractions, curve.gaps)
            for (name, depth), curve in outcome.curves.items()
        },
        {
            f"{name}, {depth} layers": (region.decays, region.shares[place : place + 1])
            for name, region in outcome.regions.items()
            for place, depth in enumerate(outcome.depths)
        },
        {
            f"{layer}, {probe}": (
                decays,
                accuracies[:, :, number, place] - accuracies[:, :, number, 2],
            )
            for number, probe in enumerate(("all labels", "few labels"))
            for place, layer in enumerate(("feature", "head's hidden layer"))
        },
        label,
    )
    return Figure(
        path,
        "a: accuracy lead of the layer before the head on tasks it serves better without decay;"
        " bars are the range over seeds. b: share of the exact map on which it is better. c:"
        " accuracy of the feature (circles) and of the head's hidden layer (squares) less that of"
        " the embedding, by two probes.",
    )
