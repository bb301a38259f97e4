"""The fixed reweighting head: weights, coordinates, accuracy, and the probe that undoes it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.figures.style import (
    BLACK,
    COLORS,
    EMBEDDING,
    FEATURE,
    FULL_WIDTH,
    GRAY,
    MARKERS,
    drawing,
    measured_points,
    positive,
    seed_range,
)

WINDOW = 5
RATIO_COLORS = (GRAY, COLORS[2], COLORS[3], COLORS[4])


class LinearWeights(NamedTuple):
    """Weight of each feature before the head: closed form, and descent over seeds."""

    predicted: Float[np.ndarray, " modes"]
    measured: Float[np.ndarray, "seeds modes"]


class CoordinateSizes(NamedTuple):
    """Size of each coordinate of a network's feature, and how many coordinates are compared."""

    sizes: Float[np.ndarray, "seeds coordinates"]
    compared: int


class Accuracies(NamedTuple):
    """Accuracy at (feature, embedding) of one network by two probes, (seeds, 2)."""

    standardized: Float[np.ndarray, "seeds 2"]
    one_scale: Float[np.ndarray, "seeds 2"]


class Applied(NamedTuple):
    """Accuracy behind heads put on a trained feature, over κ.

    Attributes:
      ratios: κ.
      standardized: Of the probe that standardizes.
      one_scale: Of the other.
      last_ratio: The largest κ at which float32 holds every coordinate.
    """

    ratios: Sequence[float]
    standardized: Float[np.ndarray, "seeds ratios"]
    one_scale: Float[np.ndarray, "seeds ratios"]
    last_ratio: float


def reweighting_figure(
    path: Path,
    linear: Mapping[float, LinearWeights],
    networks: Mapping[float, CoordinateSizes],
    accuracies: Mapping[str, Accuracies],
    applied: Applied,
) -> None:
    """Four panels.

    Args:
      path: The PNG.
      linear: By κ.
      networks: By κ, 1 without a head.
      accuracies: By the name of the head.
      applied: Heads put on a trained feature afterwards.
    """
    with drawing(path, FULL_WIDTH, 4.9) as figure:
        a, b, c, d = figure.subplots(2, 2).ravel()
        _linear(a, linear)
        _sizes(b, networks)
        _accuracies(c, accuracies)
        _applied(d, applied)


def _linear(axes: Axes, linear: Mapping[float, LinearWeights]) -> None:
    modes = max(len(weights.predicted) for weights in linear.values())
    places = np.arange(1, modes + 1)
    for (ratio, weights), color, marker in zip(linear.items(), RATIO_COLORS[1:], MARKERS):
        axes.plot(places, weights.predicted, color=color)
        measured_points(
            axes,
            places,
            weights.measured,
            color=color,
            marker=marker,
            label=f"κ = {ratio:g}",
            size=5.0,
        )
    axes.plot([], [], color=BLACK, label="predicted")
    axes.set_xticks(places)
    axes.set_title("a  linear network, weight before the head")
    axes.set_xlabel("feature, strongest first")
    axes.set_ylabel("weight")
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])
    axes.legend(loc="upper left", ncols=2)


def _sizes(axes: Axes, networks: Mapping[float, CoordinateSizes]) -> None:
    for (ratio, network), color in zip(networks.items(), RATIO_COLORS):
        first = np.sqrt(np.mean(network.sizes[:, :3] ** 2, axis=1, keepdims=True))
        sizes = network.sizes / np.where(first > 0, first, 1.0)
        places = np.arange(1, sizes.shape[1] + 1)
        middle, low, high = map(positive, seed_range(_smoothed(sizes)))
        label = "no head" if ratio == 1 else f"κ = {ratio:g}"
        axes.plot(places, middle, color=color, label=label, linewidth=1.1)
        axes.fill_between(places, low, high, color=color, alpha=0.15, linewidth=0)
        if ratio > 1:
            compared = places[: network.compared]
            axes.plot(
                compared, ratio ** (compared - 1.0), color=color, linestyle=(0, (4, 2)), lw=1.0
            )
    axes.plot(
        [], [], color=BLACK, linestyle=(0, (4, 2)), linewidth=1.0, label="made up for, κ^(i−1)"
    )
    axes.set_yscale("log")
    axes.set_title("b  residual network, size of its coordinates")
    axes.set_xlabel("coordinate i of the feature")
    axes.set_ylabel("root mean square,\nfirst three = 1")
    axes.legend(loc="upper right", ncols=2)
    top = axes.get_ylim()[1]
    axes.set_ylim(None, top * 12)


def _smoothed(sizes: np.ndarray) -> np.ndarray:
    """Running mean over up to `WINDOW` coordinates around each, of squares."""
    half, count = WINDOW // 2, sizes.shape[1]
    windows = [sizes[:, max(i - half, 0) : i + half + 1] for i in range(count)]
    return np.sqrt(np.stack([np.mean(window**2, axis=1) for window in windows], axis=1))


def _accuracies(axes: Axes, accuracies: Mapping[str, Accuracies]) -> None:
    places = np.arange(len(accuracies))
    values = list(accuracies.values())
    for offset, index, color, marker, name in (
        (-0.16, 0, FEATURE, "o", "before"),
        (0.16, 1, EMBEDDING, "s", "after"),
    ):
        for hollow, kind, shift in ((False, "standardized", -0.05), (True, "one_scale", 0.05)):
            measured = np.stack([getattr(value, kind)[:, index] for value in values], axis=1)
            measured_points(
                axes,
                places + offset + shift,
                measured,
                color=color,
                marker=marker,
                hollow=hollow,
                size=4.5,
                label=f"{name}, {'one scale' if hollow else 'standardized'}",
            )
    axes.set_xticks(places, list(accuracies))
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_title("c  accuracy before and after each head")
    axes.set_ylabel("accuracy of a linear probe")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.4 * (high - low))
    axes.legend(loc="upper left", ncols=2, fontsize=7, handlelength=1.0, columnspacing=1.0)


def _applied(axes: Axes, applied: Applied) -> None:
    for values, marker, hollow, label in (
        (applied.standardized, "o", False, "standardized"),
        (applied.one_scale, "s", True, "one scale for all coordinates"),
    ):
        axes.plot(applied.ratios, seed_range(values).median, color=BLACK, linewidth=0.8, alpha=0.5)
        measured_points(
            axes,
            np.array(applied.ratios),
            values,
            color=BLACK,
            marker=marker,
            hollow=hollow,
            label=label,
            size=4.5,
        )
    axes.set_xscale("log")
    axes.set_xticks(list(applied.ratios), [f"{ratio:g}" for ratio in applied.ratios])
    axes.minorticks_off()
    axes.axvspan(applied.last_ratio, applied.ratios[-1] * 1.3, color="#eeeeee", linewidth=0)
    axes.set_xlim(applied.ratios[0] / 1.15, applied.ratios[-1] * 1.15)
    axes.annotate(
        "float32 loses\ncoordinates",
        (applied.last_ratio * 1.05, 0.36),
        xycoords=("data", "axes fraction"),
        fontsize=8,
    )
    axes.set_title("d  a fixed head put on one trained feature")
    axes.set_xlabel("κ")
    axes.set_ylabel("accuracy after it")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.4 * (high - low))
    axes.legend(loc="upper left")
