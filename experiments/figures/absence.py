"""Features absent after a head: the diagonal model, and digits on natural images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.figures.style import (
    BLACK,
    EMBEDDING,
    FEATURE,
    FULL_WIDTH,
    GRAY,
    drawing,
    measured_points,
    seed_range,
)

Pair = tuple[Float[np.ndarray, " times"], Float[np.ndarray, " times"]]
Accuracies = Float[np.ndarray, "seeds settings layers"]


def diagonal_figure(
    path: Path,
    times: Float[np.ndarray, " times"],
    nonlinear: Pair,
    linear: Pair,
    retentions: Float[np.ndarray, " kept"],
    ends: Float[np.ndarray, "2 kept"],
    predicted: Float[np.ndarray, "2 kept"],
) -> None:
    """A disrupted feature over time, and all features at the end.

    Args:
      path: The PNG.
      times: Of descent, without 0.
      nonlinear: Amplitude before and after the head.
      linear: The same without threshold.
      retentions: Of the features at the end.
      ends: Their amplitudes before and after the head, by descent.
      predicted: By the closed form.
    """
    with drawing(path, FULL_WIDTH, 2.8) as figure:
        left, middle, right = figure.subplots(1, 3)
        for axes, pair, title in (
            (left, nonlinear, "a  nonlinear head,\n    disrupted feature"),
            (middle, linear, "b  linear head,\n    disrupted feature"),
        ):
            for values, color, label in (
                (pair[0], FEATURE, "before the head"),
                (pair[1], EMBEDDING, "after it"),
            ):
                axes.plot(times, values, color=color, label=label)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_ylim(3e-3, 1.5)
            axes.set_xlabel("time (steps × rate)")
            axes.set_title(title)
        left.axhline(0.5, color=BLACK, linewidth=0.8, linestyle=(0, (2, 2)))
        left.annotate("predicted end ½", (times[-1], 0.46), fontsize=7.5, ha="right", va="top")
        middle.plot(
            times[len(times) // 2 :],
            0.55 * times[len(times) // 2 :] ** (-1 / 6),
            color=BLACK,
            linewidth=0.8,
            linestyle=(0, (2, 2)),
        )
        middle.annotate(
            "slope −1/6", (times[len(times) // 2], 0.36), fontsize=7.5, ha="left", va="bottom"
        )
        left.set_ylabel("amplitude of the feature")
        left.legend(loc="lower left")
        for number, (color, marker) in enumerate(((FEATURE, "o"), (EMBEDDING, "s"))):
            right.plot(retentions, predicted[number], color=color, linewidth=0.9)
            right.plot(
                retentions, ends[number], marker, color=color, markeredgecolor="white", zorder=3
            )
        right.set_ylim(-0.04, 1.1)
        right.set_xlabel("share ρ that pairs keep")
        right.set_ylabel("amplitude at the end")
        right.set_title("c  all features\n    (lines: closed form)")


def absence_figure(
    path: Path,
    settings: Sequence[str],
    digit: Accuracies,
    background: Accuracies,
    untrained_digit: Float[np.ndarray, "seeds layers"],
    untrained_background: Float[np.ndarray, "seeds layers"],
    chance: float,
) -> None:
    """Digit and background before and after the head, by what pairs share of the digit.

    Args:
      path: The PNG.
      settings: What augmentation does.
      digit: Accuracy of the digit.
      background: Accuracy of the background's class.
      untrained_digit: Before the first step.
      untrained_background: Likewise.
      chance: Accuracy of guessing.
    """
    with drawing(path, FULL_WIDTH, 3.3) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, values, bare, title in (
            (left, digit, untrained_digit, "a  probe for the digit"),
            (right, background, untrained_background, "b  probe for the background"),
        ):
            _bars(axes, settings, values, bare, chance)
            axes.set_title(title)
        left.set_ylim(0, 1.15 * float(max(np.max(digit), np.max(background))))
        left.set_ylabel("accuracy")
        handles, labels = left.get_legend_handles_labels()
        order = sorted(
            range(len(labels)),
            key=lambda place: (
                labels[place] == "chance",
                labels[place].startswith("embedding"),
                labels[place].endswith("untrained"),
            ),
        )
        figure.legend(
            [handles[place] for place in order],
            [labels[place] for place in order],
            loc="outside upper left",
            ncols=3,
        )


def _bars(
    axes: Axes,
    settings: Sequence[str],
    values: Accuracies,
    bare: Float[np.ndarray, "seeds layers"],
    chance: float,
) -> None:
    places = np.arange(len(settings), dtype=float)
    for number, (color, marker, label, line) in enumerate(
        (
            (FEATURE, "o", "feature, before the head", (0, (5, 2))),
            (EMBEDDING, "s", "embedding, after it", (0, (2, 2))),
        )
    ):
        shown = values[..., number]
        axes.plot(places, seed_range(shown).median, color=color, linewidth=0.9, alpha=0.6)
        measured_points(axes, places, shown, color=color, marker=marker, label=label, size=5.0)
        axes.axhline(
            float(np.median(bare[:, number])),
            color=color,
            linewidth=0.9,
            linestyle=line,
            label=("feature" if number == 0 else "embedding") + ", untrained",
        )
    axes.axhline(chance, color=GRAY, linewidth=0.9, label="chance")
    axes.set_xticks(places, settings)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlim(-0.4, len(settings) - 0.6)
