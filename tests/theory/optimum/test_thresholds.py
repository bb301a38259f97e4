"""Thresholds of weight decay against brute-force root finding and against flow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize_scalar

from theory.linalg.errors import InputError
from theory.optimum.thresholds import decay_thresholds, decayed_mode, learned_modes

SCALE, ALIGNMENT = np.array([1.0, 0.4, 2.5, 0.1]), np.array([0.9, 0.3, 0.6, 0.05])


def pull(r, s, a, depth):
    return 4 * s * r ** (depth - 1) * (a - s * r**depth)


def stationary_roots(s, a, decay, depth):
    """All positive solutions of pull = decay, ascending."""
    coefficients = np.zeros(2 * depth)
    coefficients[0], coefficients[depth], coefficients[-1] = -4 * s * s, 4 * s * a, -decay
    if depth == 1:
        coefficients = np.array([-4 * s * s, 4 * s * a - decay])
    roots = np.roots(coefficients)
    real = roots[np.abs(roots.imag) < 1e-9].real
    return np.sort(real[real > 0])


def mode_loss(r, s, a, decay, depth):
    n = s * r**depth
    return n * n - 2 * a * n + 0.5 * depth * decay * r


@pytest.mark.parametrize("depth", [2, 3, 4, 6])
def test_saddle_node_is_where_the_pull_is_largest(depth):
    limits = decay_thresholds(SCALE, ALIGNMENT, depth=depth)
    for index, (s, a) in enumerate(zip(SCALE, ALIGNMENT, strict=True)):
        top = (a / s) ** (1 / depth)
        best = minimize_scalar(
            lambda r, s, a: -pull(r, s, a, depth),
            bounds=(0, top),
            args=(s, a),
            method="bounded",
            options={"xatol": 1e-12},
        )
        np.testing.assert_allclose(limits.saddle_node[index], -best.fun, rtol=1e-6)
        np.testing.assert_allclose(s * best.x**depth / a, limits.gap_fraction, rtol=1e-4)


@pytest.mark.parametrize("depth", [2, 3, 4, 6])
def test_global_threshold_is_where_the_mode_and_nothing_cost_the_same(depth):
    limits = decay_thresholds(SCALE, ALIGNMENT, depth=depth)
    for index, (s, a) in enumerate(zip(SCALE, ALIGNMENT, strict=True)):

        def cost(decay, s=s, a=a):
            return mode_loss(stationary_roots(s, a, decay, depth)[-1], s, a, decay, depth)

        saddle = float(limits.saddle_node[index])
        exact = brentq(cost, 0.05 * saddle, 0.9999 * saddle, xtol=1e-14)
        np.testing.assert_allclose(limits.global_minimum[index], exact, rtol=1e-6)
        n = s * stationary_roots(s, a, exact, depth)[-1] ** depth
        np.testing.assert_allclose(n / a, limits.global_fraction, rtol=1e-5)


def test_two_layer_thresholds_are_the_numbers_of_the_paper_page():
    shared, variance = np.array([0.8]), np.array([1.3])
    limits = decay_thresholds(variance, shared / variance, depth=2)
    unit = 2 * shared**1.5 / variance
    np.testing.assert_allclose(limits.saddle_node / unit, 4 / (3 * np.sqrt(3)), rtol=1e-12)
    np.testing.assert_allclose(limits.global_minimum / unit, (2 / 3) ** 1.5, rtol=1e-12)


def test_one_layer_loses_modes_continuously_and_negative_modes_are_never_kept():
    limits = decay_thresholds(SCALE, ALIGNMENT, depth=1)
    np.testing.assert_allclose(limits.saddle_node, 4 * SCALE * ALIGNMENT, rtol=1e-15)
    np.testing.assert_allclose(limits.global_minimum, limits.saddle_node, rtol=1e-15)
    assert float(limits.gap_fraction) == 0.0
    for depth in (1, 2, 3):
        assert decay_thresholds(SCALE, -ALIGNMENT, depth=depth).saddle_node.tolist() == [0.0] * 4
        assert decayed_mode(SCALE, -ALIGNMENT, weight_decay=0.1, depth=depth).tolist() == [0.0] * 4


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_decayed_mode_is_the_largest_root(depth, part):
    limits = decay_thresholds(SCALE, ALIGNMENT, depth=depth)
    for index, (s, a) in enumerate(zip(SCALE, ALIGNMENT, strict=True)):
        decay = part * float(limits.saddle_node[index])
        ours = float(decayed_mode(SCALE, ALIGNMENT, weight_decay=decay, depth=depth)[index])
        np.testing.assert_allclose(ours, stationary_roots(s, a, decay, depth)[-1], rtol=1e-9)
        fraction = s * ours**depth / a
        assert fraction >= float(limits.gap_fraction) - 1e-12
        above = decayed_mode(
            SCALE, ALIGNMENT, weight_decay=1.0001 * float(limits.saddle_node[index]), depth=depth
        )
        assert float(above[index]) == 0.0


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_derivatives_of_the_largest_root_match_finite_differences(depth):
    decay = 0.5 * float(decay_thresholds(SCALE, ALIGNMENT, depth=depth).saddle_node.min())

    def total(decay, alignment):
        return jnp.sum(decayed_mode(SCALE, alignment, weight_decay=decay, depth=depth))

    slope = jax.grad(total)(decay, ALIGNMENT)
    step = 1e-5 * decay
    difference = (total(decay + step, ALIGNMENT) - total(decay - step, ALIGNMENT)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-6)
    slope = jax.grad(total, argnums=1)(decay, ALIGNMENT)[0]
    shift = np.array([1e-6, 0, 0, 0])
    difference = (total(decay, ALIGNMENT + shift) - total(decay, ALIGNMENT - shift)) / 2e-6
    np.testing.assert_allclose(slope, difference, rtol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_start_decides_which_modes_flow_learns(depth):
    random = np.random.default_rng(depth)
    s, a = random.uniform(0.2, 2.0, 60), random.uniform(-0.1, 1.0, 60)
    start = random.uniform(0.05, 1.5, 60)
    decay = 0.15
    end = solve_ivp(
        lambda _, r: 2 * r * (pull(r, s, a, depth) - decay), (0, 2000.0), start, "LSODA", rtol=1e-9
    ).y[:, -1]
    np.testing.assert_array_equal(
        learned_modes(s, a, start, weight_decay=decay, depth=depth), end > 1e-4
    )


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="float32"):
        decay_thresholds(SCALE.astype(np.float32), ALIGNMENT, depth=2)
    with pytest.raises(InputError, match="depth is 0"):
        decayed_mode(SCALE, ALIGNMENT, weight_decay=0.1, depth=0)
