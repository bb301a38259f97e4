"""Coarse to fine: nested covariances, collapse, and the experiment at smoke scale."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.coarse import run
from experiments.coarse_cells import collapse_forecast
from experiments.errors import InputError
from experiments.nested_classes import collapse_shares, nested_covariances
from experiments.representations import (
    Representation,
    one_scale,
    probed,
    random_map,
)
from experiments.results import read_results


def _nested(rng, per_class, coarse_size, fine_size, noise):
    """Four coarse classes of three fine ones each, in five dimensions."""
    coarse_means = coarse_size * rng.normal(size=(4, 5))
    fine_means = fine_size * rng.normal(size=(4, 3, 5))
    fine_means -= fine_means.mean(axis=1, keepdims=True)
    coarse_means -= coarse_means.mean(axis=0)
    means = (coarse_means[:, None] + fine_means).reshape(12, 5)
    fine = np.repeat(np.arange(12), per_class)
    features = means[fine] + noise * rng.normal(size=(len(fine), 5))
    return features, fine // 3, fine, coarse_means, fine_means.reshape(12, 5)


def test_covariances_of_nested_classes_are_unbiased():
    rng = np.random.default_rng(0)
    start = rng.bit_generator.state
    sums = np.zeros(3)
    truth = None
    for repeat in range(3000):
        own = np.random.default_rng(0)
        own.bit_generator.state = start
        features, coarse, fine, coarse_means, fine_means = _nested(own, 4, 1.0, 0.5, 0.0)
        truth = np.mean(coarse_means**2), np.mean(fine_means**2), 4.0
        noise = 2.0 * np.random.default_rng(1 + repeat).normal(size=features.shape)
        found = nested_covariances(features + noise, coarse, fine)
        sums += [np.trace(part) / 5 for part in found[:3]]
    np.testing.assert_allclose(sums / 3000, truth, atol=0.012)


def test_parts_add_up_to_the_whole_covariance_but_for_the_correction():
    rng = np.random.default_rng(2)
    features, coarse, fine, _, _ = _nested(rng, 7, 1.0, 0.5, 1.0)
    found = nested_covariances(features, coarse, fine)
    whole = np.cov(features.T, bias=True)
    # Of N examples, N − 1 degrees of freedom are noise.
    np.testing.assert_allclose(
        found.coarse + found.fine + found.within, whole + found.within / len(fine), atol=1e-12
    )
    assert np.sum(found.shares) == pytest.approx(1.0)


def test_labels_that_are_not_nested_are_refused():
    features = np.zeros((4, 2))
    with pytest.raises(InputError, match="two coarse"):
        nested_covariances(features, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    with pytest.raises(InputError, match="give two"):
        nested_covariances(features, np.array([0, 0, 1, 1]), np.arange(4))


def test_shares_behind_a_map_are_those_of_mapped_features():
    rng = np.random.default_rng(3)
    features, coarse, fine, _, _ = _nested(rng, 9, 1.0, 0.7, 1.0)
    weight = rng.normal(size=(2, 5))
    behind = collapse_shares(nested_covariances(features, coarse, fine), weight.T @ weight)
    mapped = collapse_shares(nested_covariances(features @ weight.T, coarse, fine))
    np.testing.assert_allclose(behind, mapped, rtol=1e-12)


def test_the_forecast_is_what_a_linear_head_trained_on_classes_reaches():
    """Gradient descent on the loss itself, with class means as positives, against the forecast."""
    rng = np.random.default_rng(4)
    features, coarse, fine, _, _ = _nested(rng, 200, 1.0, 0.6, 0.8)
    found = nested_covariances(features, coarse, fine)
    shared = found.coarse_means.T @ (found.shares[:, None] * found.coarse_means)
    covariance = shared + found.fine + found.within
    weight = 0.1 * rng.normal(size=(5, 5))
    for _ in range(40_000):
        slope = -4 * weight @ shared + 4 * weight @ covariance @ weight.T @ weight @ covariance
        weight = weight - 0.01 * slope
    reached = collapse_shares(found, weight.T @ weight)
    forecast = collapse_forecast(found, 5)
    np.testing.assert_allclose(forecast, reached, rtol=2e-3)
    assert forecast.inside < 0.8 * collapse_shares(found).inside


def test_one_scale_keeps_a_diagonal_head_and_standardizing_undoes_it():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 400)
    parts = (rng.normal(size=(400, 4)) + np.eye(3, 4)[labels]).astype(np.float32)
    head = np.float32(10.0) ** -np.arange(4, dtype=np.float32)
    before = Representation(parts[:200], parts[200:])
    after = Representation(*(part * head for part in before))
    for factor in (1.0, 1e-3, 1e3):
        scaled = one_scale(Representation(*(np.float32(factor) * part for part in after)))
        assert np.mean(np.var(scaled.train, axis=0)) == pytest.approx(1.0, rel=1e-4)
        np.testing.assert_allclose(scaled.train, one_scale(after).train, rtol=1e-5)
    fitted = [
        probed(part, labels[:200], labels[200:], 3, standardize=standardize).predictions
        for standardize in (True, False)
        for part in (before, after)
    ]
    np.testing.assert_array_equal(fitted[0], fitted[1])
    assert np.mean(fitted[2] != fitted[3]) > 0.05
    narrow, again = (random_map(part.train, 2, seed=0) for part in (before, after))
    assert narrow.shape == (4, 2)
    np.testing.assert_allclose(before.test @ narrow, after.test @ again, rtol=1e-4, atol=1e-5)


def test_the_experiment_runs_at_smoke_scale(tmp_path, trained_cache):
    results = run(tmp_path / "out", "smoke")
    assert {row.id for row in results.rows} == {5, 8}
    for row in results.rows:
        assert math.isfinite(row.tolerance)
        assert row.claim
    assert read_results(tmp_path / "out" / "results.json").rows == results.rows
    assert (tmp_path / "out" / "coarse.png").stat().st_size > 10_000
    page = (tmp_path / "out" / "report.html").read_text()
    assert "superclasses" in page
    # A diagonal head, standardized away: the null of that row is the whole least gap.
    undone = next(row for row in results.rows if "probe of one scale" in row.claim)
    assert undone.null == pytest.approx(0.02, abs=1e-9)
    assert jnp.isfinite(undone.measured)
