"""Subspaces: SciPy's angles, the random baseline by sampling, the sampling error of a tangent."""

import numpy as np
import scipy.linalg

from theory.geometry.subspaces import (
    subspace_overlap,
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
