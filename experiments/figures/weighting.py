"""Progressive weighting: layers' weights, both kinds of spectra, algorithms, and tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import NullLocator

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
    ordered_colors,
    seed_range,
)


def weighting_figure(
    path: Path,
    expected_weights: Float[np.ndarray, "depth features"],
    weights: Float[np.ndarray, "seeds depth features"],
    errors: Mapping[str, Float[np.ndarray, "seeds rates depths"]],
    depths: Sequence[int],
    rates: tuple[float, float],
    ranks: Mapping[str, Float[np.ndarray, "seeds layers"]],
) -> None:
    """The theorem in weights, on synthetic data.

    Args:
      path: The PNG.
      expected_weights: Of aligned features in layers 1 to L.
      weights: As measured at the end of descent.
      errors: Largest relative Gram error by data model.
      depths: Of the networks, last axis of the errors.
      rates: Learning rates, middle axis of the errors.
      ranks: Effective rank of the weight spectrum of layers 0 to L of the deepest networks, by
        data model.
    """
    with drawing(path, FULL_WIDTH, 2.9) as figure:
        left, middle, right = figure.subplots(1, 3)
        _weights(left, expected_weights, weights)
        for (name, values), color, marker in zip(errors.items(), COLORS, MARKERS):
            for number in range(len(rates)):
                measured_points(
                    middle,
                    np.array(depths) + 0.14 * (MARKERS.index(marker) - 1),
                    values[:, number],
                    color=color,
                    marker=marker,
                    hollow=number == 0,
                    label=name if number == 1 else None,
                )
        middle.set_yscale("log")
        _plain_ticks(middle.yaxis, *middle.get_ylim())
        middle.set_xticks(list(depths))
        middle.set_xlabel("layers L")
        middle.set_title(
            f"b  error of layer Grams\n    (hollow: step {rates[0]:g}, full: {rates[1]:g})"
        )
        middle.set_ylabel("largest relative error")
        for values, color, marker in zip(ranks.values(), COLORS, MARKERS):
            layers = np.arange(values.shape[1])
            right.plot(layers, seed_range(values).median, color=color, linewidth=0.8, alpha=0.5)
            measured_points(right, layers, values, color=color, marker=marker)
        right.set_xticks(np.arange(next(iter(ranks.values())).shape[1]))
        right.set_xlabel("layer (0: the data)")
        right.set_ylabel("effective rank, dimensions")
        right.set_title("c  effective rank of the\n    weight spectrum")
        figure.legend(*middle.get_legend_handles_labels(), loc="outside lower right", ncols=3)


def _plain_ticks(axis: Axis, low: float, high: float) -> None:
    """A few ticks in plain numbers on a logarithmic axis of little more than a decade."""
    steps = [step * 10.0**power for power in range(-6, 2) for step in (1, 2, 5)]
    shown = [step for step in steps if low <= step <= high]
    axis.set_ticks(shown, [f"{step:.5f}".rstrip("0").rstrip(".") for step in shown])
    axis.set_minor_locator(NullLocator())


def _weights(
    axes: Axes,
    expected: Float[np.ndarray, "depth features"],
    measured: Float[np.ndarray, "seeds depth features"],
) -> None:
    order = np.argsort(-expected[-1])
    layers = np.arange(len(expected) + 1)
    for color, feature in zip(ordered_colors(len(order)), order):
        line = np.concatenate([[1.0], expected[:, feature]])
        axes.plot(layers, line, color=color, linewidth=1.1)
        measured_points(axes, layers[1:], measured[:, :, feature], color=color)
    axes.set_yscale("log")
    axes.set_yticks([0.25, 0.5, 1.0], ["0.25", "0.5", "1"])
    axes.minorticks_off()
    axes.set_xticks(layers)
    axes.set_xlabel("layer (0: the data)")
    axes.set_ylabel("weight of a feature")
    axes.set_title("a  weights of aligned features\n    (lines: theorem, points: descent)")


def spectra_figure(
    path: Path,
    weight_ranks: Float[np.ndarray, "seeds layers"],
    layer_ranks: Float[np.ndarray, "seeds layers"],
    predicted_weight_ranks: Float[np.ndarray, "seeds layers"],
    predicted_layer_ranks: Float[np.ndarray, "seeds layers"],
    algorithms: Sequence[str],
    errors: Float[np.ndarray, "seeds algorithms 2"],
    doses: Float[np.ndarray, " settings"],
    drifts: Float[np.ndarray, "seeds settings"],
) -> None:
    """Both spectra on real images, and which algorithms have the bias.

    Args:
      path: The PNG.
      weight_ranks: Effective rank of the weight spectrum of layers 0 to L, measured.
      layer_ranks: Effective rank of the layer spectrum, measured.
      predicted_weight_ranks: By the theorem.
      predicted_layer_ranks: By the theorem.
      algorithms: Names.
      errors: Relative error of the Gram before and after the head.
      doses: Rate² × steps / batch of the runs of SGD.
      drifts: Violation of balance that each leaves.
    """
    with drawing(path, FULL_WIDTH, 2.9) as figure:
        left, middle, right = figure.subplots(1, 3)
        for measured, predicted, color, marker, label in (
            (weight_ranks, predicted_weight_ranks, COLORS[2], "o", "weight spectrum"),
            (layer_ranks, predicted_layer_ranks, COLORS[3], "s", "layer spectrum"),
        ):
            layers = np.arange(measured.shape[1])
            left.plot(layers, seed_range(predicted).median, color=color, linewidth=1.1)
            measured_points(left, layers, measured, color=color, marker=marker, label=label)
        left.set_xticks(layers)
        left.set_ylim(0, None)
        left.set_xlabel("layer (0: the data)")
        left.set_ylabel("effective rank, dimensions")
        left.set_title("a  real images\n    (lines: theorem, points: descent)")
        left.legend(loc="lower left")
        places = np.arange(len(algorithms))
        for number, (color, marker, label) in enumerate(
            ((FEATURE, "o", "before the head"), (EMBEDDING, "s", "after it"))
        ):
            shown = np.maximum(errors[:, :, number], 1e-6)
            measured_points(middle, places, shown, color=color, marker=marker, label=label)
        middle.set_yscale("log")
        middle.set_ylim(4e-7, 3.0)
        middle.set_xlim(-0.5, len(algorithms) - 0.5)
        middle.set_xticks(places, algorithms, rotation=35, ha="right")
        middle.set_ylabel("relative error of the Gram")
        middle.set_title("b  by algorithm\n    (below 10⁻⁶ drawn there)")
        middle.legend(loc="center left", bbox_to_anchor=(0.0, 0.38))
        measured_points(right, doses, drifts, color=BLACK)
        middle_dose = np.exp(np.mean(np.log(doses)))
        level = np.exp(np.mean(np.log(drifts)))
        ends = np.array([np.min(doses) / 1.3, np.max(doses) * 1.3])
        right.plot(ends, level * ends / middle_dose, color=GRAY, linewidth=1.0, label="slope 1")
        right.set_xscale("log")
        right.set_yscale("log")
        _plain_ticks(right.xaxis, *right.get_xlim())
        _plain_ticks(right.yaxis, *right.get_ylim())
        right.set_xlabel("rate² × steps / batch")
        right.set_ylabel("relative imbalance")
        right.set_title("c  SGD from balanced\n    layers")
        right.legend(loc="upper left")


def scenarios_figure(
    path: Path,
    sweeps: Sequence[tuple[str, Float[np.ndarray, " points"], Sequence[float]]],
    predicted: Sequence[Float[np.ndarray, " points"]],
    gains: Sequence[Float[np.ndarray, "seeds points"]],
    clear: Sequence[Bool[np.ndarray, "seeds points"]],
) -> None:
    """Which layer wins as the task's feature is disrupted, weak or strong.

    Args:
      path: The PNG.
      sweeps: Name of the axis, its values, and where the exact winner changes.
      predicted: log2 of labels needed after the head over before it.
      gains: Simulated accuracy before the head less after it.
      clear: Whether a gain is beyond two standard errors.
    """
    with drawing(path, FULL_WIDTH, 2.7) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for number, (axes, (name, values, edges)) in enumerate(zip(panels, sweeps)):
            shown = 100.0 * gains[number]
            sure = clear[number]
            middle = np.median(shown, axis=0)
            for chosen, color, label in (
                (middle > 0, FEATURE, "before the head better"),
                (middle <= 0, EMBEDDING, "after the head better"),
            ):
                inside = chosen & np.any(sure, axis=0)
                measured_points(axes, values[inside], shown[:, inside], color=color, label=label)
            tied = ~np.any(sure, axis=0)
            if tied.any():
                measured_points(
                    axes, values[tied], shown[:, tied], color=GRAY, hollow=True, label="tie"
                )
            axes.axhline(0.0, color=BLACK, linewidth=0.8)
            for edge in edges:
                axes.axvline(edge, color=BLACK, linewidth=0.9, linestyle=(0, (2, 2)))
            twin = axes.twinx()
            twin.plot(values, predicted[number], color=GRAY, linewidth=1.1)
            twin.grid(visible=False)
            twin.spines["right"].set_visible(number == 1)
            span = max(float(np.max(np.abs(p))) for p in predicted) * 1.1
            twin.set_ylim(-span, span)
            if number == 0:
                twin.set_yticks([])
            else:
                axes.set_xscale("log")
                axes.set_xticks([0.1, 0.3, 1.0, 3.0], ["0.1", "0.3", "1", "3"])
                axes.minorticks_off()
                twin.set_ylabel("predicted log2 labels\nafter / before (gray line)")
            axes.set_xlabel(name)
        limit = 110.0 * max(float(np.max(np.abs(g))) for g in gains)
        panels[0].set_ylim(-limit, limit)
        panels[0].set_ylabel("accuracy before − after,\npercentage points")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
