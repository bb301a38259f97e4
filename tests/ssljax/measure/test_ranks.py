"""Effective ranks of layers: limits, definitions on the features themselves, invariances."""

import math

import numpy as np
import pytest

from ssljax.measure.ranks import alpha_req, layer_ranks, lidar, rankme


def test_equal_directions_count_as_one_each():
    for rank in (1, 3, 5):
        matrix = np.diag([2.0] * rank + [0.0] * (5 - rank))
        # Each zero share becomes epsilon and adds -epsilon log epsilon to the entropy.
        assert rankme(matrix) == pytest.approx(rank, rel=2e-5)
        assert lidar(matrix, np.eye(5)) == pytest.approx(rank, rel=2e-6)


def test_rankme_of_the_second_moment_is_that_of_the_features():
    features = np.random.default_rng(0).normal(size=(50, 6)) * 2.0 ** -np.arange(6) + 0.3
    shares = np.linalg.svd(features, compute_uv=False)
    shares = shares / shares.sum() + 1e-7
    expected = math.exp(-np.sum(shares * np.log(shares)))
    assert rankme(features.T @ features / 50) == pytest.approx(expected, rel=1e-10)


def test_lidar_sees_between_images_in_units_of_within():
    rng = np.random.default_rng(1)
    within, between = (a @ a.T for a in rng.normal(size=(2, 4, 4)))
    values = np.linalg.eigvals(np.linalg.solve(within + 1e-4 * np.eye(4), between)).real
    shares = values / values.sum() + 1e-8
    assert lidar(between, within) == pytest.approx(math.exp(-np.sum(shares * np.log(shares))))


def test_alpha_is_the_exponent_of_a_power_law_and_ignores_the_null_space():
    values = np.arange(1, 9) ** -1.7
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(10, 10)))[0]
    matrix = rotation[:, :8] * values @ rotation[:, :8].T
    assert alpha_req(matrix) == pytest.approx(1.7, rel=1e-9)
    assert math.isnan(alpha_req(np.diag([1.0, 0.0])))


def test_a_layer_that_is_constant_has_no_rank():
    zero = np.zeros((3, 3))
    found = layer_ranks({"covariance": zero, "cross_covariance": zero, "mean": np.zeros(3)})
    assert all(math.isnan(value) for value in found.values())


def test_ranks_of_a_layer_use_the_mean_where_their_definition_centers():
    mean = np.array([5.0, 0.0])
    covariance = np.diag([2.0, 1.0]) + np.outer(mean, mean)
    cross = np.diag([1.0, 0.5]) + np.outer(mean, mean)
    found = layer_ranks({"covariance": covariance, "cross_covariance": cross, "mean": mean})
    assert found["alpha_req"] == pytest.approx(1.0)  # 2 to 1 over log 2
    assert found["lidar"] == pytest.approx(2.0, rel=1e-3)
    assert found["rankme"] == pytest.approx(rankme(covariance))
