"""The account of imbalance: kept by plain descent on features, broken by other optimizers."""

import numpy as np
import pytest

from experiments.measure.heads.balance import imbalance_of, ledger_error
from experiments.measure.heads.settle import draw_head
from tests.experiments.measure.heads.synthetic import draw_banks


def test_imbalance_is_relative_to_the_layers():
    first, second = np.random.default_rng(0).normal(size=(2, 3, 3))
    wanted = np.linalg.norm(second.T @ second - first @ first.T) / (
        np.linalg.norm(first) * np.linalg.norm(second)
    )
    assert imbalance_of((first, second)) == pytest.approx(wanted)


def test_momentum_and_adamw_break_the_account_that_plain_descent_keeps():
    start, views = draw_head(0, 6, 2), draw_banks().training
    errors = {
        name: ledger_error(start, views, 0, name, 10) for name in ("sgd", "momentum", "adamw")
    }
    # Gradients are float32: 10 steps move D by little of its size.
    assert errors["sgd"] < 1e-7
    assert min(errors["momentum"], errors["adamw"]) > 1e-3
