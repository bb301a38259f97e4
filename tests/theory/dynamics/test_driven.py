"""The head's flow on moments that move."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.dynamics.driven import driven_flow
from theory.dynamics.flow import quadratic_flow
from theory.linalg.errors import InputError
from theory.losses.quadratic import spectral_loss

TIMES = np.array([0.0, 1.0, 3.0])


def moments(time, dim=3):
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    turned, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    covariance = (basis * (np.linspace(1.0, 0.5, dim) + 0.1 * np.sin(time))) @ basis.T
    root = np.linalg.cholesky(covariance)
    kept = (turned * (np.linspace(0.8, 0.2, dim) + 0.1 * np.cos(2 * time))) @ turned.T
    cross = root @ kept @ root.T
    return covariance, 0.5 * (cross + cross.T)


def sampled(points):
    grid = np.linspace(0.0, 3.0, points)
    covariances, crosses = zip(*(moments(time) for time in grid), strict=True)
    return grid, np.stack(covariances), np.stack(crosses)


def test_moments_that_stand_still_give_the_plain_flow():
    covariance, cross = moments(0.0)
    start = 0.4 * np.eye(3)
    still = (np.array([0.0, 3.0]), np.stack([covariance] * 2), np.stack([cross] * 2))
    ours = driven_flow(*still, start, 2, TIMES, weight_decay=0.05)
    plain = quadratic_flow(
        spectral_loss(jnp.asarray(covariance), jnp.asarray(cross)),
        start,
        2,
        TIMES,
        weight_decay=0.05,
    )
    np.testing.assert_allclose(ours, plain, atol=1e-7)


def test_error_is_quadratic_in_the_spacing_of_the_measurements():
    start, decay = 0.4 * np.eye(3), 0.05

    def velocity(time, flat):
        covariance, cross = moments(time)
        factor = flat.reshape(3, 3)
        rows = factor @ factor.T @ factor
        push = rows @ covariance @ factor.T @ rows @ covariance - rows @ cross
        return (-4 * push - decay * factor).ravel()

    exact = solve_ivp(velocity, (0, 3.0), start.ravel(), "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    errors = [
        np.linalg.norm(
            driven_flow(*sampled(points), start, 2, TIMES, weight_decay=decay)[-1]
            - exact.reshape(3, 3)
        )
        for points in (13, 25, 49)
    ]
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert np.all((ratios > 3.3) & (ratios < 4.7)), (errors, ratios)


def test_times_beyond_the_measurements_are_refused():
    grid, covariances, crosses = sampled(5)
    with pytest.raises(InputError, match="do not cover"):
        driven_flow(grid, covariances, crosses, np.eye(3), 2, np.array([4.0]))
    with pytest.raises(InputError, match="ascend"):
        driven_flow(grid[::-1], covariances, crosses, np.eye(3), 2, TIMES)
