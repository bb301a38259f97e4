"""The claims about weight decay; every rule was set before a laptop run."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row, spread_of
from experiments.weight_decay_cells import DescentCheck, Region, TaskCurve

SOURCE = "Xue et al. 2024, end of their section 3 (statement re-derived)"
DERIVED = "derived"
GRAM_TOLERANCE = 0.01
LEFT = 0.5

Setting = tuple[str, int]


def descent_rows(check: DescentCheck) -> tuple[Row, ...]:
    """Whether descent does what the exact models are built on.

    Args:
      check: Of three data models.

    Returns:
      Two rows.
    """
    wrong = 1.0 - float(np.mean(check.switched))
    return (
        error_row(
            2,
            "descent under weight decay ends at the optimum continued from no decay (largest"
            " relative error of a layer's Gram over models, depths and decays; null: optimum"
            " without decay)",
            DERIVED,
            [float(np.max(check.errors))],
            float(np.min(check.nulls)),
            GRAM_TOLERANCE,
        ),
        Row(
            2,
            "a feature leaves both layers at its predicted threshold (share of features kept 5 %"
            " below it and gone 5 % above it; null: always the same answer)",
            DERIVED,
            1.0,
            1.0 - wrong,
            wrong,
            0.5,
            0.0,
        ),
    )


def task_rows(curves: Mapping[Setting, TaskCurve]) -> tuple[Row, ...]:
    """Tasks that the layer before the head serves better when there is no decay.

    Args:
      curves: By augmentation and depth.

    Returns:
      A trend, and what is left at the largest decay.
    """
    taus = np.mean([_falls(curve.fractions, curve.gaps) for curve in curves.values()], axis=0)
    left = np.mean([curve.gaps[:, -1] / curve.gaps[:, 0] for curve in curves.values()], axis=0)
    error = np.maximum(left, 0.0)
    first, last = (
        100 * float(np.mean([curve.gaps[:, place] for curve in curves.values()]))
        for place in (0, -1)
    )
    names = " and ".join(dict.fromkeys(name for name, _ in curves))
    depths = " and ".join(dict.fromkeys(str(depth) for _, depth in curves))
    where = f"synthetic tasks, augmentation by {names}, depths {depths}"
    return (
        monotone_row(
            2,
            f"{where}: the advantage of the layer before the head falls with weight decay (mean"
            f" Kendall's tau of decay and accuracy gap, negated; gap from {first:.2f} to"
            f" {last:.2f} points)",
            SOURCE,
            list(taus),
        ),
        Row(
            2,
            f"{where}: at 0.9 of the largest decay that one of their features survives, at"
            " most half of the advantage is left (ratio to the one without decay)",
            SOURCE,
            0.0,
            float(np.mean(left)),
            float(np.mean(error)),
            1.0,
            LEFT,
            spread_of(error),
        ),
    )


def region_rows(regions: Mapping[str, Region]) -> tuple[Row, ...]:
    """All tasks of one feature among six, exactly.

    Args:
      regions: By augmentation.

    Returns:
      A trend of the region, and of the advantage inside it.
    """
    taus = [kendall(region.decays, -row) for region in regions.values() for row in region.shares]
    shrunk = np.concatenate([np.ravel(region.shrunk[:, 1:]) for region in regions.values()])
    ends = [np.mean([r.shares[:, place] for r in regions.values()]) for place in (0, -1)]
    return (
        monotone_row(
            2,
            "exact map: the layer before the head is better on ever less of it as decay rises (mean"
            f" Kendall's tau over models and depths; share from {ends[0]:.2f} to {ends[1]:.2f})",
            SOURCE,
            [float(np.mean(taus))],
        ),
        Row(
            2,
            "exact map: where the feature survives, the advantage shrinks (share of such points,"
            " mean over decays, models and depths)",
            SOURCE,
            1.0,
            float(np.mean(shrunk)),
            1.0 - float(np.mean(shrunk)),
            None,
            0.1,
        ),
    )


def network_rows(
    decays: Sequence[float], accuracies: Float[np.ndarray, "seeds decays probes layers"], label: str
) -> tuple[Row, ...]:
    """Networks with a linear head of two layers.

    Args:
      decays: Of the head, ascending, 0 first.
      accuracies: Probes are (all labels, few labels), layers (feature, head1, embedding).
      label: The images.

    Returns:
      For the feature and for the head's hidden layer, a trend; for the feature the ends too.
    """
    rows = []
    for probe, name in enumerate(("logistic probe on all labels", "ridge probe on few labels")):
        for layer, place in enumerate(("feature", "hidden layer of the head")):
            gaps = accuracies[:, :, probe, layer] - accuracies[:, :, probe, 2]
            first, last = 100 * np.mean(gaps[:, 0]), 100 * np.mean(gaps[:, -1])
            rows.append(
                monotone_row(
                    2,
                    f"{label}, {name}: the gap {place} − embedding falls with the head's weight"
                    f" decay (Kendall's tau, negated; from {first:+.1f} to {last:+.1f} points)",
                    SOURCE,
                    _falls(np.asarray(decays), gaps),
                )
            )
        gaps = accuracies[:, :, probe, 0] - accuracies[:, :, probe, 2]
        rows.append(
            bound_row(
                2,
                f"{label}, {name}: the gap feature − embedding is smaller at decay"
                f" {decays[-1]:g} than without decay (how much smaller)",
                SOURCE,
                0.0,
                gaps[:, 0] - gaps[:, -1],
            )
        )
    return tuple(rows)


def _falls(places: np.ndarray, gaps: np.ndarray) -> list[float]:
    return [kendall(places, -row) for row in gaps]
