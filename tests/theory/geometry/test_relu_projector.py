"""ReLU projectors: exact local maps and rank bounds."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.geometry.relu_projector import relu_local_map, relu_projector
from theory.linalg.errors import InputError


def he_network(seed, widths):
    rng = np.random.default_rng(seed)
    kernels = tuple(
        rng.standard_normal((out, into)) * np.sqrt(2 / into)
        for into, out in itertools.pairwise(widths)
    )
    return kernels, tuple(0.1 * rng.standard_normal(width) for width in widths[1:]), rng


def test_local_map_is_the_network_and_its_jacobian():
    kernels, biases, rng = he_network(0, (6, 9, 7, 4))
    for _ in range(5):
        point = rng.standard_normal(6)
        local = relu_local_map(kernels, biases, point)
        np.testing.assert_allclose(
            local.slope @ point + local.offset, relu_projector(kernels, biases, point), atol=1e-13
        )
        jacobian = jax.jacrev(lambda h: relu_projector(kernels, biases, h))(jnp.asarray(point))
        np.testing.assert_allclose(local.slope, jacobian, atol=1e-13)
        nearby = point + 1e-7 * rng.standard_normal(6)
        np.testing.assert_allclose(
            local.slope @ nearby + local.offset, relu_projector(kernels, biases, nearby), atol=1e-13
        )


def test_local_rank_never_exceeds_the_fewest_active_units():
    for seed in range(20):
        kernels, biases, rng = he_network(seed, (12, 5, 12, 8))
        local = relu_local_map(kernels, biases, rng.standard_normal(12))
        assert np.linalg.matrix_rank(local.slope, tol=1e-10) <= int(local.rank_bound)
        assert int(local.rank_bound) <= 5
        assert int(local.rank_bound) <= int(local.active_units.min())


@pytest.mark.parametrize(("width", "expected"), [(8, 4.0), (16, 8.0), (64, 16.0)])
def test_mean_local_rank_at_initialization_is_half_the_hidden_width(width, expected):
    """Up to the output dimension, here 16."""
    compiled = jax.jit(relu_local_map)
    ranks = []
    for seed in range(60):
        kernels, _, rng = he_network(seed, (32, width, 16))
        biases = (np.zeros(width), np.zeros(16))
        local = compiled(kernels, biases, rng.standard_normal(32))
        ranks.append(np.linalg.matrix_rank(np.asarray(local.slope), tol=1e-10))
    assert abs(np.mean(ranks) - expected) < 4 * np.std(ranks) / np.sqrt(len(ranks)) + 1e-9


def test_unequal_numbers_of_kernels_and_biases_are_refused():
    kernels, biases, rng = he_network(2, (4, 5, 3))
    with pytest.raises(InputError, match="one bias a layer"):
        relu_local_map(kernels, biases[:1], rng.standard_normal(4))
