"""Derivatives of theory's functions at the points where naive ones fail, against differences.

A case is a function of one number, the distance along a line through an adversarial point: equal
eigenvalues, a whitened covariance, zeros, dropped modes, a singular covariance, depth 1. Add a line
to `CASES` for a new function; `order` 2 also checks second derivatives, forward over reverse too.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.linalg.powers import fractional_gram, leading_power, psd_power
from theory.linalg.spectral import factor_modes, singular_values, symmetric_eigenvalues
from theory.linalg.whitening import generalized_eigenpairs
from theory.losses.family import barlow, infonce, spectral, vicreg
from theory.losses.quadratic import quadratic_value
from theory.losses.supervised import squared_loss_factor
from theory.moments import augmentations
from theory.moments.alignment import alignment
from theory.moments.moments import Moments
from theory.optimum.solve import solve
from theory.optimum.thresholds import decay_thresholds, decayed_mode

SLOW = pytest.mark.slow
ONE = np.array([[0.3, 1.0, 0.2], [1.0, -0.2, 0.4], [0.2, 0.4, 0.1]])
OTHER = np.array([[0.1, 0.3, 0.2], [0.3, 0.2, 0.1], [0.2, 0.1, -0.3]])
# Directions that leave the third feature out, for moments that do not vary along it.
INSIDE = np.array([[1.0, 1.0, 0.0]]) * np.array([[1.0], [1.0], [0.0]])
EQUAL, HALVES = np.eye(3), 0.5 * np.eye(3)
APART = np.diag(np.array([0.9, 0.5, 0.2]))
DROPPED = np.diag(np.array([0.9, 0.5, -0.2]))
PAIR = np.diag(np.array([2.0, 1.0, 1.0]))
SINGULAR = np.diag(np.array([1.0, 1.0, 0.0]))


def _path(matrix, direction=ONE, turn=0.0):
    """A line through a matrix, with a rotation of its range where asked."""

    def at(amount):
        moved = matrix + amount * direction
        if turn == 0.0:
            return moved
        generator = jnp.array([[0.0, 0.0, turn], [0.0, 0.0, 0.0], [-turn, 0.0, 0.0]])
        rotation = jax.scipy.linalg.expm(amount * generator)
        return rotation @ moved @ rotation.T

    return at


def _moments(covariance, cross, turn=0.0):
    inside = INSIDE if covariance is SINGULAR else 1.0
    first = _path(covariance, ONE * inside, turn)
    second = _path(cross * inside, OTHER * inside, turn)
    return lambda amount: Moments(first(amount), second(amount))


def _smooth(prediction):
    """What a prediction has derivatives of everywhere."""
    return jnp.concatenate(
        [
            prediction.loss[None],
            (prediction.factor.T @ prediction.factor).ravel(),
            prediction.grams.ravel(),
        ]
    )


def _sums(prediction):
    return jnp.hstack([prediction.weight_spectra.sum(1), prediction.layer_spectra.sum(1)])


def _each(prediction):
    return jnp.hstack([prediction.weight_spectra.ravel(), prediction.layer_spectra[1:].ravel()])


def _solved(make, moments, read=_smooth, **options):
    return lambda amount: read(solve(make(moments(amount)), **options))


_eigh = functools.partial(generalized_eigenpairs, range_tolerance=1e-10)
_COMMUTING = np.array([1.0, 2.0]), np.array([0.6, 0.6])

CASES = {
    "psd_power, identity": (2, lambda t: psd_power(_path(EQUAL)(t), -0.5)),
    "psd_power, a pair, its exponent": (2, lambda t: psd_power(_path(PAIR)(t), 0.3 + t)),
    "psd_power, singular and turning": (
        2,
        lambda t: psd_power(_path(SINGULAR, ONE * INSIDE, 0.7)(t), 0.5),
    ),
    "projector on a range that turns": (
        2,
        lambda t: psd_power(_path(SINGULAR, ONE * INSIDE, 0.7)(t), 0.0),
    ),
    "leading_power, equal among the kept": (
        2,
        lambda t: leading_power(_path(np.diag([1.0, 1.0, 0.2]))(t), 1.0, 2),
    ),
    "fractional_gram, dropped": (
        2,
        lambda t: fractional_gram(_path(SINGULAR, ONE * INSIDE)(t), 1 / 3),
    ),
    "eigenvalues, sum of equal": (1, lambda t: symmetric_eigenvalues(_path(EQUAL)(t)).sum()),
    "eigenvalues, distinct": (2, lambda t: symmetric_eigenvalues(_path(APART)(t))),
    "alignment, whitened": (2, lambda t: alignment(_moments(EQUAL, APART)(t)).values),
    "alignment, equal values": (1, lambda t: alignment(_moments(PAIR, 0.5 * PAIR)(t)).values.sum()),
    "alignment, singular and turning": (
        2,
        lambda t: alignment(_moments(SINGULAR, APART, 0.7)(t)).values,
    ),
    "projector on aligned directions": (
        2,
        lambda t: (lambda v: v[:, :2] @ v[:, :2].T)(
            _eigh(_path(EQUAL)(t), _path(PAIR, OTHER)(t)).vectors[:, ::-1]
        ),
    ),
    "factor_modes, a zero mode": (
        1,
        lambda t: (
            factor_modes(
                jnp.array([[1.0, 0.2, 0.1], [0.3, 0.7, 0.2], [0.0, 0.0, 0.0]]) @ _path(EQUAL)(t)
            ).values
        ),
    ),
    "singular_values, wide": (2, lambda t: singular_values(_path(APART)(t)[:2])),
    "solve, whitened": (2, _solved(spectral, _moments(EQUAL, APART), depth=3)),
    "solve, whitened, each value": (2, _solved(spectral, _moments(EQUAL, APART), _each, depth=2)),
    "solve, all equal": (2, _solved(spectral, _moments(EQUAL, HALVES))),
    "solve, all equal, sums": (1, _solved(spectral, _moments(EQUAL, HALVES), _sums)),
    "solve, a dropped mode": (2, _solved(spectral, _moments(PAIR, DROPPED))),
    "solve, depth 1": (2, _solved(spectral, _moments(PAIR, DROPPED), depth=1)),
    "solve, singular and turning": (2, _solved(spectral, _moments(SINGULAR, APART, 0.7))),
    "solve, of rank 2": (2, _solved(spectral, _moments(EQUAL, APART), rank=2)),
    "solve, VICReg and its weight": (
        2,
        lambda t: _smooth(solve(vicreg(_moments(EQUAL, APART)(t), 1.2 + t))),
    ),
    "solve, InfoNCE and its temperature": (
        2,
        lambda t: _smooth(solve(infonce(_moments(EQUAL, APART)(t), 0.5 + t))),
    ),
    "solve, Barlow Twins": (2, _solved(barlow, _moments(EQUAL, HALVES))),
    "solve, Barlow Twins of rank 2": (2, _solved(barlow, _moments(EQUAL, APART), rank=2)),
    "solve, decay of one layer": (
        2,
        lambda t: _smooth(
            solve(spectral(_moments(EQUAL, APART)(t)), depth=1, weight_decay=0.3 + t)
        ),
    ),
    "solve, decay, dropped": (
        2,
        lambda t: _smooth(solve(spectral(_moments(EQUAL, DROPPED)(t)), weight_decay=0.1 + t)),
    ),
    "solve, decay, all equal": (2, _solved(spectral, _moments(EQUAL, HALVES), weight_decay=0.05)),
    "quadratic_value": (
        2,
        lambda t: quadratic_value(spectral(_moments(EQUAL, APART)(t)), _path(PAIR)(t)),
    ),
    "thresholds": (
        2,
        lambda t: decay_thresholds(_COMMUTING[0], _COMMUTING[1] + t, depth=3).saddle_node,
    ),
    "thresholds of zero and negative": (
        1,
        lambda t: decay_thresholds(jnp.ones(2), jnp.array([-0.5, -0.1]) + t, depth=2).saddle_node,
    ),
    "decayed_mode": (
        2,
        lambda t: decayed_mode(_COMMUTING[0] + t, _COMMUTING[1], weight_decay=0.1 + t, depth=2),
    ),
    "decayed_mode, no decay, dropped": (
        2,
        lambda t: decayed_mode(jnp.ones(2), jnp.array([0.5, -0.5]) + t, weight_decay=0.0, depth=2),
    ),
    "noise_moments": (
        2,
        lambda t: alignment(augmentations.noise_moments(EQUAL, 0.5 + t)).values.sum(),
    ),
    "mask_moments, equal values": (
        1,
        lambda t: alignment(augmentations.mask_moments(_path(PAIR)(t), 0.5 + t)).values.sum(),
    ),
    "squared_loss_factor": (2, lambda t: squared_loss_factor(_path(EQUAL)(t), OTHER[:2])),
    "squared_loss_factor, of rank 1": (
        2,
        lambda t: squared_loss_factor(_path(EQUAL)(t), OTHER[:2], rank=1),
    ),
}
# The rest runs among the slow tests: every case compiles its second derivatives.
EVERYDAY = {
    "psd_power, a pair, its exponent",
    "psd_power, singular and turning",
    "alignment, whitened",
    "alignment, singular and turning",
    "solve, whitened",
    "solve, all equal",
    "decayed_mode",
}


def _check(function, order, step=1e-5):
    def first(amount):
        return jax.jvp(function, (amount,), (1.0,))

    shape = jax.eval_shape(function, 0.0).shape
    weights = jnp.asarray(np.random.default_rng(0).normal(size=shape))

    def total(amount):
        return jnp.sum(weights * function(amount))

    def every(amount):
        value, slope = first(amount)
        reverse = jax.grad(total)(amount)
        if order == 1:
            return value, slope, reverse
        curve = jax.jvp(lambda x: first(x)[1], (amount,), (1.0,))[1]
        return value, slope, reverse, curve, jax.jvp(jax.grad(total), (amount,), (1.0,))[1]

    compiled = jax.jit(every)
    here, above, below = (compiled(amount) for amount in (0.0, step, -step))
    moved = (above[0] - below[0]) / (2 * step)
    scale = max(1e-3, float(np.max(np.abs(moved))))
    np.testing.assert_allclose(here[1], moved, atol=1e-6 * scale)
    np.testing.assert_allclose(here[2], jnp.sum(weights * here[1]), rtol=1e-9, atol=1e-9 * scale)
    if order == 2:
        moved = (above[1] - below[1]) / (2 * step)
        scale = max(1e-3, float(np.max(np.abs(moved))))
        np.testing.assert_allclose(here[3], moved, atol=1e-4 * scale)
        bound = 1e-7 * scale
        np.testing.assert_allclose(here[4], jnp.sum(weights * here[3]), rtol=1e-7, atol=bound)


@pytest.mark.parametrize(
    "name", [name if name in EVERYDAY else pytest.param(name, marks=SLOW) for name in CASES]
)
def test_derivatives_equal_central_differences(name):
    order, function = CASES[name]
    _check(function, order)


def test_a_loss_of_moments_compiles_maps_and_differentiates_in_all_of_them():
    moments = Moments(jnp.eye(2), jnp.array([[0.5, 0.2], [0.2, 0.3]]), images=10, views=2)

    def best(moments):
        return solve(spectral(moments)).loss

    slope = jax.grad(best)(moments)
    # The optimum F = M of whitened moments: ∂/∂Σ tr(FΣFΣ) = 2 FΣF, ∂/∂M = −2F.
    cross = np.asarray(moments.cross_covariance)
    np.testing.assert_allclose(slope.covariance, 2 * cross @ cross, atol=1e-12)
    np.testing.assert_allclose(slope.cross_covariance, -2 * cross, atol=1e-12)
    assert slope.images == 0.0
    both = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), moments)
    mapped = jax.jit(jax.vmap(best))(both)
    np.testing.assert_allclose(mapped, np.full(2, float(best(moments))), rtol=1e-12)
