"""Claim 5: trained on coarse classes, fine ones are told apart before the head, not after it.

Hypothesis: a network trained to tell the 20 superclasses of CIFAR-100 apart keeps the 100 classes
inside them before its projection head and drops them after it, with a supervised contrastive loss
and with cross-entropy alike.

Prediction (`theory.losses.supervised`): a linear network gives no weight to features that do not
differ between the classes trained on, and from finitely many examples a weight that falls with
every layer: classes collapse towards the output. The optimal linear head on the trained feature
gives a forecast of the embedding's collapse in numbers.

Measurement: linear probes for fine and coarse classes at every layer, on images never seen; and
the share of each layer's variance that lies inside coarse classes. The head is as wide as the
feature, so that no dimension is lost.

Nulls: the head with its random first weights on the trained encoder, and the network before its
first step. Pass: before the head fine accuracy is higher by twice what a random head costs and at
least 0.02, coarse accuracy the same to 0.02, collapse larger by a share of at least 0.05; a fixed
reweighting head with the same fine accuracy before it to 0.02.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.coarse_cells import CoarseCell, Images, coarse_cell, diagonal_cell
from experiments.coarse_rows import Outcome, coarse_rows, ends
from experiments.environment import environment
from experiments.errors import InputError
from experiments.figures.coarse import FixedHead, Panel, coarse_figure
from experiments.files import make_folder
from experiments.progress import experiment_progress
from experiments.report import Figure, Section, write_report
from experiments.results import Results, write_results
from experiments.sizes import SIZES
from experiments.small_data import first, load_small
from experiments.table import print_results
from experiments.trained import trained, work_left
from experiments.training_images import images_of
from experiments.trainings import seeded, trainings

TRAININGS = ("coarse-contrastive", "coarse-entropy", "coarse-reweighted")
SCOPE = (
    "Scope. Small images, a small residual network, few epochs: classes are far from collapsed, and"
    " what is compared is one network with itself before and after its head. Probes are logistic"
    " regressions with penalty 0.001 on coordinates divided by their standard deviation; for the"
    " fixed head, which that division would undo, coordinates are divided by one number. The"
    " forecast assumes a linear head and takes the trained encoder's moments: it is of the head"
    " given the encoder."
)


class _Sizes(NamedTuple):
    """Images tested on."""

    tested: int


_SIZES = {"smoke": _Sizes(256), "laptop": _Sizes(10_000), "paper": _Sizes(10_000)}


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
    size, table = SIZES[scale], trainings(SIZES[scale])
    make_folder(out)
    images = _images(scale)
    found: dict[str, list] = {name: [] for name in TRAININGS}
    todo = [(name, seed) for seed in size.seeds for name in TRAININGS]
    configs = {(name, seed): seeded(table[name], seed) for name, seed in todo}
    cost = {key: work_left(configs[key], images.train) for key in todo}
    with experiment_progress(sum(cost.values()), "training") as advance:
        for name, seed in todo:
            network = trained(configs[name, seed], images.train)
            if name == "coarse-reweighted":
                found[name].append(diagonal_cell(network, images))
            else:
                spherical = name == "coarse-contrastive"
                found[name].append(coarse_cell(network, images, seed, spherical=spherical))
            advance(f"{name}, seed {seed} measured", cost[name, seed])
    outcome = Outcome(*(found[name] for name in TRAININGS))
    results = Results(
        "coarse",
        scale,
        size.seeds,
        environment(time.perf_counter() - started),
        coarse_rows(outcome),
    )
    write_results(out / "results.json", results)
    write_report(
        out / "report.html",
        "Coarse to fine: which layer keeps what the labels did not ask for",
        _summary(outcome),
        SCOPE,
        [_section(out, outcome, images)],
        results,
    )
    print_results(results, out / "report.html")
    return results


def _images(scale: str) -> Images:
    """The images of the trainings with both labels, and more of those tested on."""
    train = images_of("cifar100_coarse", scale).train
    tested = _SIZES[scale].tested
    if scale == "smoke":
        fine = images_of("cifar100", scale)
        coarse_test = first(images_of("cifar100_coarse", scale).test, tested)
        fine_train, fine_test = fine.train, first(fine.test, tested)
    else:
        side = SIZES[scale].side
        fine_train, fine_test = load_small("cifar100", side, len(train), tested)
        coarse_test = load_small("cifar100_coarse", side, 1, tested).test
    for one, other in ((train, fine_train), (coarse_test, fine_test)):
        if not np.array_equal(one.images, other.images):
            raise InputError(
                f"{one.name} and {other.name} do not hold the same images in the same order;"
                " prepare both anew"
            )
    return Images(
        train,
        coarse_test,
        (fine_train.labels, fine_test.labels, fine_train.num_classes),
        (train.labels, coarse_test.labels, train.num_classes),
    )


def _panel(cells: list[CoarseCell], *, forecast: bool) -> Panel:
    def layers(quantity: str) -> np.ndarray:
        return np.array([getattr(cell.layers, quantity) for cell in cells])

    return Panel(
        cells[0].layers.names,
        layers("fine"),
        layers("coarse"),
        ends(cells, "random_head", "fine"),
        ends(cells, "random_head", "coarse"),
        layers("inside"),
        ends(cells, "random_head", "inside"),
        np.array([cell.forecast.inside if forecast else np.nan for cell in cells]),
    )


def _section(out: Path, outcome: Outcome, images: Images) -> Section:
    path = out / "coarse.png"
    fixed = outcome.reweighted
    coarse_figure(
        path,
        {
            "supervised contrastive": _panel(outcome.contrastive, forecast=True),
            "cross-entropy": _panel(outcome.entropy, forecast=False),
        },
        [
            FixedHead(ends(outcome.contrastive, "layers", "fine"), "trained head,\nstandardized"),
            FixedHead(np.array([cell.standardized for cell in fixed]), "fixed head,\nstandardized"),
            FixedHead(np.array([cell.one_scale for cell in fixed]), "fixed head,\none scale"),
        ],
        (1 / images.fine[2], 1 / images.coarse[2]),
    )
    return Section(
        "Fine and coarse classes, layer by layer",
        [
            "The network was trained on the coarse classes only. At each layer a linear probe was"
            " fitted to the labels of the training images and tested on"
            f" {len(images.test.images)} others. Of the variance of a layer, one part lies between"
            " the means of coarse classes and the rest inside them; sampling noise of the means is"
            " subtracted."
        ],
        [
            Figure(
                path,
                "Points are medians over seeds, bars their range; layers on gray belong to the head"
                " and are thrown away after training. a, b: accuracy by layer; by the claim the"
                " line for the fine classes turns down inside the head and that for the coarse ones"
                " does not. Dashed, the same encoder under a head with random weights. c: share of"
                " variance inside the coarse classes; the bar is the forecast for the best linear"
                " head on this feature. d: the fixed head κ^-(i−1), κ = 1.5; dividing by the"
                " standard deviation undoes it but for the last ones, which the head leaves"
                " less than a millionth of and the probe therefore leaves alone.",
            )
        ],
    )


def _summary(outcome: Outcome) -> list[str]:
    def pair(cells: list[CoarseCell], part: str, quantity: str) -> str:
        before, after = np.mean(ends(cells, part, quantity), axis=0)
        return f"{before:.3f} before the head and {after:.3f} after it"

    sentences = []
    for label, cells in (
        ("supervised contrastive loss", outcome.contrastive),
        ("cross-entropy", outcome.entropy),
    ):
        sentences.append(
            f"With the {label} a probe tells the fine classes apart with accuracy"
            f" {pair(cells, 'layers', 'fine')}, the coarse ones with"
            f" {pair(cells, 'layers', 'coarse')}. A head with random weights on the same encoder"
            f" leaves {np.mean(ends(cells, 'random_head', 'fine')[:, 1]):.3f} and"
            f" {np.mean(ends(cells, 'random_head', 'coarse')[:, 1]):.3f}."
        )
    return [
        "Xue et al. say that a network trained on coarse labels keeps the finer classes in the"
        " layer before its projection head and loses them after it: the head removes what the loss"
        " does not ask for. The 20 superclasses of CIFAR-100 were the labels, its 100 classes the"
        " question asked afterwards.",
        *sentences,
    ]
