"""Nulls: each keeps exactly what its hypothesis keeps and destroys the rest."""

import jax
import numpy as np
import pytest

from theory.comparison.metrics import active_subspace, riemannian_distance
from theory.comparison.nulls import (
    balanced_weights,
    gauge_null,
    gauged_weights,
    isotropic_null,
    prediction_nulls,
    rotation_null,
    shuffled_pairs_null,
    wrong_depth_null,
)
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_grams
from theory.linalg.errors import InputError
from theory.linalg.whitening import generalized_eigenpairs


def low_rank_gram(seed, dim=8, rank=5):
    factor = np.random.default_rng(seed).standard_normal((rank, dim))
    return (factor * np.exp(np.linspace(0, -2, rank))[:, None]).T @ factor


def test_rotation_keeps_eigenvalues_and_subspace_and_loses_directions():
    gram = low_rank_gram(0)
    grams = layer_grams(gram, 3)
    basis = np.asarray(active_subspace(np.eye(8), gram, 5))
    nulls = np.asarray(rotation_null(jax.random.key(0), grams, basis))
    for null, truth in zip(nulls, np.asarray(grams)):
        np.testing.assert_allclose(np.linalg.eigvalsh(null), np.linalg.eigvalsh(truth), atol=1e-11)
        np.testing.assert_allclose(basis @ (basis.T @ null), null, atol=1e-11)
        assert float(riemannian_distance(null, truth, basis)) > 0.2
    eigenvectors = [np.linalg.eigh(null)[1][:, -1] for null in nulls]
    np.testing.assert_allclose(np.abs(eigenvectors[0] @ eigenvectors[2]), 1.0, atol=1e-9)


def test_gauge_keeps_the_function_and_changes_every_hidden_gram():
    rng = np.random.default_rng(1)
    weights = tuple(rng.standard_normal(shape) for shape in ((6, 8), (7, 6), (5, 7)))
    moved = gauged_weights(jax.random.key(1), weights)
    np.testing.assert_allclose(
        moved[2] @ moved[1] @ moved[0], weights[2] @ weights[1] @ weights[0], atol=1e-9
    )
    null = np.asarray(gauge_null(jax.random.key(1), weights))
    assert null.shape == (2, 8, 8)
    true = np.asarray(chain_layer_grams(weights))
    assert np.all(np.linalg.norm(null - true[:2], axis=(1, 2)) > 0.1)
    assert gauge_null(jax.random.key(1), weights[:1]).shape == (0, 8, 8)


def test_gauge_distance_is_that_of_a_random_wishart_matrix():
    """G normal of width h in a k-dimensional subspace: log eigenvalues of a (k, h) Wishart."""
    weights = balanced_weights(np.diag(np.append(np.ones(7), np.zeros(57))), 2)
    null = gauge_null(jax.random.key(2), weights)[0]
    distance = float(riemannian_distance(null, np.eye(64), np.eye(64)[:, :7]))
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(200):
        sample = rng.standard_normal((64, 7)) / 8
        draws.append(np.sqrt(np.mean(np.log(np.linalg.eigvalsh(sample.T @ sample)) ** 2)))
    assert abs(distance - np.mean(draws)) < 4 * np.std(draws)
    assert 0.2 < np.mean(draws) < 0.5


def test_isotropic_null_is_the_nearest_multiple_of_the_identity():
    gram = low_rank_gram(4, dim=5)
    null = np.asarray(isotropic_null(gram[None], np.eye(5)))[0]
    nearest = float(riemannian_distance(null, gram, np.eye(5)))
    np.testing.assert_allclose(nearest, np.std(np.log(np.linalg.eigvalsh(gram))), rtol=1e-9)
    for factor in (0.9, 1.1):
        assert float(riemannian_distance(factor * null, gram, np.eye(5))) > nearest


def test_shuffled_pairs_align_at_the_noise_floor_apart_from_the_mean():
    covariance = low_rank_gram(6) + np.eye(8)
    values = generalized_eigenpairs(
        covariance, shuffled_pairs_null(covariance, noise_floor=0.05)
    ).values
    np.testing.assert_allclose(values, 0.05, rtol=1e-10)
    mean = np.arange(8.0)
    raw = covariance + np.outer(mean, mean)
    rng = np.random.default_rng(7)
    root = np.linalg.cholesky(covariance)
    views = rng.standard_normal((200_000, 8)) @ root.T + mean
    shuffled = views[: len(views) // 2].T @ views[len(views) // 2 :] / (len(views) // 2)
    expected = np.asarray(shuffled_pairs_null(raw, mean))
    scale = np.sqrt(np.outer(np.diag(raw), np.diag(raw)) / (len(views) // 2))
    assert np.max(np.abs(shuffled - expected) / scale) < 5
    assert np.all(np.asarray(shuffled_pairs_null(covariance)) == 0)


def test_wrong_depth_is_the_law_of_another_depth_below_the_last_layer():
    gram = low_rank_gram(8)
    for wrong in (2, 4):
        null = wrong_depth_null(gram, 3, wrong)
        np.testing.assert_allclose(null, layer_grams(gram, wrong)[:2], atol=1e-12)
    with pytest.raises(InputError, match="give another depth"):
        wrong_depth_null(gram, 3, 3)
    with pytest.raises(InputError, match="give another depth"):
        wrong_depth_null(gram, 1, 0)


def test_prediction_nulls_differ_from_the_prediction_where_they_speak():
    gram, covariance = low_rank_gram(9), low_rank_gram(10) + np.eye(8)
    grams = np.asarray(layer_grams(gram, 3))
    basis = active_subspace(covariance, gram, 5)
    nulls = prediction_nulls(jax.random.key(3), grams, covariance)
    assert set(nulls) == {"rotation", "input", "gauge", "post", "wrong_depth_2", "wrong_depth_4"}
    np.testing.assert_array_equal(nulls["input"], np.stack([np.eye(8)] * 3))
    np.testing.assert_array_equal(nulls["post"], np.stack([grams[-1]] * 2))
    for null in nulls.values():
        for layer in range(len(null)):
            assert float(riemannian_distance(null[layer], grams[layer], basis)) > 0.05
    assert set(prediction_nulls(jax.random.key(3), grams[:1], covariance)) == {"rotation", "input"}
