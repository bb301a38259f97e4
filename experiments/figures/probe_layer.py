"""Risk of a probe over the depth of a head, and what choosing the depth by it is worth."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from experiments.figures.style import (
    BLACK,
    COLORS,
    FULL_WIDTH,
    GRAY,
    drawing,
    measured_points,
    seed_range,
)

Risks = Float[np.ndarray, "seeds policies tasks counts fractions"]


def probe_curves_figure(
    path: Path,
    fractions: Float[np.ndarray, " fractions"],
    policies: Sequence[str],
    tasks: Sequence[str],
    counts: Sequence[int],
    predicted: Risks,
    measured: Risks,
) -> None:
    """A panel for each augmentation and task.

    Args:
      path: The PNG.
      fractions: Depths, 0 to 1.
      policies: Names of the rows.
      tasks: Names of the columns.
      counts: Numbers of labeled images.
      predicted: Risk over the task's variance.
      measured: The same.
    """
    with drawing(path, FULL_WIDTH, 0.9 + 1.65 * len(policies)) as figure:
        panels = figure.subplots(len(policies), len(tasks), sharex=True, squeeze=False)
        for row, policy in enumerate(policies):
            for column, task in enumerate(tasks):
                axes = panels[row, column]
                for index, count in enumerate(counts):
                    color = COLORS[index]
                    line = seed_range(predicted[:, row, column, index])
                    axes.plot(fractions, line.median, color=color, lw=1.2)
                    axes.fill_between(
                        fractions, line.low, line.high, color=color, alpha=0.15, linewidth=0
                    )
                    measured_points(
                        axes,
                        fractions,
                        measured[:, row, column, index],
                        color=color,
                        marker="os^D"[index % 4],
                        size=3.2,
                        label=f"{count} labels, measured",
                    )
                if row == 0:
                    axes.set_title(task)
                if column == 0:
                    axes.set_ylabel(f"{policy}\nrisk", fontsize=7.5)
                if row == len(policies) - 1:
                    axes.set_xlabel("depth t in the head")
                axes.set_xticks([0.0, 0.5, 1.0], ["0", "½", "1"])
        handles, labels = panels[0, 0].get_legend_handles_labels()
        handles.append(panels[0, 0].plot([], [], color=BLACK, lw=1.2)[0])
        figure.legend(
            handles, [*labels, "predicted from moments"], loc="outside upper center", ncols=3
        )


def probe_rules_figure(
    path: Path, predicted: Risks, measured: Risks, rules: Mapping[str, Sequence[float]]
) -> None:
    """Level of the risk, and the cost of each rule for choosing a depth.

    Args:
      path: The PNG.
      predicted: Risk over the task's variance.
      measured: The same.
      rules: Mean cost for each seed, by the rule's name.
    """
    with drawing(path, FULL_WIDTH, 2.8) as figure:
        left, right = figure.subplots(1, 2)
        for index in range(predicted.shape[3]):
            left.plot(
                measured[:, :, :, index].ravel(),
                predicted[:, :, :, index].ravel(),
                "o",
                color=COLORS[index],
                markersize=1.8,
                alpha=0.5,
                markeredgewidth=0,
            )
        ends = [float(np.min(measured)), float(np.max(measured))]
        left.plot(ends, ends, color=GRAY, lw=0.9)
        left.set_xlabel("measured risk")
        left.set_ylabel("predicted risk")
        left.set_title("a  level, all tasks and depths")
        places = np.arange(len(rules))
        for place, (name, values) in enumerate(rules.items()):
            costs = np.asarray(values, float)
            right.bar(
                place,
                float(np.mean(costs)),
                width=0.6,
                color=COLORS[2] if name == "moments" else "#d9d9d9",
            )
            measured_points(right, np.array([place]), costs[:, None], color=BLACK, size=3.0)
        right.set_xticks(places, list(rules))
        right.set_xlabel("rule for the depth to probe")
        right.set_ylabel("excess risk / spread")
        right.set_title("b  what the rule costs")
