"""Claims 9, 10, 11 and 19: what stronger augmentation does to encoder and head, on CIFAR-10.

Hypothesis: stronger augmentation makes the head, rather than the encoder, invariant; the head
pays with dimensions and with what a probe can read, and generalizes worse than the encoder.

Prediction: the suppression R = I(embedding)/I(feature) of the invariance defect falls through 1,
every rank of the embedding falls, the gap of probe accuracies widens (Cosentino et al.: directions
only); from the feature's covariances the water-filling optimum of a linear projector gives the
embedding's rank and defect.

Measurement: one network for each strength and seed, on images it never saw. Nulls: the network
before training, the feature's own numbers, shuffled strengths. The head is a perceptron;
forecasts are those of a linear one, so agreement to a quarter is what is asked of them.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.embedding_ranks import centered_singular_values, clean_ranks
from experiments.environment import environment
from experiments.files import make_folder
from experiments.head_slopes import head_layers, local_ranks, local_slopes
from experiments.layer_probes import layer_accuracies
from experiments.progress import experiment_progress
from experiments.report import write_report
from experiments.representations import features_of
from experiments.results import Results, write_results
from experiments.sizes import SIZES
from experiments.small_data import first
from experiments.strength_cells import (
    StrengthCell,
    SweepOutcome,
    gathered_sweep,
    strength_cell,
)
from experiments.strength_rank_rows import RankOutcome, rank_rows, transfer_rows
from experiments.strength_report import rank_section, strength_section
from experiments.strength_rows import sweep_rows, trend_rows
from experiments.table import print_results
from experiments.trained import trained, untrained, work_left
from experiments.training_images import images_of
from experiments.trainings import STRENGTH, STRENGTHS, seeded, trainings
from experiments.view_geometry import LAYERS
from ssljax.data.sources import Dataset
from ssljax.runs.saved_run import Run
from ssljax.system.arrays import Float
from ssljax.training.state import TrainState

PARAMETERS = ("crop_height", "jitter_brightness", "jitter_saturation", "jitter_hue")
TRANSFERS = ("cifar100", "mnist")
TRANSFERS_BACK = ("cifar10", "mnist")
SLOPE_IMAGES = 256
TRANSFER_ITERATIONS = 150
SCOPE = (
    "Scope. Small images, a small residual network and few epochs; what is compared is one network"
    " with itself, before and after its head. Forecasts assume a linear projector and take the"
    " covariances of the trained encoder: they are of the head given the encoder. Transfer from"
    " CIFAR-10 is tested at every strength, from CIFAR-100 at one. A monotone trend is accepted"
    " where Kendall's tau over the strengths is at least 0.7 at the unlucky end of the seeds;"
    " shuffled strengths would have 0."
)


class _Sizes(NamedTuple):
    """Measurements: strengths of the sweep, test images with many views, and views of each."""

    strengths: tuple[float, ...]
    images: int
    views: int


_SIZES = {
    "smoke": _Sizes((0.25, 0.5), 64, 4),
    "laptop": _Sizes(STRENGTHS, 1000, 12),
    "paper": _Sizes(STRENGTHS, 5000, 24),
}


class _Cell(NamedTuple):
    """What is measured on clean images beside `strength_cell`; layers are (feature, embedding)."""

    ranks: Float[np.ndarray, "definitions layers"]
    local_rank: float
    embedding_values: Float[np.ndarray, " _"]
    slope_values: Float[np.ndarray, " _"]
    transfers: dict[str, Float[np.ndarray, " layers"]]


def run(out: Path, scale: str) -> Results:
    """Train or fetch the networks, measure, and write results, figures and report.

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
    cells, others, nulls = [], [], []
    todo = [seeded(table[f"strength-{s:g}"], seed) for seed in size.seeds for s in sizes.strengths]
    other_images = images_of("cifar100", scale)
    back = [seeded(table["strength-cifar100"], seed) for seed in size.seeds]
    work = sum(work_left(config, images.train) for config in todo)
    work += sum(work_left(config, other_images.train) for config in back)
    with experiment_progress(work, "training") as advance:
        for seed in size.seeds:
            row, other = [], []
            for strength in sizes.strengths:
                config = seeded(table[f"strength-{strength:g}"], seed)
                cost = work_left(config, images.train)
                network = trained(config, images.train)
                row.append(
                    _sweep_cell(network, network.state, images.train, test, strength, sizes.views)
                )
                other.append(_cell(network, test, scale))
                if strength == sizes.strengths[0]:
                    # Before training all strengths are the same network.
                    nulls.append(
                        [
                            _sweep_cell(
                                network,
                                untrained(network),
                                images.train,
                                test,
                                STRENGTH,
                                sizes.views,
                            )
                        ]
                    )
                advance(f"strength {strength:g}, seed {seed} measured", cost)
            cells.append(row)
            others.append(other)
        returned = []
        for config in back:
            cost = work_left(config, other_images.train)
            returned.append(_transfers(trained(config, other_images.train), TRANSFERS_BACK, scale))
            advance(f"trained on CIFAR-100, seed {config.seed} measured", cost)
    outcome = gathered_sweep(sizes.strengths, cells)
    null = gathered_sweep((STRENGTH,), nulls)
    ranks = _gathered(sizes.strengths, others)
    transfers = {
        name: np.array([[cell.transfers[name] for cell in row] for row in others])
        for name in TRANSFERS
    }
    transfers_back = {name: np.array([[one[name]] for one in returned]) for name in TRANSFERS_BACK}
    stand_in = "digits for " if scale == "smoke" else ""
    label = f"{stand_in}CIFAR-10, perceptron as head"
    back_label = f"{stand_in}CIFAR-100, perceptron as head"
    rows = (
        *sweep_rows(outcome, label, null),
        *trend_rows(outcome, label, null),
        *transfer_rows(transfers, label),
        *transfer_rows(transfers_back, back_label),
        *rank_rows(ranks, outcome, label),
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
        [
            strength_section(out, outcome, "Feature and embedding, strength by strength", null),
            rank_section(out, ranks, "What the head loses: dimensions, by every definition"),
        ],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _sweep_cell(
    network: Run, state: TrainState, train: Dataset, test: Dataset, strength: float, views: int
) -> StrengthCell:
    return strength_cell(
        network.network,
        state,
        network.config,
        train,
        test,
        strength=strength,
        views=views,
        seed=network.config.seed,
        parameters=PARAMETERS,
    )


def _transfers(
    network: Run, names: tuple[str, ...], scale: str
) -> dict[str, Float[np.ndarray, " layers"]]:
    """Probe accuracies of feature and embedding on other data sets."""
    accuracies = {}
    for name in names:
        other = images_of(name, scale)
        accuracies[name] = layer_accuracies(
            network.network,
            network.state,
            other.train,
            other.test,
            max_iterations=TRANSFER_ITERATIONS,
        )
    return accuracies


def _cell(network: Run, test: Dataset, scale: str) -> _Cell:
    state = network.state
    clean = features_of(network.network, state.params, state.statistics, test, LAYERS)
    feature, embedding = (clean[layer] for layer in LAYERS)
    layers = head_layers(network.state.params, feature.shape[1])
    slopes = local_slopes(layers, feature[:SLOPE_IMAGES])
    singular = np.linalg.svd(slopes, compute_uv=False)
    return _Cell(
        ranks=np.stack([clean_ranks(feature), clean_ranks(embedding)], axis=1),
        local_rank=local_ranks(slopes).effective,
        embedding_values=centered_singular_values(embedding),
        slope_values=np.mean(singular, axis=0),
        transfers=_transfers(network, TRANSFERS, scale),
    )


def _gathered(strengths: tuple[float, ...], cells: list[list[_Cell]]) -> RankOutcome:
    def over(name: str) -> np.ndarray:
        return np.array([[getattr(cell, name) for cell in row] for row in cells])

    return RankOutcome(
        strengths=np.array(strengths, float),
        clean=over("ranks"),
        local=over("local_rank"),
        embedding_values=over("embedding_values"),
        slope_values=over("slope_values"),
    )


def _summary(outcome: SweepOutcome, ranks: RankOutcome) -> list[str]:
    ratio = np.mean(outcome.probe_defects[..., 1] / outcome.probe_defects[..., 0], axis=0)
    clean = np.mean(ranks.clean[:, :, 0], axis=0)
    local = np.mean(ranks.local, axis=0)
    return [
        "Cosentino et al. say that stronger augmentation makes the projection head, rather than the"
        " encoder, invariant, and that the head pays with dimensions. Networks were trained at"
        f" {len(outcome.strengths)} strengths and measured on images they never saw.",
        "The invariance defect I is the share of a layer's variance, over views of many images,"
        " that augmentation makes: 0 is invariant, 1 pure noise. At a fixed probe strength the"
        f" embedding's over the feature's goes from {ratio[0]:.2f} at strength"
        f" {outcome.strengths[0]:g} to {ratio[-1]:.2f} at {outcome.strengths[-1]:g}. On clean"
        f" images the embedding's effective rank goes from {clean[0, 1]:.1f} to {clean[-1, 1]:.1f}"
        f" (feature: {clean[0, 0]:.1f} to {clean[-1, 0]:.1f}), the effective rank of the head's"
        f" slope from {local[0]:.1f} to {local[-1]:.1f}.",
    ]
