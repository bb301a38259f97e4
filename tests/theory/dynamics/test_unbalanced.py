"""Layers that do not start balanced: end states, times, and the exponent as a dial."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.dynamics.unbalanced import (
    layer_shares,
    two_layer_time,
    unbalanced_end,
    unbalanced_time_courses,
)
from theory.linalg.errors import InputError

SCALE, ALIGNMENT = np.array([1.0, 0.5, 2.0]), np.array([0.9, 0.6, 0.3])
TIMES = np.array([0.0, 0.7, 5.0, 300.0])
WEIGHTS = np.array([[0.2, 0.5, 0.3], [0.9, 0.4, 0.8], [0.4, 1.1, 0.6]])


@pytest.fixture(scope="module")
def path():
    with jax.enable_x64(True):
        return np.asarray(unbalanced_time_courses(WEIGHTS, SCALE, ALIGNMENT, TIMES))


def test_time_courses_are_those_of_the_whole_network(path):
    """All three matrices along Ẇ_l = −∂loss/∂W_l, integrated by SciPy from diagonal starts."""
    covariance, cross = np.diag(SCALE), np.diag(SCALE * ALIGNMENT)

    def velocity(_, flat):
        first, second, third = flat.reshape(3, 3, 3)
        product = third @ second @ first
        slope = 4 * product @ (covariance @ product.T @ product @ covariance - cross)
        below, above = second @ first, third @ second
        pulls = (above.T @ slope, third.T @ slope @ first.T, slope @ below.T)
        return -np.stack(pulls).ravel()

    start = np.stack([np.diag(row) for row in WEIGHTS]).ravel()
    layers = solve_ivp(velocity, (0, 5.0), start, "DOP853", TIMES[:3], rtol=1e-11, atol=1e-13).y
    layers = layers.T.reshape(3, 3, 3, 3)
    np.testing.assert_allclose(np.diagonal(layers, axis1=2, axis2=3), path[:3], atol=1e-8)


def test_end_state_is_where_flow_ends_and_imbalance_is_conserved(path):
    end = path[-1]
    imbalances = WEIGHTS**2 - WEIGHTS[0] ** 2
    np.testing.assert_allclose(end**2 - end[0] ** 2, imbalances, atol=1e-8)
    ours = unbalanced_end(imbalances, SCALE, ALIGNMENT)
    np.testing.assert_allclose(ours, end**2, atol=1e-8)
    np.testing.assert_allclose(np.prod(ours, axis=0), ALIGNMENT / SCALE, rtol=1e-13)


@pytest.mark.parametrize("offset", [-10.0, -1.0, -0.1, 0.1, 1.0, 10.0])
def test_two_layer_end_is_the_quadratic_root(offset):
    ours = unbalanced_end(np.array([[0.0], [offset]]), np.ones(1), np.full(1, 0.8))
    exact = 0.5 * (np.sqrt(offset**2 + 3.2) - offset)
    if offset > 0:
        exact = 1.6 / (np.sqrt(offset**2 + 3.2) + offset)
    np.testing.assert_allclose(ours[0, 0], exact, rtol=1e-12)


@pytest.mark.parametrize("offset", [-0.5, 0.3, 2.0])
def test_closed_form_time_of_two_layers_matches_the_flow(offset):
    first = np.full(3, 0.02) + max(0.0, -offset)
    weights = np.sqrt(np.stack([first, first + offset]))
    end = np.asarray(unbalanced_end(np.array([[0.0], [offset]]) * np.ones(3), SCALE, ALIGNMENT))[0]
    target = first + 0.7 * (end - first)
    times = np.asarray(two_layer_time(target, first, np.full(3, offset), SCALE, ALIGNMENT))
    order = np.argsort(times)
    path = unbalanced_time_courses(weights, SCALE, ALIGNMENT, times[order])
    for row, mode in enumerate(order):
        np.testing.assert_allclose(path[row, 0, mode] ** 2, target[mode], rtol=1e-8)


def test_shares_are_a_dial_from_lazy_encoder_to_lazy_head():
    """The numbers of the specification, as slopes over modes a/s of about 0.2."""
    ratio = np.exp(np.linspace(np.log(0.1), np.log(0.5), 9))
    slopes = []
    for offset in (-10.0, -1.0, -0.1, 0.0, 0.1, 1.0, 10.0):
        end = unbalanced_end(np.array([[0.0], [offset]]) * np.ones(9), np.ones(9), ratio)
        slopes.append(np.polyfit(np.log(ratio), np.log(np.asarray(end)[0]), 1)[0])
    np.testing.assert_allclose(slopes, [0.0, 0.15, 0.44, 0.5, 0.56, 0.85, 1.0], atol=0.02)


@pytest.mark.parametrize("depth", [2, 4])
def test_shares_are_the_derivative_of_the_end_state(depth):
    imbalances = np.linspace(0.0, 1.0, depth)[:, None] * np.ones(3)
    step = 1e-6
    ends = [
        np.cumsum(np.log(unbalanced_end(imbalances, SCALE, ALIGNMENT * np.exp(x))), axis=0)
        for x in (step, -step)
    ]
    shares = layer_shares(unbalanced_end(imbalances, SCALE, ALIGNMENT))
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), shares, rtol=1e-7)
    balanced = layer_shares(unbalanced_end(0.0 * imbalances, SCALE, ALIGNMENT))
    np.testing.assert_allclose(balanced[:, 0], np.arange(1, depth + 1) / depth, rtol=1e-12)


def test_derivative_of_the_end_state_is_that_of_the_root():
    imbalances = np.array([[0.0], [0.7], [-0.1]])

    def end(alignment):
        return unbalanced_end(imbalances, np.ones(1), alignment * jnp.ones(1))[0, 0]

    difference = (end(0.6 + 1e-6) - end(0.6 - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(end)(0.6), difference, rtol=1e-7)


def test_balanced_layers_are_sent_to_the_right_function():
    one = np.ones(1)
    with pytest.raises(InputError, match="universal_time"):
        two_layer_time(0.5 * one, 0.1 * one, 0.0 * one, one, one)
