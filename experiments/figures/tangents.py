"""What the head keeps among the planes at the feature; exact and sampled tangents."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from experiments.figures.style import (
    BLACK,
    COLORS,
    FULL_WIDTH,
    GRAY,
    drawing,
    measured_points,
    seed_range,
)

Cells = Float[np.ndarray, "seeds strengths"]
PLANES = (
    ("kept_local", "data, local tangent", COLORS[0], "o"),
    ("kept_global", "data, global plane", COLORS[5], "D"),
    ("kept_discriminant", "images against views", COLORS[2], "^"),
    ("kept_tangent", "augmentation tangent", COLORS[1], "s"),
)


def planes_figure(
    path: Path,
    strengths: Float[np.ndarray, " strengths"],
    cells: Mapping[str, Cells],
    untrained: Mapping[str, Float[np.ndarray, "seeds one"]],
    chance: float,
    ratio: Cells,
    untrained_ratio: Float[np.ndarray, "seeds one"],
) -> None:
    """Overlaps and captured energies over the strength of training.

    Args:
      path: The PNG.
      strengths: Ascending.
      cells: Overlaps and energies, by the names of `experiments.tangent_planes.PlaneCell`.
      untrained: The same before training.
      chance: Overlap of random planes.
      ratio: Data energy over augmentation energy.
      untrained_ratio: The same before training.
    """
    with drawing(path, FULL_WIDTH, 3.1) as figure:
        a, b, c = figure.subplots(1, 3, width_ratios=(1.25, 1, 1), sharex=True)
        before = -0.12 * strengths[-1]
        for name, label, color, marker in PLANES:
            a.plot(strengths, seed_range(cells[name]).median, color=color, lw=0.8, alpha=0.5)
            measured_points(a, strengths, cells[name], color=color, marker=marker, label=label)
            a.plot([before], [np.median(untrained[name])], "x", color=color, markersize=4.5)
        a.plot(
            strengths,
            seed_range(cells["ceiling_local"]).median,
            color=BLACK,
            linestyle="--",
            lw=1.0,
            label="ceiling, local",
        )
        a.axhline(chance, color=GRAY, lw=1.0, label="chance")
        a.set_ylim(0, None)
        a.set_title("a  overlap of what the head keeps")
        a.set_ylabel("mean squared cosine")
        for name, label, color, marker in (
            ("data_energy", "neighbor differences", COLORS[0], "o"),
            ("augmentation_energy", "augmentation", COLORS[1], "s"),
        ):
            b.plot(strengths, seed_range(cells[name]).median, color=color, lw=0.8, alpha=0.5)
            measured_points(b, strengths, cells[name], color=color, marker=marker, label=label)
            b.plot([before], [np.median(untrained[name])], "x", color=color, markersize=4.5)
        b.axhline(chance, color=GRAY, lw=1.0)
        b.set_ylim(0, None)
        b.set_title("b  share of energy kept")
        b.set_ylabel("share")
        c.axhline(1.0, color=GRAY, lw=1.0)
        c.plot(strengths, seed_range(ratio).median, color=BLACK, lw=0.8, alpha=0.5)
        measured_points(c, strengths, ratio, color=BLACK)
        c.plot([before], [np.median(untrained_ratio)], "x", color=BLACK, markersize=4.5)
        c.set_title("c  data / augmentation")
        c.set_ylabel("ratio of shares")
        for axes in (a, b, c):
            axes.set_xlabel("augmentation strength")
            shown = [tick for tick in (0.25, 0.5, 1.0) if tick <= strengths[-1]]
            axes.set_xticks([before, *shown], ["untr.", *(f"{tick:g}" for tick in shown)])
        figure.legend(
            *a.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=3,
            columnspacing=1.6,
        )


def sampled_tangents_figure(
    path: Path,
    strengths: Float[np.ndarray, " strengths"],
    group: Cells,
    policy: Cells,
    chance: float,
    spread_ratios: Cells,
    counts: Int[np.ndarray, " counts"],
    sines: Float[np.ndarray, "seeds counts"],
    predicted_sines: Float[np.ndarray, " counts"],
) -> None:
    """Sampled against exact tangents.

    Args:
      path: The PNG.
      strengths: Of sampling, ascending.
      group: Overlap with the exact tangent of samples along the generators.
      policy: The same of the policy's own views.
      chance: Of a random plane.
      spread_ratios: First-order over sampled spread.
      counts: Numbers of noisy samples.
      sines: Between sampled and exact direction.
      predicted_sines: By the law.
    """
    with drawing(path, FULL_WIDTH, 2.6) as figure:
        a, b, c = figure.subplots(1, 3)
        for values, color, marker, label in (
            (group, COLORS[0], "o", "along the generators"),
            (policy, COLORS[1], "s", "the policy's views"),
        ):
            a.plot(strengths, seed_range(values).median, color=color, lw=0.8, alpha=0.5)
            measured_points(a, strengths, values, color=color, marker=marker, label=label)
        a.axhline(chance, color=GRAY, lw=1.0)
        a.annotate("chance", (strengths[0], chance), va="bottom", fontsize=8, color=GRAY)
        a.set_ylim(0, 1.05)
        a.legend(loc="lower left", bbox_to_anchor=(0.0, 0.22))
        a.set_title("a  sampled and exact plane")
        a.set_ylabel("mean squared cosine")
        b.axhline(1.0, color=GRAY, lw=1.0)
        b.plot(strengths, seed_range(spread_ratios).median, color=BLACK, lw=0.8, alpha=0.5)
        measured_points(b, strengths, spread_ratios, color=BLACK)
        b.set_title("b  first order / sampled spread")
        b.set_ylabel("ratio of variances")
        for axes in (a, b):
            axes.set_xscale("log")
            axes.set_xticks(strengths, [f"{strength:g}" for strength in strengths])
            axes.minorticks_off()
            axes.set_xlabel("strength of the samples")
        c.plot(counts, predicted_sines, color=COLORS[2], label="law")
        measured_points(c, counts, sines, color=BLACK, label="measured")
        c.set_xscale("log", base=2)
        c.set_xticks(counts, [str(count) for count in counts])
        c.set_ylim(0, 1.05)
        c.legend(loc="lower left")
        c.set_title("c  a tangent sampled in noise")
        c.set_xlabel("samples")
        c.set_ylabel("sine of the angle")
