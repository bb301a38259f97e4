"""What is lost behind a head, task by task: the trained head beside one that nothing trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.lines import Line2D

from experiments.figures.style import BLACK, COLORS, GRAY, drawing

WIDTH = 5.6
_ROW = 0.3
_APART = 0.17

Interval = tuple[float, float, float]


class Task(NamedTuple):
    """One task.

    Attributes:
      name: Beside its row.
      null: Mean loss behind the head that nothing trained, and the ends of its interval.
      trained: The same behind the trained head.
    """

    name: str
    null: Interval
    trained: Interval


def draw_losses(path: Path, tasks: Sequence[Task], null: str, unit: str) -> None:
    """Draw the losses behind two heads below each other, the trained one above its null.

    Args:
      path: The PNG.
      tasks: From top to bottom.
      null: Name of the head that nothing trained.
      unit: Words for the axis.
    """
    with drawing(path, WIDTH, 0.85 + _ROW * len(tasks)) as figure:
        axes = figure.add_subplot()
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.set_yticks(range(len(tasks)), [task.name for task in tasks])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.axvline(0.0, color=BLACK, linewidth=0.9, zorder=1)
        for place, task in enumerate(tasks):
            for (mean, low, high), shift, color, inside in (
                (task.trained, -_APART, COLORS[0], COLORS[0]),
                (task.null, _APART, GRAY, "white"),
            ):
                row = place + shift
                axes.plot([low, high], [row] * 2, color=color, linewidth=1.5, zorder=2)
                axes.plot([mean], [row], "o", color=color, markerfacecolor=inside, zorder=3)
        axes.set_xlabel(unit)
        marks = [
            Line2D([], [], color=COLORS[0], marker="o", label="trained head"),
            Line2D([], [], color=GRAY, marker="o", markerfacecolor="white", label=null),
        ]
        figure.legend(handles=marks, loc="outside upper center", ncols=2)
