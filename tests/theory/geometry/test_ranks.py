"""Ranks: laws, a NumPy twin, and the published numbers of one matrix under three definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests import reference
from theory.geometry.invariance import augmentation_fractions, orbit_covariances
from theory.geometry.ranks import (
    lidar,
    rankme,
    variance_effective_rank,
)
from theory.linalg.errors import InputError

spectra = arrays(np.float64, 7, elements=st.floats(1e-6, 1e3))


def entropy_rank(shares):
    shares = shares[shares > 0]
    return np.exp(-np.sum(shares * np.log(shares)))


@settings(deadline=None, max_examples=15)
@given(values=spectra, scale=st.floats(1e-3, 1e3))
def test_ranks_ignore_scale_and_are_ordered(values, scale):
    rank = float(variance_effective_rank(values))
    participation = np.sum(values) ** 2 / np.sum(values**2)
    assert 1 - 1e-9 <= participation <= rank * (1 + 1e-12)
    # Squaring sharpens a spectrum.
    assert float(variance_effective_rank(values**2)) <= rank * (1 + 1e-12) <= len(values) + 1e-9
    np.testing.assert_allclose(float(variance_effective_rank(scale * values)), rank, rtol=1e-12)
    np.testing.assert_allclose(rank, entropy_rank(values / values.sum()), rtol=1e-12)


def test_zero_directions_change_no_rank_and_no_gradient():
    values = np.array([3.0, 2.0, 0.5])
    padded = np.append(values, [0.0, 0.0])
    rank = variance_effective_rank
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


def test_one_matrix_has_the_published_ranks(power_law):
    matrix, _ = power_law
    centered = np.linalg.svd(matrix - matrix.mean(0), compute_uv=False)
    np.testing.assert_allclose(float(rankme(matrix)), 20.1, atol=0.07)
    np.testing.assert_allclose(float(rankme(matrix, epsilon=1e-5)), 20.7, atol=0.07)
    np.testing.assert_allclose(float(variance_effective_rank(centered**2)), 113.6, atol=0.2)


def test_rankme_of_isotropic_noise_shows_the_effect_of_epsilon(power_law):
    _, noise = power_law
    np.testing.assert_allclose(float(rankme(noise)), 503.8, atol=0.1)
    assert float(rankme(noise, epsilon=1e-5)) > 512


def test_lidar_is_its_definition_with_images_as_classes():
    rng = np.random.default_rng(1)
    views = rng.standard_normal((40, 1, 6)) * np.array([3, 2, 1, 1, 0.5, 0.2])
    views = views + rng.standard_normal((40, 5, 6)) @ rng.standard_normal((6, 6)) * 0.3
    between = np.cov(views.mean(1).T)
    within = np.mean([np.cov(v.T) for v in views], axis=0)
    inverse = reference.power(within + 1e-4 * np.eye(6), -0.5)
    values = np.linalg.eigvalsh(inverse @ between @ inverse)
    found = float(lidar(between, within))
    np.testing.assert_allclose(found, entropy_rank(values / values.sum() + 1e-8), rtol=1e-10)
    assert abs(found - entropy_rank(values**2 / np.sum(values**2) + 1e-8)) > 0.1
    moments = orbit_covariances(views)
    np.testing.assert_allclose(lidar(moments.between + moments.within / 5, within), found)


def test_lidar_ignores_changes_of_features_and_ranks_inverse_augmentation_fractions():
    rng = np.random.default_rng(2)
    first, second, change = rng.standard_normal((3, 5, 5))
    between, within = first @ first.T, second @ second.T
    found = float(lidar(between, within, delta=0.0, epsilon=0.0))
    moved = lidar(change @ between @ change.T, change @ within @ change.T, delta=0.0, epsilon=0.0)
    np.testing.assert_allclose(float(moved), found, rtol=1e-8)
    rho = np.asarray(augmentation_fractions(within, within + between).values)
    odds = (1 - rho) / rho
    np.testing.assert_allclose(found, entropy_rank(odds / np.sum(odds)), rtol=1e-9)


def test_ranks_compile_batch_and_refuse_float32():
    values = np.random.default_rng(3).uniform(0.1, 1.0, (4, 7))
    batched = jax.jit(jax.vmap(variance_effective_rank))(values)
    np.testing.assert_allclose(batched, [variance_effective_rank(v) for v in values])
    assert jax.jit(jax.vmap(rankme))(np.ones((2, 3, 2))).dtype == np.float64
    with pytest.raises(InputError, match="float32"):
        variance_effective_rank(values[0].astype(np.float32))
