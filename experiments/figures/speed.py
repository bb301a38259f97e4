"""Ratios of costs, one line a comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.figures.style import BLACK, COLORS, FULL_WIDTH, GRAY, drawing

LONG_LABEL = 44


class Comparison(NamedTuple):
    """One line of the figure.

    Attributes:
      label: What is compared with whom.
      ratio: Cost of the other over ours.
      low: Smallest ratio of a round.
      high: Largest.
      wanted: Ratio aimed at.
    """

    label: str
    ratio: float
    low: float
    high: float
    wanted: float | None


def speed_figure(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Draw each ratio with its range over rounds, and the ratio aimed at.

    Args:
      path: The PNG.
      comparisons: From top to bottom.
    """
    shown = comparisons[::-1]
    with drawing(path, FULL_WIDTH, 1.1 + 0.29 * len(shown)) as figure:
        axes = figure.subplots()
        for place, one in enumerate(shown):
            below = one.wanted is not None and one.ratio < one.wanted
            color = COLORS[1] if below else COLORS[0]
            axes.plot([one.low, one.high], [place, place], color=color, linewidth=2.2, zorder=2)
            axes.plot(one.ratio, place, "o", color=color, markersize=5, zorder=3)
            if one.wanted is not None:
                axes.plot(one.wanted, place, "|", color=BLACK, markersize=11, zorder=4)
        axes.axvline(1.0, color=GRAY, linewidth=0.8, zorder=1)
        axes.set_yticks(range(len(shown)), [_wrapped(one.label) for one in shown])
        axes.set_ylim(-0.7, max(len(shown), 1) - 0.3)
        axes.set_xscale("log")
        axes.set_xlabel("cost of the other over ours\nbar: range over rounds, tick: aim")


def _wrapped(label: str) -> str:
    """A long label on two lines, so that it leaves the axes their room."""
    return label.replace(": ", ":\n", 1) if len(label) > LONG_LABEL else label
