"""A quantity over levels: lines over seeds, the untrained network and the random head in gray."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from experiments.figures.style import COLORS, GRAY, MARKERS, drawing

WIDTH = 4.6
DIM = "#555555"
_DASHES = ("-", "--", "-.", ":")


class Line(NamedTuple):
    """One line.

    Attributes:
      name: Written at its end.
      values: A row a seed, a column a level; NaN where nothing was measured.
      is_null: Drawn in gray: what nothing trained reaches.
      predicted: Drawn as a line without marks: theory.
    """

    name: str
    values: Float[np.ndarray, "seeds levels"]
    is_null: bool = False
    predicted: bool = False


def draw_course(
    path: Path,
    levels: Sequence[float] | Sequence[str],
    lines: Sequence[Line],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Draw lines over levels: means over seeds, with bars from the lowest to the highest.

    Args:
      path: The PNG.
      levels: Numbers, or names that are spaced evenly.
      lines: Told apart by dashes and marks as well as by color.
      x: Words and unit of the horizontal axis.
      y: Of the vertical one.
      log_x: Logarithmic horizontal axis.
      log_y: Logarithmic vertical axis.
    """
    named = isinstance(levels[0], str)
    places = np.arange(len(levels), dtype=float) if named else np.asarray(levels, dtype=float)
    with drawing(path, WIDTH, 2.9) as figure:
        axes = figure.add_subplot()
        if log_x:
            axes.set_xscale("log")
        if log_y:
            axes.set_yscale("log")
        colored = 0
        ends = []
        for number, line in enumerate(lines):
            color = GRAY if line.is_null else COLORS[colored % len(COLORS)]
            colored += not line.is_null
            _draw_line(axes, places, line, color, number)
            mean = _over_seeds(np.nanmean, line.values)
            last = np.flatnonzero(np.isfinite(mean))
            if len(last):
                ends.append((float(mean[last[-1]]), line.name, color))
        axes.set_xticks(
            places, [level if isinstance(level, str) else f"{level:g}" for level in levels]
        )
        axes.minorticks_off()
        if log_y:
            _set_round_ticks(axes)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        figure.canvas.draw()
        _label_ends(axes, ends)


def _draw_line(axes: Axes, places: np.ndarray, line: Line, color: str, number: int) -> None:
    mean, low, high = (
        _over_seeds(over, line.values) for over in (np.nanmean, np.nanmin, np.nanmax)
    )
    shown = np.isfinite(mean)
    axes.plot(
        places[shown],
        mean[shown],
        _DASHES[number % len(_DASHES)],
        color=color,
        marker=None if line.predicted else MARKERS[number % len(MARKERS)],
        linewidth=1.2 if line.is_null else 1.6,
        zorder=1 if line.is_null else 2,
    )
    axes.vlines(places[shown], low[shown], high[shown], color=color, linewidth=0.9)


def _over_seeds(reduce, values: np.ndarray) -> np.ndarray:
    empty = np.all(np.isnan(values), axis=0)
    return np.where(empty, np.nan, reduce(np.where(empty, 0.0, values), axis=0))


def _set_round_ticks(axes: Axes) -> None:
    """Put ticks at round numbers, also where a logarithmic axis spans less than a decade."""
    low, high = axes.get_ylim()
    narrow = high < 4 * low
    axes.yaxis.set_major_locator(MaxNLocator(4) if narrow else LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low, high)


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write every name at its line's end, moved apart where ends are close."""
    transform = axes.transData.transform
    heights = [
        (transform((0 if axes.get_xscale() == "linear" else 1, end))[1], n, c) for end, n, c in ends
    ]
    box = axes.get_window_extent()
    step = 0.068 * box.height
    placed: list[float] = []
    for height, name, color in sorted(heights):
        place = max(height, placed[-1] + step) if placed else height
        placed.append(place)
        axes.annotate(
            name,
            (1.02, (place - box.y0) / box.height),
            xycoords="axes fraction",
            va="center",
            color=DIM if color == GRAY else color,
            annotation_clip=False,
        )
