"""A sweep of the augmentation strength on a page: layers, and ranks."""

from pathlib import Path

import numpy as np

from experiments.embedding_ranks import DEFINITIONS
from experiments.figures.strength import Forecast, LayerPair, strength_sweep_figure
from experiments.figures.strength_ranks import strength_ranks_figure
from experiments.report import Figure, Section
from experiments.strength_cells import SweepOutcome
from experiments.strength_rank_rows import RankOutcome


def strength_section(
    out: Path, outcome: SweepOutcome, title: str, untrained: SweepOutcome | None = None
) -> Section:
    """The figure of a sweep and what to see in it.

    Args:
      out: Folder of the figure.
      outcome: The sweep.
      title: Of the section.
      untrained: The networks before training, at one strength, to compare with.

    Returns:
      The section.
    """
    path = out / "strength_sweep.png"

    def pair(values: np.ndarray) -> LayerPair:
        return LayerPair(values[..., 0], values[..., 1])

    before = None
    if untrained is not None:
        before = untrained.probe_defects[..., 1] / untrained.probe_defects[..., 0]
    strength_sweep_figure(
        path,
        outcome.strengths,
        pair(outcome.probe_defects),
        pair(outcome.accuracies),
        Forecast(outcome.predicted_ranks, outcome.ranks[..., 1], outcome.valid),
        Forecast(outcome.predicted_defects, outcome.training_defects[..., 1], outcome.valid),
        {
            name.removeprefix("jitter_").replace("_", " "): pair(values)
            for name, values in outcome.information.items()
        },
        untrained=None if before is None else float(np.mean(before)),
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
            *_untrained_sentences(untrained),
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


def _untrained_sentences(untrained: SweepOutcome | None) -> list[str]:
    if untrained is None:
        return []
    ratio = untrained.probe_defects[..., 1] / untrained.probe_defects[..., 0]
    kept, read = (
        np.mean([pair[..., layer] for pair in untrained.information.values()]) for layer in (0, 1)
    )
    return [
        "The null for what training is said to do is the same network before training: there"
        f" R = {np.mean(ratio):.2f} (from {np.min(ratio):.2f} to {np.max(ratio):.2f} over seeds),"
        f" and augmentation parameters are read off with R² = {kept:.2f} at the feature and"
        f" {read:.2f} at the embedding, which is narrower."
    ]


def rank_section(out: Path, ranks: RankOutcome, title: str) -> Section:
    """Ranks by every definition, and the singular values behind them.

    Args:
      out: Folder of the figure.
      ranks: On clean images.
      title: Of the section.

    Returns:
      The section.
    """
    path = out / "strength_ranks.png"
    strength_ranks_figure(
        path,
        ranks.strengths,
        ranks.embedding_values,
        ranks.slope_values,
        dict(zip(DEFINITIONS, np.moveaxis(ranks.clean[..., 1], -1, 0))),
        ranks.local,
    )
    return Section(
        title,
        [
            "Rank has many definitions, and they need not agree: an entropy counts directions by"
            " their share of the variance, a threshold counts all that are not tiny. Global ranks"
            " are of the embeddings of clean images; the local rank is of the matrix with which"
            " the head maps small changes of one feature, exact for a head with ReLU."
        ],
        [
            Figure(
                path,
                "a: singular values of the clean, centered embeddings, by strength of training."
                " b: singular values of the head's local slope, mean over images. Both relative to"
                " the largest; medians over seeds. c: ranks by each definition; bars span the"
                " seeds.",
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
