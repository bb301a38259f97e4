"""Progressive weighting on a page: the theorem, both kinds of spectra, algorithms, tasks."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.figures.weighting import scenarios_figure, spectra_figure, weighting_figure
from experiments.report import Figure, Section
from experiments.simulated_tasks import LABELS, OTHER_STRENGTHS, VIEW_NOISE, Sweep
from experiments.weighting_cells import ALGORITHMS, AlgorithmCell, Noise, PowerCell, RealCell
from theory.downstream.layer_choice import Scenarios


class WeightingOutcome(NamedTuple):
    """All measurements, and the settings that the page names.

    Attributes:
      powers: For each data model and depth one cell a seed.
      rates: Learning rates of those, the smaller last.
      algorithms: One cell a seed.
      noises: Settings of SGD in them.
      real: One cell a seed.
      images: Behind the moments of real images.
      views: Of each.
      directions: Kept of the pixels.
      retention: Sweep of the retention of the task's feature.
      strength: Sweep of its strength.
      edges: Where the exact winner changes.
      repeats: Classifiers at each point of a sweep.
    """

    powers: dict[tuple[str, int], list[PowerCell]]
    rates: tuple[float, float]
    algorithms: list[AlgorithmCell]
    noises: tuple[Noise, ...]
    real: list[RealCell]
    images: int
    views: int
    directions: int
    retention: Sweep
    strength: Sweep
    edges: Scenarios
    repeats: int


def weighting_summary(outcome: WeightingOutcome, label: str) -> list[str]:
    """What was asked and what came out, in plain words."""
    cells = outcome.real
    weight, layer = (
        np.mean([getattr(cell, name) for cell in cells], axis=0)
        for name in ("weight_ranks", "layer_ranks")
    )
    before = np.mean([cell.errors[:, 0] for cell in outcome.algorithms], axis=0)
    worst = ", ".join(f"{name} {error:.2g}" for name, error in zip(ALGORITHMS, before))
    return [
        "A network of several linear layers could share the work of its layers in any way: only"
        " their product enters the loss. Xue et al. prove that training shares it evenly, and that"
        " a feature that the last layer weighs little next to another is weighed more equally"
        " below. So features that a task needs and pre-training neglects are better read from the"
        " layer before the head.",
        f"On {label} the effective rank of the weight spectrum goes from {weight[0]:.1f} (data) to"
        f" {weight[-1]:.1f} (last layer), while that of the layer spectrum, the variances of what"
        f" the layers put out, goes from {layer[0]:.1f} to {layer[-1]:.1f}: weights get more"
        " unequal where what they act on is unequal the other way.",
        f"Relative error of the layer before the head, by algorithm: {worst}.",
    ]


def weighting_sections(out: Path, outcome: WeightingOutcome, label: str) -> list[Section]:
    """Figures and what to see in them.

    Args:
      out: Folder of the figures.
      outcome: All measurements.
      label: The images.

    Returns:
      The theorem, spectra and algorithms, tasks.
    """
    return [
        _theorem_section(out, outcome),
        _spectra_section(out, outcome, label),
        _task_section(out, outcome),
    ]


def _theorem_section(out: Path, outcome: WeightingOutcome) -> Section:
    powers = outcome.powers
    names, depths = (tuple(dict.fromkeys(part)) for part in zip(*powers))
    deepest = powers[names[0], depths[-1]]
    path = out / "powers.png"
    weighting_figure(
        path,
        deepest[0].expected_weights,
        np.stack([cell.weights for cell in deepest]),
        {
            name: np.stack([[c.errors for c in powers[name, d]] for d in depths]).transpose(1, 2, 0)
            for name in names
        },
        depths,
        outcome.rates,
        {name: np.stack([cell.ranks for cell in powers[name, depths[-1]]]) for name in names},
    )
    return Section(
        "The theorem in weights",
        [
            "Three data models: features along the axes (aligned); features at angles to each"
            " other, with covariance and cross-covariance that still commute; and features at"
            " angles whose moments do not commute. Networks of several depths started balanced, in"
            " random directions, and descended on the exact loss."
        ],
        [
            Figure(
                path,
                "a: on a logarithmic axis the weights of aligned features fan out in straight"
                " lines from layer to layer. b: what separates descent from the theorem is small"
                " and falls with the step. c: weights get more unequal in every model.",
            )
        ],
    )


def _spectra_section(out: Path, outcome: WeightingOutcome, label: str) -> Section:
    path = out / "spectra.png"

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(cell, name) for cell in outcome.real])

    spectra_figure(
        path,
        stacked("weight_ranks"),
        stacked("layer_ranks"),
        stacked("predicted_weight_ranks"),
        stacked("predicted_layer_ranks"),
        ALGORITHMS,
        np.stack([cell.errors for cell in outcome.algorithms]),
        np.array([noise.dose for noise in outcome.noises]),
        np.stack([cell.drifts for cell in outcome.algorithms]),
    )
    return Section(
        "Weights against layers on real images, and which algorithms have the bias",
        [
            f"Moments of {outcome.images} {label} images, {outcome.views} augmented views each, in"
            f" the {outcome.directions} directions that positive pairs share most of; a network of"
            " four layers descended on them. Largest relative error of a layer's Gram: "
            + ", ".join(f"{cell.error:.2g}" for cell in outcome.real)
            + " by seed.",
            "All algorithms train two layers from the same small random start, on the six features"
            " of the aligned model. Adam steps by the sign of the slope, which no conservation law"
            " survives; minibatches add a little imbalance at every step.",
        ],
        [
            Figure(
                path,
                "a: on real images the weights get more unequal (fewer effective dimensions) while"
                " the layers' outputs get more equal. b: every full-batch algorithm finds the same"
                " map after the head; before it, Adam finds another. c: imbalance that SGD"
                " leaves, at four settings.",
            )
        ],
    )


def _task_section(out: Path, outcome: WeightingOutcome) -> Section:
    path = out / "scenarios.png"
    disrupted, weak, strong = (float(edge) for edge in outcome.edges)
    retention, strength = outcome.retention, outcome.strength
    scenarios_figure(
        path,
        [
            ("augmentation retention α of the task's feature", retention.values, [disrupted]),
            ("strength φ of the task's feature", strength.values, [weak, strong]),
        ],
        [retention.predicted, strength.predicted],
        [retention.gains, strength.gains],
        [retention.clear, strength.clear],
    )
    return Section(
        "Which layer serves a task",
        [
            f"The label is the sign of one feature among six; the others have strengths"
            f" {OTHER_STRENGTHS} and are always kept, the noise of a view is {VIEW_NOISE:g}. At"
            f" each point and seed {outcome.repeats} ridge classifiers saw {LABELS} labels each."
        ],
        [
            Figure(
                path,
                "Left: the feature disrupted by augmentation, right: weak or strong beside the"
                " noise. Blue points above zero: the layer before the head is the more accurate;"
                " dashed lines: where the exact winner changes; gray line: predicted advantage in"
                " labels. Bars are the range over seeds.",
            )
        ],
    )
