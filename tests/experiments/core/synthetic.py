"""Synthetic tables whose effects are known."""

import numpy as np

from experiments.core.blocks import encode_counts
from experiments.core.measurements import Measurement, Run, Table, curve_name, make_table
from experiments.tools.listing import curves_of, key_of, rows_of


def runs_of(network, seeds, tier="laptop", **fields):
    return [Run(network, seed, tier, **fields) for seed in seeds]


def plain_table(rows):
    """A table of exact numbers: {(network, quantity, variant[, layer, task]): values by seed}."""
    measurements, runs = [], {}
    for (network, quantity, *rest), values in rows.items():
        for seed, value in enumerate(values):
            measurements.append(Measurement(network, seed, quantity, float(value), *rest))
            runs[network, seed] = Run(network, seed, "laptop")
    return make_table(measurements, runs.values())


def sampled_accuracies(accuracies, seeds, spread, rng, *, network="base", images=10_000):
    """Rows of accuracies at several layers on the same images, with seeds that differ.

    `accuracies` gives the mean accuracy by (layer, variant, task).
    """
    difficulty = rng.normal(size=images)
    rows = []
    for seed in range(seeds):
        for (layer, variant, task), accuracy in accuracies.items():
            level = accuracy + spread * rng.normal()
            noisy = difficulty + 0.7 * rng.normal(size=images)
            correct = noisy < np.quantile(noisy, level)
            rows.append(
                Measurement(
                    network,
                    seed,
                    "accuracy",
                    correct.mean().item(),
                    variant=variant,
                    layer=layer,
                    task=task,
                    n=images,
                    blocks=encode_counts(correct[None]),
                )
            )
    return make_table(rows, runs_of(network, range(seeds)))


def joined(*tables: Table) -> Table:
    return make_table(
        [row for table in tables for row in table.rows.values()],
        [run for table in tables for run in table.runs.values()],
    )


def whole_table(experiments, seeds=5, images=2000, without=(), seed=0):
    """A table with every row that some experiments read, made up.

    `without` names networks that were not run.
    """
    rng = np.random.default_rng(seed)
    wanted = {network for e in experiments.values() for network in e.networks}
    networks = sorted(wanted - set(without))
    rows = {row for network in networks for row in rows_of(network, experiments)}
    curves = {
        curve_name(key_of(row, number)): _made_up_curve(row, rng)
        for network in networks
        for row in curves_of(network, experiments)
        for number in range(seeds)
    }
    measurements = []
    for number in range(seeds):
        difficulty = {}
        for row in sorted(rows, key=repr):
            value, blocks, n = _made_up(row, rng, images, difficulty), "", 0
            if row.quantity == "accuracy":
                n, blocks = images, encode_counts(value[None])
                value = value.mean().item()
            measurements.append(
                Measurement(
                    row.network,
                    number,
                    row.quantity,
                    value,
                    row.variant,
                    row.layer,
                    row.task,
                    row.level,
                    n,
                    blocks,
                )
            )
    runs = [
        Run(
            network,
            number,
            "laptop",
            "0123456789ab",
            "digest",
            800,
            3.7,
            "c0ffee0123456789",
            False,
            "",
            "python=3.11.2 jax=0.10.2 numpy=2.4.1",
            "cpu",
            140.0,
            "2026-11-28T12:00:00+00:00",
        )
        for network in networks
        for number in range(seeds)
    ]
    return make_table(measurements, runs, curves)


def _made_up_curve(row, rng):
    if row.quantity == "images":
        return rng.integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    if row.quantity == "lead_map":
        return rng.normal(size=(20, 21)) / 20 + np.linspace(-0.1, 0.1, 21)
    return 3 * np.exp(-np.arange(20) / 4) * np.exp(0.1 * rng.normal(size=20))


def _made_up(row, rng, images, difficulty):
    """A plausible number for a row; for an accuracy, which images are right."""
    if row.quantity == "accuracy":
        level = 0.45 + 0.2 * (row.task in ("aligned", "parity", "coarse", "background"))
        level -= {"embedding": 0.03, "feature": 0.0}.get(row.layer, 0.0)
        level -= {"untrained": 0.15, "random_head": 0.005}.get(row.variant, 0.0)
        level -= 0.12 * (row.network == "digits-dropped") * (row.layer == "embedding")
        level += 0.008 * rng.normal()
        hard = difficulty.setdefault(row.task, rng.normal(size=images))
        noisy = hard + 0.5 * rng.normal(size=images)
        return noisy < np.quantile(noisy, level)
    scale = np.exp(0.1 * rng.normal())
    if row.quantity in ("ledger_error",):
        return float((2e-6 if row.variant == "trained" else 0.02) * scale)
    if row.quantity in ("ledger_bound", "identity_error"):
        return float({"ledger_bound": 4e-6, "identity_error": 3e-11}[row.quantity] * scale)
    if "moments=batch" in row.level:
        return float(3e-6 * scale)
    typical = {"modes": 30.0, "forgotten": 4.0, "spread": 7.0, "erank": 20.0, "loss": 3.0}
    value = typical.get(row.quantity, 0.4)
    value *= 2.5 if row.variant.startswith("rival") else 1.0
    value *= 0.1 if row.quantity.endswith("_error") and row.variant == "theory" else 1.0
    value *= 1.5 if row.variant == "untrained" else 1.0
    value *= 0.6 if row.layer in ("embedding", "layer4") else 1.0
    value *= 0.7 if row.network == "strong" else 1.0
    value *= 0.5 if row.quantity == "floor" else 1.0
    value += 0.6 if row.quantity == "tangent_agreement" else 0.0
    return float(value * scale)
