"""A sweep of the augmentation strength on a page."""

from pathlib import Path

import numpy as np

from experiments.figures.strength import Forecast, LayerPair, strength_sweep_figure
from experiments.report import Figure, Section
from experiments.strength_cells import SweepOutcome


def strength_section(out: Path, outcome: SweepOutcome, title: str) -> Section:
    """The figure of a sweep and what to see in it.

    Args:
      out: Folder of the figure.
      outcome: The sweep.
      title: Of the section.

    Returns:
      The section.
    """
    path = out / "strength_sweep.png"

    def pair(values: np.ndarray) -> LayerPair:
        return LayerPair(values[..., 0], values[..., 1])

    strength_sweep_figure(
        path,
        outcome.strengths,
        pair(outcome.probe_defects),
        pair(outcome.accuracies),
        Forecast(outcome.predicted_ranks, outcome.ranks[..., 1], outcome.valid),
        Forecast(outcome.predicted_defects, outcome.training_defects[..., 1], outcome.valid),
        {name.replace("_", " "): pair(values) for name, values in outcome.information.items()},
    )
    suppression = np.mean(outcome.probe_defects[..., 1] / outcome.probe_defects[..., 0], axis=0)
    gap = np.mean(outcome.accuracies[..., 0] - outcome.accuracies[..., 1], axis=0)
    gaps = ", ".join(
        f"{value:+.3f} at {strength:g}" for strength, value in zip(outcome.strengths, gap)
    )
    return Section(
        title,
        [
            _crossing_sentence(outcome.strengths, suppression),
            f"Linear-probe accuracy of the feature less that of the embedding: {gaps}.",
        ],
        [
            Figure(
                path,
                "Feature (before the head) and embedding (after it) against the strength they were"
                " trained at; points are means over seeds, bars their range. Lines in d and e are"
                " forecasts from the feature's covariances, drawn where their relaxation is valid.",
            )
        ],
    )


def _crossing_sentence(strengths: np.ndarray, suppression: np.ndarray) -> str:
    below = np.flatnonzero(suppression < 1)
    if below.size == 0 or below[0] == 0:
        return "The suppression R = I(embedding)/I(feature) does not cross 1 in this range."
    after = below[0]
    share = (suppression[after - 1] - 1) / (suppression[after - 1] - suppression[after])
    crossing = strengths[after - 1] + share * (strengths[after] - strengths[after - 1])
    return (
        f"The suppression R = I(embedding)/I(feature) crosses 1 near strength {crossing:.2f}: below"
        " it the head amplifies what augmentation changes, above it the head absorbs it."
    )
