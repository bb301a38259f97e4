"""The balance ledger beside training: how far the account is from the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.figures.style import (
    COLORS,
    FULL_WIDTH,
    GRAY,
    drawing,
    positive,
    seed_range,
)


class Account(NamedTuple):
    """One kind of run: at every step, relative to ‖D‖ (the last one: to the layers)."""

    error: Float[np.ndarray, "seeds steps"]
    decay_only: Float[np.ndarray, "seeds steps"]
    balance: Float[np.ndarray, "seeds steps"]


def ledger_figure(
    path: Path, accounts: Mapping[str, Account], *, tolerance: float, violation: float
) -> None:
    """Errors of the account at every step, one panel per run, with ‖D‖ below.

    Args:
      path: The PNG.
      accounts: By the name of the run, those the law covers first.
      tolerance: Largest error accepted where the law holds.
      violation: Least error expected where it does not.
    """
    with drawing(path, FULL_WIDTH, 3.9) as figure:
        panels = figure.subplots(
            2, len(accounts), sharey="row", squeeze=False, height_ratios=(2.2, 1.0)
        )
        for column, ((name, account), color) in enumerate(zip(accounts.items(), COLORS)):
            errors, imbalance = panels[:, column]
            _band(errors, account.decay_only, GRAY, "without gradients")
            _band(errors, account.error, color, "the account")
            errors.axhline(tolerance, color="black", linewidth=0.8, linestyle="--")
            errors.axhline(violation, color="black", linewidth=0.8, linestyle=":")
            errors.set_yscale("log")
            errors.set_ylim(1e-8, 30.0)
            errors.set_title(f"{'abcd'[column]}  " + name.replace(", ", "\n    "))
            errors.tick_params(labelbottom=False)
            _band(imbalance, account.balance, color, None)
            imbalance.set_ylim(0.0, None)
            imbalance.set_xlabel("step")
        panels[0, 0].set_ylabel("‖D − account‖ / ‖D‖")
        panels[1, 0].set_ylabel("‖D‖ / layers")
        errors = panels[0, 0]
        for height, text in ((tolerance, "tolerance"), (violation, "must break")):
            errors.annotate(
                text, (0.98, height), xycoords=("axes fraction", "data"), fontsize=7,
                xytext=(0, 2), textcoords="offset points", ha="right", va="bottom",
            )  # fmt: skip
        handles = [
            panels[0, 0].get_lines()[1],
            panels[0, 0].get_lines()[0],
        ]
        figure.legend(
            handles,
            [
                "account fed with gradients (color of the panel)",
                "account that knows the decay only",
            ],
            loc="outside upper center",
            ncols=2,
        )


def _band(axes: Axes, values: np.ndarray, color: Any, label: str | None) -> None:
    shown = positive(values)
    middle, low, high = seed_range(shown)
    steps = np.arange(1, values.shape[1] + 1)
    axes.fill_between(steps, low, high, color=color, alpha=0.25, linewidth=0)
    axes.plot(steps, middle, color=color, linewidth=1.1, label=label)
