"""Synthetic tables whose effects are known."""

import numpy as np

from experiments.core.blocks import encode_counts
from experiments.core.measurements import Measurement, Run, Table, make_table


def runs_of(network, seeds, tier="laptop", **fields):
    return [Run(network, seed, tier, **fields) for seed in seeds]


def plain_table(rows):
    """A table of exact numbers: {(network, quantity, variant): values by seed}."""
    measurements, runs = [], {}
    for (network, quantity, variant), values in rows.items():
        for seed, value in enumerate(values):
            measurements.append(Measurement(network, seed, quantity, value, variant=variant))
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
