"""`python -m experiments phase`: which layer serves a task better, on a map, with simulations.

The map is exact for the margin indicator of `theory.downstream`. Whether accuracy follows the
indicator is what the simulated points test: classifiers of few labels on both layers.
"""

import argparse
import dataclasses
import io
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from experiments.core.progress import experiment_progress
from experiments.core.provenance import describe_run
from experiments.errors import InputError
from experiments.figures.phase import PhasePoints, draw_phase
from experiments.files import make_folder, write_bytes
from experiments.measure.simulated_tasks import (
    LABELS,
    clear_means,
    few_label_accuracies,
    layer_maps,
    task_edges,
    task_model,
)
from experiments.pages.drawing import Drawn
from experiments.pages.style import figure, heading, paragraph, table, write_page
from theory.commands.arguments import parse_grid
from theory.downstream.phase_map import phase_map
from theory.losses.quadratic import spectral_loss
from theory.moments.data_models import resampling_moments
from theory.optimum.quadratic import quadratic_optimum

SEEDS = (0, 1, 2)
NUMBERS, REPORT, FIGURE = "phase.npz", "report.html", "phase.png"
SCOPE = (
    "Everything here is synthetic and linear: independent features with two signs, a network of two"
    f" balanced layers at its optimum, ridge classifiers on {LABELS} labels. The map is exact for"
    " the margin indicator; the points test whether accuracy follows it."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """What the map is drawn over.

    Attributes:
      retentions: How often augmentation keeps the task's feature, ascending, in (0, 1].
      strengths: Strength of that feature, ascending, above 0.
      weight_decay: Of the second map, above 0.
      others: Strengths of the other features, which augmentation always keeps.
      view_noise: Standard deviation of the noise of a view.
    """

    retentions: Float[np.ndarray, " retentions"]
    strengths: Float[np.ndarray, " strengths"]
    weight_decay: float
    others: tuple[float, ...]
    view_noise: float


class Size(NamedTuple):
    """Settings along each axis, points simulated along each axis, classifiers at each point."""

    resolution: int
    points: int
    repeats: int


SIZES = {
    "smoke": Size(40, 3, 200),
    "laptop": Size(160, 8, 400),
    "workstation": Size(160, 16, 2000),
    "paper": Size(320, 16, 2000),
}


class Phase(NamedTuple):
    """The map and the simulated points on it.

    Attributes:
      advantage: log2 of labels needed after the head over before it, without and with decay; NaN
        where no layer has the feature.
      edges: Retention at which both layers are equal, for each strength; may lie outside [0, 1].
      points: Retention and strength of each simulation.
      predicted: Advantage there, without decay.
      gains: Accuracy before the head less accuracy after it, of every classifier.
    """

    advantage: Float[np.ndarray, "retentions strengths decays"]
    edges: Float[np.ndarray, " strengths"]
    points: Float[np.ndarray, "points 2"]
    predicted: Float[np.ndarray, " points"]
    gains: Float[np.ndarray, "seeds points repeats"]


class Winners(NamedTuple):
    """How often the indicator names the layer that classifies better; a value for each seed.

    Attributes:
      right: Share of clear points whose winner the indicator names.
      constant: Share that the better constant answer names.
      clear: Number of points whose gain is beyond two standard errors.
    """

    right: Float[np.ndarray, " seeds"]
    constant: Float[np.ndarray, " seeds"]
    clear: Float[np.ndarray, " seeds"]


def run_phase(out: Path, grid: Grid, size: Size) -> Phase:
    """Draw the map, simulate points on it, write numbers, figure and `report.html`.

    Args:
      out: Folder, created.
      grid: What is mapped.
      size: How many points and classifiers.

    Raises:
      InputError: The folder cannot be written.
    """
    make_folder(out)
    with experiment_progress(1.0 + len(SEEDS), "the map") as advance, jax.enable_x64(True):
        advantage = _map_advantage(grid, grid.retentions, grid.strengths)
        edges = [
            float(task_edges(1.0, float(phi), grid.others, grid.view_noise).disrupted)
            for phi in grid.strengths
        ]
        points = place_points(grid, size.points)
        predicted = np.array(
            [
                _map_advantage(grid, point[:1], point[1:], decays=(0.0,)).item()
                for point in np.array(points)
            ]
        )
        gains = []
        for seed in SEEDS:
            advance(f"{len(points)} simulated points, seed {seed}", 1.0)
            gains.append(simulate_points(grid, points, size.repeats, seed))
        advance("writing", 1.0)
    found = Phase(advantage, np.array(edges), np.array(points), predicted, np.stack(gains))
    _write(out, grid, size, found)
    return found


def read_grid(
    retentions: str, strengths: str, weight_decay: float, others: str, view_noise: float
) -> Grid:
    """Return the grid of the command line.

    Args:
      retentions: A list, or FIRST:LAST:COUNT.
      strengths: Likewise; log:FIRST:LAST:COUNT is even in logarithm.
      weight_decay: Of the second map.
      others: Strengths with commas.
      view_noise: Standard deviation of the noise of a view.

    Raises:
      InputError: It is no grid, or out of range.
    """
    axes = []
    for name, text in (("--retentions", retentions), ("--strengths", strengths)):
        try:
            axes.append(parse_grid(text))
        except argparse.ArgumentTypeError as error:
            raise InputError(f"{name} {error}") from error
    if axes[0][-1] > 1 or min(axes[0][0], axes[1][0]) <= 0 or min(map(len, axes)) < 2:
        raise InputError(
            f"--retentions {retentions} and --strengths {strengths} given; wanted two values or"
            " more of each, retentions above 0 and at most 1, strengths above 0"
        )
    if not (0 < weight_decay < np.inf and 0 < view_noise < np.inf):
        raise InputError(
            f"--weight-decay {weight_decay} and --view-noise {view_noise} given; wanted numbers"
            " above 0"
        )
    try:
        strengths_of_others = tuple(float(part) for part in others.split(","))
    except ValueError as error:
        raise InputError(f"--others {others} given; wanted numbers with commas: 0.3,1,2") from error
    if not all(0 < strength < np.inf for strength in strengths_of_others):
        raise InputError(f"--others {others} given; wanted strengths above 0")
    return Grid(
        retentions=axes[0],
        strengths=axes[1],
        weight_decay=weight_decay,
        others=strengths_of_others,
        view_noise=view_noise,
    )


def place_points(grid: Grid, count: int) -> list[tuple[float, float]]:
    """Return retentions and strengths of simulations, spread over the inside of the grid."""
    retentions, strengths = grid.retentions, grid.strengths
    low = max(0.1, retentions[0])
    inside = (1.4 * strengths[0], 0.8125 * strengths[-1])
    return [
        (float(alpha), float(phi))
        for alpha in np.linspace(low, max(low, 0.95 * retentions[-1]), count)
        for phi in np.geomspace(inside[0], max(inside), count)
    ]


def simulate_points(
    grid: Grid, points: list[tuple[float, float]], repeats: int, seed: int
) -> Float[np.ndarray, "points repeats"]:
    """Return accuracy before the head less accuracy after it, of classifiers at each point.

    Call inside ``with jax.enable_x64(True):``.
    """
    gains = []
    keys = jax.random.split(jax.random.key(seed), len(points))
    for key, (alpha, phi) in zip(keys, jnp.asarray(points)):
        model = task_model(alpha, phi, grid.others, grid.view_noise)
        moments = resampling_moments(model)
        optimum = quadratic_optimum(spectral_loss(moments.covariance, moments.cross_covariance))
        accuracies = few_label_accuracies(
            key,
            jnp.asarray(model.strength),
            layer_maps(jnp.asarray(optimum.gram)),
            repeats,
            grid.view_noise,
        )
        gains.append(np.asarray(accuracies[:, 0] - accuracies[:, 1]))
    return np.stack(gains)


def count_winners(found: Phase) -> Winners:
    """Return how often the indicator names the winner, and how often a constant answer does."""
    right, constant, count = [], [], []
    for gains in found.gains:
        means, clear = clear_means(gains)
        agree = np.sign(means[clear]) == np.sign(found.predicted[clear])
        right.append(np.mean(agree) if clear.any() else np.nan)
        shares = (
            (np.mean(means[clear] > 0), np.mean(means[clear] < 0)) if clear.any() else (np.nan,)
        )
        constant.append(max(shares))
        count.append(clear.sum())
    return Winners(np.array(right), np.array(constant), np.array(count, float))


def _map_advantage(
    grid: Grid,
    retentions: np.ndarray,
    strengths: np.ndarray,
    decays: tuple[float, ...] | None = None,
) -> np.ndarray:
    """Return the advantage of the layer before the head, (retentions, strengths, decays)."""
    decays = (0.0, grid.weight_decay) if decays is None else decays
    others = np.array(grid.others)
    found = phase_map(
        retentions, strengths, (2,), np.array(decays), others, view_noise=grid.view_noise
    )
    return np.asarray(found.advantage)[:, :, 0]


def describe_phase(grid: Grid, found: Phase) -> tuple[str, ...]:
    """Return what came out, in sentences."""
    before = np.mean(found.advantage > 0, axis=(0, 1))
    kept = np.isfinite(found.advantage[..., 1]) & (found.advantage[..., 0] > 0)
    smaller = found.advantage[kept, 1] <= found.advantage[kept, 0] + 1e-12
    winners = count_winners(found)
    lines = [
        f"Without weight decay the layer before the head needs fewer labels on {before[0]:.1%} of"
        f" the map; with weight decay {grid.weight_decay:g} it does on {before[1]:.1%}, because"
        " decay takes features from both layers."
    ]
    if kept.any():
        lines.append(
            f"Where the feature survives decay, the lead of the layer before the head shrinks at"
            f" {np.mean(smaller):.1%} of its points."
        )
    if winners.clear.min() > 0:
        ends = dict.fromkeys((winners.clear.min(), winners.clear.max()))
        counts = " to ".join(f"{count:.0f}" for count in ends)
        lines.append(
            f"The layer that the map names classifies better at {np.mean(winners.right):.1%} of the"
            f" {counts} simulated points (of {len(found.points)}) that are clear of noise; the"
            f" better constant answer is right at {np.mean(winners.constant):.1%} of them."
        )
    return tuple(lines)


def _write(out: Path, grid: Grid, size: Size, found: Phase) -> None:
    numbers = io.BytesIO()
    np.savez_compressed(
        numbers,
        retention=grid.retentions,
        strength=grid.strengths,
        weight_decay=np.array((0.0, grid.weight_decay)),
        **found._replace(gains=found.gains.mean(axis=2))._asdict(),
    )
    write_bytes(out / NUMBERS, numbers.getvalue())
    together = found.gains.transpose(1, 0, 2).reshape(len(found.points), -1)
    points = PhasePoints(found.points, *clear_means(together))
    draw_phase(
        out / FIGURE,
        grid.retentions,
        grid.strengths,
        found.advantage.transpose(2, 1, 0),
        found.edges,
        points,
        grid.weight_decay,
    )
    others = ", ".join(f"{strength:g}" for strength in grid.others)
    lines = describe_phase(grid, found)
    page = write_page(
        "Before or after the projection head: which layer serves a task better",
        (
            '<div class="lead">',
            *map(paragraph, lines),
            "</div>",
            figure(Drawn(out / FIGURE, _caption(points.clear, grid))),
            heading("What is mapped"),
            paragraph(
                "The task's label is one feature. Pre-training gives it a weight that depends on"
                " how often augmentation keeps it and on its strength beside the noise of a view;"
                " the head squares the weights, so a feature that ranks high gains by the head and"
                " one that ranks low loses. The layer before the head is therefore better in three"
                " regions: augmentation disrupts the feature, it is too weak, or it is too strong."
            ),
            paragraph(
                f"The other features have strengths {others} and are always kept; the noise of a"
                f" view has standard deviation {grid.view_noise:g}. At each point {size.repeats}"
                f" classifiers for each of {len(SEEDS)} seeds were trained on {LABELS} labels, on"
                " both layers of the network that is optimal for the moments of the model."
            ),
            paragraph(SCOPE, "soft"),
            heading("Where these numbers come from"),
            table(describe_run()),
        ),
    )
    write_bytes(out / REPORT, page)
    print("\n".join((*lines, f"numbers: {out / NUMBERS}", f"open {out / REPORT}")))


def _caption(clear: Bool[np.ndarray, " points"], grid: Grid) -> str:
    ties = "" if clear.all() else "; crosses are ties within two standard errors"
    return (
        "Color: log2 of labels needed after the head over labels needed before it; blue means that"
        " the layer before the head needs fewer. Lines: edge of the region where augmentation"
        f" disrupts the feature. Points: the layer that simulated classifiers do better on{ties}."
        f" Right: with weight decay {grid.weight_decay:g}; gray: the feature is in neither layer."
    )
