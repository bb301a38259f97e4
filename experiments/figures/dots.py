"""Dot and whisker: effects over seeds, beside zero and the smallest effect that matters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    Locator,
    LogLocator,
    NullFormatter,
    NullLocator,
)

from experiments.figures.style import BLACK, COLORS, GRAY, drawing

WIDTH = 4.6
_ROW = 0.46
_MARKERS = {"primary": "o", "secondary": "s", "gate": "D", "control": "^", "noted": "o"}


class Dot(NamedTuple):
    """One effect.

    Attributes:
      label: Above its whisker.
      role: Of the contrast; decides the marker.
      values: Of the seeds.
      effect: Their mean, or what else is reported.
      low: Lower end of the interval.
      high: Upper end.
      margins: Where the smallest effect that matters, or a gate's bar, is marked.
      grayed: Whether nothing follows from it.
    """

    label: str
    role: str
    values: tuple[float, ...]
    effect: float
    low: float
    high: float
    margins: tuple[float, ...] = ()
    grayed: bool = False


def draw_dots(path: Path, dots: Sequence[Dot], unit: str, *, factors: bool = False) -> None:
    """Draw effects of one unit below each other.

    Large marks are means, whiskers 95 % intervals, small strokes seeds, dashed strokes the smallest
    effect that matters.

    Args:
      path: The PNG.
      dots: From top to bottom.
      unit: Words for the axis.
      factors: Whether effects are factors: the axis is logarithmic and nothing is at 1.
    """
    with drawing(path, WIDTH, 0.62 + _ROW * len(dots)) as figure:
        axes = figure.add_subplot()
        axes.set_ylim(len(dots) - 0.45, -0.75)
        axes.yaxis.set_major_locator(NullLocator())
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        if factors:
            axes.set_xscale("log")
        axes.axvline(1.0 if factors else 0.0, color=BLACK, linewidth=0.9, zorder=1)
        for place, dot in enumerate(dots):
            _draw_dot(axes, place, dot)
            axes.text(
                0.0,
                place - 0.22,
                dot.label,
                transform=axes.get_yaxis_transform(),
                va="bottom",
                fontweight="bold" if dot.role == "primary" else "normal",
                color=GRAY if dot.grayed else BLACK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            )
        _limit(axes, dots, factors)
        axes.set_xlabel(unit)


def draw_thumbnail(path: Path, dot: Dot, *, factors: bool = False) -> None:
    """Draw one effect for the index, 120 by 40 pixels at the size it is shown.

    Args:
      path: The PNG.
      dot: The effect.
      factors: Whether it is a factor.
    """
    with drawing(path, 1.25, 0.42) as figure:
        axes = figure.add_subplot()
        axes.set_axis_off()
        if factors:
            axes.set_xscale("log")
        axes.axvline(1.0 if factors else 0.0, color=BLACK, linewidth=0.9)
        axes.set_ylim(0.5, -0.5)
        _draw_dot(axes, 0, dot)
        _limit(axes, [dot], factors)


def _draw_dot(axes: Axes, place: int, dot: Dot) -> None:
    color = GRAY if dot.grayed or dot.role == "noted" else COLORS[0]
    for margin in dot.margins:
        axes.plot(
            [margin] * 2,
            [place - 0.22, place + 0.3],
            color=COLORS[1],
            linewidth=1.2,
            ls=(0, (2, 1)),
        )
    axes.plot([dot.low, dot.high], [place] * 2, color=color, linewidth=1.6, zorder=2)
    axes.plot(
        dot.values,
        [place + 0.2] * len(dot.values),
        "|",
        color=color,
        markersize=5,
        markeredgewidth=0.9,
    )
    axes.plot(
        [dot.effect],
        [place],
        _MARKERS[dot.role],
        color=color,
        markerfacecolor=color if dot.role in ("primary", "gate", "control") else "white",
        markersize=7 if dot.role == "primary" else 5,
        zorder=3,
    )


def _limit(axes: Axes, dots: Sequence[Dot], factors: bool) -> None:
    """Show everything drawn and the null, with a little air, and few round ticks."""
    null = 1.0 if factors else 0.0
    shown = [null]
    for dot in dots:
        shown += [*dot.values, dot.low, dot.high, dot.effect, *dot.margins]
    scale: Any = np.log if factors else np.asarray
    low, high = scale(min(shown)), scale(max(shown))
    air = 0.06 * (high - low) or 1.0
    ends = np.array([low - air, high + air])
    axes.set_xlim(*(np.exp(ends) if factors else ends))
    if factors:
        span = float(high - low)
        axes.xaxis.set_major_locator(_ratio_ticks(span))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(NullLocator())


def _ratio_ticks(span: float) -> Locator:
    """Return ticks at round factors, about five over `span` natural logarithms."""
    if span > np.log(200):
        return LogLocator(10, numticks=5)
    fine = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    finer = (0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 2, 2.5, 3, 4)
    return FixedLocator(finer if span < np.log(4) else fine)
