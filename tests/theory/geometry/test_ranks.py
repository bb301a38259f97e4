"""Ranks: laws, a NumPy twin, and the published numbers of one matrix under four definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from theory.geometry.ranks import (
    alpha_req,
    participation_ratio,
    rankme,
    singular_value_effective_rank,
    threshold_rank,
    variance_effective_rank,
)
from theory.linalg.errors import InputError

spectra = arrays(np.float64, st.integers(1, 12), elements=st.floats(1e-6, 1e3))


def entropy_rank(shares):
    shares = shares[shares > 0]
    return np.exp(-np.sum(shares * np.log(shares)))


@settings(deadline=None, max_examples=30)
@given(values=spectra, scale=st.floats(1e-3, 1e3))
def test_ranks_ignore_scale_and_are_ordered(values, scale):
    by_singular_value = float(singular_value_effective_rank(values))
    by_variance = float(variance_effective_rank(values**2))
    participation = float(participation_ratio(values**2))
    assert 1 - 1e-9 <= participation <= by_variance * (1 + 1e-12)
    assert by_variance <= by_singular_value * (1 + 1e-12)
    assert by_singular_value <= len(values) * (1 + 1e-12)
    np.testing.assert_allclose(
        float(singular_value_effective_rank(scale * values)), by_singular_value, rtol=1e-12
    )
    np.testing.assert_allclose(by_singular_value, entropy_rank(values / values.sum()), rtol=1e-12)


def test_zero_directions_change_no_rank_and_no_gradient():
    values = np.array([3.0, 2.0, 0.5])
    padded = np.append(values, [0.0, 0.0])
    for rank in (singular_value_effective_rank, variance_effective_rank, participation_ratio):
        np.testing.assert_allclose(float(rank(padded)), float(rank(values)), rtol=1e-14)
        gradient = jax.grad(rank)(jnp.asarray(padded))
        np.testing.assert_allclose(
            gradient[:3], jax.grad(rank)(jnp.asarray(values)), rtol=1e-12, atol=1e-14
        )
        assert np.all(np.isfinite(gradient))


@pytest.fixture(scope="module")
def power_law():
    """The matrix on which peers disagree: power law i^-1/2, dimension 512, mean 3, 4096 rows."""
    noise = np.random.RandomState(0).randn(4096, 512)
    return noise * np.arange(1, 513) ** -0.5 + 3.0, noise


def test_one_matrix_has_the_four_published_ranks(power_law):
    matrix, _ = power_law
    centered = np.linalg.svd(matrix - matrix.mean(0), compute_uv=False)
    np.testing.assert_allclose(float(rankme(matrix)), 20.1, atol=0.07)
    np.testing.assert_allclose(float(rankme(matrix, epsilon=1e-5)), 20.7, atol=0.07)
    np.testing.assert_allclose(float(variance_effective_rank(centered**2)), 113.6, atol=0.2)
    np.testing.assert_allclose(float(singular_value_effective_rank(centered)), 402.1, atol=0.2)


def test_rankme_of_isotropic_noise_shows_the_effect_of_epsilon(power_law):
    _, noise = power_law
    np.testing.assert_allclose(float(rankme(noise)), 503.8, atol=0.1)
    assert float(rankme(noise, epsilon=1e-5)) > 512


def test_alpha_req_recovers_a_power_law_and_depends_on_its_range():
    values = np.arange(1.0, 65.0) ** -1.2
    np.testing.assert_allclose(float(alpha_req(values, first=3, last=40)), 1.2, rtol=1e-12)
    bent = np.where(np.arange(1, 65) < 10, values, values * (np.arange(1, 65) / 10.0) ** -1.0)
    assert float(alpha_req(bent, first=12, last=60)) > 2.1
    twin = np.polyfit(np.log(np.arange(4, 31)), np.log(bent[3:30]), 1)[0]
    np.testing.assert_allclose(float(alpha_req(bent, first=4, last=30)), -twin, rtol=1e-10)
    with pytest.raises(InputError, match="1 <= first < last <= 64"):
        alpha_req(values, first=10, last=65)


def test_threshold_rank_counts_against_the_largest_value():
    values = np.array([0.05, 10.0, 0.2, 1e-9])
    assert int(threshold_rank(values, 1e-2)) == 2
    assert int(threshold_rank(values, 1e-3)) == 3


def test_ranks_compile_batch_and_refuse_float32():
    values = np.random.default_rng(3).uniform(0.1, 1.0, (4, 7))
    batched = jax.jit(jax.vmap(singular_value_effective_rank))(values)
    np.testing.assert_allclose(batched, [singular_value_effective_rank(v) for v in values])
    assert jax.jit(jax.vmap(rankme))(np.ones((2, 3, 2))).dtype == np.float64
    with pytest.raises(InputError, match="float32"):
        variance_effective_rank(values[0].astype(np.float32))
