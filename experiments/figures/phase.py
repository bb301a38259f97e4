"""The map of which layer wins."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

from experiments.figures.style import BLACK, COLORS, drawing

WIDTH = 5.4


class PhasePoints(NamedTuple):
    """Simulated points.

    Attributes:
      places: Retention and strength.
      gains: Accuracy before the head less that after it.
      clear: Whether the gain is beyond two standard errors.
    """

    places: Float[np.ndarray, "points 2"]
    gains: Float[np.ndarray, " points"]
    clear: Bool[np.ndarray, " points"]


def draw_phase(
    path: Path,
    retentions: Float[np.ndarray, " retentions"],
    strengths: Float[np.ndarray, " strengths"],
    advantage: Float[np.ndarray, "two strengths retentions"],
    edges: Float[np.ndarray, " strengths"],
    points: PhasePoints,
    weight_decay: float,
) -> None:
    """Draw the advantage of the layer before the head, without and with weight decay.

    Args:
      path: The PNG.
      retentions: Augmentation retention of the task's feature, ascending.
      strengths: Its strength, ascending, drawn on a logarithmic axis.
      advantage: log2 of labels needed after the head over before it, without and with weight decay;
        NaN where the feature is in neither layer.
      edges: Retention at which both layers are equal, for each strength; may lie outside [0, 1].
      points: Simulations.
      weight_decay: Of the second map.
    """
    # Values beyond are drawn in the darkest color, so that small advantages are seen at all.
    limit = 3.0
    colors = LinearSegmentedColormap.from_list("layers", [COLORS[1], "#f7f6f2", COLORS[0]])
    colors = colors.with_extremes(bad="#bdbdbd")
    with drawing(path, WIDTH, 3.3) as figure:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        norm = TwoSlopeNorm(0.0, -limit, limit)
        for axes, values in zip(panels, advantage):
            axes.pcolormesh(
                retentions,
                strengths,
                np.ma.masked_invalid(np.clip(values, -limit, limit)),
                cmap=colors,
                norm=norm,
                shading="nearest",
                rasterized=True,
            )
            axes.set_yscale("log")
            axes.set_xlim(retentions[0], retentions[-1])
            axes.set_ylim(strengths[0], strengths[-1])
            axes.grid(visible=False)
            axes.set_xlabel("retention α of the feature")
        left, right = panels
        inside = (edges >= retentions[0]) & (edges <= retentions[-1])
        left.plot(edges[inside], strengths[inside], color=BLACK, linewidth=1.4)
        _draw_points(left, points)
        left.set_ylabel("strength φ of the feature")
        left.set_title("no weight decay")
        right.set_title(f"weight decay {weight_decay:g}")
        for axes, text, place in (
            (left, "disrupted by\naugmentation", (0.03, 0.63)),
            (left, "too weak", (0.6, 0.055)),
            (left, "too strong", (0.6, 0.945)),
            (right, "gray: in neither layer", (0.06, 0.055)),
        ):
            axes.annotate(
                text,
                place,
                xycoords="axes fraction",
                fontsize=8.5,
                color=BLACK,
                va="center",
                bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "linewidth": 0},
            )
        bar = figure.colorbar(ScalarMappable(norm, colors), ax=panels, pad=0.02, extend="both")
        bar.set_label("log2 of labels, after / before")
        figure.legend(loc="outside upper left", ncols=3)


def _draw_points(axes: Axes, points: PhasePoints) -> None:
    for chosen, color, label in (
        (points.clear & (points.gains > 0), COLORS[0], "simulated: before the head better"),
        (points.clear & (points.gains < 0), COLORS[1], "simulated: after the head better"),
    ):
        axes.plot(
            *points.places[chosen].T,
            "o",
            color=color,
            markeredgecolor="white",
            markersize=4.5,
            label=label,
            linestyle="none",
        )
    if not points.clear.all():
        axes.plot(
            *points.places[~points.clear].T,
            "x",
            color="#555555",
            markersize=4.5,
            label="tie",
            linestyle="none",
        )
