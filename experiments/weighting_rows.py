"""The claims about progressive weighting; every tolerance was set before a laptop run."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.results import Row
from experiments.rows import bound_row, error_row, kendall, monotone_row, spread_of
from experiments.simulated_tasks import Sweep
from experiments.weighting_cells import ALGORITHMS, AlgorithmCell, Noise, PowerCell, RealCell
from theory.downstream.layer_choice import Scenarios

THEOREM = "Xue et al. 2024, their section 3 (statement re-derived)"
DERIVED = "derived"
GRAM_TOLERANCE = 0.005
EXPONENT_TOLERANCE = 0.01
ORDER_TOLERANCE = 0.2
RANK_TOLERANCE = 0.05
ALGORITHM_TOLERANCE = 0.05
ADAM_LEAST = 0.2

PowerCells = Mapping[tuple[str, int], Sequence[PowerCell]]


def power_rows(cells: PowerCells) -> tuple[Row, ...]:
    """The theorem in weights, at the end of gradient descent.

    Args:
      cells: For each data model and depth one cell a seed.

    Returns:
      Grams, order of the error, exponents, oblique features, ranks.
    """
    by_seed = list(zip(*cells.values()))
    worst = [max(cell.errors[1] for cell in seed) for seed in by_seed]
    null = min(cell.unbalanced_error for seed in by_seed for cell in seed)
    orders = [np.median([np.log2(c.errors[0] / c.errors[1]) for c in seed]) for seed in by_seed]
    misses = np.abs(np.array(orders) - 1.0)
    slopes = [max(_exponent_error(cell) for cell in seed) for seed in by_seed]
    depths = [depth for _, depth in cells]
    slack = [min(_slack(cell) for cell in seed) for seed in by_seed]
    drops = [min(float(np.min(-np.diff(cell.ranks))) for cell in seed) for seed in by_seed]
    where = f"three data models, depths {min(depths)} to {max(depths)}"
    return (
        error_row(
            1,
            "end of gradient descent from balanced layers: layer l has the Gram of the whole map to"
            f" the power l/L ({where}; largest relative error; null: unbalanced start)",
            THEOREM,
            worst,
            null,
            GRAM_TOLERANCE,
        ),
        Row(
            1,
            "what is left of that error halves with the step (order of the error in the learning"
            " rate; null: does not change)",
            DERIVED,
            1.0,
            float(np.mean(orders)),
            float(np.mean(misses)),
            1.0,
            ORDER_TOLERANCE,
            spread_of(misses),
        ),
        error_row(
            1,
            "log weights of layer l rise with slope l/L on those of the last layer (worst over"
            " models, depths and layers; null: one layer more)",
            THEOREM,
            slopes,
            1.0 / (max(depths) * (max(depths) + 1)),
            EXPONENT_TOLERANCE,
        ),
        bound_row(
            1,
            "no feature, aligned or not, weighs more in layer l than its weight in the last layer"
            " to the power l/L (smallest difference)",
            DERIVED,
            0.0,
            slack,
            tolerance=1e-3,
        ),
        bound_row(
            1,
            "lower layers are less specialized: effective rank of the weight spectrum falls from"
            " layer to layer (smallest fall, in dimensions)",
            THEOREM,
            0.0,
            drops,
        ),
    )


def _exponent_error(cell: PowerCell) -> float:
    depth = len(cell.exponents)
    return float(np.max(np.abs(cell.exponents - np.arange(1, depth + 1) / depth)))


def _slack(cell: PowerCell) -> float:
    """Least of w_L^(l/L) − w_l: Jensen's inequality says it is not negative."""
    depth = len(cell.weights)
    powers = cell.weights[-1][None, :] ** (np.arange(1, depth + 1) / depth)[:, None]
    return float(np.min(powers - cell.weights))


def real_rows(cells: Sequence[RealCell], label: str) -> tuple[Row, ...]:
    """Weight and layer spectra of a deep linear network on real images.

    Args:
      cells: One a seed.
      label: The images.

    Returns:
      Rows.
    """

    def rising(values: np.ndarray) -> float:
        return kendall(np.arange(len(values), dtype=float), values)

    errors = [_largest_log(cell.layer_ranks, cell.predicted_layer_ranks) for cell in cells]
    null = min(_largest_log(cell.layer_ranks, cell.layer_ranks[:1]) for cell in cells)
    weight, layer = (
        np.mean([getattr(cell, name) for cell in cells], axis=0)
        for name in ("weight_ranks", "layer_ranks")
    )
    return (
        monotone_row(
            1,
            f"{label}: the weight spectrum gets more unequal layer by layer (Kendall's tau of layer"
            f" and effective rank, which goes from {weight[0]:.1f} to {weight[-1]:.1f}, negated)",
            THEOREM,
            [-rising(cell.weight_ranks) for cell in cells],
        ),
        monotone_row(
            1,
            f"{label}: the layer spectrum goes the other way, more equal layer by layer (Kendall's"
            f" tau; effective rank from {layer[0]:.1f} to {layer[-1]:.1f})",
            "derived: geodesic from the data to the alignments",
            [rising(cell.layer_ranks) for cell in cells],
        ),
        error_row(
            1,
            f"{label}: effective ranks of the layer spectra are those predicted from the moments"
            " (largest log ratio over layers; null: those of the data)",
            "derived: geodesic from the data to the alignments",
            errors,
            null,
            RANK_TOLERANCE,
        ),
    )


def _largest_log(measured: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.max(np.abs(np.log(measured / predicted))))


def algorithm_rows(cells: Sequence[AlgorithmCell], noises: Sequence[Noise]) -> tuple[Row, ...]:
    """Which algorithms have the bias.

    Args:
      cells: One a seed.
      noises: The settings of SGD.

    Returns:
      Rows.
    """
    errors = np.stack([cell.errors for cell in cells])
    adam = ALGORITHMS.index("Adam")
    quiet = errors[:, :3, 0]
    doses = np.log([noise.dose for noise in noises])
    slopes = np.array([np.polyfit(doses, np.log(cell.drifts), 1)[0] for cell in cells])
    misses = np.abs(slopes - 1.0)
    return (
        error_row(
            1,
            "gradient flow, full-batch descent and momentum have the bias from a small random start"
            " (worst relative error of the Gram before the head; null: Adam)",
            DERIVED,
            np.max(quiet, axis=1),
            float(np.min(errors[:, adam, 0])),
            ALGORITHM_TOLERANCE,
        ),
        Row(
            1,
            "minibatches wear balance down in proportion to rate² × steps / batch (log-log slope;"
            " null: not at all)",
            DERIVED,
            1.0,
            float(np.mean(slopes)),
            float(np.mean(misses)),
            1.0,
            ORDER_TOLERANCE,
            spread_of(misses),
        ),
        bound_row(
            1,
            "Adam does not have the bias: relative error of the Gram before the head (at least"
            " 0.2)",
            DERIVED,
            ADAM_LEAST,
            errors[:, adam, 0],
            null=ADAM_LEAST,
            tolerance=0.0,
        ),
        error_row(
            1,
            "Adam's map is right all the same: relative error of the Gram after the head (null:"
            " before it)",
            DERIVED,
            errors[:, adam, 1],
            float(np.min(errors[:, adam, 0])),
            0.01,
        ),
    )


def scenario_rows(retention: Sweep, strength: Sweep, edges: Scenarios) -> tuple[Row, ...]:
    """Where each layer wins.

    Args:
      retention: Sweep of the retention of the task's feature.
      strength: Sweep of its strength.
      edges: Where the exact winner changes.

    Returns:
      One row for agreement of signs, one for each scenario, one for where the head helps.
    """
    disrupted, weak, strong = (float(edge) for edge in edges)
    predicted = np.concatenate([retention.predicted, strength.predicted])
    gains = np.concatenate([retention.gains, strength.gains], axis=1)
    clear = np.concatenate([retention.clear, strength.clear], axis=1)
    agrees = np.sign(gains) == np.sign(predicted)[None]
    shares = np.array([np.mean(row[ok]) if ok.any() else np.nan for row, ok in zip(agrees, clear)])
    one_sided = [
        1.0 - max(np.mean(row[ok] > 0), np.mean(row[ok] < 0)) if ok.any() else np.nan
        for row, ok in zip(gains, clear)
    ]

    def gained(sweep: Sweep, inside: np.ndarray, sign: float = 1.0) -> np.ndarray:
        return sign * np.mean(sweep.gains[:, inside], axis=1)

    kept = (strength.values >= weak) & (strength.values <= strong)
    regions = (
        ("augmentation disrupts the feature", gained(retention, retention.values < disrupted)),
        ("the feature is weak beside the noise", gained(strength, strength.values < weak)),
        ("the feature is much stronger than the noise", gained(strength, strength.values > strong)),
    )
    source = "Xue et al. 2024, when pre-projection wins (statement re-derived)"
    return (
        Row(
            1,
            "two sweeps of the task's feature: the layer with the smaller margin indicator"
            f" classifies better from few labels (share of {int(np.min(clear.sum(1)))} or more"
            f" clearly separated points of {len(predicted)})",
            source,
            1.0,
            float(np.mean(shares)),
            float(np.mean(1.0 - shares)),
            float(np.min(one_sided)),
            0.1,
            spread_of(shares),
        ),
        *(
            bound_row(
                1,
                f"before the head is better where {name} (accuracy before less after)",
                source,
                0.0,
                gains,
            )
            for name, gains in regions
        ),
        bound_row(
            1,
            "after the head is better where pre-training ranks the feature high (accuracy after"
            " less before)",
            source,
            0.0,
            np.mean(
                [
                    gained(retention, retention.values >= disrupted, -1.0),
                    gained(strength, kept, -1.0),
                ],
                axis=0,
            ),
        ),
    )
