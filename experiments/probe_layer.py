"""Claim 20: second moments say which layer to probe, on CIFAR-10.

Hypothesis: the risk of a linear probe on few labels follows from the covariance of the layer and
its covariance with the labels, so that moments name the layer to probe before any probe is trained.

Prediction: a linear head of two layers with weight decay, on a frozen encoder, is predicted from
the moments of augmented views; its representation at fractional depth t is (WᵀW)^(t/2) of the
feature; the ridge probe's risk there is the omniscient estimate of kernel ridge regression.

Measurement: heads settled on the features of trained networks under three augmentations, ridge
probes on random labeled images, tested on others. Tasks are the class and properties of the image
that augmentation plays with, in line with it or against it.

Criterion, on curves whose spread over depth is at least four standard errors: Spearman's rho of at
least 0.9, the best depth within 0.25, small excess risk, and the sign of feature against embedding
turning with the augmentation. Nulls: always the feature, always the embedding, always the middle.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.environment import environment
from experiments.feature_banks import centered, feature_banks
from experiments.files import make_folder
from experiments.head_comparison import compared_head, settled_weights
from experiments.probe_curves import (
    active_gram,
    head_maps,
    in_unit,
    measured_risks,
    predicted_risks,
)
from experiments.probe_layer_report import probe_section, probe_summary
from experiments.probe_layer_rows import COLOR, CROP, ProbeOutcome, probe_rows
from experiments.probe_tasks import task_targets
from experiments.progress import experiment_progress
from experiments.report import write_report
from experiments.representations import features_of
from experiments.results import Results, write_results
from experiments.sizes import SIZES
from experiments.small_data import Pair, first
from experiments.table import print_results
from experiments.trained import is_trained, trained
from experiments.training_images import images_of
from experiments.trainings import seeded, trainings
from ssljax.augment.policies import SIMCLR_POLICY, Policy
from ssljax.runs.saved_run import Run
from ssljax.system.arrays import Float

BOTH = "crops, flips and color"
POLICIES: dict[str, Policy] = {
    BOTH: SIMCLR_POLICY,
    CROP: dataclasses.replace(
        SIMCLR_POLICY,
        jitter_brightness=0.0,
        jitter_contrast=0.0,
        jitter_saturation=0.0,
        jitter_hue=0.0,
        grayscale=0.0,
    ),
    COLOR: dataclasses.replace(SIMCLR_POLICY, crop_area=0.0, crop_log_aspect=0.0, flip=0.0),
}
WEIGHT_DECAY = 0.1
"""Of the head; the setting at which the quickstart's heads are predicted."""
SCOPE = (
    "Scope. The encoder is frozen and its features' moments are measured after training it: a"
    " forecast of head and probe, conditional on the encoder. Heads are linear, with spectral loss"
    " and weight decay, settled on cached views. How a task lies among the modes is taken from all"
    " training images; the probe sees few of them. Curves below the power gate decide nothing."
)


class _Sizes(NamedTuple):
    """Images and views that heads settle on, steps, numbers of labels, draws of them."""

    images: int
    views: int
    steps: int
    counts: tuple[int, ...]
    draws: int


_SIZES = {
    "smoke": _Sizes(128, 4, 200, (20, 60), 4),
    "laptop": _Sizes(1500, 8, 4000, (50, 500), 40),
    "paper": _Sizes(5000, 8, 8000, (50, 500), 200),
}


class _Cell(NamedTuple):
    """One network under one augmentation."""

    predicted: Float[np.ndarray, "tasks counts fractions"]
    measured: Float[np.ndarray, "tasks counts fractions"]
    errors: Float[np.ndarray, "tasks counts fractions"]
    active: tuple[int, int]


def run(out: Path, scale: str) -> Results:
    """Train or fetch the networks, settle heads, probe, and write results, figures and report.

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
    images = images_of("cifar10", scale)
    training = trainings(size)["strength-0.5"]
    todo = [seeded(training, seed) for seed in size.seeds]
    costs = [0.0 if is_trained(config, images.train) else 5.0 for config in todo]
    cells = []
    with experiment_progress(sum(costs) + len(todo) * len(POLICIES), "training") as advance:
        for config, cost in zip(todo, costs):
            network = trained(config, images.train)
            advance(f"seed {config.seed} trained", cost)
            row, clean = [], _clean_features(network, images)
            for name, policy in POLICIES.items():
                row.append(_cell(network, policy, images, clean, sizes))
                advance(f"seed {config.seed}, {name}: probed", 1.0)
            cells.append(row)
    outcome = ProbeOutcome(
        policies=tuple(POLICIES),
        tasks=tuple(task_targets(images.train)),
        counts=sizes.counts,
        predicted=np.array([[cell.predicted for cell in row] for row in cells]),
        measured=np.array([[cell.measured for cell in row] for row in cells]),
        errors=np.array([[cell.errors for cell in row] for row in cells]),
        active=np.array([[cell.active for cell in row] for row in cells], float),
    )
    label = "CIFAR-10" if scale != "smoke" else "digits"
    results = Results(
        "probe_layer",
        scale,
        size.seeds,
        environment(time.perf_counter() - started),
        probe_rows(outcome, label),
    )
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "Which layer to probe, from moments alone",
        probe_summary(outcome),
        SCOPE,
        [probe_section(out, outcome)],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _clean_features(network: Run, images: Pair) -> list[Float[np.ndarray, "_ width"]]:
    state = network.state
    layers = ("feature",)
    found = (
        features_of(network.network, state.params, state.statistics, part, layers)
        for part in images
    )
    return [layer["feature"].astype(np.float64) for layer in found]


def _cell(
    network: Run,
    policy: Policy,
    images: Pair,
    clean: Sequence[Float[np.ndarray, "_ width"]],
    sizes: _Sizes,
) -> _Cell:
    seed = network.config.seed
    augmented = network._replace(config=dataclasses.replace(network.config, policy=policy))
    banks = centered(
        feature_banks(augmented, first(images.train, sizes.images), views=sizes.views, seed=seed)
    )
    flat = banks.settling.reshape(-1, banks.settling.shape[-1]).astype(np.float64)
    covariance = flat.T @ flat / len(flat)
    # One unit for all networks: the strongest direction of a view has variance 1.
    unit = float(1.0 / np.sqrt(np.linalg.eigvalsh(covariance)[-1]))
    weights = settled_weights(
        _orthogonal(covariance.shape[0], seed),
        unit * banks.settling,
        seed,
        weight_decay=WEIGHT_DECAY,
        num_steps=sizes.steps,
    )
    outcome = compared_head(
        unit * banks.prediction.astype(np.float64), weights, weight_decay=WEIGHT_DECAY, seed=seed
    )
    train, test = (unit * (features - np.mean(clean[0], axis=0)[None]) for features in clean)
    targets, wanted = (task_targets(part) for part in images)
    maps = [in_unit(linear, train) for linear in head_maps(weights, unit**2 * covariance)]
    risks = measured_risks(
        [train @ linear.T for linear in maps],
        [test @ linear.T for linear in maps],
        targets,
        wanted,
        sizes.counts,
        draws=sizes.draws,
        seed=seed,
    )
    return _Cell(
        predicted=predicted_risks(
            train,
            active_gram(outcome.prediction.grams[-1], unit**2 * covariance),
            targets,
            sizes.counts,
        ),
        measured=np.mean(risks, axis=0),
        errors=np.std(risks, axis=0, ddof=1) / np.sqrt(sizes.draws),
        active=(outcome.verdict.predicted_count, outcome.verdict.measured_count),
    )


def _orthogonal(width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Balanced weights to start from: a rotation, then half of the rows of another."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2**24))
    first, second = (np.asarray(jax.random.orthogonal(key, width)) for key in keys)
    return first, second[: width // 2]
