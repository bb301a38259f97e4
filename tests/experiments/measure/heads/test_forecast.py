"""Forecasts of a head that learns: half-times, rivals, and a head that follows them."""

import numpy as np
import pytest

from experiments.measure.heads.forecast import (
    Forecast,
    course_error,
    forecast_head,
    half_times,
    size_error,
    time_errors,
)
from experiments.measure.heads.settle import Descent
from tests.experiments.measure.heads.synthetic import draw_banks

TIMES = np.linspace(0.0, 10.0, 101)


def test_half_times_of_straight_courses():
    slopes = np.array([0.2, 0.1, 0.01])
    courses = np.column_stack([TIMES[:, None] * slopes, np.full(101, 0.4)])
    found = half_times(TIMES, courses, np.array([1.0, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(found[:3], [2.5, 5.0, 10.0])
    assert np.isnan(found[3])


def test_errors_are_logarithms_and_the_constant_of_an_order_is_fitted():
    scales, ends = np.array([1.0, 0.5, 0.25]), np.ones(3)
    measured = TIMES[:, None] * scales / 4 + 1e-6
    found = Forecast(TIMES, {"theory": 2 * measured}, measured, scales, ends, 6.0 / scales)
    assert course_error(2 * measured, measured) == pytest.approx(np.log(2))
    assert size_error(0.5 * measured, measured) == pytest.approx(np.log(2))
    errors = time_errors(found)
    assert errors["theory"] == pytest.approx(np.log(2), rel=1e-3)
    # Half-times are 2/s exactly.
    assert errors["rival:order"] < 1e-4
    assert errors["rival:inverse_rate"] == pytest.approx(np.log(3), rel=1e-3)


@pytest.mark.slow
def test_a_head_learns_as_forecast_from_moments():
    found = forecast_head(draw_banks(2000), 0, Descent(0.005, 0.0, 256), looks=20, steps=10)
    errors = {
        name: course_error(courses, found.measured) for name, courses in found.courses.items()
    }
    assert errors["theory"] < 0.05
    # Moments of independent modes commute: then the closed form is the flow.
    assert errors["rival:independent"] < 0.05
    for rival in ("one_less", "shuffled", "one_curve"):
        assert errors[f"rival:{rival}"] > 5 * errors["theory"]
