"""Closed-form learning curves against high precision, independent solvers and the matrix flow."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.special import hyp2f1

from theory.dynamics.flow import quadratic_flow
from theory.dynamics.mode_curves import DYING, SHRINKING
from theory.dynamics.modes import escape_time, half_times, learning_order, mode_time_courses
from theory.dynamics.universal_curve import (
    curve_time,
    curve_value,
    universal_fraction,
    universal_time,
)
from theory.linalg.errors import InputError
from theory.losses.quadratic import spectral_loss


def exact_time(fraction, depth):
    with mpmath.workdps(40):
        x = mpmath.mpf(float(fraction))
        if depth == 1:
            return mpmath.log(x / (1 - x))
        inverse = mpmath.mpf(1) / depth
        late = x * mpmath.hyp2f1(1, inverse, 1 + inverse, x**depth)
        return late - x ** (1 - depth) / (depth - 1)


def exact_fraction(time, start, depth):
    """Newton in 40 digits from a start that float64 has already found."""
    with mpmath.workdps(40):
        x = min(mpmath.mpf(float(start)), 1 - mpmath.mpf(10) ** -25)
        for _ in range(8):
            x -= (exact_time_of(x, depth) - mpmath.mpf(float(time))) * x**depth * (1 - x**depth)
        return x


def exact_time_of(x, depth):
    inverse = mpmath.mpf(1) / depth
    late = x * mpmath.hyp2f1(1, inverse, 1 + inverse, x**depth)
    return late - x ** (1 - depth) / (depth - 1)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 8])
def test_universal_time_is_the_hypergeometric_function(depth):
    fractions = np.concatenate([10.0 ** -np.arange(1, 9), np.linspace(0.05, 0.999, 15)])
    ours = np.asarray(universal_time(fractions, depth))
    exact = np.array([float(exact_time(x, depth)) for x in fractions])
    assert np.max(np.abs(ours - exact) / np.maximum(1.0, np.abs(exact))) < 5e-14
    if depth > 1:
        powers = fractions**depth
        scipy = fractions * hyp2f1(1, 1 / depth, 1 + 1 / depth, powers)
        scipy = scipy - fractions ** (1 - depth) / (depth - 1)
        np.testing.assert_allclose(ours, scipy, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 4, 8, 20])
def test_inverse_is_exact_in_forty_digits(depth):
    times = np.concatenate([-(10.0 ** np.arange(18, -4, -2)), np.linspace(-3.0, 30.0 / depth, 25)])
    ours = np.asarray(universal_fraction(times, depth))
    for time, value in zip(times, ours, strict=True):
        exact = exact_fraction(time, value, depth)
        assert abs(float((mpmath.mpf(float(value)) - exact) / exact)) < 1e-13


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 0.999), st.integers(1, 5))
def test_inverse_undoes_the_curve(fraction, depth):
    with jax.enable_x64(True):
        there = universal_time(jnp.array(fraction), depth)
        np.testing.assert_allclose(universal_fraction(there, depth), fraction, rtol=1e-11)


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize(("curve", "sign"), [(SHRINKING, 1), (DYING, -1)])
def test_modes_above_their_optimum_and_negative_ones_have_exact_curves_too(depth, curve, sign):
    values = np.array([1e-8, 1e-3, 0.1, 0.5, 0.62, 0.7, 0.9, 0.999, *([1.0, 3.0, 40.0][::-sign])])
    values = values[values < 1] if sign > 0 else np.abs(values)
    odd = 2 * depth - 1
    with mpmath.workdps(40):
        ratio = [mpmath.mpf(odd) / depth, mpmath.mpf(3 * depth - 1) / depth]
        exact = np.array(
            [
                float(x**odd / odd * mpmath.hyp2f1(1, *ratio, sign * x**depth))
                for x in map(mpmath.mpf, values.tolist())
            ]
        )
    np.testing.assert_allclose(curve_time(values, depth, curve), exact, rtol=5e-14)
    np.testing.assert_allclose(curve_value(exact, depth, curve), values, rtol=1e-13)


SCALE = np.array([1.0, 0.5, 2.0, 0.3, 1.0, 0.7, 0.4, 0.0, 1.0])
ALIGNMENT = np.array([0.9, 0.6, 0.2, 0.05, 0.0, -0.2, -1e-4, 0.5, 0.5])
INITIAL = np.array([0.05, 0.2, 0.8, 0.1, 0.5, 0.6, 0.3, 0.4, 0.0])
TIMES = np.array([0.0, 0.5, 2.0, 10.0, 40.0])


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_time_courses_agree_with_dormand_prince(depth):
    ours = np.asarray(mode_time_courses(SCALE, ALIGNMENT, INITIAL, depth, TIMES))

    def velocity(_, r):
        return 8 * SCALE * r**depth * (ALIGNMENT - SCALE * r**depth)

    reference = solve_ivp(
        velocity, (0, TIMES[-1]), INITIAL, "DOP853", TIMES, rtol=1e-13, atol=1e-15
    )
    np.testing.assert_allclose(ours, reference.y, rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(ours[-2], np.full(TIMES.size, INITIAL[-2]))
    np.testing.assert_array_equal(ours[-1], np.zeros(TIMES.size))


@pytest.mark.parametrize("depth", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_time_courses_are_the_matrix_flow_of_moments_that_commute(depth):
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.normal(size=(4, 4)))
    s, a = np.array([1.0, 0.8, 0.5, 0.4]), np.array([0.3, 0.9, 0.6, 0.1])
    covariance, cross = (jnp.asarray((basis * x) @ basis.T) for x in (s, s * a))
    times = np.array([0.0, 1.0, 5.0, 20.0])
    loss = spectral_loss(covariance, 0.5 * (cross + cross.T))
    path = quadratic_flow(loss, 0.4 * jnp.eye(4), depth, times)
    measured = np.einsum("di,tkd,tke,ei->it", basis, path, path, basis)
    ours = mode_time_courses(s, a, np.full(4, 0.16), depth, times)
    np.testing.assert_allclose(measured, ours, atol=1e-8)


def test_start_end_and_restart_of_the_curves():
    one = np.ones(3)
    initial = np.array([0.01, 0.3, 0.9])
    there = mode_time_courses(one, 0.5 * one, initial, 3, np.array([0.0, 7.0, 1e7]))
    np.testing.assert_allclose(there[:, 0], initial, rtol=1e-13)
    np.testing.assert_allclose(there[:, 2], 0.5 ** (1 / 3), rtol=1e-14)
    rest = mode_time_courses(one, 0.5 * one, np.asarray(there[:, 1]), 3, np.array([5.0]))
    whole = mode_time_courses(one, 0.5 * one, initial, 3, np.array([12.0]))
    np.testing.assert_allclose(rest, whole, rtol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_half_times_are_when_the_curves_cross_half(depth):
    scale, alignment, initial = SCALE[:4], ALIGNMENT[:4], np.array([0.05, 0.02, 0.01, 0.03])
    times = half_times(scale, alignment, initial, depth)
    r = jax.vmap(
        lambda s, a, r0, t: mode_time_courses(s[None], a[None], r0[None], depth, t[None])[0, 0]
    )(scale, alignment, initial, times)
    # The wait is up to 1e7 units long at depth 5, the rise itself about one.
    np.testing.assert_allclose(scale * r**depth, alignment / 2, rtol=1e-8)


def test_half_times_say_what_is_never_or_already_learned():
    one = np.ones(4)
    times = half_times(one, np.array([0.5, 0.5, 0.0, 0.5]), np.array([0.6, 2.0, 0.1, 0.0]), 2)
    assert float(times[0]) < 0
    assert times[1:].tolist() == [-np.inf, np.inf, np.inf]


@pytest.mark.parametrize(("depth", "percent"), [(1, 4.0), (2, 1.0), (3, 1.0), (4, 1.0)])
def test_escape_times_match_the_flow(depth, percent):
    scale, alignment = np.array([1.25, 1.0, 2.5]), np.array([0.8, 0.5, 0.9])
    initial = np.full(3, 1e-4 if depth < 3 else 1e-2)
    exact = half_times(scale, alignment, initial, depth)
    ours = escape_time(scale, alignment, initial, depth)
    np.testing.assert_allclose(ours, exact, rtol=percent / 100)


def test_escape_time_error_has_the_stated_order():
    one, initial = np.ones(1), 1e-3
    error = [
        float(half_times(one, one, one * r0, 3)[0] / escape_time(one, one, one * r0, 3)[0] - 1)
        for r0 in (initial, initial / 2)
    ]
    assert 3.9 < error[0] / error[1] < 4.1


def test_features_are_learned_by_size_but_kept_by_alignment():
    scale, alignment, initial = np.array([0.5, 4.0]), np.array([0.9, 0.3]), np.full(2, 1e-3)
    assert learning_order(scale, alignment, initial, 2).tolist() == [1, 0]
    end = mode_time_courses(scale, alignment, initial, 2, np.array([1e9]))
    np.testing.assert_allclose(scale * end[:, 0] ** 2, alignment, rtol=1e-12)


@pytest.mark.parametrize("depth", [1, pytest.param(2, marks=pytest.mark.slow), 3])
def test_derivatives_of_the_curves_match_finite_differences(depth):
    scale, alignment, initial = SCALE[:7], ALIGNMENT[:7], INITIAL[:7]
    alignment = np.where(alignment == 0.0, 0.03, alignment)
    times = np.array([0.0, 0.7, 6.0])

    @jax.jit
    def total(scale, alignment, initial, times):
        return jnp.sum(jnp.sin(mode_time_courses(scale, alignment, initial, depth, times)))

    arguments = (scale, alignment, initial, times)
    slopes = jax.grad(total, argnums=(0, 1, 2, 3))(*arguments)
    for index, slope in enumerate(slopes):
        for entry in range(slope.shape[0]):
            step = 1e-5 * max(abs(arguments[index][entry]), 1e-2)
            moved = [np.array(x) for x in arguments]
            values = []
            for sign in (1, -1):
                moved[index] = np.array(arguments[index])
                moved[index][entry] += sign * step
                if index == 3 and entry == 0 and sign < 0:
                    moved[index][entry] = 0.0
                values.append(float(total(*moved)))
            width = step if index == 3 and entry == 0 else 2 * step
            tolerance = 1e-3 if index == 3 and entry == 0 else 1e-5
            difference = (values[0] - values[1]) / width
            np.testing.assert_allclose(slope[entry], difference, rtol=tolerance, atol=1e-7)


def test_curves_are_smooth_where_the_alignment_changes_sign():
    one, times = np.ones(1), np.array([1.0])
    for depth in (1, 2, 3):
        values = [
            float(mode_time_courses(one, one * a, 0.5 * one, depth, times)[0, 0])
            for a in (-1e-9, 0.0, 1e-9, 1e-40)
        ]
        np.testing.assert_allclose(values, values[1], rtol=1e-8)


def test_curves_compile_once(caplog):
    jitted = jax.jit(mode_time_courses, static_argnames="depth")
    first = jitted(SCALE, ALIGNMENT, INITIAL, depth=3, times=TIMES)
    eager = mode_time_courses(SCALE, ALIGNMENT, INITIAL, 3, TIMES)
    np.testing.assert_allclose(first, eager, rtol=1e-12)
    jitted(SCALE * 1.1, ALIGNMENT, INITIAL, depth=3, times=TIMES)
    assert jitted._cache_size() == 1


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="float32"):
        mode_time_courses(SCALE.astype(np.float32), ALIGNMENT, INITIAL, 2, TIMES)
    with pytest.raises(InputError, match="depth is 0"):
        half_times(SCALE, ALIGNMENT, INITIAL, 0)
    with pytest.raises(InputError, match="positive"):
        escape_time(SCALE, ALIGNMENT, INITIAL, 2)
