"""Progressive weighting: powers of layers, algorithms, both kinds of spectra, tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.__main__ import main
from experiments.linear_training import (
    STRETCH,
    adam_descended,
    balanced_start,
    data_models,
    descended,
    feature_model,
    gram_errors,
    minibatch_descended,
    unbalanced,
)
from experiments.results import read_results
from experiments.simulated_tasks import Sweep, task_edges, task_sweep
from experiments.weighting_cells import Noise, effective_ranks, leading_moments, power_cell
from experiments.weighting_rows import scenario_rows
from theory.downstream.layer_choice import Scenarios
from theory.layers.chain import balance_residuals, end_to_end_map
from theory.layers.grams import layer_grams, weight_spectra
from theory.losses.quadratic import spectral_loss
from theory.moments.data_models import resampling_moments
from theory.optimum.quadratic import quadratic_optimum


def test_the_models_are_what_their_names_say():
    with jax.enable_x64(True):
        for data in data_models():
            covariance, shared = data.moments.covariance, data.moments.cross_covariance
            commutator = np.linalg.norm(covariance @ shared - shared @ covariance)
            assert (commutator < 1e-12) == ("not commuting" not in data.name)
            assert np.linalg.eigvalsh(shared)[0] > 0
            assert np.linalg.eigvalsh(covariance - shared)[0] > 0
            np.testing.assert_allclose(np.linalg.norm(data.features, axis=0), 1.0)
            turned = data.features.T @ data.features - np.eye(6)
            assert (np.abs(turned).max() < 1e-12) == ("oblique" not in data.name)


def test_descent_ends_at_the_published_models_reference_weights():
    with jax.enable_x64(True):
        cell = power_cell(data_models()[0], 2, jax.random.key(5), 0.02, 100.0)
    # Worked out by hand: αφ/(φ² + σ²) after the head, its root before it.
    post = [0.6897, 0.9756, 0.4918, 0.8989, 0.2400, 0.6000]
    pre = [0.8305, 0.9877, 0.7013, 0.9481, 0.4899, 0.7746]
    np.testing.assert_allclose(cell.weights, [pre, post], atol=2e-3)
    np.testing.assert_allclose(cell.expected_weights, [pre, post], atol=5e-5)
    np.testing.assert_allclose(cell.exponents, [0.5, 1.0], atol=2e-3)
    assert cell.errors[1] < cell.errors[0] < 0.005 < cell.unbalanced_error


def test_effective_ranks_of_powers_fall_as_in_the_worked_example():
    weights = np.array([0.69, 0.878, 0.787, 0.27, 0.56, 0.6, 0.235, 0.292])
    with jax.enable_x64(True):
        spectra = np.asarray(weight_spectra(layer_grams(np.diag(weights**2), 4)))
        ranks = effective_ranks(spectra, 8.0)
    np.testing.assert_allclose(ranks, [8.0, 7.78, 7.26, 6.61, 6.00], atol=0.006)


def test_a_start_is_balanced_until_it_is_made_lopsided():
    with jax.enable_x64(True):
        start = balanced_start(jax.random.key(0), 5, 3, 0.7)
        lopsided = unbalanced(start, 2.0)
        assert np.max(balance_residuals(start)) < 1e-12
        assert np.max(balance_residuals(lopsided)) > 0.5
        values = np.linalg.svd(end_to_end_map(start), compute_uv=False)
        np.testing.assert_allclose(values, 0.7**3 * np.linspace(1.5, 0.5, 5))
        np.testing.assert_allclose(end_to_end_map(lopsided), end_to_end_map(start), atol=1e-12)


def test_a_minibatch_pulls_as_the_population_does_on_average():
    with jax.enable_x64(True):
        model = feature_model()
        start = balanced_start(jax.random.key(1), 6, 2, 0.8)
        rate = 1e-7
        end = minibatch_descended(jax.random.key(2), model, start, rate, 400, STRETCH)
        whole = descended(resampling_moments(model), start, rate, STRETCH)
        for sampled, exact, before in zip(end, whole, start):
            miss = jnp.linalg.norm(sampled - exact) / jnp.linalg.norm(exact - before)
            assert float(miss) < 0.05


def test_adam_finds_the_map_and_not_the_layers():
    with jax.enable_x64(True):
        moments = resampling_moments(feature_model())
        expected = layer_grams(
            quadratic_optimum(spectral_loss(moments.covariance, moments.cross_covariance)).gram, 2
        )
        start = balanced_start(jax.random.key(3), 6, 2, 0.2)
        before, after = gram_errors(adam_descended(moments, start, 0.01, 6000), expected)
    assert after < 1e-4
    assert before > 0.1


def test_leading_directions_are_those_that_pairs_share_most_of():
    shared = np.diag([0.1, 3.0, 2.0])
    covariance = np.diag([9.0, 4.0, 2.5])
    with jax.enable_x64(True):
        moments = leading_moments({"covariance": covariance, "cross_covariance": shared}, 2)
    np.testing.assert_allclose(moments.covariance, np.diag([4.0, 2.5]) / 3.25)
    np.testing.assert_allclose(moments.cross_covariance, np.diag([3.0, 2.0]) / 3.25)


def test_the_dose_of_noise_grows_with_the_square_of_the_rate():
    assert Noise(64, 0.02, 5000).dose == pytest.approx(4 * Noise(64, 0.01, 5000).dose)
    assert Noise(64, 0.02, 5000).dose == pytest.approx(0.02**2 * 5000 / 64)


def test_a_disrupted_task_is_served_before_the_head():
    with jax.enable_x64(True):
        sweep = task_sweep(np.array([0.15, 1.0]), [(0.15, 0.5), (1.0, 0.5)], (0,), 100)
        edge = float(task_edges(0.95, 0.5).disrupted)
    assert 0.15 < edge < 1.0
    assert sweep.predicted[0] > 0 > sweep.predicted[1]
    assert sweep.gains[0, 0] > 0 > sweep.gains[0, 1]


def test_tasks_won_by_the_wrong_layer_fail():
    values = np.array([0.1, 0.9])
    signs = np.array([1.0, -1.0])
    edges = Scenarios(np.array(0.5), np.array(0.3), np.array(5.0))

    def verdicts(sign):
        gains = sign * np.stack([signs, signs]) * 0.1
        clear = np.ones((2, 2), bool)
        sweep = Sweep(values, signs, gains, clear)
        strong = Sweep(np.array([0.1, 9.0]), np.array([1.0, 1.0]), np.abs(gains) * sign, clear)
        helped = Sweep(np.array([0.1, 1.0, 9.0]), np.array([1.0, -1.0, 1.0]), None, None)
        helped = helped._replace(
            gains=sign * 0.1 * np.array([[1.0, -1.0, 1.0]] * 2), clear=np.ones((2, 3), bool)
        )
        assert strong.gains.shape == (2, 2)
        return [row.verdict for row in scenario_rows(sweep, helped, edges)]

    assert verdicts(1.0) == ["holds"] * 5
    assert verdicts(-1.0) == ["fails"] * 5


def test_the_smoke_run_writes_a_report(tmp_path):
    assert main(["weighting", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    results = read_results(tmp_path / "results.json")
    assert {row.id for row in results.rows} == {1}
    assert len(results.rows) == 17
    assert all(np.isfinite(row.measured) for row in results.rows)
    verdicts = {row.claim.split(":")[0]: row.verdict for row in results.rows}
    assert verdicts["lower layers are less specialized"] == "holds"
    for name in ("powers", "spectra", "scenarios"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert jnp.ones(1).dtype == jnp.float32
