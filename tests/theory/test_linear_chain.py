"""Linear chains: balance at each boundary."""

import numpy as np
import pytest

from theory.errors import InputError
from theory.linear_chain import balance_residuals, chain_layer_grams


def positive(rng, dim, spread):
    vectors = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    return (vectors * np.exp(spread * rng.uniform(-1, 1, dim))) @ vectors.T


def test_balance_residuals_see_each_boundary_and_ignore_scale():
    rng = np.random.default_rng(4)
    root = positive(rng, 4, 1.0)
    balanced = (root, root, root)
    np.testing.assert_allclose(balance_residuals(balanced), [0, 0], atol=1e-14)
    moved = (root, 1.1 * root, root)
    residuals = np.asarray(balance_residuals(moved))
    np.testing.assert_allclose(residuals, 2 * 0.21 / 2.21, rtol=1e-10)
    np.testing.assert_allclose(balance_residuals(tuple(7 * w for w in moved)), residuals)
    wide = (rng.standard_normal((6, 4)), rng.standard_normal((3, 6)))
    incoming, outgoing = wide[0] @ wide[0].T, wide[1].T @ wide[1]
    twin = np.linalg.norm(outgoing - incoming)
    twin = 2 * twin / (np.linalg.norm(outgoing) + np.linalg.norm(incoming))
    np.testing.assert_allclose(balance_residuals(wide), [twin], rtol=1e-12)
    assert balance_residuals((root,)).shape == (0,)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="give W_1 first"):
        balance_residuals((np.ones((3, 4)), np.ones((2, 5))))
    with pytest.raises(InputError, match="give W_1 first"):
        chain_layer_grams((np.ones((3, 4)), np.ones((2, 5))))
