"""Claim 7: on shifted test sets the layer before the head is the more robust.

Hypothesis: features before the projection head lose less under corruptions of the test images than
those after it, and less than those of a network trained without a head, also where accuracy on
clean images is equal.

Prediction: only a direction. Theory has layers weight features less equally towards the output, so
that what little the clean task needs is left after the head; that this matters under a shift is
Xue et al.'s finding on ImageNet (before the head best, after it worst at every probe size).

Measurement: self-supervised networks on CIFAR-10; probes fitted to clean images, from several
numbers of them, and tested on ten corruptions at five severities by the published formulas, made
at 32 pixels and averaged down to what the network sees; CIFAR-100 as a transfer.

Nulls: a random linear map of the feature to the embedding's width, for the loss of dimensions
alone; equal accuracy; half of all corruptions. Pass: 0.005 of accuracy beyond the null at each
number of training images, and at equal clean accuracy; 0.9 of the corruptions.
"""

import dataclasses
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.corruption_cells import (
    AFTER,
    BEFORE,
    NO_HEAD,
    REPRESENTATIONS,
    ShiftCell,
    Task,
    shift_cell,
)
from experiments.corruption_rows import matched_gap, shift_rows
from experiments.environment import environment
from experiments.figures.corruptions import Scatter, corruptions_figure
from experiments.files import make_folder
from experiments.progress import experiment_progress
from experiments.report import Figure, Section, write_report
from experiments.results import Results, write_results
from experiments.shifted_images import corrupted_images
from experiments.sizes import SIZES
from experiments.small_data import first, load_small, shrunk
from experiments.table import print_results
from experiments.trained import trained, work_left
from experiments.training_images import images_of
from experiments.trainings import seeded, trainings
from ssljax.augment.corruptions import CORRUPTIONS, SEVERITIES

TRAININGS = ("head-none", "strength-0.5")
FULL_SIDE = 32
SCOPE = (
    "Scope. Small images, a small residual network, few epochs. Probes are logistic regressions"
    " with penalty 0.001 on coordinates divided by their standard deviation over clean training"
    " images, and see no corrupted image. Ten of the published corruptions need no picture file and"
    " no image codec and are computed from their formulas; the published files of CIFAR-10-C, and"
    " ImageNet-9, -R and -A, are not here. With them on disk: load_dataset('cifar10_corrupted/"
    "fog_5', …), ('imagenet_r', …), ('imagenet_a', …) and ('folder:PATH', …) of"
    " ssljax.data.datasets give the images, ssljax.load(RUN).layers(images, ('feature',"
    " 'embedding')) the features, and ssljax.measure.probe.linear_probe fits on one"
    " set and tests on another."
)


class _Sizes(NamedTuple):
    """Corruptions, their severities, images tested on, and training images of the probes."""

    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    tested: int
    transferred: int
    probes: tuple[int, ...]


_SIZES = {
    "smoke": _Sizes(("gaussian_noise", "contrast"), (1, 5), 128, 128, (128, 512)),
    "laptop": _Sizes(CORRUPTIONS, SEVERITIES, 2000, 1000, (1000, 2500, 5000, 10_000)),
    "paper": _Sizes(CORRUPTIONS, SEVERITIES, 10_000, 10_000, (5000, 10_000, 25_000, 50_000)),
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
    sizes, size, table = _SIZES[scale], SIZES[scale], trainings(SIZES[scale])
    make_folder(out)
    images = images_of("cifar10", scale).train
    configs = [[seeded(table[name], seed) for name in TRAININGS] for seed in size.seeds]
    costs = [[work_left(c, images) for c in pair] for pair in configs]
    own: list[ShiftCell] = []
    transferred: list[ShiftCell] = []
    with experiment_progress(1 + sum(map(sum, costs)), "corrupting images") as advance:
        tasks = [
            _task("cifar10", scale, sizes.tested),
            _task("cifar100", scale, sizes.transferred),
        ]
        advance("training", 1.0)
        for seed, pair, cost in zip(size.seeds, configs, costs):
            without, with_head = (trained(config, images) for config in pair)
            own.append(shift_cell(without, with_head, tasks[0], sizes.probes, seed))
            transferred.append(shift_cell(without, with_head, tasks[1], sizes.probes[-1:], seed))
            advance(f"seed {seed} measured", sum(cost))
    rows = (
        *shift_rows(own, "CIFAR-10" if scale != "smoke" else "digits"),
        *shift_rows(transferred, "CIFAR-100, transferred" if scale != "smoke" else "digits again"),
    )
    results = Results(
        "corruptions", scale, size.seeds, environment(time.perf_counter() - started), rows
    )
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "Corrupted test images: which layer keeps its accuracy",
        _summary(own),
        SCOPE,
        [_section(out, sizes, own, transferred)],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _task(name: str, scale: str, tested: int) -> Task:
    """Clean images, and the corrupted ones: corrupted at full size, then averaged down."""
    sizes, side = _SIZES[scale], SIZES[scale].side
    train = images_of(name, scale).train
    if scale == "smoke":
        full = first(images_of(name, scale).test, tested)
    else:
        full = load_small(name, FULL_SIDE, 1, tested).test
    shifted = {}
    for number, kind in enumerate(sizes.kinds):
        for severity in sizes.severities:
            pixels = corrupted_images(full, kind, severity, seed=number)
            shifted[kind, severity] = shrunk(dataclasses.replace(full, images=pixels), side).images
    return Task(train, shrunk(full, side), shifted)


def _section(
    out: Path, sizes: _Sizes, own: list[ShiftCell], transferred: list[ShiftCell]
) -> Section:
    path = out / "corruptions.png"
    clean = np.array([cell.clean for cell in own])
    shifted = np.array([np.mean(cell.shifted, axis=2) for cell in own])

    def advantage(cells: list[ShiftCell]) -> np.ndarray:
        before, after = (REPRESENTATIONS.index(name) for name in (BEFORE, AFTER))
        mean = np.mean([cell.shifted[before, -1] - cell.shifted[after, -1] for cell in cells], 0)
        return mean.reshape(len(sizes.kinds), len(sizes.severities))

    corruptions_figure(
        path,
        {
            name: Scatter(clean[:, place], shifted[:, place])
            for place, name in enumerate(REPRESENTATIONS)
        },
        {"CIFAR-10": advantage(own), "CIFAR-100": advantage(transferred)},
        sizes.kinds,
        sizes.severities,
    )
    return Section(
        "Clean and corrupted accuracy",
        [
            f"Each probe was fitted to {', '.join(map(str, sizes.probes))} clean training images"
            f" and tested on {sizes.tested} clean test images and on"
            f" {len(sizes.kinds) * len(sizes.severities)} corrupted versions of them."
        ],
        [
            Figure(
                path,
                "a: the higher a line, the better a representation keeps its accuracy under"
                " corruption at the same accuracy on clean images; more training images move a"
                " probe to the right. Gray, a random linear map of the layer before the head to as"
                " many dimensions as there are after it. b, c: points of accuracy by which the"
                " layer before the head is better (blue) or worse (orange) than the one after it,"
                " mean over seeds; probes of CIFAR-100 on networks trained on CIFAR-10.",
            )
        ],
    )


def _summary(cells: list[ShiftCell]) -> list[str]:
    def mean(name: str) -> str:
        place = REPRESENTATIONS.index(name)
        clean = np.mean([cell.clean[place, -1] for cell in cells])
        shifted = np.mean([cell.shifted[place, -1] for cell in cells])
        return f"{clean:.3f} on clean and {shifted:.3f} on corrupted images"

    matched = [np.mean([matched_gap(cell, other) for cell in cells]) for other in (AFTER, NO_HEAD)]
    differences = " and ".join(f"{value:+.3f}".replace("-", "−") for value in matched)
    return [
        "Xue et al. say that what a network knows before its projection head serves better under a"
        " shift of the test images than what it knows after it. Networks were trained on CIFAR-10"
        " without labels; probes were fitted to clean images and tested on corrupted ones.",
        f"With all training images a probe reaches {mean(BEFORE)} before the head, {mean(AFTER)}"
        f" after it, and {mean(NO_HEAD)} in a network trained without one.",
        "At equal accuracy on clean images the layer before the head differs on corrupted ones by"
        f" {differences} from the layer after it and from the network without a head. Where these"
        " numbers are near zero, what it gains under the shift is what it gains without one: all"
        " representations lie on one line.",
    ]
