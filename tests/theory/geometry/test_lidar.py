"""LiDAR against its definition written out in NumPy, and its invariance."""

import numpy as np

from theory.geometry.invariance import augmentation_fractions
from theory.geometry.lidar import lidar, lidar_of_covariances


def entropy_rank(shares):
    return np.exp(-np.sum(shares * np.log(shares)))


def test_lidar_is_its_definition_with_images_as_classes():
    rng = np.random.default_rng(1)
    views = rng.standard_normal((40, 1, 6)) * np.array([3, 2, 1, 1, 0.5, 0.2])
    views = views + rng.standard_normal((40, 5, 6)) @ rng.standard_normal((6, 6)) * 0.3
    means = views.mean(1)
    between = np.cov(means.T)
    within = np.mean([np.cov(v.T) for v in views], axis=0) + 1e-4 * np.eye(6)
    eigenvalues, vectors = np.linalg.eigh(within)
    whitener = vectors @ np.diag(eigenvalues**-0.5) @ vectors.T
    values = np.linalg.eigvalsh(whitener @ between @ whitener)
    expected = entropy_rank(values / values.sum() + 1e-8)
    np.testing.assert_allclose(float(lidar(views)), expected, rtol=1e-10)
    squared = entropy_rank(values**2 / np.sum(values**2) + 1e-8)
    assert abs(float(lidar(views)) - squared) > 0.1


def test_lidar_ignores_any_invertible_change_of_features_when_delta_is_zero():
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((2, 5, 5))
    between, within = first @ first.T, second @ second.T
    change = rng.standard_normal((5, 5))
    np.testing.assert_allclose(
        float(
            lidar_of_covariances(change @ between @ change.T, change @ within @ change.T, delta=0.0)
        ),
        float(lidar_of_covariances(between, within, delta=0.0)),
        rtol=1e-8,
    )


def test_lidar_is_the_rank_of_the_inverse_augmentation_fractions():
    rng = np.random.default_rng(3)
    first, second = rng.standard_normal((2, 5, 5))
    between, within = first @ first.T, second @ second.T
    rho = np.asarray(augmentation_fractions(within, within + between).values)
    np.testing.assert_allclose(
        float(lidar_of_covariances(between, within, delta=0.0, epsilon=0.0)),
        entropy_rank((1 - rho) / rho / np.sum((1 - rho) / rho)),
        rtol=1e-9,
    )
