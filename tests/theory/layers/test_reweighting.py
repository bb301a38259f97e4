"""The fixed head: published weights, gradient descent from a small start, guards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.layers.reweighting import (
    last_coordinate,
    reweighted_weights,
    reweighting_scales,
)
from theory.linalg.errors import InputError

WEIGHTS = np.sqrt([1.0, 0.7, 0.5, 0.3, 0.15])


@pytest.mark.parametrize(
    ("ratio", "published"),
    [(1.2, [1, 1.004, 1.018, 0.946, 0.803]), (1.5, [1, 1.255, 1.591, 1.849, 1.961])],
)
def test_weights_before_the_head_are_the_published_ones(ratio, published):
    before, after = reweighted_weights(WEIGHTS[::-1], ratio)
    np.testing.assert_allclose(before, published, atol=6e-4)
    np.testing.assert_allclose(after, WEIGHTS)


def test_gradient_descent_from_a_small_start_reaches_the_closed_form():
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    squares = np.array([1.0, 0.5, 0.2])
    shared = (frame * squares) @ frame.T  # Σ = I, so that the optimum's Gram is M
    head = np.diag(reweighting_scales(3, 1.5))
    weight = 1e-3 * rng.normal(size=(3, 3))
    for _ in range(20_000):
        output = head @ weight
        weight = weight + 0.05 * head @ (output @ shared - output @ output.T @ output)
    before, after = reweighted_weights(np.sqrt(squares), 1.5)
    np.testing.assert_allclose(np.linalg.norm(weight, axis=1), before, atol=4e-3)
    np.testing.assert_allclose(np.linalg.norm(head @ weight, axis=1), after, atol=4e-3)


def test_the_closed_form_has_the_least_norm_of_all_rotations():
    rng = np.random.default_rng(1)
    before, after = reweighted_weights(WEIGHTS, 1.3)
    growth = 1.3 ** np.arange(5)
    for _ in range(200):
        rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        other = growth[:, None] * rotation * np.asarray(after)[None, :]
        assert np.sum(other**2) >= np.sum(before**2) - 1e-12


def test_features_of_no_weight_stay_absent_however_many_there_are():
    weights = jnp.concatenate([jnp.array([1.0, 0.5]), jnp.zeros(2000)])
    before, _ = reweighted_weights(weights, 1.5)
    np.testing.assert_allclose(before[:2], [1.0, 0.75])
    np.testing.assert_array_equal(before[2:], 0.0)
    slope = jax.grad(lambda ratio: jnp.sum(reweighted_weights(weights, ratio)[0]))(1.5)
    np.testing.assert_allclose(slope, 0.5, rtol=1e-12)


@pytest.mark.parametrize("ratio", [1.05, 1.1, 1.2, 1.5, 1.9])
def test_float32_holds_exactly_the_coordinates_that_are_allowed(ratio):
    last = int(last_coordinate(ratio))
    scales = reweighting_scales(last, ratio).astype(np.float32)
    assert scales[-1] > 0
    beyond = np.exp(-last * np.log(np.float64(ratio))).astype(np.float32)
    assert beyond == 0
    with pytest.raises(InputError, match="float32"):
        reweighting_scales(last + 1, ratio)


def test_a_ratio_below_one_is_refused():
    with pytest.raises(InputError, match=r"ratio is 0\.9"):
        reweighting_scales(3, 0.9)
