"""Prediction against measurement, beside what a null would have given."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from experiments.figures.style import (
    BLACK,
    COLORS,
    FULL_WIDTH,
    GRAY,
    MARKERS,
    drawing,
    legend_outside,
    seed_range,
)


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
