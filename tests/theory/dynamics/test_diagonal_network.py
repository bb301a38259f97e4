"""Features absent after the head and present before it: the diagonal network."""

import jax.numpy as jnp
import numpy as np
import pytest

from theory.dynamics.diagonal_network import (
    DiagonalState,
    activation,
    conserved,
    diagonal_end,
    diagonal_flow,
)
from theory.linalg.errors import InputError


def identity(count=1):
    return DiagonalState(np.ones(count), np.zeros(count), np.ones(count))


def test_reference_numbers_from_the_identity_start():
    size, retention = np.array([1.0, 0.5, 2.0, 1.0]), np.array([0.0, 0.0, 0.0, 0.5])
    end = diagonal_end(identity(4), size, retention)
    expected = [
        (0.5, 0.5, 0.7071),
        (0.8, 0.4, 0.8944),
        (0.2, 0.4, 0.4472),
        (0.8931, 0.1069, 0.8995),
    ]
    np.testing.assert_allclose(np.stack(end, axis=1), expected, atol=5e-5)
    np.testing.assert_allclose(activation(end, size), [0, 0, 0, 0.5**0.5], atol=1e-12)


def test_end_states_are_where_flow_ends_for_starts_of_every_kind():
    random = np.random.default_rng(0)
    count = 36
    first, second = random.uniform(0.4, 1.5, count), random.uniform(0.1, 1.2, count)
    size, retention = random.uniform(0.4, 1.8, count), random.uniform(0.05, 1.0, count)
    state = DiagonalState(first, random.uniform(0, 0.3, count) * first * size, second)
    path = diagonal_flow(state, size, retention, np.array([2.0, 300.0]))
    ours = diagonal_end(state, size, retention)
    np.testing.assert_allclose(np.stack(path)[:, -1], np.stack(ours), atol=1e-6)
    before = conserved(state, size)
    for row in range(2):
        now = conserved(DiagonalState(*(part[row] for part in path)), size)
        np.testing.assert_allclose(now.tilt, before.tilt, atol=1e-8)
        np.testing.assert_allclose(now.excess, before.excess, atol=1e-8)


@pytest.mark.parametrize("second", [0.3, 1.2])
def test_disrupted_feature_fades_after_the_head_as_one_over_the_root_of_time(second):
    state = DiagonalState(np.ones(1), np.zeros(1), np.full(1, second))
    one, times = np.ones(1), np.array([1e3, 4e3])
    path = diagonal_flow(state, one, 0 * one, times)
    output = activation(path, one)
    np.testing.assert_allclose(output[0] / output[1], 2.0, rtol=2e-2)
    end = diagonal_end(state, one, 0 * one)
    np.testing.assert_allclose(path.first[-1], end.first, atol=2e-2)
    assert float(end.first[0]) > 0.4
    assert float(activation(end, one)[0]) == 0.0


def test_inactive_features_never_move():
    state = DiagonalState(np.full(1, 0.5), np.full(1, 0.9), np.ones(1))
    for moved in (
        diagonal_end(state, np.ones(1), np.ones(1)),
        DiagonalState(
            *(x[-1] for x in diagonal_flow(state, np.ones(1), np.ones(1), jnp.array([9.0])))
        ),
    ):
        np.testing.assert_array_equal(np.stack(moved), np.stack(state))


def test_float32_is_refused():
    with pytest.raises(InputError, match="float32"):
        diagonal_end(identity(), np.ones(1, np.float32), np.ones(1))
