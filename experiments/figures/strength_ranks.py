"""Dimensions of the embedding and of the head's slope over augmentation strength."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.figures.style import (
    BLACK,
    COLORS,
    FULL_WIDTH,
    MARKERS,
    drawing,
    measured_points,
    ordered_colors,
    seed_range,
)


def strength_ranks_figure(
    path: Path,
    strengths: Float[np.ndarray, " strengths"],
    embedding_values: Float[np.ndarray, "seeds strengths dim"],
    slope_values: Float[np.ndarray, "seeds strengths out"],
    ranks: Mapping[str, Float[np.ndarray, "seeds strengths"]],
    local: Float[np.ndarray, "seeds strengths"],
) -> None:
    """Singular values by strength, and ranks by definition.

    Args:
      path: The PNG.
      strengths: Augmentation strengths of training, ascending.
      embedding_values: Singular values of the embeddings, descending.
      slope_values: Singular values of the head's slope, descending.
      ranks: Rank of the embeddings, by the definition's name.
      local: Effective rank of the head's slope.
    """
    with drawing(path, FULL_WIDTH, 3.3) as figure:
        a, b, c = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
        _values(a, strengths, embedding_values)
        a.set_title("a  clean embeddings")
        a.set_ylabel("singular value / largest")
        _values(b, strengths, slope_values)
        b.set_title("b  slope of the head")
        for name, (values, color, marker) in _styled(ranks, local).items():
            c.plot(strengths, seed_range(values).median, color=color, linewidth=0.8, alpha=0.5)
            measured_points(c, strengths, values, color=color, marker=marker, label=name)
        c.set_yscale("log")
        ticks = [tick for tick in (1, 2, 4, 8, 16, 32, 64, 128) if c.get_ylim()[0] <= tick]
        c.set_yticks(ticks, [str(tick) for tick in ticks])
        c.minorticks_off()
        c.set_ylim(None, float(np.max([np.nanmax(v) for v in ranks.values()])) * 1.15)
        c.set_title("c  ranks")
        c.set_xlabel("augmentation strength")
        c.set_ylabel("dimensions")
        figure.legend(
            *a.get_legend_handles_labels(),
            loc="outside upper left",
            ncols=len(strengths),
            title="strength",
            title_fontsize=8,
            columnspacing=0.9,
            handlelength=1.2,
        )
        figure.legend(
            *c.get_legend_handles_labels(), loc="outside lower center", ncols=3, columnspacing=1.2
        )


def _values(axes: Axes, strengths: np.ndarray, values: np.ndarray) -> None:
    places = np.arange(1, values.shape[-1] + 1)
    for index, color in enumerate(ordered_colors(len(strengths))):
        shares = values[:, index] / values[:, index, :1]
        axes.plot(
            places, np.median(shares, axis=0), color=color, label=f"{strengths[index]:g}", lw=1.2
        )
    axes.set_yscale("log")
    axes.set_ylim(max(axes.get_ylim()[0], 1e-5), 1.3)
    axes.set_xlabel("singular value")


def _styled(
    ranks: Mapping[str, np.ndarray], local: np.ndarray
) -> dict[str, tuple[np.ndarray, str, str]]:
    styled = {
        name: (values, COLORS[index % 6], MARKERS[index])
        for index, (name, values) in enumerate(ranks.items())
    }
    return styled | {"effective rank of the slope": (local, BLACK, MARKERS[len(ranks)])}
