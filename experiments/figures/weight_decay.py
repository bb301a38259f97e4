"""Weight decay: what is left of the advantage of the layer before the head."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from experiments.figures.style import (
    BLACK,
    COLORS,
    FULL_WIDTH,
    MARKERS,
    drawing,
    measured_points,
    seed_range,
)

Curves = Mapping[str, tuple[Float[np.ndarray, " _"], Float[np.ndarray, "_ _"]]]


def weight_decay_figure(
    path: Path,
    tasks: Curves,
    regions: Curves,
    networks: Curves,
    label: str,
) -> None:
    """Gaps over weight decay: synthetic tasks, the exact map, trained networks.

    Args:
      path: The PNG.
      tasks: By setting, relative decay and accuracy gap.
      regions: By setting, decay and share of the map; one row each.
      networks: By probe and layer, decay and accuracy gap.
      label: The images that networks were trained on.
    """
    with drawing(path, FULL_WIDTH, 3.3) as figure:
        left, middle, right = figure.subplots(1, 3)
        for axes, curves, factor in ((left, tasks, 100.0), (middle, regions, 1.0)):
            for (name, (places, values)), color, marker in zip(curves.items(), COLORS, MARKERS):
                # Zero and decays of several decades, at even distances.
                spots = np.arange(len(places))
                shown = factor * values
                axes.plot(spots, seed_range(shown).median, color=color, linewidth=0.9, alpha=0.6)
                measured_points(axes, spots, shown, color=color, marker=marker, label=name)
                axes.set_xticks(spots, [f"{place:g}".lstrip("0") or "0" for place in places])
                axes.tick_params(axis="x", labelsize=7, rotation=60 if len(places) > 7 else 0)
        for number, (name, (places, values)) in enumerate(networks.items()):
            spots = np.arange(len(places)) + 0.06 * (number - 1.5)
            color, hollow = COLORS[number // 2], number % 2 == 1
            shown = 100.0 * values
            right.plot(spots, seed_range(shown).median, color=color, linewidth=0.9, alpha=0.6)
            measured_points(
                right, spots, shown, color=color, marker="os"[number % 2], hollow=hollow, label=name
            )
            right.set_xticks(np.arange(len(places)), [f"{place:g}" for place in places])
        for axes in (left, right):
            axes.axhline(0.0, color=BLACK, linewidth=0.8)
        left.set_xlabel("weight decay / the largest that\none of their features survives")
        left.set_ylabel("accuracy before − after,\npercentage points")
        left.set_title("a  tasks better served before\n    the head without decay")
        middle.set_xlabel("weight decay λ")
        middle.set_ylim(0, None)
        middle.set_ylabel("share of the map")
        middle.set_title("b  exact: where before\n    the head is better")
        right.set_xlabel("weight decay of the head")
        right.set_ylabel("accuracy of a layer\n− embedding, points")
        right.set_title(f"c  {label},\n    linear head")
        middle.legend(loc="upper right", fontsize=7, title="a and b", title_fontsize=7)
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2)
