"""What all figures have in common: type, colors, and how a measurement is drawn."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.files import write_bytes

FULL_WIDTH = 7.0
COLUMN_WIDTH = 3.4
GRAY = "#8a8a8a"
BLACK = "#222222"
# Okabe and Ito's palette, told apart with every kind of color blindness; its yellow is too
# pale for thin lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
FEATURE, EMBEDDING = COLORS[0], COLORS[1]

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 5.0,
    "axes.labelsize": 8.5,
    "axes.labelcolor": BLACK,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.8,
    "ytick.minor.size": 1.8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.borderaxespad": 0.3,
    "legend.labelspacing": 0.35,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def drawing(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure in the common style that is written to `path` when the block ends.

    Args:
      path: The PNG.
      width: Inches.
      height: Inches.

    Yields:
      The empty figure.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # type: ignore[union-attr]
        yield figure
        image = io.BytesIO()
        # Without the version in it, the same numbers give the same file.
        figure.savefig(image, format="png", dpi=200, metadata={"Software": None})
    write_bytes(path, image.getvalue())


class Range(NamedTuple):
    """Median, smallest and largest over seeds; NaN where no seed has a value."""

    median: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]


def seed_range(values: Float[np.ndarray, "seeds points"]) -> Range:
    """Median, smallest and largest over seeds.

    Args:
      values: One row per seed; entries that are not finite are left out.

    Returns:
      Three arrays, NaN where every seed was left out.
    """
    found = np.where(np.isfinite(values), values, np.nan)
    # nanmedian warns about columns of NaN, which mean nothing worse than an empty place here.
    empty = np.all(np.isnan(found), axis=0)
    filled = np.where(empty[None, :], 0.0, found)
    rows = (np.nanmedian(filled, 0), np.nanmin(filled, 0), np.nanmax(filled, 0))
    return Range(*(np.where(empty, np.nan, row) for row in rows))


def positive(values: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """The values above `floor`, NaN elsewhere: what a logarithmic axis can show."""
    return np.where(values > floor, values, np.nan)


def measured_points(
    axes: Axes,
    places: Num[np.ndarray, " points"],
    values: Float[np.ndarray, "seeds points"],
    *,
    color: Any,
    marker: str = "o",
    label: str | None = None,
    hollow: bool = False,
    size: float = 4.0,
) -> None:
    """Draw a measurement: points at the median over seeds, bars from smallest to largest.

    Args:
      axes: Where.
      places: Horizontal positions.
      values: One row per seed; NaN is left out.
      color: Of points and bars.
      marker: Shape of the points.
      label: For the legend.
      hollow: Leave the points white inside.
      size: Of the points.
    """
    middle, low, high = seed_range(np.asarray(values, dtype=float))
    shown = np.isfinite(middle)
    axes.errorbar(
        np.asarray(places, dtype=float)[shown],
        middle[shown],
        yerr=np.stack([middle - low, high - middle])[:, shown],
        fmt=marker,
        color=color,
        markerfacecolor="white" if hollow else color,
        markeredgecolor=color if hollow else "white",
        markeredgewidth=0.9 if hollow else 0.4,
        markersize=size,
        elinewidth=0.9,
        label=label,
        zorder=3,
    )


def ordered_colors(count: int) -> list[Any]:
    """Colors for `count` things that have an order: few from the palette, many from a map."""
    if count <= len(COLORS) - 1:
        return list(COLORS[:count])
    return list(mpl.colormaps["viridis"](np.linspace(0.0, 0.85, count)))


def legend_outside(axes: Axes, **options: Any) -> None:
    """A legend to the right of the axes, where it covers nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), **options)
