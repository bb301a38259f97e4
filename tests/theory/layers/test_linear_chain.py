"""Linear chains: balance at each boundary."""

import numpy as np
import pytest

from theory.layers.chain import balance_residuals, chain_layer_grams, gram_chain
from theory.linalg.errors import InputError


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


def test_a_chain_of_grams_is_as_unbalanced_as_the_network_they_come_from():
    random = np.random.default_rng(3)
    shapes = ((5, 4), (6, 5), (3, 6))
    weights = [random.normal(size=shape) for shape in shapes]
    # Each layer reads only what the one below delivers: four features reach every width.
    delivered = np.linalg.qr(weights[0])[0]
    weights[1] = weights[1] @ delivered @ delivered.T
    delivered = np.linalg.qr(weights[1] @ weights[0])[0]
    weights[2] = weights[2] @ delivered @ delivered.T
    grams = chain_layer_grams(tuple(weights))
    chain = gram_chain(grams)
    np.testing.assert_allclose(chain_layer_grams(chain), grams, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        balance_residuals(chain), balance_residuals(tuple(weights)), rtol=1e-9
    )


def test_grams_of_no_network_are_refused():
    dropped = np.diag([1.0, 0.0])
    with pytest.raises(InputError, match="layer 2 is no Gram"):
        gram_chain(np.stack([dropped, np.eye(2)]))
    with pytest.raises(InputError, match="layer 1 is no Gram"):
        gram_chain(np.diag([1.0, -1.0])[None])
