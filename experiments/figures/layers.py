"""Layer spectra: what each layer of a network keeps, predicted and measured."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.lines import Line2D

from experiments.figures.style import (
    BLACK,
    COLORS,
    COLUMN_WIDTH,
    FULL_WIDTH,
    MARKERS,
    drawing,
    legend_outside,
    measured_points,
    ordered_colors,
    positive,
)


def layer_spectra_figure(
    path: Path,
    predicted: Float[np.ndarray, "layers modes"],
    measured: Float[np.ndarray, "seeds layers modes"],
    layer_names: Sequence[str],
    *,
    compared: int | None = None,
    floor: float = 0.0,
    value_label: str = "eigenvalue of the layer's covariance",
) -> None:
    """Predicted and measured layer spectra on a logarithmic axis, one color per layer.

    Args:
      path: The PNG.
      predicted: Eigenvalues of each layer's covariance, descending.
      measured: The same, for each seed.
      layer_names: One name per layer, in order.
      compared: Number of leading modes the verdict is about; a line marks where they end.
      floor: Eigenvalues up to here are not drawn.
      value_label: Of the vertical axis, with its unit.
    """
    modes = np.arange(1, predicted.shape[-1] + 1)
    with drawing(path, FULL_WIDTH, 3.4) as figure:
        axes = figure.subplots()
        for layer, (name, color) in enumerate(zip(layer_names, ordered_colors(len(layer_names)))):
            axes.plot(modes, positive(predicted[layer], floor), color=color)
            measured_points(
                axes,
                modes,
                positive(measured[:, layer], floor),
                color=color,
                marker=MARKERS[layer % len(MARKERS)],
                label=name,
                size=3.4,
            )
        if compared is not None:
            axes.axvline(compared + 0.5, color=BLACK, linewidth=0.8, linestyle=(0, (4, 3)))
            axes.annotate(
                f"compared: first {compared} ",
                (compared + 0.5, 1.0),
                xycoords=("data", "axes fraction"),
                ha="right",
                va="top",
                fontsize=8,
            )
        axes.set_yscale("log")
        axes.set_xlim(0.3, modes[-1] + 0.7)
        axes.set_xlabel("mode index, largest first")
        axes.set_ylabel(value_label)
        handles, labels = axes.get_legend_handles_labels()
        key = [
            Line2D([], [], color=BLACK),
            Line2D([], [], color=BLACK, marker="o", linestyle="none"),
        ]
        legend_outside(
            axes,
            handles=[*key, *handles],
            labels=["predicted", "measured\n(median, range\nover seeds)", *labels],
        )


def exponent_figure(
    path: Path,
    theory: Float[np.ndarray, " layers"],
    measured: Float[np.ndarray, "seeds layers"],
    nulls: dict[str, Float[np.ndarray, " layers"]] | None = None,
    *,
    tolerance: float | None = None,
) -> None:
    """The exponent of each layer's Gram against the theory's l/L.

    Args:
      path: The PNG.
      theory: l/L for each layer.
      measured: Slope of log Gram_l against log Gram_L, for each seed.
      nulls: The same slope for each null, by its name.
      tolerance: Half-width of the band in which the law passes.
    """
    with drawing(path, COLUMN_WIDTH, 3.1) as figure:
        axes = figure.subplots()
        line = np.array([0.0, 1.05])
        if tolerance is not None:
            axes.fill_between(
                line,
                line - tolerance,
                line + tolerance,
                color=COLORS[0],
                alpha=0.12,
                linewidth=0,
                label=f"tolerance ±{tolerance:g}",
            )
        axes.plot(line, line, color=BLACK, label="predicted, l/L")
        for index, (name, values) in enumerate((nulls or {}).items()):
            marker = ("x", "+", "1", "2", "3", "4")[index % 6]
            axes.plot(theory, values, marker, color="#777777", label=name, markersize=6)
        measured_points(
            axes, theory, measured, color=COLORS[1], label="measured (range over seeds)", size=5.5
        )
        axes.set_xlim(0, 1.05)
        axes.set_ylim(0, None)
        axes.set_xlabel("layer l / depth L")
        axes.set_ylabel("exponent of the layer's Gram")
        axes.legend(loc="upper left")
