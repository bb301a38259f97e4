"""Claim 13: width and depth of the projection head change the encoder, on CIFAR-10.

Hypothesis: the head decides how much of the invariance it takes upon itself, and so what the
encoder keeps.

Prediction: in a balanced linear network of N_e + N_p layers the encoder takes the share
N_e / (N_e + N_p) of every log suppression, so the feature is the less invariant the deeper the
head; a narrow hidden layer bounds the rank of a ReLU head's slope (half its width before training)
and so makes it suppress more, and the feature keeps more.

Measurement: networks that differ in the head alone, for each seed. Nulls: heads shuffled among
the networks, an encoder or a head that does everything, no head. Trends accept Kendall's tau of 0.7
at the unlucky end of the seeds.
"""

import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.environment import environment
from experiments.figures.head_shapes import head_shapes_figure
from experiments.files import make_folder
from experiments.head_shape_rows import law_defects, shape_rows
from experiments.head_shapes import (
    ShapeCell,
    ShapeOutcome,
    gathered_shapes,
    head_shape,
    initial_local_rank,
    trained_local_rank,
)
from experiments.progress import experiment_progress
from experiments.report import Figure, Section, write_report
from experiments.results import Results, write_results
from experiments.sizes import SIZES
from experiments.small_data import first
from experiments.strength_cells import strength_cell
from experiments.table import print_results
from experiments.trained import trained, untrained, work_left
from experiments.training_images import images_of
from experiments.trainings import STRENGTH, seeded, trainings
from ssljax.data.sources import Dataset
from ssljax.measure.features import view_features
from ssljax.runs.saved_run import Run
from theory.geometry.invariance import view_invariance_defect

HEADS = ("head-none", "head-linear", "head-narrow", "strength-0.5", "head-wide", "head-deep")
PARAMETERS = ("crop_height", "jitter_brightness", "jitter_saturation", "jitter_hue")
SCOPE = (
    "Scope. Small images, a small residual network and few epochs, one learning rate for all heads."
    " The depth law is exact for balanced linear networks on data whose directions do not mix; it"
    " is applied here to a residual network with ReLU, with all of augmentation lumped into one"
    " direction, and counts only layers. What is predicted by it is conditional on the embedding."
)


class _Sizes(NamedTuple):
    """Trainings, test images with many views, views of each, and images for slopes."""

    heads: tuple[str, ...]
    images: int
    views: int
    slopes: int


_SIZES = {
    "smoke": _Sizes(("head-none", "head-narrow", "strength-0.5", "head-deep"), 64, 4, 16),
    "laptop": _Sizes(HEADS, 1000, 12, 256),
    "paper": _Sizes(HEADS, 5000, 24, 256),
}


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
    todo = [seeded(table[name], seed) for seed in size.seeds for name in sizes.heads]
    work = sum(work_left(config, images.train) for config in todo)
    cells, pixels = [], []
    with experiment_progress(work, "training") as advance:
        for seed in size.seeds:
            row = []
            for name in sizes.heads:
                config = seeded(table[name], seed)
                cost = work_left(config, images.train)
                network = trained(config, images.train)
                row.append(_cell(network, images.train, images.test, sizes, seed))
                if name == sizes.heads[0]:
                    pixels.append(_pixel_defect(network, images.test, sizes, seed))
                advance(f"{name}, seed {seed} measured", cost)
            cells.append(row)
    shapes = tuple(head_shape(table[name].config.head) for name in sizes.heads)
    outcome = gathered_shapes(shapes, size.encoder, pixels, cells)
    label = "CIFAR-10" if scale != "smoke" else "digits"
    results = Results(
        "heads",
        scale,
        size.seeds,
        environment(time.perf_counter() - started),
        shape_rows(outcome, label),
    )
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "What the shape of the projection head does to the encoder",
        _summary(outcome),
        SCOPE,
        [_section(out, outcome)],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _cell(network: Run, train: Dataset, test: Dataset, sizes: _Sizes, seed: int) -> ShapeCell:
    sweep = strength_cell(
        network.network,
        network.state,
        network.config,
        train,
        first(test, sizes.images),
        strength=STRENGTH,
        views=sizes.views,
        seed=seed,
        parameters=PARAMETERS,
    )
    few = first(test, sizes.slopes)
    initial = initial_local_rank(network, untrained(network), first(few, 32), seed)
    return ShapeCell(sweep, trained_local_rank(network, few), initial)


def _pixel_defect(network: Run, test: Dataset, sizes: _Sizes, seed: int) -> float:
    part = first(test, sizes.images)
    views = view_features(
        network.network.apply,
        network.state.params,
        network.state.statistics,
        part.images,
        part.pixel_scale,
        jax.random.fold_in(jax.random.key(seed), 2**20),
        network.config.policy,
        STRENGTH,
        views=sizes.views,
        layers=("input",),
    )["input"]
    with jax.enable_x64(True):
        return float(view_invariance_defect(jnp.asarray(views, jnp.float64)))


def _section(out: Path, outcome: ShapeOutcome) -> Section:
    path = out / "heads.png"
    predicted = law_defects(
        outcome.shapes,
        outcome.encoder_depth,
        outcome.input_defects,
        outcome.training_defects[..., 1],
    )
    head_shapes_figure(
        path,
        [shape.name for shape in outcome.shapes],
        outcome.probe_defects,
        outcome.accuracies,
        outcome.information,
        outcome.ranks,
        outcome.local_ranks,
        predicted,
        outcome.training_defects[..., 0],
    )
    return Section(
        "One encoder under several heads",
        [
            "Heads are named by their hidden layers, number × width; all end in the same number of"
            " outputs. The invariance defect I is the share of a layer's variance, over views of"
            " many images, that augmentation makes: 0 is invariant, 1 pure noise. R, its value"
            " after the head over that before it, says what the head does: below 1 it suppresses"
            " augmentation, above 1 it amplifies it.",
            "Without a head the embedding is the feature itself, put on the sphere as the loss"
            " does; R then shows what the sphere alone does.",
        ],
        [
            Figure(
                path,
                "Points are medians over seeds, bars their range. a to d: before the head (blue"
                " circles) and after it (orange squares). a: defect under views of one fixed"
                " strength. b: linear probe on clean images. c: augmentation parameters read off"
                " by a linear probe, mean R² of crop height, brightness, saturation and hue. d:"
                " effective rank over views, and of the matrix by which the head maps small"
                " changes (triangles). e: R. f: defect of the feature under views of the training"
                " strength, measured and as the depth law has it from pixels and embedding.",
            )
        ],
    )


def _summary(outcome: ShapeOutcome) -> list[str]:
    defects = np.mean(outcome.probe_defects, axis=0)
    kept = np.mean(outcome.information[..., 0], axis=0)
    parts = ", ".join(
        f"{shape.name}: I(feature) {defects[index, 0]:.3f},"
        f" R {defects[index, 1] / defects[index, 0]:.2f}, R² {kept[index]:.2f}"
        for index, shape in enumerate(outcome.shapes)
    )
    return [
        "Cosentino et al. say that width and depth of the projection head change what the encoder"
        " below it learns. Networks were trained that differ in nothing but the head.",
        "For each head, the invariance defect of the feature, the head's ratio R of defects after"
        " and before it, and how well the feature still tells what was done to the image:"
        f" {parts}.",
    ]
