"""Digits on natural images: accuracies before and after the head."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes

from experiments.figures.style import (
    EMBEDDING,
    FEATURE,
    FULL_WIDTH,
    GRAY,
    drawing,
    measured_points,
    seed_range,
)

TRAINED = ("feature, before the head", "embedding, after it")


@runtime_checkable
class Sweep(Protocol):
    """What `experiments.composites_rows.CompositeSweep` has."""

    @property
    def values(self) -> Float[np.ndarray, " cells"]:
        """What was varied."""
        ...

    @property
    def digit(self) -> Float[np.ndarray, "seeds cells layers"]:
        """Accuracy of the digit."""
        ...

    @property
    def background(self) -> Float[np.ndarray, "seeds cells layers"]:
        """Accuracy of the background's class."""
        ...

    @property
    def narrowed(self) -> Float[np.ndarray, "seeds cells"]:
        """Digit accuracy through a random map."""
        ...

    @property
    def untrained(self) -> Float[np.ndarray, "seeds cells layers"]:
        """Digit accuracy before the first step."""
        ...


def composites_figure(
    path: Path,
    strengths: Sweep,
    drops: Sweep,
    examples: UInt8[np.ndarray, "strengths images height width 3"],
) -> None:
    """Digit and background accuracies over strength and drop probability.

    Args:
      path: The PNG.
      strengths: Digits never dropped.
      drops: Digits of strength 1.
      examples: Composites by strength.
    """
    with drawing(path, FULL_WIDTH, 4.2) as figure:
        parts: Any = figure.subfigures(2, 1, height_ratios=(1.0, 3.6))
        top, bottom = parts
        count = examples.shape[1]
        panels = top.subplots(1, examples.shape[0] * count)
        for number, axes in enumerate(panels):
            strength, image = divmod(number, count)
            axes.imshow(examples[strength, image], interpolation="nearest")
            axes.set_axis_off()
            if image == 0:
                axes.set_title(f"strength {strengths.values[strength]:g}", fontsize=8)
        left, middle, right = bottom.subplots(1, 3, sharey=True)
        for axes, sweep, name in (
            (left, strengths, "strength of the digit"),
            (middle, drops, "probability that a view\nloses its digit"),
        ):
            _pair(axes, sweep.values, sweep.digit)
            for number, line in ((0, (0, (5, 2))), (1, (0, (2, 2)))):
                level = seed_range(sweep.untrained[..., number]).median
                label = ("feature, untrained", "embedding, untrained")[number]
                axes.plot(sweep.values, level, color=GRAY, linestyle=line, label=label)
            level = seed_range(sweep.narrowed).median
            axes.plot(
                sweep.values,
                level,
                color=FEATURE,
                linestyle=(0, (1, 1.5)),
                label="feature, random map\nto embedding's width",
            )
            axes.set_xlabel(name)
        left.set_title("a  digit, never dropped")
        left.set_ylabel("accuracy")
        middle.set_title("b  digit, strength 1")
        _pair(right, drops.values, drops.background)
        right.set_title("c  background, strength 1")
        right.set_xlabel("probability that a view\nloses its digit")
        shown = (strengths.digit, drops.digit, drops.background, drops.untrained)
        left.set_ylim(0, 1.1 * max(float(np.max(values)) for values in shown))
        handles, labels = middle.get_legend_handles_labels()
        order = sorted(range(len(labels)), key=lambda place: labels[place] not in TRAINED)
        bottom.legend(
            [handles[place] for place in order],
            [labels[place] for place in order],
            loc="outside lower center",
            ncols=3,
        )


def _pair(
    axes: Axes,
    places: Float[np.ndarray, " cells"],
    values: Float[np.ndarray, "seeds cells layers"],
) -> None:
    for number, (color, marker, label) in enumerate(
        ((FEATURE, "o", TRAINED[0]), (EMBEDDING, "s", TRAINED[1]))
    ):
        shown = values[..., number]
        axes.plot(places, seed_range(shown).median, color=color, linewidth=0.9, alpha=0.6)
        measured_points(axes, places, shown, color=color, marker=marker, label=label)
    axes.axhline(0.1, color=GRAY, linewidth=0.7, label="chance")
