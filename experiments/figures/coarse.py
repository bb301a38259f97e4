"""Coarse to fine: what each layer of a network trained on coarse classes knows of fine ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.figures.style import (
    BLACK,
    COLORS,
    EMBEDDING,
    FEATURE,
    FULL_WIDTH,
    drawing,
    measured_points,
    seed_range,
)

FINE, COARSE = COLORS[2], COLORS[3]


class Panel(NamedTuple):
    """One loss; arrays are (seeds, layers), nulls (seeds, feature and embedding).

    Attributes:
      names: Of the layers.
      fine: Accuracy for the fine classes.
      coarse: For the coarse ones.
      random_fine: With a random head on the trained encoder, fine.
      random_coarse: The same, coarse.
      inside: Share of variance inside coarse classes.
      random_inside: The same with a random head.
      forecast: Of the embedding's share, or NaN.
    """

    names: tuple[str, ...]
    fine: Float[np.ndarray, "seeds layers"]
    coarse: Float[np.ndarray, "seeds layers"]
    random_fine: Float[np.ndarray, "seeds 2"]
    random_coarse: Float[np.ndarray, "seeds 2"]
    inside: Float[np.ndarray, "seeds layers"]
    random_inside: Float[np.ndarray, "seeds 2"]
    forecast: Float[np.ndarray, " seeds"]


class FixedHead(NamedTuple):
    """Fine accuracy at feature and embedding, (seeds, 2), of one head seen by one probe."""

    values: Float[np.ndarray, "seeds 2"]
    label: str


def coarse_figure(
    path: Path,
    panels: Mapping[str, Panel],
    heads: list[FixedHead],
    chances: tuple[float, float],
) -> None:
    """Accuracy and collapse by layer for two losses, and the fixed head beside the trained one.

    Args:
      path: The PNG.
      panels: One for each loss, by its name; two.
      heads: Bars of the last panel.
      chances: Accuracy of guessing, fine and coarse.
    """
    with drawing(path, FULL_WIDTH, 5.0) as figure:
        grid = figure.subplots(2, 2)
        for axes, letter, (name, panel) in zip(grid[0], "ab", panels.items()):
            _accuracies(axes, panel, chances)
            axes.set_title(f"{letter}  {name}")
        top = max(float(np.max(panel.coarse)) for panel in panels.values())
        for axes in grid[0]:
            axes.set_ylim(0, 1.1 * top)
        _collapse(grid[1, 0], panels)
        _heads(grid[1, 1], heads)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4)


def _layer_axis(axes: Axes, names: tuple[str, ...]) -> np.ndarray:
    places = np.arange(len(names))
    shown = [name.replace("stage", "stage ").replace("head", "head ") for name in names]
    axes.set_xticks(places, shown)
    axes.set_xlim(-0.4, len(names) - 0.6)
    # From the feature on, layers belong to the head, which is thrown away.
    axes.axvspan(names.index("feature") + 0.5, len(names), color="#f1f1f1", linewidth=0)
    return places


def _accuracies(axes: Axes, panel: Panel, chances: tuple[float, float]) -> None:
    places = _layer_axis(axes, panel.names)
    last = places[[panel.names.index("feature"), -1]]
    for values, null, color, marker, chance, label in (
        (panel.coarse, panel.random_coarse, COARSE, "s", chances[1], "coarse classes (trained on)"),
        (panel.fine, panel.random_fine, FINE, "o", chances[0], "fine classes (never seen)"),
    ):
        axes.plot(places, seed_range(values).median, color=color, linewidth=0.9, alpha=0.6)
        measured_points(axes, places, values, color=color, marker=marker, label=label, size=5.0)
        axes.plot(last, seed_range(null).median, color=color, linewidth=0.9, linestyle=(0, (4, 2)))
        measured_points(
            axes, last[1:], null[:, 1:], color=color, marker=marker, hollow=True, size=4.5
        )
        axes.axhline(chance, color=color, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.plot(
        [], [], "D", color=BLACK, markerfacecolor="white", label="after a random head", markersize=4
    )
    axes.plot([], [], color=BLACK, linewidth=0.8, linestyle=(0, (1, 2)), label="chance")
    axes.set_ylabel("accuracy of a linear probe")


def _collapse(axes: Axes, panels: Mapping[str, Panel]) -> None:
    names = next(iter(panels.values())).names
    places = _layer_axis(axes, names)
    last = places[[names.index("feature"), -1]]
    for (name, panel), color, marker in zip(panels.items(), (BLACK, COLORS[4]), "oD"):
        axes.plot(places, seed_range(panel.inside).median, color=color, linewidth=0.9, alpha=0.6)
        measured_points(
            axes, places, panel.inside, color=color, marker=marker, label=name, size=4.5
        )
        random = panel.random_inside
        axes.plot(last, seed_range(random).median, color=color, lw=0.9, linestyle=(0, (4, 2)))
        measured_points(axes, last[1:], random[:, 1:], color=color, marker=marker, hollow=True)
        if np.all(np.isfinite(panel.forecast)):
            axes.plot(
                [places[-1] + 0.22],
                [np.median(panel.forecast)],
                "_",
                color=color,
                markersize=11,
                markeredgewidth=2.2,
                label="forecast, linear head",
            )
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.8 * (high - low), high)  # the legend stands below the curves
    axes.set_title("c  collapse of the coarse classes")
    axes.set_ylabel("share of variance inside them")
    axes.legend(loc="lower left")


def _heads(axes: Axes, heads: list[FixedHead]) -> None:
    places = np.arange(len(heads))
    for offset, index, color, label in (
        (-0.17, 0, FEATURE, "before the head"),
        (0.17, 1, EMBEDDING, "after it"),
    ):
        values = np.stack([head.values[:, index] for head in heads], axis=1)
        axes.bar(places + offset, seed_range(values).median, 0.32, color=color, alpha=0.35)
        measured_points(axes, places + offset, values, color=color, label=label)
    axes.set_xticks(places, [head.label for head in heads])
    axes.set_title("d  the fixed reweighting head")
    axes.set_ylabel("accuracy, fine classes")
    axes.margins(y=0.3)
    axes.set_ylim(0, None)
    axes.legend(loc="upper right", ncols=2)
