"""Every layer at the optimum: values that users met, laws, refusals, and one compilation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import reference
from theory.linalg.errors import InputError
from theory.losses.family import barlow, spectral
from theory.losses.quadratic import QuadraticLoss
from theory.moments.moments import Moments
from theory.optimum.low_rank import low_rank_optimum
from theory.optimum.quadratic import quadratic_optimum
from theory.optimum.solve import solve
from theory.optimum.thresholds import decay_thresholds

CROSS = np.array([[0.5, 0.2], [0.2, 0.3]])
TURN = np.array([[0.0, 1.0], [1.0, 0.0]])


@pytest.fixture
def moments():
    return Moments(*map(jnp.asarray, reference.random_moments(np.random.default_rng(0), 5)))


@pytest.mark.parametrize(("depth", "rank"), [(1, None), (3, 2)])
def test_layers_are_powers_of_the_optimum(moments, depth, rank):
    found = solve(spectral(moments), depth=depth, rank=rank)
    covariance = np.asarray(moments.covariance)
    gram = reference.optimum(covariance, np.asarray(moments.cross_covariance), rank or 5)
    root = reference.power(covariance, 0.5)
    for layer in range(1, depth + 1):
        expected = reference.power(gram, layer / depth)
        np.testing.assert_allclose(found.grams[layer - 1], expected, atol=1e-11)
        values = np.linalg.eigvalsh(expected)[::-1]
        np.testing.assert_allclose(found.weight_spectra[layer - 1], values, atol=1e-11)
        outputs = np.linalg.eigvalsh(root @ expected @ root)[::-1]
        np.testing.assert_allclose(found.layer_spectra[layer], outputs, atol=1e-11)
    np.testing.assert_allclose(found.layer_spectra[0], np.linalg.eigvalsh(covariance)[::-1])
    np.testing.assert_allclose(found.factor.T @ found.factor, gram, atol=1e-11)
    assert found.factor.shape == (rank or 5, 5)
    assert int(found.active) == (rank or 5)


def test_derivatives_at_a_whitened_covariance_are_those_worked_out_by_hand():
    def loss_of(amount):
        return spectral(Moments(jnp.eye(2) + amount * TURN, jnp.asarray(CROSS)))

    def squares(amount):
        factor = solve(loss_of(amount)).factor
        return factor.T @ factor

    def slope_of(function):
        return lambda amount: jax.jvp(function, (amount,), (1.0,))[1]

    curve = jax.jit(slope_of(slope_of(lambda amount: solve(loss_of(amount)).loss)))(0.0)
    np.testing.assert_allclose(curve, -2.44, atol=1e-12)
    slope = jax.jit(slope_of(squares))(0.0)
    np.testing.assert_allclose(slope, [[-0.4, -0.8], [-0.8, -0.4]], atol=1e-12)


@pytest.mark.parametrize("depth", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_mode_is_gone_just_above_its_saddle_node_and_there_just_below(depth):
    scale, alignment = jnp.array([1.0, 0.7]), jnp.array([0.9, 0.5])
    loss = QuadraticLoss(jnp.diag(scale), jnp.diag(scale * alignment))
    limits = np.sort(np.asarray(decay_thresholds(scale, alignment, depth=depth).saddle_node))
    for kept, limit in zip((1, 0), limits):
        above = solve(loss, depth=depth, weight_decay=1.0001 * limit)
        below = solve(loss, depth=depth, weight_decay=0.9999 * limit)
        assert (int(above.active), int(below.active)) == (kept, kept + 1)
        assert np.count_nonzero(above.weight_spectra[0]) == kept


def test_what_does_not_exist_is_refused_by_value(moments):
    loss = spectral(moments)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match=r"weight_decay is .*at least 0"):
            solve(loss, weight_decay=wrong)
    for wrong in (0, -1):
        with pytest.raises(InputError, match=r"rank is .*whole number of at least 1"):
            solve(loss, rank=wrong)
        with pytest.raises(InputError, match=r"depth is .*whole number of at least 1"):
            solve(loss, depth=wrong)
    with pytest.raises(InputError, match="rank is 6, wanted at most the 5"):
        solve(loss, rank=6)
    with pytest.raises(InputError, match="branch is 'globl', wanted one of continued, global"):
        solve(loss, weight_decay=0.1, branch="globl")
    single = dataclasses.replace(loss, linear=np.asarray(loss.linear, np.float32))
    with pytest.raises(InputError, match="float32"):
        solve(single)


def test_a_traced_decay_below_zero_is_not_a_number():
    loss = QuadraticLoss(jnp.eye(1), 0.5 * jnp.eye(1))
    found = jax.jit(lambda decay: solve(loss, depth=1, weight_decay=decay).loss)(-1.0)
    assert np.isnan(found)


def test_another_tolerance_or_decay_compiles_nothing(moments):
    loss = spectral(moments)
    solve(loss, weight_decay=0.1)
    solve(loss)
    other = dataclasses.replace(loss, range_tolerance=1e-7, linear=0.9 * loss.linear)
    with jax.no_tracing():
        solve(other, weight_decay=0.2)
        solve(other)


@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e12, 1e100])
def test_units_of_the_data_change_nothing_but_units(moments, scale):
    plain = solve(spectral(moments))
    scaled = Moments(scale * moments.covariance, scale * moments.cross_covariance)
    found = solve(spectral(scaled))
    np.testing.assert_allclose(found.loss, plain.loss, rtol=1e-12)
    np.testing.assert_allclose(found.grams[-1] * scale, plain.grams[-1], atol=1e-10)
    np.testing.assert_allclose(found.layer_spectra[-1], plain.layer_spectra[-1], atol=1e-11)
    assert int(found.active) == int(plain.active)


def test_barlow_twins_keep_the_strongest_modes_of_the_cross_covariance(moments):
    found = solve(barlow(moments), rank=2)
    values, vectors = np.linalg.eigh(np.asarray(moments.cross_covariance))
    expected = (vectors[:, -2:] / values[-2:]) @ vectors[:, -2:].T
    np.testing.assert_allclose(found.grams[-1], expected, atol=1e-10)


def test_a_linear_term_that_is_not_symmetric_counts_by_its_symmetric_part(moments):
    skewed = moments.cross_covariance + jnp.triu(jnp.full((5, 5), 0.1), 1)
    loss = QuadraticLoss(moments.covariance, skewed)
    thin, dense = low_rank_optimum(loss, 2), quadratic_optimum(loss, rank=2)
    np.testing.assert_allclose(thin.factor.T @ thin.factor, dense.gram, atol=1e-11)
    np.testing.assert_allclose(thin.loss, dense.loss, rtol=1e-11)
