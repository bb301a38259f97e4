"""The solver against SciPy, closed forms and central differences; long and stiff courses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.linalg.errors import InputError
from theory.linalg.integration import check_flow, integrate

TIMES = np.array([0.0, 1.0, 1.0, 7.0])
MATRIX = np.array([[-1.0, 0.4], [0.2, -0.3]])


def velocity(state, matrix):
    first, second = state["first"], state["second"]
    push = matrix @ jnp.stack([first, second])
    return {"first": push[0] - first**3, "second": push[1] - first * second}


def flat_velocity(_, flat):
    return MATRIX @ flat - np.array([flat[0] ** 3, flat[0] * flat[1]])


START = {"first": jnp.array(0.5), "second": jnp.array(2.0)}


@pytest.mark.parametrize("method", ["explicit", "implicit"])
def test_both_methods_agree_with_scipy(method):
    found = integrate(velocity, START, TIMES, MATRIX, method=method)
    exact = solve_ivp(
        flat_velocity, (0, 7), [0.5, 2.0], "DOP853", [0.0, 1.0, 7.0], rtol=1e-12, atol=1e-13
    ).y[:, [0, 1, 1, 2]]
    np.testing.assert_allclose(np.stack([found.path["first"], found.path["second"]]), exact,
                               atol=2e-9)  # fmt: skip
    assert bool(found.done)


@pytest.mark.parametrize("method", ["explicit", "implicit"])
def test_first_and_second_derivatives_forwards_and_backwards(method):
    def end(given):
        start = {"first": given[0], "second": given[1]}
        times = jnp.stack([0.5, given[2]])
        path = integrate(velocity, start, times, given[3] * MATRIX, method=method).path
        return jnp.sin(path["first"][1]) + path["second"][1] * path["second"][0]

    point = np.array([0.5, 2.0, 1.5, 1.0])
    slope = jax.jit(jax.grad(end))
    steps = 1e-3 * np.eye(4)
    central = [(8 * (end(point + e) - end(point - e)) - end(point + 2 * e) + end(point - 2 * e))
               / 12e-3 for e in steps]  # fmt: skip
    np.testing.assert_allclose(slope(point), central, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(jax.jacfwd(end)(point), slope(point), rtol=1e-9)
    bent = [(slope(point + e) - slope(point - e)) / 2e-3 for e in steps]
    np.testing.assert_allclose(jax.jacfwd(jax.grad(end))(point), bent, rtol=1e-4, atol=1e-4)


def test_mapped_courses_take_their_own_steps_and_have_derivatives():
    def total(rates):
        mapped = jax.vmap(lambda rate: integrate(
            lambda y, r: -r * y**3, jnp.ones(()), TIMES, rate).path)(rates)  # fmt: skip
        return jnp.sum(mapped[:, -1])

    rates = jnp.array([0.1, 50.0])
    exact = (1 + 2 * rates * 7.0) ** -0.5
    np.testing.assert_allclose(total(rates), jnp.sum(exact), rtol=1e-8)
    np.testing.assert_allclose(jax.grad(total)(rates), -7.0 * exact**3, rtol=1e-6)


def test_stiff_and_long_courses_are_few_implicit_steps():
    """y₁ relaxes 1e6 times faster than y₂, which fades as t^-½."""

    def stiff(state, _):
        return jnp.stack([-1e6 * (state[0] - state[1]), -(state[1] ** 3)])

    times = np.array([1.0, 1e4, 1e8])
    found = integrate(stiff, jnp.ones(2), times, method="implicit")
    np.testing.assert_allclose(found.path[:, 1], (1 + 2 * times) ** -0.5, rtol=1e-8)
    np.testing.assert_allclose(found.path[:, 0], found.path[:, 1], rtol=1e-5)
    assert int(found.steps) < 500


def test_times_not_reached_are_nan():
    found = integrate(velocity, START, TIMES, MATRIX, max_steps=3)
    assert not bool(found.done)
    assert np.isnan(found.path["first"][-1])
    assert found.path["first"][0] == 0.5


def test_times_must_ascend_from_zero():
    for times in ([1.0, 0.5], [-1.0], [np.nan], []):
        with pytest.raises(InputError, match="ascending"):
            check_flow(2, np.array(times))
