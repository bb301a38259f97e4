"""Claim 1: linear layers weight features more and more unequally towards the output.

Hypothesis: gradient descent leaves a deep linear network with layers that are powers of the whole
map, so that features are weighted more unequally layer by layer. Prediction: layer l of L has the
Gram G^(l/L) of the closed-form optimum G (`theory.losses.quadratic`, `theory.layers.grams`).
Measurement: real descent on exact moments of three data models and on moments of real images;
flow, momentum, minibatches and Adam beside it; and few-label classifiers on the layers before and
after a head. Nulls: a start out of balance, one layer more, spectra that do not change, Adam.
Every tolerance is a constant of `experiments.weighting_rows`, set before the laptop run.
"""

import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.environment import environment
from experiments.files import make_folder
from experiments.linear_training import data_models
from experiments.progress import experiment_progress
from experiments.report import write_report
from experiments.results import Results, write_results
from experiments.simulated_tasks import Sweep, task_edges, task_sweep
from experiments.sizes import SIZES
from experiments.small_data import first
from experiments.table import print_results
from experiments.training_images import images_of
from experiments.trainings import STRENGTH
from experiments.weighting_cells import (
    Noise,
    algorithm_cell,
    leading_moments,
    pixel_moments,
    power_cell,
    real_cell,
)
from experiments.weighting_report import WeightingOutcome, weighting_sections, weighting_summary
from experiments.weighting_rows import algorithm_rows, power_rows, real_rows, scenario_rows
from ssljax.augment.policies import SIMCLR_POLICY

RATE = 0.02
NOISY_TIME = 2000.0
TASK_STRENGTH, TASK_RETENTION = 0.5, 0.95
SCOPE = (
    "Scope. Linear networks only, trained on exact second moments or, for minibatches, on fresh"
    " samples of the model. Real images enter through their moments alone, in the directions that"
    " positive pairs share most of: what is shown of them is the end of descent of a linear"
    " network, not a residual network. Minibatches and Adam start where descent does. In a first"
    " run the full-batch algorithms stopped at flow time 2000, when from one of three random starts"
    " the weakest feature was not learned in any layer (errors .12 before, .04 after the head):"
    " their time was raised to 8000, no tolerance was changed."
)


class _Sizes(NamedTuple):
    depths: tuple[int, ...]
    time: float
    long_time: float
    noises: tuple[Noise, ...]
    images: int
    views: int
    directions: int
    real_steps: int
    points: int
    repeats: int


_NOISES = (
    Noise(64, 0.02, 5000),
    Noise(64, 0.01, 10_000),
    Noise(64, 0.005, 20_000),
    Noise(256, 0.02, 5000),
)
_SIZES = {
    "smoke": _Sizes(
        (2, 3), 20.0, 20.0, (Noise(8, 0.02, 200), Noise(8, 0.01, 400)), 128, 4, 8, 400, 4, 40
    ),
    "laptop": _Sizes((2, 3, 4), 200.0, 8000.0, _NOISES, 5000, 8, 32, 20_000, 10, 400),
    "paper": _Sizes((2, 3, 4), 400.0, 8000.0, _NOISES, 50_000, 16, 64, 100_000, 20, 2000),
}


def run(out: Path, scale: str) -> Results:
    """Descend, simulate, and write results, figures and report.

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
    with experiment_progress(4.0, "moments of images") as advance:
        images = first(images_of("cifar10", scale).train, sizes.images)
        arrays = [
            pixel_moments(images, jax.random.key(seed), SIMCLR_POLICY, STRENGTH, sizes.views)
            for seed in seeds
        ]
        with jax.enable_x64(True):
            advance("descent on real and synthetic moments", 1.0)
            keys = [jax.random.key(seed) for seed in seeds]
            real = [
                real_cell(leading_moments(each, sizes.directions), key, sizes.real_steps)
                for each, key in zip(arrays, keys)
            ]
            powers = {
                (data.name, depth): [power_cell(data, depth, key, RATE, sizes.time) for key in keys]
                for data in data_models()
                for depth in sizes.depths
            }
            advance("algorithms", 1.0)
            algorithms = [
                algorithm_cell(
                    key, 2.5 * RATE, sizes.long_time, sizes.noises, min(sizes.long_time, NOISY_TIME)
                )
                for key in keys
            ]
            advance("few-label classifiers", 1.0)
            retention, strength = _sweeps(sizes, seeds)
            edges = task_edges(TASK_RETENTION, TASK_STRENGTH)
        advance("writing", 1.0)
    outcome = WeightingOutcome(
        powers,
        (RATE, RATE / 2),
        algorithms,
        sizes.noises,
        real,
        len(images.images),
        sizes.views,
        sizes.directions,
        retention,
        strength,
        edges,
        sizes.repeats,
    )
    label = "CIFAR-10" if scale != "smoke" else "digits"
    rows = (
        *power_rows(powers),
        *real_rows(real, label),
        *algorithm_rows(algorithms, sizes.noises),
        *scenario_rows(retention, strength, edges),
    )
    results = Results("weighting", scale, seeds, environment(time.perf_counter() - started), rows)
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "Linear layers weight features more and more unequally",
        weighting_summary(outcome, label),
        SCOPE,
        weighting_sections(out, outcome, label),
        results,
    )
    print_results(results, out / "report.html")
    return results


def _sweeps(sizes: _Sizes, seeds: tuple[int, ...]) -> tuple[Sweep, Sweep]:
    retentions = np.linspace(0.1, 1.0, sizes.points)
    strengths = np.geomspace(0.06, 3.0, sizes.points)
    return (
        task_sweep(
            retentions, [(float(a), TASK_STRENGTH) for a in retentions], seeds, sizes.repeats
        ),
        task_sweep(
            strengths, [(TASK_RETENTION, float(s)) for s in strengths], seeds, sizes.repeats
        ),
    )
