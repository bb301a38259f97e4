"""Settling: the steps are the ones written down, the path is the one described."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.measure.settle import SettlingPath, head_gradients, settle_head, settling_path
from ssljax.system.errors import UsageError


def _problem(seed=0, images=12, views=4, widths=(5, 4, 3)):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(images, views, widths[0])).astype(np.float32)
    weights = tuple(
        (rng.normal(size=(after, before)) / np.sqrt(before)).astype(np.float32)
        for before, after in itertools.pairwise(widths)
    )
    return features, weights


def _spectral_gradients(weights, first, second):
    """Written from −2 mean z·z⁺ + mean over i≠j of (z_i·z'_j)², by hand."""
    count = len(first)
    inputs, others = [first], [second]
    for weight in weights:
        inputs.append(inputs[-1] @ weight.T)
        others.append(others[-1] @ weight.T)
    z1, z2 = inputs[-1], others[-1]
    products = z1 @ z2.T
    np.fill_diagonal(products, 0.0)
    scale = 2.0 / (count * (count - 1))
    d1 = -2.0 / count * z2 + scale * products @ z2
    d2 = -2.0 / count * z1 + scale * products.T @ z1
    gradients = []
    for layer in reversed(range(len(weights))):
        gradients.append(d1.T @ inputs[layer] + d2.T @ others[layer])
        d1, d2 = d1 @ weights[layer], d2 @ weights[layer]
    return gradients[::-1]


def test_every_step_is_momentum_descent_with_coupled_decay():
    features, weights = _problem()
    path = SettlingPath(jnp.array([0.05, 0.04, 0.03]), jnp.array([0.0, 0.1, 0.3]))
    key = jax.random.key(3)
    settled = settle_head(weights, features, key, path, batch_size=8, momentum=0.8)

    twin = [weight.astype(np.float64) for weight in weights]
    velocity = [np.zeros_like(weight) for weight in twin]
    for number, (rate, decay) in enumerate(zip([0.05, 0.04, 0.03], [0.0, 0.1, 0.3])):
        keys = jax.random.split(jax.random.fold_in(key, number), 3)
        image = np.asarray(jax.random.randint(keys[0], (8,), 0, 12))
        view = np.asarray(jax.random.randint(keys[1], (8,), 0, 4))
        other = (view + np.asarray(jax.random.randint(keys[2], (8,), 1, 4))) % 4
        assert np.all(other != view)
        double = features.astype(np.float64)
        gradients = _spectral_gradients(twin, double[image, view], double[image, other])
        velocity = [0.8 * v + g + decay * w for v, g, w in zip(velocity, gradients, twin)]
        twin = [w - rate * v for w, v in zip(twin, velocity)]
    for ours, theirs in zip(settled, twin):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


def test_decay_starts_at_zero_overshoots_and_ends_at_its_value():
    path = settling_path(1000, learning_rate=0.02, weight_decay=0.1, overshoot=1.5)
    decay, rate = np.asarray(path.weight_decays), np.asarray(path.learning_rates)
    assert np.all(decay[:250] == 0)
    np.testing.assert_allclose(decay[500:600], 0.15, rtol=1e-6)
    np.testing.assert_allclose(decay[650:], 0.1, rtol=1e-6)
    np.testing.assert_allclose(rate[:700], 0.02, rtol=1e-6)
    np.testing.assert_allclose(rate[-1], 0.0002, rtol=0.05)


def test_a_path_too_short_to_have_all_its_parts_is_refused():
    with pytest.raises(UsageError, match="at least 20"):
        settling_path(5, learning_rate=0.1, weight_decay=0.1)


def _mean_distance(first, second):
    return jnp.mean(jnp.sum((first - second) ** 2, axis=1))


def test_the_gradients_of_a_head_that_stands_still_are_those_of_one_step():
    features, weights = _problem()
    key = jax.random.key(5)
    found = head_gradients(weights, features, key, batches=3, batch_size=8)
    for number, batch in enumerate(jax.random.split(key, 3)):
        keys = jax.random.split(batch, 3)
        image = np.asarray(jax.random.randint(keys[0], (8,), 0, 12))
        view = np.asarray(jax.random.randint(keys[1], (8,), 0, 4))
        other = (view + np.asarray(jax.random.randint(keys[2], (8,), 1, 4))) % 4
        wanted = _spectral_gradients(weights, features[image, view], features[image, other])
        for ours, theirs in zip(found, wanted):
            np.testing.assert_allclose(ours[number], theirs, rtol=1e-5, atol=1e-5)


def test_the_adaptive_rule_is_adam_with_decoupled_decay_under_the_given_loss():
    features, weights = _problem()
    key, rates, decays = jax.random.key(4), [0.05, 0.04], [0.1, 0.3]
    path = SettlingPath(jnp.array(rates), jnp.array(decays))
    settled = settle_head(
        weights, features, key, path, batch_size=8, loss=_mean_distance, adaptive=True
    )
    twin = [weight.astype(np.float64) for weight in weights]
    mean = [np.zeros_like(weight) for weight in twin]
    square = [np.zeros_like(weight) for weight in twin]
    for number, (rate, decay) in enumerate(zip(rates, decays)):
        keys = jax.random.split(jax.random.fold_in(key, number), 3)
        image = np.asarray(jax.random.randint(keys[0], (8,), 0, 12))
        view = np.asarray(jax.random.randint(keys[1], (8,), 0, 4))
        other = (view + np.asarray(jax.random.randint(keys[2], (8,), 1, 4))) % 4
        gap = features[image, view].astype(np.float64) - features[image, other]
        product = twin[1] @ twin[0] @ gap.T @ gap * (2.0 / 8)
        gradients = [twin[1].T @ product, product @ twin[0].T]
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradients)]
        square = [0.999 * s + 0.001 * g**2 for s, g in zip(square, gradients)]
        corrected = [
            (m / (1 - 0.9 ** (number + 1))) / (np.sqrt(s / (1 - 0.999 ** (number + 1))) + 1e-8)
            for m, s in zip(mean, square)
        ]
        twin = [w - rate * (c + decay * w) for w, c in zip(twin, corrected)]
    for ours, theirs in zip(settled, twin):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)
