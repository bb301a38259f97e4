"""The first phase of training: an independent solver, the full flow, the blow-up."""

import numpy as np
import pytest
import scipy.linalg
from scipy.integrate import solve_ivp

from tests import reference
from theory.dynamics.early_phase import early_gram_path, early_time_courses
from theory.dynamics.modes import escape_time, mode_time_courses


def test_a_single_layer_grows_by_the_matrix_exponential():
    _, drive = reference.random_moments(np.random.default_rng(0), 4)
    start = reference.random_moments(np.random.default_rng(1), 4)[0]
    for when, gram in zip((0.0, 0.4), early_gram_path(drive, start, np.array([0.0, 0.4]))):
        growth = scipy.linalg.expm(4 * drive * when)
        np.testing.assert_allclose(gram, growth @ start @ growth, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_modes_follow_the_linear_loss_and_then_leave_it(depth):
    drive, start, times = np.array([0.6, -0.4]), np.array([0.2, 0.5]), np.array([0.0, 0.1, 0.3])
    found = early_time_courses(drive, start, depth, times)
    expected = solve_ivp(
        lambda _, r: 8 * drive * r**depth, (0, 0.3), start, t_eval=times, rtol=1e-12, atol=1e-14
    ).y
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    # The spectral loss differs by its quadratic term: by r to the power L in relative size.
    errors = []
    for size in (1e-2, 5e-3):
        small, when = np.array([size]), np.array([0.05 * size ** (1 - depth)])
        linear = early_time_courses(np.array([0.5]), small, depth, when)
        full = mode_time_courses(np.array([2.0]), np.array([0.25]), small, depth, when)
        errors.append(abs(float(linear[0, 0] / full[0, 0]) - 1))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(depth, abs=0.1)


def test_blow_up_is_at_the_escape_time():
    drive, start = np.array([0.7]), np.array([0.05])
    escape = np.asarray(escape_time(drive, np.ones(1), start, 3))
    found = early_time_courses(drive, start, 3, np.array([0.999, 1.001]) * escape)
    assert 1.0 < found[0, 0] < np.inf
    assert np.isinf(found[0, 1])
