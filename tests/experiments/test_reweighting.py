"""The fixed head: descent against published weights, sizes and slopes, the smoke experiment."""

import numpy as np
import pytest

from experiments.fixed_head_cells import kept_coordinates, log_slope, used_coordinates
from experiments.fixed_head_linear import descended_weights
from experiments.reweighting import _last_ratio, run
from experiments.reweighting_rows import SQUARES, predicted_weights


@pytest.mark.parametrize(
    ("ratio", "published"),
    [(1.2, [1, 1.004, 1.018, 0.946, 0.803]), (1.5, [1, 1.255, 1.591, 1.849, 1.961])],
)
def test_descent_reaches_the_published_weights(ratio, published):
    before, after = descended_weights(SQUARES, ratio, seed=3, num_steps=40_000)
    np.testing.assert_allclose(before, published, rtol=0.015)
    np.testing.assert_allclose(after, np.sqrt(SQUARES), rtol=0.015)
    np.testing.assert_allclose(predicted_weights(ratio)[0], published, atol=6e-4)


def test_the_slope_is_that_of_geometric_sizes_and_unknown_where_a_size_is_zero():
    sizes = 3.0 * 1.2 ** np.arange(10.0)
    sizes[8:] = 1e-9
    assert log_slope(sizes, 8) == pytest.approx(np.log(1.2))
    sizes[4] = 0.0
    assert np.isnan(log_slope(sizes, 8))
    assert log_slope(sizes, 4) == pytest.approx(np.log(1.2))


def test_coordinates_are_counted_behind_the_head():
    assert used_coordinates(np.ones(7), 1.0) == pytest.approx(7.0)
    assert used_coordinates(1.5 ** np.arange(7.0), 1.5) == pytest.approx(7.0)
    share = 1.5**-2
    many = used_coordinates(np.ones(200), 1.5)
    assert many == pytest.approx((1 + share) / (1 - share))
    # Factors 1, 1/2, 1/4, 1/8 are kept at κ = 2; 1/16 is below a tenth.
    assert kept_coordinates(64, 2.0) == 4
    assert kept_coordinates(3, 2.0) == 3


def test_float32_holds_all_coordinates_up_to_the_last_ratio():
    ratio = _last_ratio(64)
    exponents = np.arange(64)
    held = np.exp(-np.log(ratio * 0.999) * exponents).astype(np.float32)
    lost = np.exp(-np.log(ratio * 1.03) * exponents).astype(np.float32)
    assert held[-1] > 0 == lost[-1]


def test_the_experiment_runs_at_smoke_scale(tmp_path, trained_cache):
    results = run(tmp_path / "out", "smoke")
    assert {row.id for row in results.rows} == {8}
    assert len(results.rows) == 11
    assert (tmp_path / "out" / "reweighting.png").stat().st_size > 10_000
    undone = next(row for row in results.rows if row.claim.startswith("a probe that divides"))
    assert undone.measured <= 0.01  # exact but for rounding: a test image or two
    assert undone.null > undone.measured
    assert all(np.isfinite(row.tolerance) for row in results.rows)
