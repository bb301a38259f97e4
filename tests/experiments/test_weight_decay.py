"""Weight decay: thresholds by descent, tasks, the exact map, trends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.results import read_results
from experiments.simulated_tasks import OTHER_STRENGTHS
from experiments.weight_decay_cells import (
    FEW_LABELS,
    _some,
    descent_check,
    exact_region,
    task_curve,
)
from experiments.weight_decay_rows import network_rows
from theory.downstream.phase_map import phase_map


def test_descent_ends_at_the_decayed_optimum_of_every_model():
    with jax.enable_x64(True):
        check = descent_check((2,), (0.3,), 150.0)
    assert check.errors.shape == (3,)
    assert check.errors.max() < 1e-4
    assert check.nulls.min() > 0.1
    assert np.mean(check.switched[0::2]) == 1.0  # kept below their thresholds
    assert check.switched.shape == (12,)


def test_decay_takes_the_tasks_that_the_layer_before_the_head_serves():
    with jax.enable_x64(True):
        curve = task_curve("resampling", 2, np.array([0.0, 0.5, 0.999]), (0,), 60)
    # Weak (0.2), disrupted (0.3 kept) and strong (1.5): weights .69, .24, .60 below the mean.
    assert curve.accuracies.shape == (1, 3, 3, 2)
    np.testing.assert_allclose(curve.kept, [1.0, 1 / 3, 1 / 3])
    assert curve.gaps[0, 0] > 0.01
    gone = curve.accuracies[0, 1:, :2]
    np.testing.assert_array_equal(gone[..., 0], gone[..., 1])  # in neither layer
    assert np.all(np.abs(gone - 0.5) < 0.05)
    assert np.all(curve.accuracies[0, :, 2] > 0.95)


def test_the_region_shrinks_and_starts_whole():
    with jax.enable_x64(True):
        region = exact_region("resampling", (2, 3), (0.0, 0.05, 0.2), 16)
    assert region.shares.shape == (2, 3)
    assert np.all(np.diff(region.shares, axis=1) < 0)
    np.testing.assert_allclose(region.shrunk[:, 0], 1.0)
    assert np.all((region.shrunk[:, 1:] > 0) & (region.shrunk[:, 1:] < 1))
    with jax.enable_x64(True):
        axes = np.linspace(0.02, 1.0, 16), np.geomspace(0.05, 3.2, 16)
        others = np.array(OTHER_STRENGTHS)
        found = phase_map(*axes, (2,), np.array([0.0, 0.05]), others).advantage[:, :, 0]
    smaller = [
        after <= before
        for before, after in np.asarray(found).reshape(-1, 2)
        if before > 0 and np.isfinite(after)
    ]
    assert region.shrunk[0, 1] == pytest.approx(np.mean(smaller))


def test_few_labels_are_balanced_and_distinct():
    labels = np.repeat(np.arange(3), 50)
    rows = _some(np.random.default_rng(0), labels, 3)
    assert len(set(rows.tolist())) == 3 * FEW_LABELS
    assert np.bincount(labels[rows]).tolist() == [FEW_LABELS] * 3


@pytest.mark.parametrize(("sign", "verdict"), [(1.0, "holds"), (-1.0, "fails")])
def test_gaps_that_fall_hold_and_gaps_that_rise_fail(sign, verdict):
    gaps = sign * np.array([0.3, 0.2, 0.15, 0.1])
    accuracies = np.zeros((2, 4, 2, 3))
    accuracies[:, :, :, :2] = gaps[None, :, None, None]
    rows = network_rows((0.0, 0.1, 0.2, 0.3), accuracies, "data")
    assert [row.verdict for row in rows] == [verdict] * 6


def test_the_smoke_run_writes_a_report(tmp_path, trained_cache):
    assert main(["weight_decay", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    results = read_results(tmp_path / "results.json")
    assert {row.id for row in results.rows} == {2}
    assert len(results.rows) == 12
    assert all(np.isfinite(row.measured) for row in results.rows)
    assert results.rows[0].verdict == "holds"  # the optimum is exact at every scale
    assert (tmp_path / "weight_decay.png").stat().st_size > 10_000
    assert jnp.ones(1).dtype == jnp.float32
