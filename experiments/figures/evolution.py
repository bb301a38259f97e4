"""How the layers of one network part while it trains: spectra, ranks, invariance, neighbors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize

from experiments.figures.style import (
    BLACK,
    EMBEDDING,
    FEATURE,
    FULL_WIDTH,
    MARKERS,
    drawing,
)

FLOOR = 1e-7
"""Shares of the largest eigenvalue up to here are rounding of moments summed in float32."""

_COLUMNS = 4
_PLACES = {"feature": ", before the head", "embedding": ", after the head"}


class LayerCourse(NamedTuple):
    """One layer along training.

    Attributes:
      name: Of the layer.
      spectra: Eigenvalues of its centered covariance, descending, at every step.
      effective_ranks: Entropy effective rank of those.
      defects: Invariance defect, share of the variance that is augmentation.
    """

    name: str
    spectra: Float[np.ndarray, "steps modes"]
    effective_ranks: Float[np.ndarray, " steps"]
    defects: Float[np.ndarray, " steps"]


class Neighbors(NamedTuple):
    """k-nearest-neighbor accuracies along training.

    Attributes:
      steps: When they were measured.
      accuracies: By layer, at each of these steps.
      pixels: Accuracy of raw pixels, the baseline.
    """

    steps: Int[np.ndarray, " measured"]
    accuracies: dict[str, Float[np.ndarray, " measured"]]
    pixels: float


def evolution_figure(
    path: Path,
    steps: Int[np.ndarray, " steps"],
    courses: Sequence[LayerCourse],
    neighbors: Neighbors | None = None,
) -> None:
    """Layer spectra at several steps, and what became of rank and invariance, one figure a run.

    Each spectrum is divided by its largest eigenvalue, so that its shape shows; the color is the
    step. Below, one line a layer: before the head in blue, after it in orange, others gray.

    Args:
      path: The PNG.
      steps: When the layers were measured, ascending.
      courses: The layers, in order of depth.
      neighbors: Drawn where they were measured.
    """
    colors = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.0, 0.92, 256)))
    norm = Normalize(float(steps[0]), float(max(steps[-1], steps[0] + 1)))
    rows = -(-len(courses) // _COLUMNS)
    columns = -(-len(courses) // rows)
    looks = _looks([course.name for course in courses])
    with drawing(path, FULL_WIDTH, 0.5 + 1.9 * rows + 2.4) as figure:
        above, below = np.ravel(
            figure.subfigures(2, 1, squeeze=False, height_ratios=(0.3 + 1.9 * rows, 2.5))
        )
        panels = above.subplots(rows, columns, sharey=True, squeeze=False)
        for number, axes in enumerate(panels.ravel()):
            if number >= len(courses):
                axes.set_visible(False)
                continue
            course = courses[number]
            for step, spectrum in zip(steps, course.spectra):
                share = spectrum / spectrum[0]
                shown = np.where(share > FLOOR, share, np.nan)
                color = colors(norm(float(step)))
                axes.plot(np.arange(1, shown.size + 1), shown, color=color, linewidth=1.1)
            axes.set_yscale("log")
            axes.set_ylim(FLOOR, 2.0)
            axes.set_title(f"{_letter(number)}  {course.name}{_PLACES.get(course.name, '')}")
            if number + columns >= len(courses):
                axes.set_xlabel("mode")
        for axes in panels[:, 0]:
            axes.set_ylabel("eigenvalue / largest\n(centered)")
        bar = above.colorbar(
            ScalarMappable(norm, colors), ax=list(panels.ravel()), pad=0.01, fraction=0.04
        )
        bar.set_label("training step")
        bar.outline.set_visible(False)  # type: ignore[operator]
        charts = below.subplots(1, 2 if neighbors is None else 3)
        for course in courses:
            charts[0].plot(steps, course.effective_ranks, label=course.name, **looks[course.name])
            charts[1].plot(steps, course.defects, label=course.name, **looks[course.name])
        titles = ["effective rank", "invariance defect"]
        charts[0].set_ylim(0, None)
        charts[1].set_ylim(0, None)
        if neighbors is not None:
            titles.append("k-NN accuracy")
            looks |= _looks([*looks, *neighbors.accuracies])
            for name, values in neighbors.accuracies.items():
                charts[2].plot(neighbors.steps, values, label=name, **looks[name])
            charts[2].axhline(
                neighbors.pixels, color=BLACK, linewidth=0.9, linestyle=(0, (4, 3)), label="pixels"
            )
        for number, (axes, title) in enumerate(zip(charts, titles)):
            axes.set_title(f"{_letter(len(courses) + number)}  {title}")
            axes.set_xlabel("training step")
        handles: dict[str, object] = {}
        for axes in charts:
            handles |= {label: line for line, label in zip(*axes.get_legend_handles_labels())}
        columns = min(7, len(handles))
        below.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=columns
        )


def _letter(number: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[number % 26]


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each layer's line is drawn; gray ones get darker with depth, and their own markers."""
    names = list(dict.fromkeys(names))
    grays = np.linspace(0.78, 0.35, max(len(names), 2))
    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        known = {"feature": FEATURE, "embedding": EMBEDDING}.get(name)
        found[name] = {
            "color": known or str(grays[number]),
            "marker": "o" if known else MARKERS[1 + number % (len(MARKERS) - 1)],
            "markersize": 3.4,
            "linewidth": 1.7 if known else 1.0,
            "markeredgewidth": 0.3,
            "markeredgecolor": "white",
            "zorder": 3 if known else 2,
        }
    return found
