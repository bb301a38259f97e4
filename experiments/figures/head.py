"""A linear head beside its prediction: the sizes of its modes, and how far its layers are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.figures.style import BLACK, COLORS, GRAY, MARKERS, drawing, positive

WIDTH = 5.2
SHOWN_MODES = 16


class HeadSizes(NamedTuple):
    """The sizes of the modes of one head, descending.

    Attributes:
      title: Which head.
      predicted: By theory.
      measured: By name of the state, for instance "as trained".
      gap: Size below which no mode can last under weight decay; 0 where there is no gap.
    """

    title: str
    predicted: Float[np.ndarray, " modes"]
    measured: Mapping[str, Float[np.ndarray, " modes"]]
    gap: float


def draw_head_sizes(path: Path, heads: Sequence[HeadSizes]) -> None:
    """Draw predicted and measured sizes of the modes, a panel for each head.

    Args:
      path: The PNG.
      heads: All with the same states.
    """
    columns = min(len(heads), 2)
    rows = -(-len(heads) // columns)
    shown = min(SHOWN_MODES, max(len(head.predicted) for head in heads))
    with drawing(path, WIDTH, 0.8 + 2.2 * rows) as figure:
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes in panels.ravel()[len(heads) :]:
            axes.remove()
        for axes, head in zip(panels.ravel(), heads, strict=False):
            _draw_sizes(axes, head, shown)
            axes.set_title(head.title)
        for axes in panels[:, 0]:
            axes.set_ylabel("size of the mode: eigenvalue of\nthe embedding's covariance")
        figure.legend(
            *panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2
        )


def _draw_sizes(axes: Axes, head: HeadSizes, shown: int) -> None:
    modes = np.arange(1, shown + 1)
    if head.gap > 0:
        label = "gap: no mode can last here"
        axes.axhspan(0, head.gap, color="#e9e4d8", linewidth=0, label=label)
    predicted = np.zeros(shown)
    predicted[: len(head.predicted)] = head.predicted[:shown]
    axes.plot(modes, predicted, color=COLORS[0], drawstyle="steps-mid", label="predicted")
    for place, (name, sizes) in enumerate(head.measured.items()):
        last = place == len(head.measured) - 1
        axes.plot(
            modes[: len(sizes)],
            sizes[:shown],
            "o" if last else "s",
            color=COLORS[1] if last else GRAY,
            markerfacecolor=COLORS[1] if last else "white",
            label=f"measured, {name}",
        )
    axes.set_xlabel("mode")
    axes.set_xlim(0.3, shown + 0.7)
    axes.set_ylim(0, None)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw_head_distances(
    path: Path,
    layers: Sequence[str],
    distances: Float[np.ndarray, "heads layers"],
    rivals: Mapping[str, Float[np.ndarray, "heads layers"]],
    accepted: Float[np.ndarray, "heads layers"],
) -> None:
    """Draw how far the Grams of layers are from the prediction and from every rival.

    Args:
      path: The PNG.
      layers: Names of the layers.
      distances: From the prediction.
      rivals: From each rival; NaN where it says nothing about a layer.
      accepted: Distance up to which a layer is accepted: what is judged, drawn as a bar.
    """
    names = ["prediction", *rivals]
    values = [distances, *rivals.values()]
    with drawing(path, WIDTH, 0.9 + 0.21 * len(names) * len(layers)) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        ticks = []
        height = -1
        for place, layer in enumerate(layers):
            low = height + 1
            for number, (name, array) in enumerate(zip(names, values, strict=True)):
                found = positive(array[:, place])
                own = number == 0
                if not np.isfinite(found).any():
                    continue
                height += 1
                axes.plot(
                    found,
                    np.full(len(found), height),
                    MARKERS[0] if own else "|",
                    color=COLORS[1] if own else GRAY,
                    markersize=5 if own else 8,
                )
                ticks.append((height, f"{layer}: {name}" if own else name))
            for bar in positive(accepted[:, place]):
                axes.plot([bar] * 2, [low - 0.45, low + 0.45], color=BLACK, linewidth=1.4)
            height += 1
        heights, labels = zip(*ticks, strict=True)
        axes.set_yticks(heights, labels)
        axes.set_ylim(max(heights) + 0.8, -0.8)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("distance from the head's own Gram (log ratio)")
