"""Augmentation strength: what the projection head loses and the feature keeps."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes

from experiments.figures.style import (
    BLACK,
    EMBEDDING,
    FEATURE,
    FULL_WIDTH,
    GRAY,
    MARKERS,
    drawing,
    measured_points,
    seed_range,
)

OverSeeds = Float[np.ndarray, "seeds strengths"]


class LayerPair(NamedTuple):
    """The same quantity before and after the projection head."""

    feature: OverSeeds
    embedding: OverSeeds


class Forecast(NamedTuple):
    """A quantity of the embedding as predicted, as measured, and where the prediction is valid."""

    predicted: OverSeeds
    measured: OverSeeds
    valid: Bool[np.ndarray, "seeds strengths"]


def strength_sweep_figure(
    path: Path,
    strengths: Float[np.ndarray, " strengths"],
    defect: LayerPair,
    accuracy: LayerPair,
    rank_forecast: Forecast,
    defect_forecast: Forecast,
    information: Mapping[str, LayerPair] | None = None,
    *,
    untrained: float | None = None,
) -> None:
    """Invariance defect, suppression, effective rank and accuracy over augmentation strength.

    Args:
      path: The PNG.
      strengths: Augmentation strengths of training, ascending.
      defect: Invariance defect at one fixed probe strength.
      accuracy: Accuracy of a linear probe.
      rank_forecast: Effective rank of the embedding at training strength.
      defect_forecast: Invariance defect of the embedding at training strength.
      information: How well a probe recovers each augmentation parameter (R²), by its name.
      untrained: Suppression of networks before training.
    """
    with drawing(path, FULL_WIDTH, 4.6) as figure:
        panels = figure.subplots(2, 3, sharex=True)
        a, b, c, d, e, f = panels.ravel()
        _pair(a, strengths, defect)
        a.set_title("a  invariance defect,\n    fixed probe strength")
        a.set_ylabel("invariance defect I")
        a.set_ylim(0, None)
        _suppression(b, strengths, defect, untrained)
        _pair(c, strengths, accuracy)
        c.set_title("c  linear probe")
        c.set_ylabel("accuracy")
        _forecast(d, strengths, rank_forecast)
        d.set_title("d  effective rank after\n    the head")
        d.set_ylabel("effective rank, dimensions")
        _forecast(e, strengths, defect_forecast)
        e.set_title("e  defect after the head,\n    training strength")
        e.set_ylabel("invariance defect I")
        if information:
            _information(f, strengths, information)
        else:
            f.remove()
        for axes in (d, e, f):
            axes.set_xlabel("augmentation strength")
        figure.legend(*a.get_legend_handles_labels(), loc="outside upper left", ncols=2)
        figure.legend(*d.get_legend_handles_labels(), loc="outside upper right", ncols=2)


def _pair(axes: Axes, strengths: Float[np.ndarray, " strengths"], pair: LayerPair) -> None:
    for values, color, marker, label in (
        (pair.feature, FEATURE, "o", "feature, before the head"),
        (pair.embedding, EMBEDDING, "s", "embedding, after it"),
    ):
        axes.plot(strengths, seed_range(values).median, color=color, linewidth=0.8, alpha=0.5)
        measured_points(axes, strengths, values, color=color, marker=marker, label=label)


def _suppression(
    axes: Axes,
    strengths: Float[np.ndarray, " strengths"],
    defect: LayerPair,
    untrained: float | None,
) -> None:
    ratio = defect.embedding / defect.feature
    axes.axhline(1.0, color=BLACK, linewidth=0.9)
    if untrained is not None:
        axes.axhline(untrained, color=GRAY, linewidth=1.0, linestyle="--")
        axes.annotate(
            "untrained", (strengths[-1], untrained), ha="right", va="top", color=GRAY, fontsize=8
        )
    axes.plot(strengths, seed_range(ratio).median, color=BLACK, linewidth=0.8, alpha=0.5)
    measured_points(axes, strengths, ratio, color=BLACK)
    axes.set_yscale("log")
    axes.set_yticks([0.25, 0.5, 1.0, 2.0], ["0.25", "0.5", "1", "2"])
    axes.minorticks_off()
    axes.set_title("b  suppression R")
    axes.set_ylabel("I after / I before")
    crossing = crossing_strength(strengths, seed_range(ratio).median)
    if np.isfinite(crossing):
        axes.axvline(crossing, color=BLACK, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.annotate(
            f" crosses 1 at {crossing:.2f}",
            (crossing, 0.03),
            xycoords=("data", "axes fraction"),
            va="bottom",
            fontsize=8,
        )


def crossing_strength(
    strengths: Float[np.ndarray, " strengths"], ratio: Float[np.ndarray, " strengths"]
) -> float:
    """Strength at which a ratio first falls through 1, interpolated in its logarithm.

    Args:
      strengths: Ascending.
      ratio: > 0.

    Returns:
      The strength, NaN if the ratio does not fall through 1.

    Example:
      >>> crossing_strength(np.array([0.1, 0.3]), np.array([2.0, 0.5]))
      0.2
    """
    heights = np.log(ratio)
    below = np.flatnonzero((heights[:-1] > 0) & (heights[1:] <= 0))
    if below.size == 0:
        return float("nan")
    first = below[0]
    share = heights[first] / (heights[first] - heights[first + 1])
    return round(float(strengths[first] + share * np.diff(strengths)[first]), 12)


def _forecast(axes: Axes, strengths: Float[np.ndarray, " strengths"], forecast: Forecast) -> None:
    predicted = seed_range(np.where(forecast.valid, forecast.predicted, np.nan))
    axes.plot(strengths, predicted.median, color=EMBEDDING, label="predicted (water-filling)")
    axes.fill_between(
        strengths, predicted.low, predicted.high, color=EMBEDDING, alpha=0.15, linewidth=0
    )
    measured_points(
        axes, strengths, forecast.measured, color=EMBEDDING, marker="s", label="measured"
    )
    invalid = strengths[~forecast.valid.all(axis=0)]
    if invalid.size:
        known = strengths[forecast.valid.all(axis=0)]
        before = known[known < invalid[0]]
        edge = (before[-1] + invalid[0]) / 2 if before.size else invalid[0]
        axes.axvspan(edge, strengths[-1] * 1.05, color="#eeeeee", linewidth=0)
        axes.annotate("not valid", (edge, 0.03), xycoords=("data", "axes fraction"), fontsize=8)
    axes.set_ylim(0, None)


def _information(
    axes: Axes, strengths: Float[np.ndarray, " strengths"], information: Mapping[str, LayerPair]
) -> None:
    for index, (name, pair) in enumerate(information.items()):
        marker = MARKERS[index % len(MARKERS)]
        for values, color in ((pair.feature, FEATURE), (pair.embedding, EMBEDDING)):
            axes.plot(strengths, seed_range(values).median, color=color, linewidth=0.8, alpha=0.5)
            measured_points(axes, strengths, values, color=color, marker=marker)
        axes.plot([], [], marker, color=BLACK, label=name)
    axes.set_title("f  augmentation parameters\n    recovered by a probe")
    axes.set_ylabel("R²")
    highest = max(float(np.nanmax(value)) for pair in information.values() for value in pair)
    # Room for the legend.
    axes.set_ylim(0, min(1.0, 1.7 * max(highest, 0.1)))
    axes.legend(loc="upper left", ncols=2, columnspacing=0.8, handlelength=0.8, handletextpad=0.5)
