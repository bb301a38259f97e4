"""Closed-form ends against flows integrated by SciPy from the equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.dynamics.end_states import (
    DiagonalState,
    activation,
    diagonal_end,
    layer_shares,
    unbalanced_end,
)
from theory.linalg.errors import InputError

SCALE, ALIGNMENT = np.array([1.0, 0.5, 2.0]), np.array([0.9, 0.6, 0.3])
WEIGHTS = np.array([[0.2, 0.5, 0.3], [0.9, 0.4, 0.8], [0.4, 1.1, 0.6]])
IDENTITY = (1.0, 0.0, 1.0)


def diagonal_flow(state, size, retention, times):
    """ẇ₁ = φ g w₂, ḃ = −g w₂, ẇ₂ = g u with u = (w₁φ − b)₊ and g = 4h(ρ − h²)."""

    def velocity(_, flat):
        first, bias, second = flat.reshape(3, -1)
        gap = np.maximum(first * size - bias, 0.0)
        output = second * gap
        pull = 4.0 * output * (retention - output**2) * (gap > 0.0)
        return np.stack([size * pull * second, -pull * second, pull * gap]).ravel()

    start = np.stack(state).ravel()
    path = solve_ivp(velocity, (0, times[-1]), start, "LSODA", times, rtol=1e-11, atol=1e-13).y
    return path.T.reshape(len(times), 3, -1)


@pytest.mark.parametrize("alignment", [ALIGNMENT, np.array([0.9, -0.1, -0.2])])
def test_unbalanced_flow_ends_there_and_keeps_its_imbalance(alignment):
    def velocity(_, flat):
        weights = flat.reshape(3, 3)
        product = np.prod(weights, axis=0)
        pull = 4 * SCALE * product * (alignment - SCALE * product**2)
        return (pull * np.stack([weights[1] * weights[2], weights[0] * weights[2],
                                 weights[0] * weights[1]])).ravel()  # fmt: skip

    end = solve_ivp(
        velocity, (0, 2000.0), WEIGHTS.ravel(), "LSODA", rtol=1e-11, atol=1e-13
    ).y[:, -1]  # fmt: skip
    ours = unbalanced_end(WEIGHTS**2 - WEIGHTS[0] ** 2, SCALE, alignment)
    np.testing.assert_allclose(ours, end.reshape(3, 3) ** 2, atol=1e-6)


@pytest.mark.parametrize("offset", [-10.0, -0.1, 0.1, 10.0])
def test_two_layer_end_is_the_quadratic_root(offset):
    ours = unbalanced_end(np.array([[0.0], [offset]]), np.ones(1), np.full(1, 0.8))
    exact = 0.5 * (np.sqrt(offset**2 + 3.2) - offset)
    if offset > 0:
        exact = 1.6 / (np.sqrt(offset**2 + 3.2) + offset)
    np.testing.assert_allclose(ours[0, 0], exact, rtol=1e-12)


def test_shares_are_a_dial_from_lazy_encoder_to_lazy_head():
    """The exponents of variances before the head, as slopes over modes a/s of about 0.2."""
    ratio = np.exp(np.linspace(np.log(0.1), np.log(0.5), 9))
    slopes = []
    for offset in (-10.0, -1.0, -0.1, 0.0, 0.1, 1.0, 10.0):
        end = unbalanced_end(np.array([[0.0], [offset]]) * np.ones(9), np.ones(9), ratio)
        slopes.append(np.polyfit(np.log(ratio), np.log(np.asarray(end)[0]), 1)[0])
    np.testing.assert_allclose(slopes, [0.0, 0.15, 0.44, 0.5, 0.56, 0.85, 1.0], atol=0.02)


def test_shares_are_the_derivative_of_the_end_state():
    imbalances = np.linspace(0.0, 1.0, 4)[:, None] * np.ones(3)

    def logs(shift):
        ends = unbalanced_end(imbalances, SCALE, ALIGNMENT * jnp.exp(shift))
        return jnp.cumsum(jnp.log(ends), axis=0)

    shares = layer_shares(unbalanced_end(imbalances, SCALE, ALIGNMENT))
    np.testing.assert_allclose((logs(1e-6) - logs(-1e-6)) / 2e-6, shares, rtol=1e-7)
    np.testing.assert_allclose(jax.jacfwd(logs)(0.0), shares, rtol=1e-10)
    balanced = layer_shares(unbalanced_end(0.0 * imbalances, SCALE, ALIGNMENT))
    np.testing.assert_allclose(balanced[:, 0], np.arange(1, 5) / 4, rtol=1e-12)


def test_diagonal_reference_numbers_from_the_identity():
    size, retention = np.array([1.0, 0.5, 2.0, 1.0]), np.array([0.0, 0.0, 0.0, 0.5])
    end = diagonal_end(DiagonalState(*(np.full(4, w) for w in IDENTITY)), size, retention)
    expected = [(0.5, 0.5, 0.7071), (0.8, 0.4, 0.8944), (0.2, 0.4, 0.4472)]
    expected.append((0.8931, 0.1069, 0.8995))
    np.testing.assert_allclose(np.stack(end, axis=1), expected, atol=5e-5)
    np.testing.assert_allclose(activation(end, size), [0, 0, 0, 0.5**0.5], atol=1e-12)


def test_diagonal_flow_ends_there_for_starts_of_every_kind():
    random = np.random.default_rng(0)
    count = 36
    first, second = random.uniform(0.4, 1.5, count), random.uniform(0.1, 1.2, count)
    size, retention = random.uniform(0.4, 1.8, count), random.uniform(0.05, 1.0, count)
    state = DiagonalState(first, random.uniform(0, 0.3, count) * first * size, second)
    path = diagonal_flow(state, size, retention, np.array([2.0, 300.0]))
    np.testing.assert_allclose(path[-1], diagonal_end(state, size, retention), atol=1e-6)


@pytest.mark.parametrize("second", [0.3, 1.2])
def test_disrupted_feature_fades_after_the_head_as_one_over_the_root_of_time(second):
    state, one = DiagonalState(np.ones(1), np.zeros(1), np.full(1, second)), np.ones(1)
    path = diagonal_flow(state, one, 0 * one, np.array([1e3, 4e3]))
    output = [float(activation(DiagonalState(*row), one)[0]) for row in path]
    np.testing.assert_allclose(output[0] / output[1], 2.0, rtol=2e-2)
    end = diagonal_end(state, one, 0 * one)
    np.testing.assert_allclose(path[-1][0], end.first, atol=2e-2)
    assert float(end.first[0]) > 0.4
    assert float(activation(end, one)[0]) == 0.0


def test_derivative_in_the_start_is_right_where_a_feature_is_wholly_disrupted():
    """C < 0: w₁ ends at (w₁ + φb)/(1 + φ²), half of its start at φ = 1."""

    def first(start):
        state = DiagonalState(start * jnp.ones(1), jnp.zeros(1), jnp.ones(1))
        return diagonal_end(state, jnp.ones(1), jnp.zeros(1)).first[0]

    assert float(jax.grad(first)(1.0)) == 0.5


def test_inactive_features_never_move():
    state = DiagonalState(np.full(1, 0.5), np.full(1, 0.9), np.ones(1))
    np.testing.assert_array_equal(
        np.stack(diagonal_end(state, np.ones(1), np.ones(1))), np.stack(state)
    )


def test_float32_is_refused():
    state = DiagonalState(*(np.full(1, w) for w in IDENTITY))
    with pytest.raises(InputError, match="float32"):
        diagonal_end(state, np.ones(1, np.float32), np.ones(1))
