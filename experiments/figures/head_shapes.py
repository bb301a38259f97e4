"""One encoder under heads of several shapes."""

from collections.abc import Sequence
from pathlib import Path

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

Pairs = Float[np.ndarray, "seeds heads layers"]
Values = Float[np.ndarray, "seeds heads"]


def head_shapes_figure(
    path: Path,
    names: Sequence[str],
    defects: Pairs,
    accuracies: Pairs,
    information: Pairs,
    ranks: Pairs,
    local_ranks: Values,
    predicted: Values,
    measured: Values,
) -> None:
    """Before and after each head, and the depth law.

    Args:
      path: The PNG.
      names: Of the heads.
      defects: Invariance defect at one fixed probe strength; layers are feature and embedding.
      accuracies: Of a linear probe.
      information: R² of augmentation parameters.
      ranks: Effective rank.
      local_ranks: Effective rank of the head's slope.
      predicted: Feature's defect by the depth law.
      measured: The same measured.
    """
    places = np.arange(len(names))
    with drawing(path, FULL_WIDTH, 4.8) as figure:
        panels = figure.subplots(2, 3, sharex=True)
        a, b, c, d, e, f = panels.ravel()
        for axes, pairs, title, label in (
            (a, defects, "a  invariance defect,\n    fixed probe strength", "invariance defect I"),
            (b, accuracies, "b  linear probe", "accuracy"),
            (c, information, "c  augmentation parameters\n    recovered by a probe", "mean R²"),
            (d, ranks, "d  effective rank", "dimensions"),
        ):
            _pair(axes, places, pairs)
            axes.set_title(title)
            axes.set_ylabel(label)
        for axes in (a, c):
            axes.set_ylim(0, None)
        measured_points(d, places[1:], local_ranks[:, 1:], color=BLACK, marker="^", label="slope")
        d.set_ylim(0, None)
        ratio = defects[..., 1] / defects[..., 0]
        e.axhline(1.0, color=BLACK, linewidth=0.9)
        measured_points(e, places, ratio, color=BLACK)
        e.set_title("e  suppression R")
        e.set_ylabel("I after / I before")
        e.set_ylim(0, None)
        expected = seed_range(predicted)
        f.errorbar(
            places,
            expected.median,
            yerr=np.stack([expected.median - expected.low, expected.high - expected.median]),
            fmt="_",
            color=COLORS[2],
            markersize=13,
            markeredgewidth=1.6,
            elinewidth=0.9,
            label="depth law",
        )
        measured_points(f, places, measured, color=FEATURE, label="measured")
        f.set_title("f  feature's defect,\n    training strength")
        f.set_ylabel("invariance defect I")
        f.set_ylim(0, None)
        f.legend(loc="lower right")
        for axes in (d, e, f):
            axes.set_xticks(places, list(names), rotation=40, ha="right", rotation_mode="anchor")
            axes.set_xlim(-0.5, len(names) - 0.5)
            axes.set_xlabel("head: hidden layers × width")
        figure.legend(*d.get_legend_handles_labels(), loc="outside upper left", ncols=3)


def _pair(axes: Axes, places: np.ndarray, pairs: np.ndarray) -> None:
    for layer, color, marker, label in (
        (0, FEATURE, "o", "feature, before the head"),
        (1, EMBEDDING, "s", "embedding, after it"),
    ):
        shift = (layer - 0.5) * 0.16
        measured_points(
            axes, places + shift, pairs[..., layer], color=color, marker=marker, label=label
        )
