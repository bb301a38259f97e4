"""Imbalance of linear heads: along training, and where gradient noise holds it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.figures.style import (
    BLACK,
    COLORS,
    FULL_WIDTH,
    MARKERS,
    drawing,
    seed_range,
)


class CourseLines(NamedTuple):
    """Imbalance of each seed against how much decay has acted."""

    clock: Float[np.ndarray, " moments"]
    imbalance: Float[np.ndarray, "seeds moments"]


class Points(NamedTuple):
    """‖D‖ at rest, each seed."""

    predicted: Float[np.ndarray, " seeds"]
    measured: Float[np.ndarray, " seeds"]


def cosine_figure(
    path: Path,
    frozen: Mapping[str, CourseLines],
    joint: Mapping[str, CourseLines],
    points: Mapping[str, Points],
) -> None:
    """Courses on a frozen encoder, with the encoder, and the equilibrium of noise and decay.

    Args:
      path: The PNG.
      frozen: By loss.
      joint: By loss.
      points: By setting.
    """
    with drawing(path, FULL_WIDTH, 3.3) as figure:
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
        middle.sharey(left)
        for axes, courses, title in (
            (left, frozen, "a  frozen encoder"),
            (middle, joint, "b  trained with the encoder"),
        ):
            for (loss, course), color in zip(courses.items(), COLORS):
                _course(axes, course, color, loss)
            axes.axhline(0.02, color=BLACK, linewidth=0.8, linestyle="--")
            axes.set_yscale("log")
            axes.set_xlabel("λ∫η, action of the decay")
            axes.set_title(title)
            axes.set_xlim(0, None)
        left.set_ylabel("imbalance ‖D‖ / (‖W₁‖ ‖W₂‖)")
        left.legend(title="loss", loc="lower left")
        everything = np.concatenate([np.concatenate(each) for each in points.values()])
        ends = np.array([np.min(everything) / 2, np.max(everything) * 2])
        right.fill_between(ends, ends / 2, ends * 2, color="#e9e4d8", linewidth=0)
        right.plot(ends, ends, color=BLACK, linewidth=0.9)
        for (name, each), marker, color in zip(points.items(), MARKERS, COLORS):
            right.plot(
                each.predicted,
                each.measured,
                marker,
                color=color,
                markeredgecolor="white",
                markeredgewidth=0.4,
                markersize=5,
                label=name,
            )
        right.set_xscale("log")
        right.set_yscale("log")
        right.set_xlim(*ends)
        right.set_ylim(*ends)
        right.set_xlabel("predicted ‖D‖")
        right.set_ylabel("measured ‖D‖")
        right.set_title("c  noise against decay")
        figure.legend(
            *right.get_legend_handles_labels(), loc="outside lower right", ncols=3, fontsize=7
        )


def _course(axes: Axes, course: CourseLines, color: str, label: str) -> None:
    median, low, high = seed_range(course.imbalance)
    axes.fill_between(course.clock, low, high, color=color, alpha=0.25, linewidth=0)
    axes.plot(course.clock, median, color=color, label=label)
