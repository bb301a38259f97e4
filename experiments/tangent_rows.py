"""Claim 12, with rules fixed before the runs shown: overlaps, energies, exact tangents."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row
from experiments.sampled_tangents import SAMPLE_COUNTS, SAMPLE_STRENGTHS, SampledTangents
from experiments.tangent_planes import PlaneCell
from ssljax.system.arrays import Float

ABSTRACT = "Cosentino et al. 2022, abstract"
DELTA = "first-order change of a feature along an orbit, derived"
SPIKE = "leading direction of a spiked covariance (Baik, Ben Arous and Péché 2005; Paul 2007)"
LEAST_RATIO = 1.05
LEAST_SKILL = 0.1
OVERLAP_TOLERANCE = 0.1
SPREAD_TOLERANCE = 0.1
SINE_TOLERANCE = 0.1
SMALL = 1
"""Which of the sampled strengths is the small one that first order is asked about."""

Cells = Float[np.ndarray, "seeds strengths"]


class PlaneOutcome(NamedTuple):
    """Planes over a sweep of the strength, on held-out images.

    Attributes:
      strengths: Augmentation strengths of training.
      cells: Fields of `PlaneCell`, each (seeds, strengths).
      untrained: The same before training, (seeds, 1).
      rank: Dimensions of the planes.
      dim: Width of the feature.
      sampled: Of the network of the middle strength, for each seed.
    """

    strengths: Float[np.ndarray, " strengths"]
    cells: dict[str, Cells]
    untrained: dict[str, Cells]
    rank: int
    dim: int
    sampled: tuple[SampledTangents, ...]


def gathered_cells(cells: Sequence[Sequence[PlaneCell]]) -> dict[str, Cells]:
    """Each field of the cells as an array, one row for each seed."""
    return {
        name: np.array([[getattr(cell, name) for cell in row] for row in cells])
        for name in PlaneCell._fields
    }


def energy_ratio(cells: dict[str, Cells], kept: str = "") -> Cells:
    """Data energy over augmentation energy in what the head keeps, or in a "random_" plane."""
    return cells[f"{kept}data_energy"] / cells[f"{kept}augmentation_energy"]


def plane_skill(cells: dict[str, Cells], plane: str, chance: float) -> Cells:
    """Where an overlap with the data lies between chance, 0, and its split-half ceiling, 1.

    Args:
      cells: Measured overlaps.
      plane: "local" or "global".
      chance: Overlap of a random plane.

    Returns:
      The share.
    """
    return (cells[f"kept_{plane}"] - chance) / (cells[f"ceiling_{plane}"] - chance)


def plane_rows(outcome: PlaneOutcome, label: str) -> tuple[Row, ...]:
    """Everything the claim says, and what it stands on.

    Args:
      outcome: The sweep.
      label: Which data and head, for the claims' text.

    Returns:
      Rows of claim 12.
    """
    chance = outcome.rank / outcome.dim
    local = plane_skill(outcome.cells, "local", chance)
    ratio = energy_ratio(outcome.cells)
    nulls = (energy_ratio(outcome.untrained), energy_ratio(outcome.cells, "random_"))
    return (
        *(
            bound_row(
                12,
                f"{label}: the {outcome.rank} directions the head keeps overlap with the data's"
                f" {name} beyond chance, at every strength (0 chance, 1 split-half ceiling; at"
                f" least {LEAST_SKILL:g}; null: before training)",
                ABSTRACT,
                LEAST_SKILL,
                np.min(plane_skill(outcome.cells, plane, chance), axis=1),
                null=_shortfall(LEAST_SKILL, plane_skill(outcome.untrained, plane, chance)),
            )
            for plane, name in (("local", "local tangent plane"), ("global", "global plane"))
        ),
        bound_row(
            12,
            f"{label}: the estimate is a noisy one: its overlap with the local tangent plane stays"
            f" below the ceiling by {LEAST_SKILL:g} of the way, at every strength",
            ABSTRACT,
            LEAST_SKILL,
            np.min(1.0 - local, axis=1),
            null=LEAST_SKILL,
        ),
        bound_row(
            12,
            f"{label}: these directions hold a larger share of differences between neighbors than"
            f" of augmentation, at every strength (ratio, at least {LEAST_RATIO:g}; nulls: before"
            " training, random directions)",
            ABSTRACT,
            LEAST_RATIO,
            np.min(ratio, axis=1),
            null=min(_shortfall(LEAST_RATIO, null) for null in nulls),
        ),
        monotone_row(
            12,
            f"{label}: that ratio rises with strength (Kendall's tau; from"
            f" {np.mean(ratio[:, 0]):.2f} to {np.mean(ratio[:, -1]):.2f})",
            ABSTRACT,
            [kendall(outcome.strengths, row) for row in ratio],
        ),
        *_sampling_rows(outcome.sampled, label),
    )


def _shortfall(bound: float, values: np.ndarray) -> float:
    return max(bound - float(np.max(values)), 0.0)


def _sampling_rows(sampled: Sequence[SampledTangents], label: str) -> tuple[Row, ...]:
    """Sampled planes become the exact ones as strength falls; sampling has a known error."""
    small, large = SAMPLE_STRENGTHS[SMALL], SAMPLE_STRENGTHS[-1]
    overlaps = np.array([one.group_overlaps[SMALL] for one in sampled])
    chance = float(np.mean([one.random_overlap for one in sampled]))
    logs = np.abs(np.log([one.spread_ratios for one in sampled]))
    sines = np.array([one.sines for one in sampled])
    predicted = np.array([one.predicted_sines for one in sampled])
    counts = ", ".join(str(count) for count in SAMPLE_COUNTS)
    return (
        error_row(
            12,
            f"{label}: the plane of views sampled at strength {small:g} is the exact augmentation"
            " tangent (1 − mean squared cosine; null: a random plane)",
            DELTA,
            1.0 - overlaps,
            1.0 - chance,
            OVERLAP_TOLERANCE,
        ),
        error_row(
            12,
            f"{label}: exact tangents give the spread of views at strength {small:g} (log error;"
            f" null: at strength {large:g})",
            DELTA,
            logs[:, SMALL],
            float(np.min(logs[:, -1])),
            SPREAD_TOLERANCE,
        ),
        error_row(
            12,
            f"{label}: error of a tangent sampled in noise, {counts} views (largest error of the"
            " sine; null: sampling finds the tangent)",
            SPIKE,
            np.max(np.abs(sines - predicted), axis=1),
            float(np.min(np.max(sines, axis=1))),
            SINE_TOLERANCE,
        ),
    )
