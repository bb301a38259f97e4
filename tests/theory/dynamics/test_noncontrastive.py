"""Models without negatives: invariants, fixed points and independent solvers."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.dynamics.noncontrastive import (
    closed_predictor_time,
    joint_embedding_time,
    predictor_fixed_points,
    predictor_time_courses,
)

SETTING: Any = {
    "target_rate": 0.9,
    "augmentation_variance": 0.3,
    "predictor_rate": 1.5,
    "weight_decay": 0.05,
}


def test_predictor_and_correlation_follow_an_independent_solver_and_keep_their_invariant():
    predictor, correlation = np.array([0.2, 0.4, 0.01]), np.array([0.3, 0.1, 0.02])
    times = np.array([0.0, 1.0, 10.0, 60.0])
    path = predictor_time_courses(predictor, correlation, times, **SETTING)

    def velocity(_, state):
        p, s = state.reshape(2, 3)
        error = 0.9 - 1.3 * p
        return np.concatenate([1.5 * s * error - 0.05 * p, 2 * p * s * error - 0.1 * s])

    start = np.concatenate([predictor, correlation])
    reference = solve_ivp(velocity, (0, 60.0), start, "DOP853", times, rtol=1e-12, atol=1e-14).y.T
    np.testing.assert_allclose(np.concatenate(path, axis=1), reference, atol=1e-8)
    invariant = (path.correlation - path.predictor**2 / 1.5) * np.exp(0.1 * times)[:, None]
    np.testing.assert_allclose(invariant, invariant[:1] * np.ones((4, 1)), atol=1e-8)


def test_modes_end_at_the_stable_point_or_collapse_below_the_unstable_one():
    points = predictor_fixed_points(target_rate=0.9, augmentation_variance=0.3, weight_decay=0.05)
    start = np.array([0.98, 1.02]) * float(points.unstable)
    path = predictor_time_courses(start, start**2 / 1.5, np.array([1500.0]), **SETTING)
    np.testing.assert_allclose(path.predictor[0], [0.0, float(points.stable)], atol=1e-8)
    assert np.isnan(predictor_fixed_points(weight_decay=0.26).stable)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_joint_embedding_times_match_an_independent_solver(depth):
    strength, regression = np.array([0.8, 1.2]), np.array([0.9, 0.7])
    start = np.full(2, 0.1**depth)

    def velocity(_, w):
        return depth * strength * (w ** (3 - 1 / depth) - w**3 / regression)

    times = np.array([2.0, 20.0])
    path = solve_ivp(velocity, (0, 20.0), start, "DOP853", times, rtol=1e-13, atol=1e-15).y
    for column, time in enumerate(times):
        ours = joint_embedding_time(path[:, column], start, strength, regression, depth)
        np.testing.assert_allclose(ours, time, rtol=1e-8)
    end = solve_ivp(velocity, (0, 3e5), start, "LSODA", rtol=1e-10, atol=1e-14).y[:, -1]
    np.testing.assert_allclose(end, regression**depth, rtol=1e-6)


def test_joint_embedding_critical_time_is_the_sum_over_powers_without_a_factor_of_depth():
    depth, rho, strength, start = 2, 0.8, 1.1, 1e-4
    exact = joint_embedding_time(
        np.full(1, 0.5 * rho**depth),
        np.full(1, start),
        np.full(1, strength),
        np.full(1, rho),
        depth,
    )
    terms = [
        1 / (n * start ** (n / depth) * rho ** (2 * depth - 1 - n)) for n in range(1, 2 * depth)
    ]
    np.testing.assert_allclose(exact, sum(terms) / strength, rtol=1e-4)


def test_closed_predictor_times_match_an_independent_solver():
    times = np.array([3.0, 8.0])
    path = solve_ivp(
        lambda _, v: 2 * v**2 * (1 - v),
        (0, 8.0),
        [0.1, 0.2],
        "DOP853",
        times,
        rtol=1e-12,
        atol=1e-14,
    ).y
    for column, time in enumerate(times):
        ours = closed_predictor_time(path[:, column], np.array([0.1, 0.2]))
        np.testing.assert_allclose(ours, time, rtol=1e-8)
