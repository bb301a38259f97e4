"""Modes under weight decay: an independent solver, the stable root, the start that decides."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.dynamics.decayed_courses import decayed_time_courses
from theory.dynamics.modes import mode_time_courses
from theory.linalg.errors import InputError
from theory.optimum.thresholds import decayed_mode

SCALE = np.array([2.0, 0.5, 1.0, 0.7])
ALIGNMENT = np.array([0.9, 0.6, -0.2, 0.3])
START = np.array([0.6, 0.9, 0.5, 0.0])
TIMES = np.array([0.0, 0.3, 2.0, 300.0])


@pytest.mark.parametrize("depth", [1, 3])
def test_courses_are_those_of_an_independent_solver_and_end_at_the_root(depth):
    decay = 0.1
    found = decayed_time_courses(SCALE, ALIGNMENT, START, depth, TIMES, decay)
    expected = solve_ivp(
        lambda _, r: (
            8 * SCALE * r**depth * (ALIGNMENT - SCALE * r**depth) - 2 * decay * r
        ),
        (0, TIMES[-1]), START, "LSODA", TIMES, rtol=1e-12, atol=1e-14,
    ).y  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        found[:2, -1],
        decayed_mode(SCALE, ALIGNMENT, weight_decay=decay, depth=depth)[:2],
        rtol=1e-8,
    )
    assert np.all(found[3] == 0.0)
    assert np.all(np.asarray(found) >= 0.0)


def test_no_decay_is_the_closed_form():
    found = decayed_time_courses(SCALE, ALIGNMENT, START, 3, TIMES, 0.0)
    closed = mode_time_courses(SCALE, ALIGNMENT, START, 3, TIMES)
    np.testing.assert_allclose(found, closed, rtol=1e-8)


def test_bad_times_are_refused():
    with pytest.raises(InputError, match="ascending"):
        decayed_time_courses(SCALE, ALIGNMENT, START, 2, TIMES[::-1], 0.1)
