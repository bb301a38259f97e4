"""Invariance: the same split from views and from moments, and its generalized directions."""

import jax
import numpy as np
import pytest
import scipy.linalg

from theory.geometry.invariance import (
    augmentation_fractions,
    invariance_defect,
    orbit_covariances,
    view_invariance_defect,
    within_covariance,
)
from theory.linalg.errors import InputError


def sampled_views(num_images, num_views, seed=0, dim=5):
    rng = np.random.default_rng(seed)
    between, within = rng.standard_normal((2, dim, dim)) / np.sqrt(dim)
    means = rng.standard_normal((num_images, 1, dim)) @ between
    noise = rng.standard_normal((num_images, num_views, dim)) @ within
    return means + noise + 2.0, within.T @ within, between.T @ between


def test_orbit_covariances_are_unbiased():
    """Two views and few images: the factor V/(V-1) and the V-dependent correction matter most."""
    within, between = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        views = 1.5 * rng.standard_normal((6, 1, 2)) + 0.7 * rng.standard_normal((6, 2, 2))
        split = orbit_covariances(views)
        within.append(np.trace(split.within) / 2)
        between.append(np.trace(split.between) / 2)
    for values, truth in ((within, 0.7**2), (between, 1.5**2)):
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - truth) < 4 * error
        assert truth > 8 * error


def test_defect_from_views_and_from_all_pair_moments_agree_up_to_the_mean():
    views, _, _ = sampled_views(300, 4)
    images, num_views, dim = views.shape
    flat = views.reshape(-1, dim)
    covariance = flat.T @ flat / len(flat)
    sums = views.sum(1)
    cross = (sums.T @ sums - flat.T @ flat) / (images * num_views * (num_views - 1))
    split = orbit_covariances(views)
    np.testing.assert_allclose(within_covariance(covariance, cross), split.within, atol=1e-13)
    from_moments = float(invariance_defect(covariance, cross, flat.mean(0)))
    np.testing.assert_allclose(from_moments, float(view_invariance_defect(views)), rtol=2 / images)
    assert float(invariance_defect(covariance, cross)) < 0.5 * from_moments


def test_defect_has_the_expected_ends_and_ignores_scale_and_rotation():
    views, within, between = sampled_views(50, 3)
    total = within + between
    defect = float(invariance_defect(total, between))
    np.testing.assert_allclose(defect, np.trace(within) / np.trace(total), rtol=1e-12)
    np.testing.assert_allclose(float(invariance_defect(9 * total, 9 * between)), defect, rtol=1e-12)
    assert float(invariance_defect(total, total)) == 0.0
    assert float(invariance_defect(total, np.zeros_like(total))) == 1.0
    assert float(view_invariance_defect(np.repeat(views[:, :1], 3, axis=1))) < 1e-15


def test_augmentation_fractions_solve_the_generalized_problem():
    _, within, between = sampled_views(2, 2, seed=3)
    total = within + between
    values, vectors = scipy.linalg.eigh(within, total)
    fractions = augmentation_fractions(within, total)
    np.testing.assert_allclose(fractions.values, values, atol=1e-13)
    np.testing.assert_allclose(
        np.abs(np.sum(fractions.directions * (total @ vectors), axis=0)), 1.0, atol=1e-10
    )
    g = np.asarray(fractions.directions)
    np.testing.assert_allclose(g.T @ total @ g, np.eye(5), atol=1e-11)
    np.testing.assert_allclose(g.T @ within @ g, np.diag(values), atol=1e-11)


def test_directions_without_data_are_pure_noise():
    _, within, between = sampled_views(2, 2, seed=4)
    padded = [np.pad(matrix, (0, 2)) for matrix in (within, within + between)]
    fractions = augmentation_fractions(*padded)
    expected = augmentation_fractions(within, within + between)
    np.testing.assert_allclose(fractions.values[:5], expected.values, atol=1e-12)
    np.testing.assert_array_equal(fractions.values[5:], 1.0)
    assert int(fractions.rank) == 5
    np.testing.assert_array_equal(fractions.directions[:, 5:], 0.0)


def test_invariance_compiles_batches_differentiates_and_refuses_bad_input():
    views, within, between = sampled_views(20, 3)
    stack = np.stack([views, 2 * views])
    np.testing.assert_allclose(*jax.jit(jax.vmap(view_invariance_defect))(stack), rtol=1e-12)
    total = within + between
    gradient = jax.grad(lambda c: augmentation_fractions(c, total).values[0])(within)
    step = 1e-6 * np.ones_like(within)
    numeric = (
        augmentation_fractions(within + step, total).values[0]
        - augmentation_fractions(within - step, total).values[0]
    ) / 2
    np.testing.assert_allclose(np.sum(gradient * step), numeric, rtol=1e-5)
    with pytest.raises(InputError, match="float32"):
        invariance_defect(total.astype(np.float32), between)
    with pytest.raises(InputError, match="at least two images and two views"):
        orbit_covariances(views[:, :1])
