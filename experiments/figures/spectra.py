"""Spectra over modes, and predictions against measurements."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.ticker import MaxNLocator

from experiments.figures.style import BLACK, COLORS, MARKERS, drawing, legend_outside, positive

WIDTH = 4.6


class Spectrum(NamedTuple):
    """One spectrum.

    Attributes:
      name: For the key beside the axes.
      measured: A row a seed, descending.
      predicted: Without training; None where there is no prediction.
    """

    name: str
    measured: Float[np.ndarray, "seeds modes"]
    predicted: Float[np.ndarray, "seeds modes"] | None = None


def draw_spectra(path: Path, spectra: Sequence[Spectrum], x: str, y: str) -> None:
    """Draw spectra on a logarithmic axis: marks were measured, lines predicted.

    Args:
      path: The PNG.
      spectra: Of one kind: weight spectra or layer spectra, never both in one figure.
      x: Words of the horizontal axis.
      y: Words and unit of the vertical one.
    """
    with drawing(path, WIDTH, 2.9) as figure:
        axes = figure.add_subplot()
        axes.set_yscale("log")
        for number, spectrum in enumerate(spectra):
            color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
            modes = 1 + np.arange(spectrum.measured.shape[1])
            middle = np.median(spectrum.measured, axis=0)
            axes.plot(
                modes,
                positive(middle),
                marker,
                color=color,
                markersize=3.2,
                markerfacecolor="white",
                label=spectrum.name,
            )
            if spectrum.predicted is not None:
                line = positive(np.median(spectrum.predicted, axis=0))
                axes.plot(modes[: len(line)], line, color=color, linewidth=1.2)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        legend_outside(axes)


def draw_prediction(
    path: Path,
    predicted: Sequence[Float[np.ndarray, " _modes"]],
    measured: Sequence[Float[np.ndarray, " _modes"]],
    names: Sequence[str],
    what: str,
) -> None:
    """Draw measured against predicted values on logarithmic axes, with the line of equality.

    Args:
      path: The PNG.
      predicted: An array for each name; values that are not positive are left out.
      measured: Likewise.
      names: Of the groups of points.
      what: Words and unit of both axes.
    """
    with drawing(path, WIDTH, 3.3) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_yscale("log")
        groups = zip(names, predicted, measured, strict=True)
        for number, (name, expected, found) in enumerate(groups):
            shown = (expected > 0) & (found > 0)
            axes.plot(
                expected[shown],
                found[shown],
                MARKERS[number % len(MARKERS)],
                color=COLORS[number % len(COLORS)],
                markersize=3.2,
                markerfacecolor="none",
                label=name,
            )
        ends = np.array([*axes.get_xlim(), *axes.get_ylim()])
        axes.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color=BLACK, linewidth=0.9)
        axes.set_xlabel(f"predicted {what}")
        axes.set_ylabel(f"measured {what}")
        legend_outside(axes)
