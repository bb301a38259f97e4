"""Optimal projectors: Karush-Kuhn-Tucker conditions, independent solvers, limits, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from theory.geometry.invariance import augmentation_fractions
from theory.geometry.water_filling import cosine_projector
from theory.linalg.errors import InputError

solved = jax.jit(cosine_projector, static_argnames="rank")
all_fractions = arrays(np.float64, 9, elements=st.floats(1e-4, 1.0))


def unbounded(fractions):
    """The variances that no budget binds, u = 1/v − 1 with v + v² = 2ρ: multiplier 0."""
    return np.maximum(2.0 / (np.sqrt(1.0 + 8.0 * fractions) - 1.0) - 1.0, 0.0)


def moments(dim, strength, seed=0):
    rng = np.random.default_rng(seed)
    between = np.linalg.qr(rng.standard_normal((dim, dim)))[0] * np.logspace(0, -1.2, dim)
    within = strength * np.linalg.qr(rng.standard_normal((dim, dim)))[0] * np.logspace(0, -1, dim)
    return within @ within.T, within @ within.T + between @ between.T


@settings(deadline=None, max_examples=15)
@given(fractions=all_fractions, temperature=st.floats(0.02, 5.0))
def test_cosine_projector_meets_its_optimality_conditions(fractions, temperature):
    head = solved(fractions, temperature)
    u, mu = np.asarray(head.variances), float(head.multiplier)
    v = 1 / (1 + u)
    level = np.max(np.abs(fractions)) + abs(mu)
    stationarity = 0.5 * (v + v**2) - (fractions + mu)
    assert np.max(np.abs(np.where(u > 0, stationarity, 0))) <= 1e-12 * level
    assert np.all(fractions[u == 0] + mu >= 1 - 1e-12)
    np.testing.assert_allclose(u.sum() * temperature, 1.0, rtol=1e-12)
    np.testing.assert_allclose(float(head.shares.sum()), 1.0, rtol=1e-12)
    assert int(head.active) == np.sum(u > 0)


def test_cosine_projector_is_the_minimum_that_scipy_finds():
    fractions = np.array([0.05, 0.1, 0.2, 0.35, 0.6, 0.8, 0.97])
    for temperature in (0.1, 0.5, 2.0):
        budget = 1 / temperature

        def loss(u):
            return float(np.sum(fractions * u - 0.5 * np.log1p(u) - 0.5 * u / (1 + u)))

        found = scipy.optimize.minimize(
            loss,
            np.full(7, budget / 7),
            jac=lambda u: fractions - 0.5 / (1 + u) - 0.5 / (1 + u) ** 2,
            bounds=[(0, None)] * 7,
            constraints={"type": "eq", "fun": lambda u, b=budget: np.sum(u) - b},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )
        head = solved(fractions, temperature)
        np.testing.assert_allclose(head.variances, found.x, atol=1e-6 * budget)
        assert loss(np.asarray(head.variances)) <= found.fun + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strength", "temperature", "bar"), [(0.3, 0.5, 0.12), (1.0, 0.5, 0.12), (1.0, 0.1, 0.25)]
)
def test_cosine_projector_forecasts_trained_heads(strength, temperature, bar):
    """Stochastic gradient descent on NT-Xent, Gaussian features that do not commute.

    The relaxation of the norm costs about 10 %, more where five directions remain.
    """
    dim, batch = 12, 384
    within, total = moments(dim, strength, seed=2)
    between_root, within_root = (np.linalg.cholesky(m) for m in (total - within, within))
    key = jax.random.key(0)
    weight = 0.3 * jax.random.normal(key, (dim, dim), float)

    def loss(weight, key):
        keys = jax.random.split(key, 3)
        means = jax.random.normal(keys[0], (batch, dim), float) @ between_root.T
        views = [
            means + jax.random.normal(k, (batch, dim), float) @ within_root.T for k in keys[1:]
        ]
        z = jnp.concatenate(views) @ weight.T
        z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
        logits = z @ z.T / temperature - 1e9 * jnp.eye(2 * batch)
        positive = jnp.sum(z * jnp.roll(z, batch, axis=0), axis=1) / temperature
        return jnp.mean(jax.nn.logsumexp(logits, axis=1) - positive)

    def step(weight, inputs):
        key, rate = inputs
        return weight - rate * jax.grad(loss)(weight, key), None

    rates = jnp.full(600, min(0.5, temperature))
    weight, _ = jax.lax.scan(step, weight, (jax.random.split(key, 600), rates))

    fractions = augmentation_fractions(within, total)
    head = solved(fractions.values, temperature)
    samples = np.random.default_rng(5).standard_normal((20_000, dim)) @ np.linalg.cholesky(total).T
    outputs = samples @ np.asarray(weight).T
    outputs /= np.linalg.norm(outputs, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(outputs.T @ outputs)
    shares = shares / shares.sum()
    # Directions that are cut really reach zero, up to the sign of round-off.
    shares = shares[shares > 1e-12]
    measured = np.exp(-np.sum(shares * np.log(shares)))
    assert bool(head.valid)
    np.testing.assert_allclose(measured, float(head.effective_rank), rtol=bar)
    gram = np.asarray(weight.T @ weight)
    defect = np.trace(gram @ within) / np.trace(gram @ total)
    np.testing.assert_allclose(defect, float(head.defect), rtol=bar + 0.04)


def test_optimum_has_the_stated_limits():
    whitening = solved(np.full(16, 1e-3), 0.5)
    np.testing.assert_allclose(whitening.shares, 1 / 16, rtol=1e-12)
    flooded = solved(np.full(16, 0.999), 0.5)
    np.testing.assert_allclose(float(flooded.effective_rank), 16, rtol=1e-12)


def test_rank_falls_then_returns_as_augmentation_swamps_every_direction():
    ratio = np.logspace(-1.5, 1.5, 16)
    ranks, suppressions = [], []
    for strength in (0.1, 0.3, 1.0, 3.0, 30.0, 100.0):
        fractions = strength**2 * ratio / (1 + strength**2 * ratio)
        head = solved(fractions, 0.5)
        total = 1 + strength**2 * ratio
        encoder = np.sum(strength**2 * ratio) / np.sum(total)
        ranks.append(float(head.effective_rank))
        suppressions.append(float(head.defect) / encoder)
    assert ranks[0] > ranks[1] > ranks[2] > ranks[3]
    assert ranks[-1] > 15
    assert suppressions[2] < 1


def test_whitening_amplifies_weak_augmentation_directions():
    """Signal on strong directions, augmentation on weak ones: whitening raises the defect."""
    signal = np.array([10.0] * 4 + [0.1] * 4)
    crossing = []
    for strength in (0.02, 1.0):
        noise = strength**2 * np.array([0.01] * 4 + [1.0] * 4)
        head = solved(noise / (signal + noise), 0.5)
        crossing.append(float(head.defect) / (noise.sum() / (signal + noise).sum()))
    assert crossing[0] > 1 > crossing[1]


def test_higher_temperature_cuts_harder_but_effective_rank_is_not_monotone():
    fractions = np.linspace(0.02, 0.95, 12)
    heads = [solved(fractions, t) for t in (0.03, 0.1, 0.3, 1.0)]
    assert all(bool(head.valid) for head in heads)
    active = [int(head.active) for head in heads]
    assert active == sorted(active, reverse=True)
    assert active[0] == 12 > active[-1]
    ranks = [float(head.effective_rank) for head in heads]
    assert ranks[0] < ranks[1] > ranks[2] > ranks[3]


def test_validity_ends_where_stated():
    fractions = np.linspace(0.02, 0.95, 12)
    limit = 1.0 / np.sum(unbounded(fractions))
    assert bool(solved(fractions, limit * 1.001).valid)
    assert not bool(solved(fractions, limit * 0.999).valid)
    at_limit = solved(fractions, limit)
    np.testing.assert_allclose(at_limit.variances, unbounded(fractions), rtol=1e-9)


def test_limited_rank_keeps_the_least_noisy_directions_in_any_order():
    fractions = np.array([0.6, 0.1, 0.4, 0.2])
    head = solved(fractions, 0.2, rank=2)
    alone = solved(np.array([0.1, 0.2]), 0.2)
    np.testing.assert_array_equal(np.asarray(head.variances) > 0, [False, True, False, True])
    np.testing.assert_allclose(head.variances[jnp.array([1, 3])], alone.variances, rtol=1e-12)


def test_projector_compiles_batches_and_differentiates():
    fractions = np.linspace(0.05, 0.9, 8)
    compiled = jax.jit(jax.vmap(cosine_projector, in_axes=(None, 0)))
    batched = compiled(fractions, np.array([0.1, 0.5]))
    np.testing.assert_allclose(batched.shares[1], cosine_projector(fractions, 0.5).shares)
    compiled(fractions, np.array([0.2, 0.7]))
    assert compiled._cache_size() == 1

    def defect(fractions, temperature):
        return cosine_projector(fractions, temperature).defect

    gradient, by_temperature = jax.grad(defect, argnums=(0, 1))(jnp.asarray(fractions), 0.5)
    step = 1e-6
    for index in (0, 5):
        shift = step * np.eye(8)[index]
        numeric = (defect(fractions + shift, 0.5) - defect(fractions - shift, 0.5)) / (2 * step)
        np.testing.assert_allclose(gradient[index], numeric, rtol=1e-6)
    numeric = (defect(fractions, 0.5 + step) - defect(fractions, 0.5 - step)) / (2 * step)
    np.testing.assert_allclose(by_temperature, numeric, rtol=1e-6)


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(InputError, match="temperature -1"):
        cosine_projector(np.array([0.5]), -1.0)
    with pytest.raises(InputError, match="rank of at least 1"):
        cosine_projector(np.array([0.5]), 0.5, rank=0)
    with pytest.raises(InputError, match="float32"):
        cosine_projector(np.array([0.5], np.float32), 0.5)
