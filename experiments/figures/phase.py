"""The map of which layer wins."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

from experiments.figures.style import BLACK, COLORS, drawing


def phase_figure(
    path: Path,
    retentions: Float[np.ndarray, " retentions"],
    strengths: Float[np.ndarray, " strengths"],
    advantage: Float[np.ndarray, "strengths retentions"],
    edges: Float[np.ndarray, " strengths"],
    points: Float[np.ndarray, "points 2"],
    gains: Float[np.ndarray, " points"],
    clear: Bool[np.ndarray, " points"],
) -> None:
    """Advantage of the layer before the head, with simulated winners on top.

    Args:
      path: The PNG.
      retentions: Augmentation retention of the task's feature, ascending.
      strengths: Its strength, ascending, drawn on a logarithmic axis.
      advantage: log2 of the indicator after the head over the one before it.
      edges: Retention at which both layers are equal, for each strength; may lie outside [0, 1].
      points: Retention and strength of each simulation.
      gains: Its accuracy before the head less that after it.
      clear: Whether the gain is beyond two standard errors.
    """
    limit = float(np.max(np.abs(np.clip(advantage, -2, 3))))
    colors = LinearSegmentedColormap.from_list("layers", [COLORS[1], "#f7f6f2", COLORS[0]])
    with drawing(path, 5.6, 4.0) as figure:
        axes = figure.subplots()
        mesh = axes.pcolormesh(
            retentions,
            strengths,
            np.clip(advantage, -limit, limit),
            cmap=colors,
            norm=TwoSlopeNorm(0.0, -limit, limit),
            shading="gouraud",
            rasterized=True,
        )
        inside = edges <= 1.0
        axes.plot(edges[inside], strengths[inside], color=BLACK, linewidth=1.4)
        before = clear & (gains > 0)
        after = clear & (gains < 0)
        for chosen, color, label in (
            (before, COLORS[0], "simulated: before the head better"),
            (after, COLORS[1], "simulated: after the head better"),
        ):
            axes.plot(
                *points[chosen].T,
                "o",
                color=color,
                markeredgecolor="white",
                markersize=5,
                label=label,
                linestyle="none",
            )
        if np.any(~clear):
            axes.plot(*points[~clear].T, "x", color="#555555", label="tie", linestyle="none")
        axes.set_yscale("log")
        axes.set_xlim(retentions[0], retentions[-1])
        axes.set_ylim(strengths[0], strengths[-1])
        axes.grid(visible=False)
        axes.set_xlabel("augmentation retention α of the task's feature")
        axes.set_ylabel("strength φ of the task's feature")
        for text, place in (
            ("disrupted by\naugmentation", (0.03, 0.63)),
            ("too weak", (0.6, 0.055)),
            ("too strong", (0.6, 0.945)),
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
        bar = figure.colorbar(mesh, ax=axes, pad=0.02)
        bar.set_label("log2 of labels needed after / before the head")
        figure.legend(loc="outside upper left", ncols=3)
