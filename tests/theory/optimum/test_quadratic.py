"""The optimum against an independent minimizer, gradient descent and its laws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from tests import reference
from theory.linalg.errors import InputError
from theory.losses.quadratic import (
    QuadraticLoss,
    quadratic_value,
    spectral_loss,
)
from theory.optimum.low_rank import low_rank_optimum
from theory.optimum.quadratic import quadratic_optimum


@pytest.fixture
def moments():
    return reference.random_moments(np.random.default_rng(0), 7)


def test_full_rank_optimum_is_the_inverse_sandwich_and_minus_the_squared_alignments(moments):
    covariance, cross_covariance = moments
    optimum = quadratic_optimum(spectral_loss(covariance, cross_covariance))
    inverse = np.linalg.inv(covariance)
    expected = inverse @ cross_covariance @ inverse
    np.testing.assert_allclose(optimum.gram, expected, rtol=0, atol=1e-12 * np.max(expected))
    root = reference.power(covariance, -0.5)
    alignments = np.linalg.eigvalsh(root @ cross_covariance @ root)
    assert abs(optimum.loss + np.sum(alignments**2)) < 1e-13
    assert int(optimum.active) == 7


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_rank_limited_optimum_keeps_pairs_of_the_alignment_not_of_the_sandwich(moments, rank):
    covariance, cross_covariance = moments
    optimum = quadratic_optimum(spectral_loss(covariance, cross_covariance), rank=rank)
    expected = reference.optimum(covariance, cross_covariance, rank)
    np.testing.assert_allclose(optimum.gram, expected, atol=1e-11)
    assert optimum.factor.shape == (rank, 7)
    np.testing.assert_allclose(optimum.factor.T @ optimum.factor, expected, atol=1e-11)
    inverse = np.linalg.inv(covariance)
    naive = reference.truncation(inverse @ cross_covariance @ inverse, rank)
    loss = spectral_loss(covariance, cross_covariance)
    assert quadratic_value(loss, naive) > optimum.loss + 1e-3


def test_a_general_minimizer_started_anywhere_ends_at_the_optimum(moments):
    covariance, cross_covariance = moments
    rng = np.random.default_rng(1)

    def value(flat):
        weight = flat.reshape(3, 7)
        output = weight @ covariance @ weight.T
        slope = 4 * (output @ weight @ covariance - weight @ cross_covariance)
        loss = reference.spectral_loss_of_weight(weight, covariance, cross_covariance)
        return loss, slope.ravel()

    found = scipy.optimize.minimize(
        value, rng.normal(size=21), jac=True, method="BFGS", options={"gtol": 1e-10}
    )
    optimum = quadratic_optimum(spectral_loss(covariance, cross_covariance), rank=3)
    weight = found.x.reshape(3, 7)
    assert abs(found.fun - optimum.loss) < 1e-10
    np.testing.assert_allclose(weight.T @ weight, optimum.gram, atol=1e-8)


def test_gradient_descent_reaches_the_optimum(moments):
    covariance, cross_covariance = moments
    weight = 0.3 * np.eye(7)
    for _ in range(20_000):
        output = weight @ covariance @ weight.T
        weight = weight + 0.08 * (weight @ cross_covariance - output @ weight @ covariance)
    optimum = quadratic_optimum(spectral_loss(covariance, cross_covariance))
    loss = reference.spectral_loss_of_weight(weight, covariance, cross_covariance)
    assert abs(loss - optimum.loss) < 1e-10
    error = np.linalg.norm(weight.T @ weight - optimum.gram) / np.linalg.norm(optimum.gram)
    assert error < 1e-8


def test_an_indefinite_sampled_cross_covariance_is_clipped_at_zero():
    rng = np.random.default_rng(2)
    covariance, cross_covariance = reference.random_moments(rng, 6)
    root = reference.power(covariance, 0.5)
    cross_covariance = cross_covariance - 0.4 * root @ root
    optimum = quadratic_optimum(spectral_loss(covariance, cross_covariance))
    np.testing.assert_allclose(
        optimum.gram, reference.optimum(covariance, cross_covariance, 6), atol=1e-11
    )
    inverse = np.linalg.inv(covariance)
    unclipped = inverse @ cross_covariance @ inverse
    error = np.linalg.norm(optimum.gram - unclipped) / np.linalg.norm(optimum.gram)
    assert error > 0.1
    assert int(optimum.active) < 6


def test_a_singular_covariance_gives_the_gram_of_least_norm():
    rng = np.random.default_rng(3)
    covariance, cross_covariance = reference.random_moments(rng, 5)
    frame = np.linalg.qr(rng.normal(size=(9, 5)))[0]
    optimum = quadratic_optimum(
        spectral_loss(frame @ covariance @ frame.T, frame @ cross_covariance @ frame.T)
    )
    inside = np.linalg.inv(covariance)
    expected = frame @ inside @ cross_covariance @ inside @ frame.T
    np.testing.assert_allclose(optimum.gram, expected, atol=1e-11)
    assert int(optimum.active) == 5


def test_modes_of_a_low_rank_cross_covariance_are_counted_exactly():
    rng = np.random.default_rng(4)
    covariance, cross_covariance = reference.random_moments(rng, 20, rank=5)
    optimum = quadratic_optimum(spectral_loss(covariance, cross_covariance))
    assert int(optimum.active) == 5
    assert np.all(np.asarray(optimum.factor)[5:] == 0)


def test_the_value_is_its_definition_and_flat_at_the_optimum(moments):
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(3, 7))
    gram = jnp.asarray(weight.T @ weight)
    loss = spectral_loss(*moments)
    expected = reference.spectral_loss_of_weight(weight, *moments)
    assert abs(quadratic_value(loss, gram) - expected) < 1e-11 * abs(expected)
    slope = jax.grad(quadratic_value, 1)(loss, quadratic_optimum(loss).gram)
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)


@pytest.mark.parametrize("rank", [None, 3])
def test_derivative_of_the_optimum_equals_finite_differences(moments, rank):
    covariance, cross_covariance = moments
    rng = np.random.default_rng(6)
    weights = rng.normal(size=(7, 7))
    directions = rng.normal(size=(2, 7, 7))
    directions = directions + directions.transpose(0, 2, 1)

    def reading(loss):
        optimum = quadratic_optimum(loss, rank=rank)
        return jnp.sum(weights * optimum.gram) + optimum.loss

    loss = QuadraticLoss(jnp.asarray(covariance), jnp.asarray(cross_covariance))
    slopes = jax.grad(reading)(loss)
    for index in (0, 1):
        ends = []
        for sign in (1, -1):
            parts = [jnp.asarray(covariance), jnp.asarray(cross_covariance)]
            parts[index] = parts[index] + sign * 1e-5 * directions[index]
            ends.append(reading(QuadraticLoss(*parts)))
        expected = (ends[0] - ends[1]) / 2e-5
        slope = (slopes.quadratic, slopes.linear)[index]
        assert abs(jnp.sum(slope * directions[index]) - expected) < 1e-6 * abs(expected)


def test_derivative_exists_where_kept_alignments_coincide():
    loss = QuadraticLoss(jnp.eye(4), 0.5 * jnp.eye(4))
    slope = jax.grad(lambda loss: quadratic_optimum(loss).gram[0, 1])(loss)
    np.testing.assert_allclose(slope.linear[0, 1] + slope.linear[1, 0], 1.0, atol=1e-12)
    assert np.all(np.isfinite(slope.quadratic))


def test_optimum_compiles_once_and_maps_over_batches(moments):
    loss = QuadraticLoss(*map(jnp.asarray, moments), None, jnp.array(1e-10))
    compiled = jax.jit(lambda loss: quadratic_optimum(loss, rank=4))
    compiled(loss)
    doubled = dataclasses.replace(loss, quadratic=2.0 * loss.quadratic)
    with jax.no_tracing():
        compiled(doubled)
    batch = jax.vmap(quadratic_optimum)(jax.tree.map(lambda x: jnp.stack([x, x]), loss))
    np.testing.assert_allclose(batch.gram[1], quadratic_optimum(loss).gram, atol=1e-12)


def test_low_rank_optimum_equals_the_dense_one(moments):
    loss = spectral_loss(*moments)
    dense = quadratic_optimum(loss, rank=3)
    thin = low_rank_optimum(loss, 3)
    np.testing.assert_allclose(thin.factor.T @ thin.factor, dense.gram, atol=1e-12)
    assert abs(thin.loss - dense.loss) < 1e-13
    assert thin.active == int(dense.active)


def test_low_rank_optimum_refuses_what_it_cannot_solve(moments):
    with pytest.raises(InputError, match="singular"):
        low_rank_optimum(spectral_loss(np.diag([1.0, 0.0]), np.zeros((2, 2))), 1)
    with pytest.raises(InputError, match="rank is 9"):
        low_rank_optimum(spectral_loss(*moments), 9)
