"""First-order invariance: bounds attained and never crossed, and the order of their error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.geometry.tangents import (
    alignment_efficiency,
    displacement_bounds,
    displacement_energy,
    log_orbit_volume,
    parameter_suppression,
    pulled_back_metric,
)
from theory.linalg.errors import InputError


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), sizes=st.sampled_from([(1, 1), (2, 3), (7, 2), (3, 7), (6, 6)]))
def test_displacement_lies_between_bounds_that_are_attained(seed, sizes):
    out, parameters = sizes
    rng = np.random.default_rng(seed)
    local_map, tangent = rng.standard_normal((out, 5)), rng.standard_normal((5, parameters))
    low, high = (float(bound) for bound in displacement_bounds(local_map, tangent))
    energy = float(displacement_energy(local_map, tangent))
    assert low - 1e-9 <= energy <= high * (1 + 1e-12)
    _, _, rows = np.linalg.svd(local_map)
    columns, _, _ = np.linalg.svd(tangent)
    for order, bound in ((rows, high), (rows[::-1], low)):
        turned = order.T @ columns.T @ tangent
        np.testing.assert_allclose(
            float(displacement_energy(local_map, turned)), bound, atol=1e-9 * high
        )
    if min(out, 5) + min(parameters, 5) <= 5:
        assert low <= 1e-20 * high


def test_sampled_displacement_reaches_first_order_at_the_square_of_the_strength():
    """Uniform, symmetric parameters: the relative error falls as strength²."""
    rng = np.random.default_rng(1)
    inner, outer = rng.standard_normal((6, 2)), rng.standard_normal((3, 6)) / 2
    feature = rng.standard_normal(6)
    nodes, node_weights = np.polynomial.legendre.leggauss(12)
    grid = jnp.asarray(np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2))
    grid_weights = np.outer(node_weights, node_weights).reshape(-1) / 4

    def encoder(parameters):
        return jnp.tanh(feature + inner @ parameters)

    def head(features):
        return outer @ jnp.sin(features)

    start = encoder(jnp.zeros(2))
    tangent = jax.jacfwd(encoder)(jnp.zeros(2))
    local_map = jax.jacrev(head)(start)
    errors = []
    for strength in (0.1, 0.05):
        moved = jax.vmap(lambda p, s=strength: head(encoder(s * p)) - head(start))(grid)
        sampled = np.sum(grid_weights * np.sum(np.asarray(moved) ** 2, axis=1))
        predicted = float(displacement_energy(local_map, strength * tangent, 1 / 3))
        errors.append(abs(sampled / predicted - 1))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2.0, atol=0.15)


def test_alignment_efficiency_is_one_on_average_over_orientations():
    rng = np.random.default_rng(2)
    local_map, tangent = rng.standard_normal((3, 6)), rng.standard_normal((6, 2))
    draws = [
        float(
            alignment_efficiency(local_map, np.linalg.qr(rng.standard_normal((6, 6)))[0] @ tangent)
        )
        for _ in range(400)
    ]
    assert abs(np.mean(draws) - 1) < 4 * np.std(draws) / np.sqrt(400)
    kernel = np.linalg.svd(local_map)[2][3:].T
    assert float(alignment_efficiency(local_map, kernel)) < 1e-20


def test_per_parameter_numbers_are_their_definitions():
    rng = np.random.default_rng(3)
    local_map, tangent = rng.standard_normal((3, 6)), rng.standard_normal((6, 2))
    suppressed = np.asarray(parameter_suppression(local_map, tangent, 6.0, 2.0))
    for index in range(2):
        moved = np.sum((local_map @ tangent[:, index]) ** 2) / np.sum(tangent[:, index] ** 2)
        np.testing.assert_allclose(suppressed[index], 3 * moved, rtol=1e-12)
    np.testing.assert_allclose(pulled_back_metric(tangent), tangent.T @ tangent)
    _, log_determinant = np.linalg.slogdet(tangent.T @ tangent)
    np.testing.assert_allclose(float(log_orbit_volume(tangent)), 0.5 * log_determinant)
    assert float(log_orbit_volume(np.ones((3, 2)))) < -15
    with pytest.raises(InputError, match="float32"):
        pulled_back_metric(tangent.astype(np.float32))
