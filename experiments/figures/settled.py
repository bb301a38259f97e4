"""Settled heads: sizes of modes over weight decay, and the weights of hidden layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from experiments.figures.style import (
    BLACK,
    COLORS,
    FULL_WIDTH,
    MARKERS,
    drawing,
    ordered_colors,
)

_TICKS = (0.2, 0.3, 0.5, 0.7, 1.0)

Sizes = Mapping[int, Sequence[Sequence[Float[np.ndarray, " _"]]]]
"""By depth: for each seed and each decay, one number a mode."""


def decay_figure(
    path: Path,
    decays: Sequence[float],
    predicted: Sizes,
    measured: Sizes,
    fractions: Sizes,
    gaps: Mapping[int, float],
) -> None:
    """Predicted and measured sizes on the identity line, and how much of each mode decay left.

    Args:
      path: The PNG.
      decays: Weight decays.
      predicted: n of the compared modes.
      measured: n of the same modes.
      fractions: n/a of the modes kept.
      gaps: Upper edge of the gap of n/a, by depth.
    """
    colors = ordered_colors(len(decays))
    with drawing(path, FULL_WIDTH, 4.9) as figure:
        panels = figure.subplots(2, len(gaps), squeeze=False)
        for column, (depth, gap) in enumerate(gaps.items()):
            identity, left = panels[:, column]
            identity.plot([1e-4, 1.1], [1e-4, 1.1], color=BLACK, linewidth=0.8)
            for place, color in enumerate(colors):
                for seed, (guess, found) in enumerate(zip(predicted[depth], measured[depth])):
                    identity.plot(
                        guess[place],
                        found[place],
                        MARKERS[place],
                        color=color,
                        markeredgecolor="white",
                        markeredgewidth=0.3,
                        markersize=3.6,
                        label=f"{decays[place]:g}" if seed == 0 else None,
                    )
                for seed, kept in enumerate(fractions[depth]):
                    shift = 0.16 * (seed - (len(fractions[depth]) - 1) / 2)
                    left.plot(
                        np.full(kept[place].shape, place + shift),
                        kept[place],
                        MARKERS[place],
                        color=color,
                        markeredgecolor="white",
                        markeredgewidth=0.3,
                        markersize=3.2,
                    )
            identity.set_xscale("log")
            identity.set_yscale("log")
            least = _least(predicted[depth], measured[depth])
            identity.set_xlim(least, 1.15)
            identity.set_ylim(least, 1.15)
            ticks = [tick for tick in (0.001, 0.01, 0.1, 1.0) if tick > least]
            ticks = ticks if len(ticks) > 2 else [tick for tick in _TICKS if tick > least]
            labels = [f"{tick:g}" for tick in ticks]
            identity.set_xticks(ticks, labels)
            identity.set_yticks(ticks, labels)
            identity.set_xticks([], minor=True)
            identity.set_yticks([], minor=True)
            identity.set_xlabel("predicted n")
            layers = "layer" if depth == 1 else "layers"
            identity.set_title(f"{'abc'[column]}  {depth} {layers}")
            if gap:
                left.axhspan(0, gap, color="#e9e4d8", linewidth=0)
                left.annotate("gap", (-0.45, 0.05), fontsize=8)
            left.set_xticks(range(len(decays)), [f"{decay:g}" for decay in decays])
            left.set_xlim(-0.6, len(decays) - 0.4)
            left.set_ylim(0, 1.05)
            left.grid(visible=False, axis="x")
            left.set_xlabel("weight decay λ")
        panels[0, 0].set_ylabel("measured n")
        panels[1, 0].set_ylabel("n / a of the modes kept")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, title="weight decay λ", loc="outside upper center", ncols=len(labels)
        )


def _least(*sizes: Sequence[Sequence[Float[np.ndarray, " _"]]]) -> float:
    """A round number below every size that is drawn."""
    found = [np.min(part) for each in sizes for row in each for part in row if part.size]
    return max(0.8 * float(min([*found, 0.5])), 1e-4)


def gains_figure(
    path: Path,
    gains: Mapping[str, Sequence[Float[np.ndarray, "_ _"]]],
    exponents: Mapping[str, Float[np.ndarray, " _"]],
) -> None:
    """Gain of each hidden layer along the modes of the whole map, with the law's slope.

    Args:
      path: The PNG.
      gains: By the name of the head, for each seed log gains of every layer, the last end to end.
      exponents: The law's l/L of the hidden layers, by the same names.
    """
    with drawing(path, FULL_WIDTH, 2.6) as figure:
        panels = figure.subplots(1, len(gains), squeeze=False)
        for axes, (name, found) in zip(panels[0], gains.items()):
            for layer, exponent in enumerate(exponents[name]):
                color = COLORS[layer]
                for seed, gain in enumerate(found):
                    whole = gain[-1] - np.mean(gain[-1])
                    part = gain[layer] - np.mean(gain[layer])
                    axes.plot(
                        whole,
                        part,
                        MARKERS[seed],
                        color=color,
                        markeredgecolor="white",
                        markeredgewidth=0.3,
                        label=f"layer {layer + 1}" if seed == 0 else None,
                    )
                reach = max(np.max(np.abs(gain[-1] - np.mean(gain[-1]))) for gain in found)
                line = np.array([-reach, reach])
                axes.plot(line, exponent * line, color=color, linewidth=0.9)
            axes.set_title(name)
            axes.set_xlabel("log gain of the whole head")
            axes.legend(loc="upper left")
        panels[0, 0].set_ylabel("log gain of the layer")
