"""Planes at the feature, and exact tangents against sampled ones, on a page."""

from pathlib import Path

import numpy as np

from experiments.figures.tangents import planes_figure, sampled_tangents_figure
from experiments.report import Figure, Section
from experiments.sampled_tangents import SAMPLE_COUNTS, SAMPLE_STRENGTHS
from experiments.tangent_rows import PlaneOutcome, energy_ratio


def planes_section(out: Path, outcome: PlaneOutcome) -> Section:
    """What the head keeps among the planes at the feature.

    Args:
      out: Folder of the figure.
      outcome: The sweep.

    Returns:
      The section.
    """
    path = out / "tangent_planes.png"
    planes_figure(
        path,
        outcome.strengths,
        outcome.cells,
        outcome.untrained,
        outcome.rank / outcome.dim,
        energy_ratio(outcome.cells),
        energy_ratio(outcome.untrained),
    )
    return Section(
        "Planes at the feature",
        [
            f"At each image the head is a matrix, its slope; the {outcome.rank} directions of the"
            f" {outcome.dim} at the feature that it stretches most are what it keeps. The data's"
            f" local tangent plane is spanned by differences to {2 * outcome.rank} nearest"
            " neighbors among the training images; the global plane holds most of the variance"
            " between images; the plane that separates images best from their own views is where"
            " theory sees an optimal linear head. The overlap of two planes is the mean squared"
            f" cosine of their principal angles; two random planes overlap by"
            f" {outcome.rank / outcome.dim:.2f}.",
            f"Before training the overlap with the local plane is"
            f" {np.mean(outcome.untrained['kept_local']):.3f}, the ratio of energies"
            f" {np.mean(energy_ratio(outcome.untrained)):.2f}.",
            "The overlap with the augmentation tangent is shown and judged by no rule: neighbors"
            " differ partly by what augmentation also does (that overlap is shown too), so it may"
            " well lie above chance.",
        ],
        [
            Figure(
                path,
                "a: overlap of what the head keeps with each plane; gray: chance; black dashes:"
                " the local plane of one half of the data against that of the other, the most an"
                " estimate could reach. Crosses: before training. b: shares of neighbor"
                " differences and of the augmentation tangent that the kept directions hold. c:"
                " their ratio; above 1 the head prefers data to augmentation. Points are medians"
                " over seeds, bars their range.",
            )
        ],
    )


def sampling_section(out: Path, outcome: PlaneOutcome) -> Section:
    """Sampled augmentation tangents against exact ones.

    Args:
      out: Folder of the figure.
      outcome: The sweep.

    Returns:
      The section.
    """
    path = out / "sampled_tangents.png"
    sampled_tangents_figure(
        path,
        np.array(SAMPLE_STRENGTHS),
        np.array([one.group_overlaps for one in outcome.sampled]),
        np.array([one.policy_overlaps for one in outcome.sampled]),
        outcome.sampled[0].random_overlap,
        np.array([one.spread_ratios for one in outcome.sampled]),
        np.array(SAMPLE_COUNTS),
        np.array([one.sines for one in outcome.sampled]),
        outcome.sampled[0].predicted_sines,
    )
    return Section(
        "Exact and sampled augmentation tangents",
        [
            "An augmentation tangent is the derivative of the feature along each thing the policy"
            " may do to the image. It is computed exactly here, by one forward-mode derivative"
            " for each; elsewhere it is estimated by the principal directions of a few sampled"
            " views. Samples at finite strength bend away from the tangent plane, and samples in"
            " noise lose it altogether below a threshold."
        ],
        [
            Figure(
                path,
                "a: overlap of the leading plane of sampled views with the exact tangent, against"
                " the strength of sampling; samples along the same generators (circles) and of the"
                " policy itself, with flips, gray and bilinear crops (squares). b: spread of the"
                " views to first order over their sampled spread. c: sine between the leading"
                " direction of noisy samples along one generator and its exact tangent, measured"
                " (points) and by the law (line).",
            )
        ],
    )


def planes_summary(outcome: PlaneOutcome) -> list[str]:
    """What was asked and what came out, in plain words."""
    ratio = np.mean(energy_ratio(outcome.cells), axis=0)
    means = {name: np.mean(values, axis=0) for name, values in outcome.cells.items()}
    chance = outcome.rank / outcome.dim
    overlap, ceiling = means["kept_local"], means["ceiling_local"]
    return [
        "Cosentino et al. say that a projection head maps to a low-dimensional space that is a"
        " noisy estimate of the tangent plane of the data, as the encoder lays them out. Here both"
        " are measured, image by image, with the planes along which augmentation moves an image.",
        f"From strength {outcome.strengths[0]:g} to {outcome.strengths[-1]:g} the overlap of what"
        f" the head keeps with the data's local tangent plane goes from {overlap[0]:.2f} to"
        f" {overlap[-1]:.2f} (chance {chance:.2f}, ceiling {ceiling[0]:.2f} to {ceiling[-1]:.2f});"
        " the share of data differences it holds over that of augmentation goes from"
        f" {ratio[0]:.2f} to {ratio[-1]:.2f}.",
    ]
