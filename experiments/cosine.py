"""Claim 18: a cosine loss keeps the imbalance of a linear head where an unnormalized one loses it.

Hypothesis: weight decay balances two linear layers only if the loss has a scale of its own. Under
flow D = W₂ᵀW₂ − W₁W₁ᵀ falls as exp(−2λt) for every loss, but a cosine loss does not hold the
layers up, so that they fall with it and D/(‖W₁‖‖W₂‖) is conserved; what a cosine head settles at
in the end is the imbalance of its gradient noise, E D = (η/2λ)(E g₂ᵀg₂ − E g₁g₁ᵀ). Prediction:
`theory.layers.ledger`.
Measurement: heads on a frozen encoder under plain descent; and heads that train with their
encoder, along its checkpoints. Nulls: the other loss; for the noise, gradients of another time,
layers exchanged, no noise.

Criterion, fixed before the runs (deep_linear E6): the spectral head ends below 2 %, the cosine head
above three times that; to a tenth the cosine head keeps its imbalance until decay has acted once,
λ∫η = 1; cosine of measured and predicted D at least 0.7, norms within a factor of two, at every
step size, decay and batch size, and in a ResNet.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.cosine_cells import (
    Course,
    Noise,
    cosine_loss,
    frozen_course,
    frozen_equilibrium,
    joint_course,
    plain_descent,
)
from experiments.cosine_report import write_cosine_report
from experiments.cosine_rows import Found, cosine_rows
from experiments.environment import environment
from experiments.files import make_folder
from experiments.frozen_features import FROZEN, frozen_features, unit_features
from experiments.ledger_observers import run_observers
from experiments.noise_equilibrium import Equilibrium, joint_equilibrium
from experiments.progress import experiment_progress
from experiments.results import Results, write_results
from experiments.settled_cells import fresh_head
from experiments.sizes import SIZES
from experiments.table import print_results
from experiments.trained import checkpoints, trained, untrained
from experiments.training_images import images_of
from experiments.trainings import seeded, trainings
from ssljax.losses import spectral_contrastive
from ssljax.training.build import build_schedule

JOINT = {"spectral": "decay-0.1", "cosine": "linear-cosine"}
NOISY = "ledger-cosine"
LOSSES = {"spectral": spectral_contrastive, "cosine": cosine_loss}


class _Sizes(NamedTuple):
    """Images and views of the frozen encoder; the two courses; settings of the noise, and looks."""

    images: int
    views: int
    course: Noise
    parts: int
    steps: int
    noises: tuple[Noise, ...]
    noise_parts: int
    batches: int


_NOISES = (
    Noise(0.5, 0.02, 128),
    Noise(1.0, 0.02, 128),
    Noise(0.5, 0.04, 128),
    Noise(0.5, 0.02, 32),
)
_SIZES = {
    "smoke": _Sizes(512, 4, Noise(0.01, 0.1, 64), 4, 50, _NOISES[:1], 4, 4),
    "laptop": _Sizes(5000, 8, Noise(0.005, 0.2, 128), 50, 100, _NOISES, 20, 40),
    "paper": _Sizes(50_000, 8, Noise(0.005, 0.2, 128), 50, 200, _NOISES, 40, 100),
}


def run(out: Path, scale: str) -> Results:
    """Follow the heads, hold the noise against its law, write results, figure and report.

    Args:
      out: Folder, created.
      scale: "smoke", "laptop" or "paper".

    Returns:
      What was written.

    Raises:
      InputError: The folder cannot be written.
      UsageError: A data set is not there.
    """
    started = time.perf_counter()
    sizes, size = _SIZES[scale], SIZES[scale]
    make_folder(out)
    table, images = trainings(size), images_of("cifar10", scale).train
    frozen: dict[str, list[Course]] = {loss: [] for loss in LOSSES}
    joint: dict[str, list[Course]] = {loss: [] for loss in LOSSES}
    noises: list[list[Equilibrium]] = []
    network: list[Equilibrium] = []
    with experiment_progress(10.0 * len(size.seeds), "training") as advance:
        for seed in size.seeds:
            encoder = seeded(table[FROZEN], seed)
            banks = unit_features(
                frozen_features(encoder, images, images=sizes.images, views=sizes.views)
            )
            advance(f"seed {seed}: heads on the frozen encoder", 2.0)
            start = fresh_head(seed, banks.settling.shape[-1], 2)
            for name, loss in LOSSES.items():
                looks = plain_descent(
                    start, banks.settling, seed, sizes.course, loss=loss,
                    parts=sizes.parts, steps=sizes.steps,
                )  # fmt: skip
                frozen[name].append(frozen_course(looks, sizes.course, sizes.steps))
            advance(f"seed {seed}: settings of the noise", 2.0)
            row = []
            for noise in sizes.noises:
                looks = plain_descent(
                    start, banks.settling, seed, noise, loss=cosine_loss,
                    parts=sizes.noise_parts, steps=sizes.steps,
                )  # fmt: skip
                row.append(
                    frozen_equilibrium(
                        looks, banks.settling, seed, noise, batches=sizes.batches,
                        steps=sizes.steps,
                    )
                )  # fmt: skip
            noises.append(row)
            advance(f"seed {seed}: heads that train with their encoder", 3.0)
            for name, training in JOINT.items():
                config = seeded(table[training], seed)
                runs = checkpoints(config, images)
                schedule = build_schedule(config)
                rates = np.array([schedule(step) for step in range(config.num_steps)], np.float64)
                first = untrained(next(iter(runs.values())))
                joint[name].append(joint_course(first.params, runs, rates))
            config = seeded(table[NOISY], seed)
            network.append(
                joint_equilibrium(trained(config, images, observers=run_observers(config)))
            )
            advance(f"seed {seed} done", 3.0)
    found = Found(frozen, joint, noises, network)
    label = "digits" if scale == "smoke" else "CIFAR-10"
    rows = cosine_rows(found, label)
    results = Results("cosine", scale, size.seeds, environment(time.perf_counter() - started), rows)
    write_results(out / "results.json", results)
    write_cosine_report(out, found, [noise._asdict() for noise in sizes.noises], results)
    print_results(results, out / "report.html")
    return results
