"""Finite batches: biased estimators against Monte Carlo and against numerical minima."""

import numpy as np
import pytest
from scipy.optimize import minimize

from theory.losses.batch_effects import collapse_exponent, cross_view_variances, same_view_variances

ALIGNMENT = np.random.default_rng(0).uniform(size=40)


def views(random, count, variances, alignment, batch):
    shared = random.normal(size=(count, batch, len(alignment)))
    noise = random.normal(size=(2, count, batch, len(alignment)))
    mixed = np.sqrt(alignment) * shared + np.sqrt(1 - alignment) * noise
    return mixed * np.sqrt(variances)


@pytest.mark.parametrize("batch", [4, 16])
def test_biased_uniformity_terms_have_the_stated_means(batch):
    random = np.random.default_rng(1)
    variances, alignment = np.array([0.9, 0.5, 0.2]), np.array([0.8, 0.4, 0.1])
    first, second = views(random, 200000 // batch, variances, alignment, batch)
    total, squares = variances.sum(), (variances**2).sum()
    shared = variances * alignment
    same = np.einsum("kbi,kbj->kij", first, first) / batch
    sample = np.sum(same**2, axis=(1, 2))
    mean = (1 + 1 / batch) * squares + total**2 / batch
    assert abs(sample.mean() - mean) < 5 * sample.std() / np.sqrt(sample.size)
    logits = np.einsum("kbi,kci->kbc", first, second)
    sample = np.mean(logits**2, axis=(1, 2))
    extra = shared.sum() ** 2 + squares + (shared**2).sum()
    mean = (1 - 1 / batch) * squares + extra / batch
    assert abs(sample.mean() - mean) < 5 * sample.std() / np.sqrt(sample.size)


@pytest.mark.parametrize("batch", [8, 32, 256])
def test_variances_minimize_the_biased_losses(batch):
    def same(n):
        value = (1 + 1 / batch) * np.sum(n**2) + np.sum(n) ** 2 / batch
        return value - 2 * np.sum(ALIGNMENT * n)

    def cross(n):
        shared = ALIGNMENT * n
        extra = np.sum(shared) ** 2 + np.sum(n**2) + np.sum(shared**2)
        return (1 - 1 / batch) * np.sum(n**2) + extra / batch - 2 * np.sum(shared)

    for loss, ours in (
        (same, same_view_variances(ALIGNMENT, batch)),
        (cross, cross_view_variances(ALIGNMENT, batch)),
    ):
        options = {"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-10}
        found = minimize(loss, np.full(40, 0.1), bounds=[(0, None)] * 40, options=options)
        np.testing.assert_allclose(ours, found.x, atol=1e-5)
        assert loss(np.asarray(ours)) <= found.fun + 1e-12


def test_same_view_bias_is_a_soft_threshold_and_cross_view_bias_drops_nothing():
    kept = np.asarray(same_view_variances(ALIGNMENT, 32))
    total = kept.sum()
    np.testing.assert_array_equal(kept > 0, ALIGNMENT > total / 32)
    assert 0 < (kept > 0).sum() < 40
    assert np.all(np.asarray(cross_view_variances(ALIGNMENT, 32)) > 0)
    for variances in (same_view_variances, cross_view_variances):
        np.testing.assert_allclose(variances(ALIGNMENT, 10**9), ALIGNMENT, atol=1e-7)


def test_collapse_exponent_matches_monte_carlo_and_its_sign_the_threshold():
    random = np.random.default_rng(2)
    scale, rate, batch, count = 1.0, 0.05, 4, 400000
    threshold = 2 * rate * scale / batch
    for alignment in (0.3 * threshold, 0.7 * threshold, 1.5 * threshold, 4 * threshold, 0.3):
        shared = np.sqrt(alignment) * random.normal(size=(count, batch))
        pair = shared + np.sqrt(1 - alignment) * random.normal(size=(2, count, batch))
        growth = np.log(np.abs(1 + 4 * rate * scale * np.mean(pair[0] * pair[1], axis=1)))
        error = 5 * growth.std() / np.sqrt(count) + 40 * rate**3
        ours = float(collapse_exponent(np.ones(1), np.full(1, alignment), rate, batch)[0])
        assert abs(growth.mean() - ours) < error
        if abs(alignment / threshold - 1) > 0.25:
            assert (ours > 0) == (alignment > threshold)
