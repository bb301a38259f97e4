"""The balance ledger against real SGD with L2, and what breaks it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests import reference
from theory.layers.ledger import (
    imbalance,
    imbalance_change,
    relative_imbalance,
    stationary_imbalance,
)
from theory.linalg.errors import InputError

RATE, DECAY = 0.05, 0.02


def cosine_loss(params, batch):
    """A GELU encoder, then two linear layers and a bias between them, under cosine InfoNCE."""
    embeddings = []
    for view in batch:
        hidden = jax.nn.gelu(view @ params["encoder"].T)
        lower = hidden @ params["lower"].T + params["bias"][None]
        end = lower @ params["upper"].T
        embeddings.append(end / jnp.linalg.norm(end, axis=1, keepdims=True))
    logits = embeddings[0] @ embeddings[1].T / 0.5
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits))


def start(random):
    shapes = {"encoder": (6, 5), "lower": (4, 6), "bias": (4,), "upper": (3, 4)}
    return {name: jnp.asarray(random.normal(size=shape)) for name, shape in shapes.items()}


def run(steps, momentum=0.0, precision=np.float64):
    """Largest error of the ledger against the measured imbalance, relative."""
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x.astype(precision), start(random))
    velocity = jax.tree.map(jnp.zeros_like, params)
    slope = jax.jit(jax.grad(cosine_loss))
    account = imbalance(params["lower"], params["upper"], params["bias"])
    worst = 0.0
    for _ in range(steps):
        shared = random.normal(size=(8, 5))
        batch = [(shared + 0.3 * random.normal(size=(8, 5))).astype(precision) for _ in range(2)]
        gradient = slope(params, batch)
        account = account + imbalance_change(
            account, gradient["lower"], gradient["upper"], RATE, DECAY, gradient["bias"]
        )
        velocity = jax.tree.map(
            lambda v, g, w: momentum * v + g + DECAY * w, velocity, gradient, params
        )
        params = jax.tree.map(lambda w, v: w - RATE * v, params, velocity)
        measured = imbalance(params["lower"], params["upper"], params["bias"])
        worst = max(worst, float(jnp.linalg.norm(account - measured) / jnp.linalg.norm(measured)))
    return worst


def test_ledger_is_exact_for_sgd_with_l2_in_a_nonlinear_network():
    assert run(200) < 1e-12


def test_ledger_holds_in_float32_to_its_rounding():
    assert run(200, precision=np.float32) < 1e-5


def test_momentum_breaks_the_ledger():
    assert run(50, momentum=0.9) > 1e-2


def test_a_pair_of_scalars_keeps_the_law_of_balance_without_decay():
    random = np.random.default_rng(1)
    first, second = 0.7, 1.3
    factor = 1.0
    for _ in range(100):
        x, y = random.normal(size=2)
        slope = (first * second * x - y) * x
        factor *= 1 - (RATE * slope) ** 2
        first, second = first - RATE * slope * second, second - RATE * slope * first
    np.testing.assert_allclose(second**2 - first**2, (1.3**2 - 0.7**2) * factor, rtol=1e-12)
    one = jnp.ones((1, 1))
    change = imbalance_change(2.0 * one, 3.0 * one, 5.0 * one, 0.1, 0.0)
    np.testing.assert_allclose(change, 0.01 * (25.0 - 9.0), rtol=1e-14)


def test_stationary_imbalance_is_the_fixed_point():
    random = np.random.default_rng(2)
    lower, upper = (jnp.asarray(x @ x.T) for x in random.normal(size=(2, 3, 3)))
    end = stationary_imbalance(lower, upper, RATE, DECAY)
    roots = jnp.linalg.cholesky(lower), jnp.linalg.cholesky(upper).T
    np.testing.assert_allclose(imbalance_change(end, *roots, RATE, DECAY), 0.0, atol=1e-15)
    approximate = RATE / (2 * DECAY) * (upper - lower)
    np.testing.assert_allclose(end, approximate, rtol=RATE * DECAY)
    with pytest.raises(InputError, match="stationary"):
        stationary_imbalance(lower, upper, RATE, 0.0)


def _two_layer_flow(loss_gradient, decay, time):
    """W_1, W_2 before and after flow Ẇ_l = −∂loss/∂W_l − λW_l, by SciPy."""
    random = np.random.default_rng(5)
    first, second = 0.7 * random.normal(size=(4, 3)), 0.7 * random.normal(size=(2, 4))

    def velocity(_, flat):
        lower, upper = flat[:12].reshape(4, 3), flat[12:].reshape(2, 4)
        slope = loss_gradient(upper @ lower)
        pulls = (upper.T @ slope + decay * lower, slope @ lower.T + decay * upper)
        return -np.concatenate([pull.ravel() for pull in pulls])

    start = np.concatenate([first.ravel(), second.ravel()])
    end = solve_ivp(velocity, (0, time), start, "LSODA", rtol=1e-11, atol=1e-13).y[:, -1]
    return first, second, end[:12].reshape(4, 3), end[12:].reshape(2, 4)


def _spectral_slope(product):
    covariance, cross = reference.random_moments(np.random.default_rng(6), 3)
    return 4 * product @ (covariance @ product.T @ product @ covariance - cross)


def test_a_loss_without_scale_keeps_the_relative_imbalance_and_spectral_loss_does_not():
    def scale_free(product):
        # −tr(PAᵀ)/‖P‖: a cosine, whose gradient is orthogonal to the product.
        target = np.arange(6.0).reshape(2, 3) / 5
        size = np.linalg.norm(product)
        return -(target / size - np.sum(target * product) * product / size**3)

    for slope, conserved in ((scale_free, True), (_spectral_slope, False)):
        first, second, lower, upper = _two_layer_flow(slope, 0.3, 4.0)
        before, after = relative_imbalance(first, second), relative_imbalance(lower, upper)
        if conserved:
            shrunk = np.linalg.norm(lower) / np.linalg.norm(first)
            assert shrunk == pytest.approx(np.exp(-0.3 * 4.0), rel=1e-7)
        assert (abs(after / before - 1) < 1e-6) == conserved
