"""Claims 9, 10, 11 and 19: what stronger augmentation does to encoder and head, on CIFAR-10.

One network for each strength and seed. The head is a perceptron; theory's forecasts are those of
a linear one, so agreement to a quarter is what is asked of them.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.environment import environment
from experiments.files import make_folder
from experiments.layer_probes import layer_accuracies
from experiments.progress import experiment_progress
from experiments.report import write_report
from experiments.results import Results, Row, write_results
from experiments.rows import bound_row, kendall, monotone_row
from experiments.small_data import first
from experiments.strength_cells import SweepOutcome, gathered_sweep, strength_cell
from experiments.strength_report import strength_section
from experiments.strength_rows import ABSTRACT, sweep_rows
from experiments.table import print_results
from experiments.trained import is_trained, trained
from experiments.trainings import SIZES, STRENGTHS, images_of, seeded, trainings
from ssljax.arrays import Float
from ssljax.features import layer_features
from ssljax.sources import Dataset
from ssljax.train import Run
from theory.ranks import variance_effective_rank
from theory.relu_projector import relu_local_map

PARAMETERS = ("crop_height", "jitter_brightness", "jitter_saturation", "jitter_hue")
TRANSFERS = ("cifar100", "mnist")
SCOPE = (
    "Scope. Small images, a small residual network and few epochs; what is compared is one network"
    " with itself, before and after its head. Forecasts assume a linear projector and take the"
    " covariances of the trained encoder: they are of the head given the encoder."
)


class _Sizes(NamedTuple):
    """Measurements: strengths of the sweep, test images with many views, and views of each."""

    strengths: tuple[float, ...]
    images: int
    views: int


_SIZES = {
    "smoke": _Sizes((0.25, 1.0), 64, 4),
    "laptop": _Sizes(STRENGTHS, 1000, 12),
    "paper": _Sizes(STRENGTHS, 5000, 24),
}


class _Cell(NamedTuple):
    """What is measured beside `strength_cell`: pairs are (feature, embedding)."""

    local_rank: float
    transfers: dict[str, Float[np.ndarray, " layers"]]


def run(out: Path, scale: str) -> Results:
    """Train or fetch the networks, measure, and write results, figure and report.

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
    table = trainings(size)
    images = images_of("cifar10", scale)
    test = first(images.test, sizes.images)
    cells, others = [], []
    todo = [seeded(table[f"strength-{s:g}"], seed) for seed in size.seeds for s in sizes.strengths]
    work = sum(1.0 if is_trained(config, images.train) else 6.0 for config in todo)
    with experiment_progress(work, "training") as advance:
        for seed in size.seeds:
            row, other = [], []
            for strength in sizes.strengths:
                config = seeded(table[f"strength-{strength:g}"], seed)
                cost = 1.0 if is_trained(config, images.train) else 6.0
                network = trained(config, images.train)
                row.append(
                    strength_cell(
                        network.network,
                        network.state,
                        config,
                        images.train,
                        test,
                        strength=strength,
                        views=sizes.views,
                        seed=seed,
                        parameters=PARAMETERS,
                    )
                )
                other.append(_cell(network, test, scale))
                advance(f"strength {strength:g}, seed {seed} measured", cost)
            cells.append(row)
            others.append(other)
    outcome = gathered_sweep(sizes.strengths, cells)
    ranks = np.array([[cell.local_rank for cell in row] for row in others])
    transfers = {
        name: np.array([[cell.transfers[name] for cell in row] for row in others])
        for name in TRANSFERS
    }
    label = "CIFAR-10, perceptron as head" if scale != "smoke" else "digits, perceptron as head"
    rows = (
        *sweep_rows(outcome, label),
        *_transfer_rows(transfers, label),
        *_rank_rows(outcome, ranks, label),
    )
    results = Results(
        "strength", scale, size.seeds, environment(time.perf_counter() - started), rows
    )
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "What stronger augmentation does to an encoder and to its head",
        _summary(outcome, ranks),
        SCOPE,
        [strength_section(out, outcome, "Feature and embedding, strength by strength")],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _cell(network: Run, test: Dataset, scale: str) -> _Cell:
    transfers = {}
    for name in TRANSFERS:
        other = images_of(name, scale)
        transfers[name] = layer_accuracies(network.network, network.state, other.train, other.test)
    return _Cell(_local_rank(network, test), transfers)


def _local_rank(network: Run, test: Dataset) -> float:
    """Mean over images of the effective rank (squared singular values) of the head's slope."""
    features = layer_features(
        network.network.apply,
        network.state.params,
        network.state.statistics,
        test.images[:256],
        test.pixel_scale,
        layers=("feature",),
    )["feature"]
    head = network.state.params["head"]
    layers = [head[f"layer{number}"] for number in range(1, len(head) + 1)]
    with jax.enable_x64(True):
        kernels = tuple(jnp.asarray(np.asarray(layer["kernel"]).T, jnp.float64) for layer in layers)
        biases = tuple(jnp.asarray(np.asarray(layer["bias"]), jnp.float64) for layer in layers)

        def rank(point: Any) -> Any:
            slope = relu_local_map(kernels, biases, point).slope
            return variance_effective_rank(jnp.linalg.svd(slope, compute_uv=False) ** 2)

        return float(jnp.mean(jax.vmap(rank)(jnp.asarray(features, jnp.float64))))


def _transfer_rows(transfers: dict[str, np.ndarray], label: str) -> tuple[Row, ...]:
    rows = []
    for name, accuracies in transfers.items():
        gap = accuracies[..., 0] - accuracies[..., 1]
        rows.append(
            bound_row(
                9,
                f"{label}, transferred to {name}: the feature is never less accurate than the"
                " embedding (worst shortfall over strengths)",
                ABSTRACT,
                0.0,
                np.min(gap, axis=1),
                tolerance=0.01,
            )
        )
    return tuple(rows)


def _rank_rows(outcome: SweepOutcome, local: np.ndarray, label: str) -> tuple[Row, ...]:
    """Claim 11 by each definition of rank: the definition can decide the sign."""
    strengths = outcome.strengths

    def falls(ranks: np.ndarray) -> list[float]:
        return [kendall(strengths, -row) for row in ranks]

    effective, counted = outcome.ranks[..., 1], outcome.threshold_ranks[..., 1]
    return (
        monotone_row(
            11,
            f"{label}: effective rank of the embedding falls with strength (Kendall's tau; from"
            f" {np.mean(effective[:, 0]):.1f} to {np.mean(effective[:, -1]):.1f})",
            ABSTRACT,
            falls(effective),
        ),
        monotone_row(
            11,
            f"{label}: threshold rank of the embedding falls with strength (Kendall's tau; from"
            f" {np.mean(counted[:, 0]):.1f} to {np.mean(counted[:, -1]):.1f})",
            ABSTRACT,
            falls(counted),
        ),
        monotone_row(
            11,
            f"{label}: local effective rank of the head's slope falls with strength (Kendall's"
            f" tau; from {np.mean(local[:, 0]):.1f} to {np.mean(local[:, -1]):.1f})",
            ABSTRACT,
            falls(local),
        ),
    )


def _summary(outcome: SweepOutcome, local: np.ndarray) -> list[str]:
    ratio = np.mean(outcome.probe_defects[..., 1] / outcome.probe_defects[..., 0], axis=0)
    ranks = np.mean(outcome.ranks, axis=0)
    return [
        "Cosentino et al. say that stronger augmentation makes the projection head, rather than the"
        " encoder, invariant, and that the head pays with dimensions. Networks were trained at"
        f" {len(outcome.strengths)} strengths and measured on images they never saw.",
        f"At a fixed probe strength the embedding's invariance defect over the feature's goes from"
        f" {ratio[0]:.2f} at strength {outcome.strengths[0]:g} to {ratio[-1]:.2f} at"
        f" {outcome.strengths[-1]:g}; the embedding's effective rank goes from {ranks[0, 1]:.1f} to"
        f" {ranks[-1, 1]:.1f} (feature: {ranks[0, 0]:.1f} to {ranks[-1, 0]:.1f}), the effective"
        f" rank of the head's slope from {np.mean(local[:, 0]):.1f} to"
        f" {np.mean(local[:, -1]):.1f}.",
    ]
