"""Claim 12: what the head keeps is a noisy estimate of the data's tangent plane, on CIFAR-10.

Hypothesis: a contrastive head follows directions in which neighboring images differ, estimated
from augmented views, and drops directions in which augmentation moves an image.

Prediction: the leading right singular vectors of the head's local slope (exact for ReLU) overlap
with the data's tangent plane beyond chance, short of the ceiling that half of the data sets; they
hold a larger share of differences between neighbors than of the exact augmentation tangent; that
ratio rises with the strength of training. That the overlap with the augmentation tangent be below
chance is not predicted, and not asked.

Measurement: per image on held-out images, at each strength; augmentation tangents are derivatives
along the generators of the policy, by forward mode through the encoder, held against planes of
sampled views. Nulls: the network before training, random planes, split halves as ceiling. The
planes have 3/16 of the feature's dimensions, twice as many neighbors make a tangent plane.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.environment import environment
from experiments.files import make_folder
from experiments.progress import experiment_progress
from experiments.report import write_report
from experiments.results import Results, write_results
from experiments.sampled_tangents import SampledTangents, sampled_tangents
from experiments.sizes import SIZES
from experiments.small_data import Pair, first
from experiments.table import print_results
from experiments.tangent_planes import PlaneCell, plane_cell
from experiments.tangent_report import planes_section, planes_summary, sampling_section
from experiments.tangent_rows import PlaneOutcome, gathered_cells, plane_rows
from experiments.trained import trained, untrained, work_left
from experiments.training_images import images_of
from experiments.trainings import STRENGTH, STRENGTHS, seeded, trainings
from ssljax.data.sources import Dataset
from ssljax.runs.saved_run import Run
from ssljax.training.state import TrainState

SCOPE = (
    "Scope. Small images, a small residual network and few epochs. Planes are compared at the"
    " encoder's feature: what is tested is the head given the encoder. The data's tangent plane is"
    " itself an estimate from neighbors, so its split-half overlap, not 1, is the ceiling. Exact"
    " tangents cover crop, shift and color jitter; flips and gray have none. For the sampling law"
    " white noise of known size was added to the features."
)


class _Sizes(NamedTuple):
    """Strengths; images with planes; images and views behind global planes; samples of tangents."""

    strengths: tuple[float, ...]
    points: int
    crowd: int
    views: int
    sampled_points: int
    samples: int


_SIZES = {
    "smoke": _Sizes((0.25, 0.5), 32, 64, 4, 8, 32),
    "laptop": _Sizes(STRENGTHS, 256, 500, 12, 32, 64),
    "paper": _Sizes(STRENGTHS, 1024, 5000, 24, 64, 256),
}


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
    todo = [seeded(table[f"strength-{s:g}"], seed) for seed in size.seeds for s in sizes.strengths]
    work = sum(work_left(config, images.train) for config in todo)
    one = None
    cells, nulls, sampled = [], [], []
    with experiment_progress(work, "training") as advance:
        for seed in size.seeds:
            row = []
            for strength in sizes.strengths:
                config = seeded(table[f"strength-{strength:g}"], seed)
                cost = work_left(config, images.train)
                one = trained(config, images.train)
                row.append(_cell(one, one.state, images, sizes, strength))
                if strength == STRENGTH:
                    nulls.append([_cell(one, untrained(one), images, sizes, strength)])
                    sampled.append(_sampled(one, images.test, sizes))
                advance(f"strength {strength:g}, seed {seed} measured", cost)
            cells.append(row)
    assert one is not None
    outcome = PlaneOutcome(
        strengths=np.array(sizes.strengths),
        cells=gathered_cells(cells),
        untrained=gathered_cells(nulls),
        rank=_rank(one),
        dim=_width(one),
        sampled=tuple(sampled),
    )
    label = "CIFAR-10, perceptron as head" if scale != "smoke" else "digits, perceptron as head"
    rows = plane_rows(outcome, label)
    results = Results(
        "tangents", scale, size.seeds, environment(time.perf_counter() - started), rows
    )
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "What the projection head keeps: the data's tangent plane, with noise",
        planes_summary(outcome),
        SCOPE,
        [planes_section(out, outcome), sampling_section(out, outcome)],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _cell(one: Run, state: TrainState, images: Pair, sizes: _Sizes, strength: float) -> PlaneCell:
    return plane_cell(
        one.network,
        state,
        images.train,
        first(images.test, sizes.points),
        first(images.test, sizes.crowd),
        one.config.policy,
        strength,
        rank=_rank(one),
        views=sizes.views,
        seed=one.config.seed,
    )


def _sampled(one: Run, test: Dataset, sizes: _Sizes) -> SampledTangents:
    return sampled_tangents(
        one.network,
        one.state,
        first(test, sizes.sampled_points),
        one.config.policy,
        samples=sizes.samples,
        seed=one.config.seed,
    )


def _rank(one: Run) -> int:
    return 3 * _width(one) // 16


def _width(one: Run) -> int:
    return one.state.params["head"]["layer1"]["kernel"].shape[0]
