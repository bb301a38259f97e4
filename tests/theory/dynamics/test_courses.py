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

from theory.dynamics.courses import (
    escape_times,
    gram_time_courses,
    half_times,
    learning_order,
    mode_time_courses,
)
from theory.dynamics.universal_curve import (
    DYING,
    SHRINKING,
    curve_time,
    curve_value,
    universal_fraction,
    universal_time,
)
from theory.linalg.errors import InputError
from theory.optimum.thresholds import decayed_mode


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


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
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


@pytest.mark.parametrize("depth", [2, 3, 8, 20])
def test_inverse_is_exact_in_forty_digits(depth):
    times = np.concatenate([-(10.0 ** np.arange(18, -4, -2)), np.linspace(-3.0, 30.0 / depth, 25)])
    ours = np.asarray(universal_fraction(times, depth))
    for time, value in zip(times, ours, strict=True):
        exact = exact_fraction(time, value, depth)
        assert abs(float((mpmath.mpf(float(value)) - exact) / exact)) < 1e-13


@settings(max_examples=10, deadline=None)
@given(st.floats(1e-6, 0.999), st.sampled_from([1, 2, 3]))
def test_inverse_undoes_the_curve(fraction, depth):
    with jax.enable_x64(True):
        there = universal_time(jnp.array(fraction), depth)
        np.testing.assert_allclose(universal_fraction(there, depth), fraction, rtol=1e-11)


@pytest.mark.parametrize("depth", [2, 3])
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


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_time_courses_agree_with_dormand_prince(depth):
    ours = np.asarray(gram_time_courses(SCALE, ALIGNMENT, INITIAL, TIMES, depth=depth))

    def velocity(_, r):
        return 8 * SCALE * r**depth * (ALIGNMENT - SCALE * r**depth)

    reference = solve_ivp(
        velocity, (0, TIMES[-1]), INITIAL, "DOP853", TIMES, rtol=1e-13, atol=1e-15
    )
    np.testing.assert_allclose(ours, reference.y.T, rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(ours[:, -2], np.full(TIMES.size, INITIAL[-2]))
    np.testing.assert_array_equal(ours[:, -1], np.zeros(TIMES.size))


@pytest.mark.parametrize("depth", [1, 2])
def test_decayed_courses_agree_with_an_implicit_solver(depth):
    decay = 0.05
    ours = gram_time_courses(SCALE, ALIGNMENT, INITIAL, TIMES, depth=depth, weight_decay=decay)

    def velocity(_, r):
        return 8 * SCALE * r**depth * (ALIGNMENT - SCALE * r**depth) - 2 * decay * r

    reference = solve_ivp(velocity, (0, 40.0), INITIAL, "Radau", TIMES, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(ours, reference.y.T, rtol=1e-7, atol=1e-10)


def test_sizes_are_variances_in_the_embedding_and_time_comes_first():
    n = mode_time_courses(SCALE[:3], ALIGNMENT[:3], TIMES, depth=3, init_scale=0.5)
    r = gram_time_courses(SCALE[:3], ALIGNMENT[:3], np.full(3, 0.25), TIMES, depth=3)
    assert n.shape == (5, 3)
    np.testing.assert_allclose(n, SCALE[None, :3] * r**3, rtol=1e-14)


def test_start_end_and_restart_of_the_curves():
    one, initial = np.ones(3), np.array([0.01, 0.3, 0.9])
    there = gram_time_courses(one, 0.5 * one, initial, np.array([0.0, 7.0, 1e7]), depth=3)
    np.testing.assert_allclose(there[0], initial, rtol=1e-13)
    np.testing.assert_allclose(there[2], 0.5 ** (1 / 3), rtol=1e-14)
    rest = gram_time_courses(one, 0.5 * one, np.asarray(there[1]), np.array([5.0]), depth=3)
    whole = gram_time_courses(one, 0.5 * one, initial, np.array([12.0]), depth=3)
    np.testing.assert_allclose(rest, whole, rtol=1e-12)


@pytest.mark.parametrize(("depth", "decay"), [(1, 0.0), (2, 0.0), (1, 0.05), (2, 0.05)])
def test_infinite_and_huge_times_give_the_end_state(depth, decay):
    scale, alignment = np.array([10.0, 1.0, 1.0, 1.0]), np.array([0.9, 0.5, 0.0, -0.3])
    times = np.array([1.0, 1e9, np.inf])
    r = gram_time_courses(scale, alignment, np.full(4, 0.5), times, depth=depth, weight_decay=decay)
    r, end = (
        np.asarray(r),
        np.asarray(decayed_mode(scale, alignment, weight_decay=decay, depth=depth)),
    )
    np.testing.assert_allclose(r[2], end, atol=1e-12)
    np.testing.assert_allclose(r[1, [0, 1, 3]], end[[0, 1, 3]], atol=1e-3)
    given = {"depth": depth, "weight_decay": decay}
    slopes = jax.jacfwd(lambda a: gram_time_courses(scale, a, np.full(4, 0.5), times, **given)[2])(
        alignment
    )
    ends = jax.jacfwd(lambda a: decayed_mode(scale, a, weight_decay=decay, depth=depth))(alignment)
    np.testing.assert_allclose(slopes[:2, :2], ends[:2, :2], atol=1e-9)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_half_times_are_when_the_curves_cross_half(depth):
    scale, alignment, start = SCALE[:4], ALIGNMENT[:4], np.array([0.22, 0.14, 0.1, 0.17])
    times = half_times(scale, alignment, depth=depth, init_scale=start)
    sizes = mode_time_courses(scale, alignment, jnp.sort(times), depth=depth, init_scale=start)
    crossed = np.diagonal(np.asarray(sizes)[:, np.argsort(times)])
    # The wait is up to 1e4 units long at depth 3, the rise itself about one.
    np.testing.assert_allclose(crossed, alignment[np.argsort(times)] / 2, rtol=1e-9)


def test_half_times_say_what_is_never_or_already_learned():
    start = np.array([0.6, 2.0, 0.1, 0.0]) ** 0.5
    times = half_times(np.ones(4), np.array([0.5, 0.5, 0.0, 0.5]), init_scale=start)
    assert float(times[0]) < 0
    assert times[1:].tolist() == [-np.inf, np.inf, np.inf]


@pytest.mark.parametrize(("depth", "percent"), [(1, 4.0), (2, 1.0), (3, 1.0)])
def test_escape_times_match_the_flow(depth, percent):
    scale, alignment = np.array([1.25, 1.0, 2.5]), np.array([0.8, 0.5, 0.9])
    start = 1e-2 if depth < 3 else 1e-1
    exact = half_times(scale, alignment, depth=depth, init_scale=start)
    ours = escape_times(scale, alignment, depth=depth, init_scale=start)
    np.testing.assert_allclose(ours, exact, rtol=percent / 100)
    assert float(escape_times(scale, -alignment, depth=depth)[0]) == np.inf


def test_escape_time_error_has_the_stated_order():
    one = np.ones(1)

    def error(start):
        exact = half_times(one, one, depth=3, init_scale=start)
        return float(exact[0] / escape_times(one, one, depth=3, init_scale=start)[0] - 1)

    assert 3.9 < error(1e-3**0.5) / error(0.5e-3**0.5) < 4.1


def test_features_are_learned_by_size_but_kept_by_alignment():
    scale, alignment = np.array([0.5, 4.0]), np.array([0.9, 0.3])
    assert learning_order(scale, alignment, init_scale=0.03).tolist() == [1, 0]
    end = mode_time_courses(scale, alignment, np.array([np.inf]), init_scale=0.03)
    np.testing.assert_allclose(end[0], alignment, rtol=1e-12)


def test_learning_curve_of_barlow_twins_is_the_one_layer_curve_of_alignment_one():
    """Simon et al. 2023: w(t) = [γ + (w₀⁻² − γ) e^{−8γt}]^{−1/2} for the loss ‖WMWᵀ − I‖²."""
    gamma, times = np.array([1.0, 0.25]), np.array([0.0, 1.0, 9.0])
    n = mode_time_courses(gamma, np.ones(2), times, depth=1, init_scale=0.05)
    left = np.exp(-8 * gamma * times[:, None])
    np.testing.assert_allclose(n, gamma / (gamma * (1 - left) + left / 0.05**2), rtol=1e-13)


def courses_of(depth, decay=0.0):
    def course(given):
        s, a, r, t = given[:, None]
        return gram_time_courses(s, a, r, t, depth=depth, weight_decay=decay)[0, 0]

    return course


# Scale, alignment, start and time: growing, dead, nearly dead either way, at and near its end,
# shrinking, outside the data, never started, late.
POINTS = np.array(
    [
        (1.0, 0.9, 0.05, 3.0),
        (1.0, 0.0, 0.5, 1.0),
        (0.7, 1e-9, 0.5, 1.0),
        (0.7, 0.02, 0.5, 1.0),
        (0.7, -0.2, 0.6, 2.0),
        (1.0, 1.0, 1.0, 0.05),
        (1.0, 1.0, 1.0 + 3e-6, 0.05),
        (2.0, 0.2, 0.8, 0.5),
        (1.0, 0.5, 0.3, 0.0),
        (0.3, 0.05, 0.1, 10.0),
    ]
)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_first_and_second_derivatives_are_right_everywhere(depth):
    course = courses_of(depth)
    slope = jax.jit(jax.vmap(jax.grad(course)))
    slopes = np.asarray(slope(POINTS))
    curves = np.asarray(jax.jit(jax.vmap(jax.hessian(course)))(POINTS))
    values = jax.jit(jax.vmap(course))
    steps = 1e-4 * np.maximum(np.abs(POINTS), 0.05)
    for index in range(4):
        move = steps * np.eye(4)[index]
        near, far = (values(POINTS + k * move) - values(POINTS - k * move) for k in (1, 2))
        central = (8 * near - far) / (12 * steps[:, index])
        inside = POINTS[:, 3] - 2 * move[:, 3] >= 0
        np.testing.assert_allclose(slopes[inside, index], central[inside], rtol=1e-6, atol=1e-8)
        bent = (slope(POINTS + move) - slope(POINTS - move)) / (2 * steps[:, [index]])
        np.testing.assert_allclose(curves[inside, index], bent[inside], rtol=1e-4, atol=2e-5)


def test_derivatives_have_the_values_of_the_closed_forms():
    """∂r/∂a = s⁻¹ r⁴(r₀⁻⁵ − r⁻⁵)/5 at a = 0, and e^{−16t} in r₀ at the end of a mode with a = s."""
    slopes = jax.grad(courses_of(2))
    r = 32.0 ** (-1 / 3)
    at_zero = slopes(np.array([1.0, 0.0, 0.5, 1.0]))[1]
    np.testing.assert_allclose(at_zero, -(r**4) * (0.5**-5 - r**-5) / 5, rtol=1e-12)
    assert round(float(at_zero), 3) == 0.572
    for time, wanted in ((0.0, 1.0), (0.05, 0.449)):
        by_start = slopes(np.array([1.0, 1.0, 1.0, time]))[2]
        np.testing.assert_allclose(by_start, np.exp(-16 * time), rtol=1e-12)
        assert round(float(by_start), 3) == wanted


def test_derivatives_of_modes_that_do_not_move():
    """At s = 0 a mode moves as 8ast r₀^L to first order in s; at r₀ = 0 not at all from L = 2."""
    slope = jax.grad(courses_of(2))(np.array([0.0, 0.5, 0.4, 2.0]))
    np.testing.assert_allclose(slope, [8 * 0.5 * 2 * 0.4**2, 0, 1, 0], rtol=1e-13)
    np.testing.assert_allclose(jax.grad(courses_of(2))(np.array([1.0, 0.5, 0, 2])), [0, 0, 1, 0])
    grows = jax.grad(courses_of(1))(np.array([1.0, 0.5, 0.0, 0.3]))[2]
    np.testing.assert_allclose(grows, np.exp(8 * 0.5 * 0.3), rtol=1e-13)


def test_derivatives_of_decayed_courses():
    given = np.array([1.0, 0.9, 0.3, 2.0])

    def course(decay):
        return courses_of(2, decay)(given)

    np.testing.assert_allclose(
        jax.grad(course)(0.05), (course(0.0501) - course(0.0499)) / 2e-4, rtol=1e-5
    )


def test_curves_are_smooth_where_the_alignment_changes_sign():
    one, times = np.ones(1), np.array([1.0])
    for depth in (1, 2, 3):
        values = [
            float(gram_time_courses(one, one * a, 0.5 * one, times, depth=depth)[0, 0])
            for a in (-1e-9, 0.0, 1e-9, 1e-40)
        ]
        np.testing.assert_allclose(values, values[1], rtol=1e-8)


def test_curves_compile_once():
    jitted = jax.jit(gram_time_courses, static_argnames="depth")
    first = jitted(SCALE, ALIGNMENT, INITIAL, times=TIMES, depth=3)
    eager = gram_time_courses(SCALE, ALIGNMENT, INITIAL, TIMES, depth=3)
    np.testing.assert_allclose(first, eager, rtol=1e-12)
    jitted(SCALE * 1.1, ALIGNMENT, INITIAL, times=TIMES, depth=3)
    assert jitted._cache_size() == 1


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="float32"):
        gram_time_courses(SCALE.astype(np.float32), ALIGNMENT, INITIAL, TIMES)
    with pytest.raises(InputError, match="depth is 0"):
        half_times(SCALE, ALIGNMENT, depth=0)
    with pytest.raises(InputError, match="ascending"):
        mode_time_courses(SCALE, ALIGNMENT, TIMES[::-1])
