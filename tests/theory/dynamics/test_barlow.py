"""Barlow Twins modes against flow, and where with too few outputs no optimum is unique."""

import jax.numpy as jnp
import numpy as np

from theory.dynamics.barlow import barlow_step_times, barlow_time_courses
from theory.dynamics.flow import factor_layer_grams, quadratic_flow
from theory.dynamics.modes import half_times, mode_time_courses
from theory.losses.objectives import barlow_objective
from theory.losses.quadratic import QuadraticLoss

SHARED = np.array([1.0, 0.6, 0.3])
TIMES = np.array([0.0, 0.5, 2.0, 9.0])


def test_modes_are_the_flow_of_the_loss():
    loss = QuadraticLoss(jnp.diag(SHARED), jnp.diag(SHARED))
    path = quadratic_flow(loss, 0.05 * jnp.eye(3), 1, TIMES)
    ours = barlow_time_courses(SHARED, np.full(3, 0.05), TIMES)
    np.testing.assert_allclose(np.diagonal(path, axis1=1, axis2=2).T, ours, atol=1e-9)


def test_one_layer_is_the_general_curve_with_alignment_one():
    ours = barlow_time_courses(SHARED, np.full(3, 0.05), TIMES)
    general = mode_time_courses(SHARED, np.ones(3), np.full(3, 0.0025), 1, TIMES)
    np.testing.assert_allclose(ours**2, general, rtol=1e-12)
    steps = barlow_step_times(SHARED, np.full(3, 1e-4))
    exact = half_times(SHARED, np.ones(3), np.full(3, 1e-8), 1)
    np.testing.assert_allclose(steps, exact, rtol=1e-8)


def test_deep_barlow_layers_are_powers_of_the_inverse():
    loss = QuadraticLoss(jnp.diag(SHARED), jnp.diag(SHARED))
    path = quadratic_flow(loss, 0.5 * jnp.eye(3), 2, np.array([200.0]))
    grams = factor_layer_grams(path[0], 2)
    np.testing.assert_allclose(jnp.diagonal(grams[0]), SHARED**-0.5, rtol=1e-8)
    np.testing.assert_allclose(jnp.diagonal(grams[1]), 1 / SHARED, rtol=1e-8)


def test_with_too_few_outputs_every_subspace_is_a_minimum():
    cross = jnp.diag(SHARED)
    random = np.random.default_rng(0)
    values = []
    for _ in range(4):
        basis, _ = np.linalg.qr(random.normal(size=(3, 2)))
        rows = jnp.asarray(basis.T / np.sqrt(SHARED)[None, :])
        values.append(float(barlow_objective(rows.T @ rows, cross)))
    np.testing.assert_allclose(values, -2.0, rtol=1e-12)
