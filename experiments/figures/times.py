"""Time courses: when each mode is learned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.lines import Line2D

from experiments.figures.style import (
    BLACK,
    FULL_WIDTH,
    MARKERS,
    drawing,
    legend_outside,
    measured_points,
    ordered_colors,
)


def time_courses_figure(
    path: Path,
    predicted_times: Float[np.ndarray, " times"],
    predicted: Float[np.ndarray, "modes times"],
    measured_times: Float[np.ndarray, " moments"],
    measured: Float[np.ndarray, "seeds modes moments"],
    labels: Sequence[str],
    *,
    time_label: str = "gradient-flow time, the sum of learning rates",
    value_label: str = "layer-spectrum eigenvalue of the last layer",
    logarithmic_time: bool = False,
) -> None:
    """How each mode grows, predicted and measured, one color per mode.

    Args:
      path: The PNG.
      predicted_times: Gradient-flow times of the prediction, ascending.
      predicted: One row per mode.
      measured_times: Times of the measurements.
      measured: For each seed, one row per mode.
      labels: One per mode.
      time_label: Of the horizontal axis, with its unit.
      value_label: Of the vertical axis, with its unit.
      logarithmic_time: Draw time on a logarithmic axis; times up to zero are left out.
    """
    with drawing(path, FULL_WIDTH, 3.2) as figure:
        axes = figure.subplots()
        for mode, (label, color) in enumerate(zip(labels, ordered_colors(len(labels)))):
            axes.plot(predicted_times, predicted[mode], color=color)
            measured_points(
                axes,
                measured_times,
                measured[:, mode],
                color=color,
                marker=MARKERS[mode % len(MARKERS)],
                label=label,
            )
        if logarithmic_time:
            axes.set_xscale("log")
        axes.set_ylim(0, None)
        axes.set_xlabel(time_label)
        axes.set_ylabel(value_label)
        handles, names = axes.get_legend_handles_labels()
        key = [
            Line2D([], [], color=BLACK),
            Line2D([], [], color=BLACK, marker="o", linestyle="none"),
        ]
        legend_outside(
            axes,
            handles=[*key, *handles],
            labels=["predicted", "measured\n(median, range\nover seeds)", *names],
        )
