"""Prediction against measurement, beside what a null would have given."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.figures.style import (
    BLACK,
    COLORS,
    FULL_WIDTH,
    GRAY,
    LIGHT_GRAY,
    MARKERS,
    drawing,
    legend_outside,
    seed_range,
)


class Pairs(NamedTuple):
    """Predicted numbers and what was measured for each, in any order, all > 0."""

    predicted: Float[np.ndarray, " points"]
    measured: Float[np.ndarray, " points"]


def predicted_against_measured_figure(
    path: Path,
    groups: Mapping[str, Pairs],
    nulls: Mapping[str, Pairs] | None = None,
    *,
    value_label: str = "eigenvalue of the layer's covariance",
    band: float = 0.1,
) -> None:
    """Measured against predicted numbers on the identity line, both axes logarithmic.

    Args:
      path: The PNG.
      groups: The numbers of each layer, by its name.
      nulls: The numbers each null predicts, with the same measurements, by its name.
      value_label: What the numbers are, with their unit.
      band: Half-width of the shaded band, as a fraction.
    """
    with drawing(path, 5.4, 3.6) as figure:
        axes = figure.subplots()
        for index, (name, pairs) in enumerate((nulls or {}).items()):
            marker = ("x", "+", "1", "2", "3", "4")[index % 6]
            color = LIGHT_GRAY if index % 2 else GRAY
            axes.plot(*pairs, marker, color=color, markersize=4, label=f"null: {name}", zorder=1.5)
        for index, (name, pairs) in enumerate(groups.items()):
            axes.plot(
                *pairs,
                MARKERS[index % len(MARKERS)],
                color=COLORS[index % len(COLORS)],
                markeredgecolor="white",
                markeredgewidth=0.3,
                label=name,
            )
        everything = [np.concatenate(pairs) for pairs in groups.values()]
        known = np.concatenate(everything)
        known = known[np.isfinite(known) & (known > 0)]
        low, high = (known.min() / 1.5, known.max() * 1.5) if known.size else (0.1, 1.0)
        line = np.array([low, high])
        axes.fill_between(
            line,
            line * (1 - band),
            line * (1 + band),
            color=BLACK,
            alpha=0.1,
            linewidth=0,
            label=f"within {band:.0%}",
            zorder=1,
        )
        axes.plot(line, line, color=BLACK, linewidth=1.0, label="prediction", zorder=2)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_xlabel(f"predicted {value_label}")
        axes.set_ylabel(f"measured\n{value_label}")
        legend_outside(axes)


def distances_figure(
    path: Path,
    layer_names: Sequence[str],
    prediction: Float[np.ndarray, "seeds layers"],
    nulls: Mapping[str, Float[np.ndarray, "seeds layers"]],
    *,
    tolerance: float | None = None,
    value_label: str = "distance from the measured Gram\n(RMS log eigenvalue ratio)",
) -> None:
    """Distance of the measured layers from the prediction and from each null, every seed a dot.

    Args:
      path: The PNG.
      layer_names: One name per layer.
      prediction: Distance of the measurement from the prediction, > 0.
      nulls: The same for each null, by its name; NaN where the null does not apply.
      tolerance: Largest distance accepted, drawn as a line.
      value_label: Of the vertical axis, with its unit.
    """
    kinds = [("prediction", prediction), *nulls.items()]
    step = 0.8 / len(kinds)
    with drawing(path, FULL_WIDTH, 3.0) as figure:
        axes = figure.subplots()
        for kind, (name, values) in enumerate(kinds):
            places = np.arange(len(layer_names)) + (kind - (len(kinds) - 1) / 2) * step
            color = COLORS[0] if kind == 0 else GRAY
            marker = "o" if kind == 0 else MARKERS[kind % len(MARKERS)]
            shown = np.where(values > 0, values, np.nan)
            axes.vlines(places, *seed_range(shown)[1:], color=color, linewidth=2.5, alpha=0.35)
            axes.plot(
                np.broadcast_to(places[None, :], shown.shape).ravel(),
                shown.ravel(),
                marker,
                color=color,
                markerfacecolor=color if kind == 0 else "white",
                markersize=5 if kind == 0 else 4.2,
                label=name if kind == 0 else f"null: {name}",
                zorder=3,
            )
        if tolerance is not None:
            axes.axhline(
                tolerance,
                color=BLACK,
                linewidth=0.9,
                linestyle=(0, (4, 3)),
                label=f"tolerance {tolerance:g}",
            )
        for border in np.arange(len(layer_names) - 1) + 0.5:
            axes.axvline(border, color="#dddddd", linewidth=0.7)
        axes.set_yscale("log")
        axes.set_xticks(np.arange(len(layer_names)), list(layer_names))
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.5, len(layer_names) - 0.5)
        axes.set_ylabel(value_label)
        legend_outside(axes)
