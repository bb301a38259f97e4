"""Rows of measurements: values and sampling information agree."""

import numpy as np
import pytest

from experiments.core.blocks import block_count, decode_blocks
from experiments.core.measurements import Key, make_table
from experiments.measure.rows import accuracy_row, exact_row, mean_row, statistic_row


def key(quantity, task="cifar10"):
    return Key("base", 0, "trained", "feature", task, quantity, "")


def test_rows_are_accepted_by_the_table():
    rng = np.random.default_rng(0)
    values = rng.normal(size=500)
    rows = [
        exact_row(key("modes"), 30.0),
        accuracy_row(key("accuracy"), rng.random((5, 500)) < 0.4),
        accuracy_row(key("accuracy", "group:3"), rng.random((1, 500)) < 0.4, 20),
        statistic_row(key("defect"), lambda kept: float(np.var(values[kept])), 500),
    ]
    table = make_table(rows)
    assert [block_count(row.blocks) for row in table.rows.values()] == [0, 100, 20, 20]
    assert rows[3].value == pytest.approx(np.var(values))


def test_a_mean_of_statistics_is_the_statistic_of_means():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(5, 500))
    rows = [
        statistic_row(key("defect"), lambda kept, draw=draw: float(draw[kept].mean()), 500)
        for draw in draws
    ]
    mean = mean_row(key("defect"), rows)
    whole = statistic_row(key("defect"), lambda kept: float(draws[:, kept].mean()), 500)
    assert mean.value == pytest.approx(whole.value)
    np.testing.assert_allclose(
        decode_blocks(mean.blocks, 500), decode_blocks(whole.blocks, 500), rtol=1e-5
    )
