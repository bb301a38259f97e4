"""Local geometry: known dimensions, and SciPy's non-negative least squares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.spatial

from theory.geometry.neighborhoods import (
    kernel_neighborhood,
    local_intrinsic_dimension,
    neighbor_distances,
    neighborhood_overlap,
)
from theory.linalg.errors import InputError


def test_neighbor_distances_agree_with_a_tree():
    cloud = np.random.default_rng(0).standard_normal((60, 4))
    tree = scipy.spatial.cKDTree(cloud).query(cloud, 6)[0][:, 1:]
    np.testing.assert_allclose(neighbor_distances(cloud, 5), tree, atol=1e-7)
    with pytest.raises(InputError, match="give between 1 and 59"):
        neighbor_distances(cloud, 60)


@pytest.mark.parametrize("dimension", [1, 3, 6])
def test_intrinsic_dimension_is_that_of_the_plane_not_of_the_space(dimension):
    """Uniform in a ball: radii are uniform to the power 1/dimension, whatever space holds it."""
    rng = np.random.default_rng(1)
    radii = np.sort(rng.uniform(size=(2000, 20)) ** (1 / dimension), axis=1)
    inverse = 1 / np.asarray(local_intrinsic_dimension(radii))
    expected = (1 - 1 / 20) / dimension
    assert abs(inverse.mean() - expected) < 4 * inverse.std() / np.sqrt(len(inverse))
    plane = rng.standard_normal((400, 2)) @ rng.standard_normal((2, 10))
    lid = local_intrinsic_dimension(neighbor_distances(plane, 20))
    assert 1.7 < np.exp(np.mean(np.log(lid))) < 2.4


def test_kernel_neighborhood_solves_its_non_negative_problem():
    rng = np.random.default_rng(2)
    solve = jax.jit(lambda point, candidates: kernel_neighborhood(point, candidates, 1.5))
    for _ in range(5):
        point, candidates = rng.standard_normal(3), rng.standard_normal((8, 3))
        squares = np.sum((candidates[:, None] - candidates[None]) ** 2, axis=-1)
        kernel = np.exp(-0.5 * squares / 1.5**2)
        similarity = np.exp(-0.5 * np.sum((candidates - point) ** 2, axis=-1) / 1.5**2)
        root = np.linalg.cholesky(kernel)
        expected, _ = scipy.optimize.nnls(root.T, np.linalg.solve(root, similarity))
        found = solve(point, candidates)
        np.testing.assert_allclose(found.weights, expected, atol=1e-5)
        chosen = candidates[expected > 1e-4]
        spread = scipy.spatial.distance.pdist(chosen)
        assert float(found.diameter) >= (spread.max() if len(spread) else 0) - 1e-9


def test_an_invariant_manifold_has_a_small_diameter():
    rng = np.random.default_rng(3)
    views = rng.standard_normal((12, 4))
    wide = kernel_neighborhood(jnp.zeros(4), views, 1.0)
    narrow = kernel_neighborhood(jnp.zeros(4), 0.1 * views, 0.1)
    np.testing.assert_allclose(narrow.weights, wide.weights, atol=1e-10)
    np.testing.assert_allclose(10 * narrow.diameter, wide.diameter, rtol=1e-9)


def test_neighborhoods_of_a_bent_curve_overlap_by_the_cosine_of_its_turn():
    """Points on a circle: the chords' directions turn by the angle between the points."""

    def chords(angle):
        offsets = angle + 0.01 * np.array([-1.0, 1.0, 2.0])
        cloud = np.stack([np.cos(offsets), np.sin(offsets), 0 * offsets], axis=1)
        centre = np.array([np.cos(angle), np.sin(angle), 0.0])
        # One chord only: each support is the nearest point after the centre.
        return centre, cloud, np.array([False, True, False])

    overlap = neighborhood_overlap(*chords(0.0), *chords(0.7))
    assert float(overlap) == pytest.approx(np.cos(0.7) ** 2, abs=1e-12)


def test_overlap_of_planes_is_that_of_their_principal_angles():
    random = np.random.default_rng(4)
    first, second = random.normal(size=(2, 5, 6))
    supports = np.array([[True, True, False, False, True], [True, True, True, True, False]])
    zero = np.zeros(6)
    found = neighborhood_overlap(zero, first, supports[0], zero, second, supports[1])
    angles = scipy.linalg.subspace_angles(first[supports[0]].T, second[supports[1]].T)
    assert float(found) == pytest.approx(np.mean(np.cos(angles) ** 2), abs=1e-12)
