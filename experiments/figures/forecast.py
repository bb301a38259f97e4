"""Courses of a head's modes: forecast, measured, on one curve, in order."""

from collections.abc import Sequence
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
    ordered_colors,
)

SHOWN = 6


class ModeCourses(NamedTuple):
    """What is drawn of one seed.

    Attributes:
      scales: Variance s of each mode.
      alignments: Alignment a of each mode.
      times: Moments of training.
      predicted: n(t) of each mode, forecast.
      measured: The same, measured.
      clocks: Universal time of each mode then.
      curve: The universal curve there.
      halves: Measured half-time of each mode, NaN where it has none.
    """

    scales: Float[np.ndarray, " modes"]
    alignments: Float[np.ndarray, " modes"]
    times: Float[np.ndarray, " times"]
    predicted: Float[np.ndarray, "times modes"]
    measured: Float[np.ndarray, "times modes"]
    clocks: Float[np.ndarray, "times modes"]
    curve: Float[np.ndarray, "times modes"]
    halves: Float[np.ndarray, " modes"]


def forecast_figure(path: Path, found: Sequence[ModeCourses], escape: float) -> None:
    """Courses of the first seed, the collapse of all, and the order of learning.

    Args:
      path: The PNG.
      found: One per seed.
      escape: Half-time times s a of modes that learn independently from a small start.
    """
    with drawing(path, FULL_WIDTH, 3.2) as figure:
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
        _courses(left, found[0])
        clocks = np.concatenate([one.clocks.ravel() for one in found])
        shown = np.linspace(np.quantile(clocks, 0.02), min(np.max(clocks), 4.0), 300)
        for seed, one in enumerate(found):
            fractions = np.sqrt(one.measured / one.alignments[None, :])
            middle.plot(
                one.clocks[1::5].ravel(),
                fractions[1::5].ravel(),
                MARKERS[seed],
                color=COLORS[seed],
                markersize=1.8,
                markeredgewidth=0,
                alpha=0.6,
                label=f"seed {seed}",
            )
        order = np.argsort(clocks)
        curve = np.concatenate([one.curve.ravel() for one in found])[order]
        middle.plot(clocks[order], curve, color=BLACK, linewidth=1.0)
        middle.set_xlim(shown[0], shown[-1])
        middle.set_ylim(0, 1.15)
        middle.set_xlabel("universal time of the mode")
        middle.set_ylabel("fraction learned, (n/a)^½")
        middle.set_title("b  in the modes' own clocks")
        for seed, one in enumerate(found):
            right.plot(
                1.0 / (one.scales * one.alignments),
                one.halves,
                MARKERS[seed],
                color=COLORS[seed],
                markeredgecolor="white",
                markeredgewidth=0.3,
                label=f"seed {seed}",
            )
        known = np.concatenate(
            [(1.0 / (one.scales * one.alignments))[np.isfinite(one.halves)] for one in found]
        )
        if known.size:
            ends = np.array([np.min(known), np.max(known)])
            right.plot(ends, escape * ends, color=BLACK, linewidth=0.9, label="independent")
        right.set_xscale("log")
        right.set_yscale("log")
        right.set_xlabel("1 / (s a)")
        right.set_ylabel("half-time, sum of rates")
        right.set_title("c  order of learning")
        right.legend(loc="upper left")


def _courses(axes: Axes, one: ModeCourses) -> None:
    """Some modes from the first learned to the last that gets far."""
    reached = np.flatnonzero(one.predicted[-1] > 0.3 * one.alignments)
    order = reached[np.argsort(-(one.scales * one.alignments)[reached])]
    if order.size == 0:
        order = np.argsort(-(one.scales * one.alignments))
    places = np.unique(np.geomspace(1, len(order), min(SHOWN, len(order))).astype(int)) - 1
    modes = order[places]
    looks = np.unique(np.geomspace(1, len(one.times) - 1, 16).astype(int))
    for mode, color, marker in zip(modes, ordered_colors(len(modes)), MARKERS):
        axes.plot(one.times[1:], one.predicted[1:, mode], color=color)
        axes.plot(
            one.times[looks],
            one.measured[looks, mode],
            marker,
            color=color,
            markeredgecolor="white",
            markeredgewidth=0.3,
            label=f"s {one.scales[mode]:.2g}, a {one.alignments[mode]:.2f}",
        )
    axes.set_xscale("log")
    axes.set_ylim(0, 1.45)
    axes.set_xlabel("sum of learning rates")
    axes.set_ylabel("size n of the mode")
    axes.set_title("a  forecast (lines) and measured")
    axes.legend(loc="upper left", ncols=2, fontsize=6.5, columnspacing=0.8, handlelength=1.0)
