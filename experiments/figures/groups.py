"""Group shift: what the pictures are, and accuracy by representation and probe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes

from experiments.figures.style import (
    BLACK,
    COLORS,
    EMBEDDING,
    FEATURE,
    FULL_WIDTH,
    GRAY,
    drawing,
    measured_points,
    seed_range,
)

_LOOKS = {"no head": (COLORS[2], "^"), "before": (FEATURE, "o"), "after": (EMBEDDING, "s")}


class Point(NamedTuple):
    """One representation.

    Attributes:
      network: Its network, a place on the axis.
      side: "no head", "before" or "after".
      plain: Worst-group and average accuracy of the probe of biased images, (seeds, 2).
      robust: Of the retrained last layer.
      gaps: Background, object and both, (seeds, 3).
    """

    network: str
    side: str
    plain: Float[np.ndarray, "seeds 2"]
    robust: Float[np.ndarray, "seeds 2"]
    gaps: Float[np.ndarray, "seeds 3"]


def groups_figure(
    path: Path,
    pictures: UInt8[np.ndarray, "groups h w 3"],
    names: Sequence[str],
    shares: Sequence[float],
    points: Sequence[Point],
    gap_points: Mapping[str, Point],
) -> None:
    """One picture of each group, and three panels of accuracy.

    Args:
      path: The PNG.
      pictures: One of each group.
      names: Of the groups, in two or three lines.
      shares: Of the training images in each group.
      points: Representations of the first two panels.
      gap_points: Those of the last one, by their name.
    """
    with drawing(path, FULL_WIDTH, 4.8) as figure:
        top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=[1.35, 3.0]))
        for axes, picture, name, share in zip(
            top.subplots(1, len(pictures)), pictures, names, shares
        ):
            axes.imshow(picture, interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(f"{name}\n{100 * share:.1f} %", fontsize=7, loc="center")
        left, middle, right = bottom.subplots(1, 3, width_ratios=[1.0, 1.0, 1.15])
        _accuracies(left, points, "robust")
        left.set_title("a  last layer retrained,\n    groups in balance")
        _accuracies(middle, points, "plain")
        middle.set_title("b  probe fitted to the\n    biased images")
        _gaps(right, gap_points)
        bottom.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=5)


def _accuracies(axes: Axes, points: Sequence[Point], probe: str) -> None:
    networks = list(dict.fromkeys(point.network for point in points))
    shown = set()
    for point in points:
        color, marker = _LOOKS[point.side]
        place = networks.index(point.network)
        place = place + {"no head": 0.0, "before": -0.14, "after": 0.14}[point.side]
        accuracy = getattr(point, probe)
        label = None if point.side in shown else point.side.replace("before", "before the head")
        shown.add(point.side)
        measured_points(
            axes,
            np.array([place]),
            accuracy[:, :1],
            color=color,
            marker=marker,
            label=None if label is None else label.replace("after", "after it"),
            size=5.0,
        )
        axes.plot(
            [place],
            [seed_range(accuracy[:, 1:]).median[0]],
            "_",
            color=color,
            markersize=9,
            markeredgewidth=1.6,
        )
    axes.plot([], [], "_", color=GRAY, markersize=9, markeredgewidth=1.6, label="average")
    axes.plot([], [], "o", color=GRAY, markersize=5, label="worst group")
    axes.set_xticks(range(len(networks)), networks, fontsize=7)
    axes.set_xlim(-0.5, len(networks) - 0.5)
    axes.set_ylabel("accuracy")


def _gaps(axes: Axes, points: Mapping[str, Point]) -> None:
    places = np.arange(3)
    offsets = np.linspace(-0.28, 0.28, len(points))
    for offset, (name, point) in zip(offsets, points.items()):
        color, marker = _LOOKS[point.side]
        contrastive = "contrastive" in name
        measured_points(
            axes,
            places + offset,
            point.gaps,
            color=color,
            marker=marker,
            hollow=contrastive,
            label=name,
            size=4.5,
        )
    axes.axhline(0.0, color=BLACK, linewidth=0.8)
    axes.set_xticks(places, ["background", "object", "both"])
    axes.set_title("c  what misleading\n    shortcuts cost, as in b")
    axes.set_ylabel("accuracy, less that on groups\nas frequent as in training")
    axes.legend(loc="lower left", fontsize=7)
    low = axes.get_ylim()[0]
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 0])
    axes.set_ylim(low * 1.55, None)  # the legend stands below the points
