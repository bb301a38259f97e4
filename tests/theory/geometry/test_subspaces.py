"""Subspaces: SciPy's angles, the random baseline by sampling, the sampling error of a tangent."""

import jax
import numpy as np
import scipy.linalg

from theory.geometry.subspaces import (
    captured_energy,
    random_overlap,
    row_subspace,
    subspace_overlap,
    tangent_cosine_squared,
)


def orthonormal(rng, dim, rank):
    return np.linalg.qr(rng.standard_normal((dim, rank)))[0]


def test_angles_and_overlap_agree_with_scipy():
    rng = np.random.default_rng(0)
    first, second = orthonormal(rng, 9, 3), orthonormal(rng, 9, 5)
    cosines = np.cos(scipy.linalg.subspace_angles(first, second))
    np.testing.assert_allclose(float(subspace_overlap(first, second)), np.mean(cosines**2))
    inside = first @ orthonormal(rng, 3, 2)
    np.testing.assert_allclose(float(subspace_overlap(first, inside)), 1.0, rtol=1e-12)


def test_random_subspaces_overlap_by_chance_as_stated():
    rng = np.random.default_rng(1)
    draws = [
        float(subspace_overlap(orthonormal(rng, 20, 3), orthonormal(rng, 20, 6)))
        for _ in range(100)
    ]
    assert abs(np.mean(draws) - random_overlap(3, 6, 20)) < 4 * np.std(draws) / np.sqrt(100)
    energy = [
        float(captured_energy(orthonormal(rng, 20, 6), rng.standard_normal((20, 2))))
        for _ in range(100)
    ]
    assert abs(np.mean(energy) - 6 / 20) < 4 * np.std(energy) / np.sqrt(100)


def test_a_projector_that_removes_augmentation_captures_data_energy():
    rng = np.random.default_rng(2)
    local_map = np.diag([3.0, 2.0, 1e-3, 1e-3]) @ orthonormal(rng, 4, 4).T
    basis = row_subspace(local_map, 2)
    kernel = np.linalg.svd(local_map)[2][2:].T
    augmentation = kernel + 0.1 * rng.standard_normal((4, 2))
    data = rng.standard_normal((4, 50))
    assert float(captured_energy(basis, augmentation)) < 0.1
    expected = np.sum((basis.T @ data) ** 2) / np.sum(data**2)
    np.testing.assert_allclose(float(captured_energy(basis, data)), expected, rtol=1e-12)
    assert expected > 0.3


def test_sampled_tangents_miss_by_the_stated_angle_and_not_at_all_below_the_threshold():
    """Dimension 64: undetectable from 16 samples, sin .866 from 64 and .525 from 256."""
    tangent_variance, noise_variance, dim = 1 / 300, 1 / 400, 64
    rng = np.random.default_rng(3)
    for num_samples, stated in ((16, 1.0), (64, 0.866), (256, 0.525)):
        cosine = float(tangent_cosine_squared(tangent_variance, noise_variance, dim, num_samples))
        np.testing.assert_allclose(np.sqrt(1 - cosine), stated, atol=1e-3)
        measured = []
        for _ in range(30):
            sample = np.sqrt(noise_variance) * rng.standard_normal((num_samples, dim))
            sample[:, 0] *= np.sqrt(1 + tangent_variance / noise_variance)
            leading = np.linalg.svd(sample, full_matrices=False)[2][0]
            measured.append(leading[0] ** 2)
        limit = 0.12 if num_samples == 16 else 0.06
        assert abs(np.mean(measured) - cosine) < limit
    slope = jax.grad(lambda v: tangent_cosine_squared(v, 1.0, 64, 256))(2.0)
    assert np.isfinite(slope)
    assert slope > 0
