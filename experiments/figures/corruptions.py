"""Shifted test sets: clean against corrupted accuracy, and where the layer before the head wins."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from experiments.figures.style import (
    BLACK,
    COLORS,
    EMBEDDING,
    FEATURE,
    FULL_WIDTH,
    GRAY,
    drawing,
)

_LOOKS = ((COLORS[2], "^"), (FEATURE, "o"), (EMBEDDING, "s"), (GRAY, "D"))


class Scatter(NamedTuple):
    """Accuracies of one representation, (seeds, sizes)."""

    clean: Float[np.ndarray, "seeds sizes"]
    shifted: Float[np.ndarray, "seeds sizes"]


def corruptions_figure(
    path: Path,
    scatters: Mapping[str, Scatter],
    advantages: Mapping[str, Float[np.ndarray, "kinds severities"]],
    kinds: Sequence[str],
    severities: Sequence[int],
) -> None:
    """Scatter with a line for each representation, and maps of the advantage.

    Args:
      path: The PNG.
      scatters: By the representation's name; no head, before, after, random map.
      advantages: By data set, accuracy before the head less after it; mean over seeds.
      kinds: Corruptions, the rows of the maps.
      severities: Their columns.
    """
    with drawing(path, FULL_WIDTH, 3.5) as figure:
        left, *maps = figure.subplots(
            1, 1 + len(advantages), width_ratios=[1.9, *[1.0] * len(advantages)]
        )
        _scatter(left, scatters)
        _maps(figure, maps, advantages, kinds, severities)
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=4)


def _scatter(axes: Axes, scatters: Mapping[str, Scatter]) -> None:
    for (name, scatter), (color, marker) in zip(scatters.items(), _LOOKS):
        axes.plot(
            scatter.clean.ravel(),
            scatter.shifted.ravel(),
            marker,
            color=color,
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.4,
            alpha=0.9,
            label=name,
        )
        # One line over all seeds and probes; the verdict's lines are seed by seed.
        clean, shifted = scatter.clean.ravel(), scatter.shifted.ravel()
        slope, height = np.polyfit(clean, shifted, 1)
        ends = np.array([np.min(clean), np.max(clean)])
        axes.plot(ends, height + slope * ends, color=color, linewidth=1.2)
    axes.set_title("a  one point: a probe and a seed")
    axes.set_xlabel("accuracy on clean images")
    axes.set_ylabel("accuracy on corrupted images, mean")


def _maps(
    figure: Figure,
    panels: Sequence[Axes],
    advantages: Mapping[str, Float[np.ndarray, "kinds severities"]],
    kinds: Sequence[str],
    severities: Sequence[int],
) -> None:
    colors = LinearSegmentedColormap.from_list("layers", [EMBEDDING, "#f7f6f2", FEATURE])
    limit = max(float(np.max(np.abs(values))) for values in advantages.values())
    norm = TwoSlopeNorm(0.0, -limit, limit)
    image = None
    for axes, letter, (name, values) in zip(panels, "bcd", advantages.items()):
        image = axes.imshow(values, cmap=colors, norm=norm, aspect="auto")
        for row, column in np.ndindex(values.shape):
            axes.text(
                column,
                row,
                f"{round(100 * float(values[row, column])):d}".replace("-", "−"),
                ha="center",
                va="center",
                fontsize=7,
                color=BLACK,
            )
        axes.set_title(f"{letter}  {name}")
        axes.set_xticks(range(len(severities)), [str(severity) for severity in severities])
        axes.set_xlabel("severity")
        axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        axes.grid(visible=False)
        axes.tick_params(length=0)
        if axes is not panels[0]:
            axes.set_yticklabels([])
    if image is not None:
        bar = figure.colorbar(image, ax=list(panels), pad=0.02, aspect=30)
        bar.set_label("before the head − after it\n(points of accuracy)")
        bar.set_ticks(
            [-limit, 0.0, limit], labels=[f"−{100 * limit:.0f}", "0", f"{100 * limit:.0f}"]
        )
