"""Gradient descent against its NumPy twin, against flow with the order of the error, and T12."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.theory.gram_objectives import cosine_infonce_objective, network_loss, spectral_objective
from theory.dynamics.descent import critical_learning_rate, descend
from theory.dynamics.layer_flow import quadratic_flow
from theory.linalg.errors import InputError
from theory.linalg.factors import factor_layer_grams
from theory.losses.quadratic import spectral_loss
from theory.optimum.quadratic import quadratic_optimum

SCALE, ALIGNMENT = np.array([1.0, 0.6, 1.4]), np.array([0.9, 0.5, -0.1])
# The reference example of features 0.2 to 1.5 under noise 0.5 (spec 4.1, 5.1).
SIZES, RETENTION = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.5]), np.array([1, 1, 0.5, 1, 0.3, 1.0])
VARIANCES, SHARED = SIZES**2 + 0.25, RETENTION**2 * SIZES**2


def random_moments(dim=4, seed=0):
    random = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    root = (basis * np.linspace(1.0, 0.6, dim)) @ basis.T
    basis, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    cross = root @ (basis * np.linspace(0.9, 0.4, dim)) @ basis.T @ root
    return jnp.asarray(root @ root), jnp.asarray(0.5 * (cross + cross.T))


def layer_grams(layers):
    product, grams = None, []
    for layer in layers:
        product = np.asarray(layer[-1]) if product is None else np.asarray(layer[-1]) @ product
        grams.append(product.T @ product)
    return np.stack(grams)


def relative(measured, expected):
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_modes_of_balanced_layers_descend_each_on_its_own(depth):
    random = np.random.default_rng(1)
    basis, _ = np.linalg.qr(random.normal(size=(3, 3)))
    covariance = jnp.asarray((basis * SCALE) @ basis.T)
    cross = jnp.asarray((basis * (SCALE * ALIGNMENT)) @ basis.T)
    layers = tuple(jnp.asarray(0.5 * np.eye(3)) for _ in range(depth))
    loss = network_loss(spectral_objective, covariance, 0.5 * (cross + cross.T))
    path = descend(loss, layers, 0.02, 300, weight_decay=0.01)
    w = np.full(3, 0.5)
    for _ in range(300):
        pull = 4 * SCALE * w ** (2 * depth - 1) * (ALIGNMENT - SCALE * w ** (2 * depth))
        w = w + 0.02 * (pull - 0.01 * w)
    np.testing.assert_allclose(np.diag(basis.T @ path[0][-1] @ basis), w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_descent_approaches_flow_at_first_order_in_the_learning_rate(depth):
    covariance, cross = random_moments()
    layers = tuple(jnp.asarray(0.5 * np.eye(4)) for _ in range(depth))
    loss = network_loss(spectral_objective, covariance, cross)
    flow = quadratic_flow(spectral_loss(covariance, cross), layers[0], depth, np.array([1.6]))
    exact = np.asarray(factor_layer_grams(flow[0], depth))
    errors = [
        np.linalg.norm(layer_grams(descend(loss, layers, 1.6 / steps, steps)) - exact)
        for steps in (400, 800, 1600)
    ]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all((orders > 0.9) & (orders < 1.1)), (errors, orders)


def balanced_layers(depth, dim=4, seed=4):
    random = np.random.default_rng(seed)
    right, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    layers = []
    for _ in range(depth):
        left, _ = np.linalg.qr(random.normal(size=(dim, dim)))
        layers.append(jnp.asarray(0.7 * left @ right.T))
        right = left
    return tuple(layers)


@pytest.mark.parametrize("depth", [2, 3])
def test_balanced_descent_ends_at_powers_of_the_optimum_with_error_of_first_order(depth):
    covariance, cross = random_moments()
    optimum = quadratic_optimum(spectral_loss(covariance, cross))
    values, vectors = np.linalg.eigh(np.asarray(optimum.gram))
    loss = network_loss(spectral_objective, covariance, cross)
    errors = []
    for rate in (0.04, 0.02, 0.01):
        steps = int(240 / rate)
        path = descend(loss, balanced_layers(depth), rate, steps)
        grams = layer_grams(path)
        assert relative(grams[-1], optimum.gram) < 1e-8
        product = np.asarray(path[-1][-1])
        for layer in reversed(path[:-1]):
            product = product @ np.asarray(layer[-1])
        assert float(loss(jnp.asarray(product)) - optimum.loss) < 1e-10
        power = (vectors * values ** (1 / depth)) @ vectors.T
        errors.append(relative(grams[0], power))
        assert errors[-1] < 1e-3
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all((orders > 0.9) & (orders < 1.1)), (errors, orders)


def test_layer_law_holds_at_all_times_for_cosine_infonce_too():
    random = np.random.default_rng(2)
    shared = random.normal(size=(16, 4))
    views = [jnp.asarray(shared + 0.5 * random.normal(size=(16, 4))) for _ in range(2)]
    loss = network_loss(cosine_infonce_objective, *views, 0.5)
    errors = []
    for rate in (0.01, 0.005):
        path = descend(loss, balanced_layers(2), rate, int(10 / rate), num_snapshots=5)
        firsts, ends = np.asarray(path[0]), np.asarray(path[1] @ path[0])
        grams = np.swapaxes(firsts, 1, 2) @ firsts
        misses = [relative(gram @ gram, end.T @ end) for gram, end in zip(grams, ends)]
        errors.append(max(misses))
    assert errors[0] < 5e-3
    assert 0.9 < np.log2(errors[0] / errors[1]) < 1.1, errors


def test_error_of_a_random_start_is_quadratic_in_its_size():
    covariance, cross = random_moments()
    optimum = np.asarray(quadratic_optimum(spectral_loss(covariance, cross)).gram)
    values, vectors = np.linalg.eigh(optimum)
    power = (vectors * np.sqrt(values)) @ vectors.T
    loss = network_loss(spectral_objective, covariance, cross)

    def error(size, rate):
        random = np.random.default_rng(3)
        layers = tuple(jnp.asarray(size * random.normal(size=(4, 4))) for _ in range(2))
        return relative(layer_grams(descend(loss, layers, rate, int(1600 / rate)))[0], power)

    for size in (0.2, 0.15):
        assert 3.5 < error(size, 0.05) / error(size / 2, 0.05) < 4.5


def test_imbalance_is_conserved_up_to_the_learning_rate_and_decays_with_weight_decay():
    covariance, cross = random_moments()
    loss = network_loss(spectral_objective, covariance, cross)
    random = np.random.default_rng(5)
    layers = tuple(jnp.asarray(0.5 * random.normal(size=(4, 4))) for _ in range(2))

    def imbalance(path, index):
        first, second = np.asarray(path[0][index]), np.asarray(path[1][index])
        return second.T @ second - first @ first.T

    drifts = []
    for rate in (0.01, 0.005):
        path = descend(loss, layers, rate, int(4 / rate))
        drifts.append(np.linalg.norm(imbalance(path, -1) - imbalance(path, 0)))
    assert 0.9 < np.log2(drifts[0] / drifts[1]) < 1.1
    path = descend(loss, layers, 0.001, 4000, weight_decay=0.25)
    expected = np.exp(-2 * 0.25 * 4.0) * imbalance(path, 0)
    assert relative(imbalance(path, -1), expected) < 2e-2


def growth(rate, scale, alignment, depth, momentum=0.0):
    """Factor by which a small push away from the balanced optimum has grown after 300 steps."""
    root = (alignment / scale) ** (0.5 / depth)
    random = np.random.default_rng(6)
    pushes = 1e-7 * random.normal(size=(depth, len(scale), len(scale)))
    layers = tuple(jnp.asarray(np.diag(root) + push) for push in pushes)
    loss = network_loss(spectral_objective, jnp.diag(scale), jnp.diag(scale * alignment))
    path = descend(loss, layers, rate, 300, momentum=momentum)
    away = np.stack([np.asarray(layer[-1]) - np.diag(root) for layer in path])
    return np.linalg.norm(away) / np.linalg.norm(pushes)


def test_critical_learning_rate_of_the_reference_example():
    critical = float(critical_learning_rate(VARIANCES, SHARED / VARIANCES, depth=2))
    np.testing.assert_allclose(critical, np.min(VARIANCES / (8 * SHARED**1.5)), rtol=1e-12)
    assert round(critical, 4) == 0.0926
    assert growth(0.091, VARIANCES, SHARED / VARIANCES, 2) < 1.5
    assert not growth(0.094, VARIANCES, SHARED / VARIANCES, 2) < 100


@pytest.mark.parametrize(("depth", "momentum"), [(1, 0.0), (2, 0.0), (3, 0.0), (2, 0.5)])
def test_pairs_of_modes_set_the_critical_learning_rate_where_orders_cross(depth, momentum):
    scale, alignment = np.array([4.0, 0.5]), np.array([0.1, 0.9])
    critical = float(critical_learning_rate(scale, alignment, depth=depth, momentum=momentum))
    alone = min(
        float(critical_learning_rate(scale[i : i + 1], alignment[i : i + 1], depth=depth))
        for i in range(2)
    )
    assert critical < 0.8 * alone * (1 + momentum)
    assert growth(0.98 * critical, scale, alignment, depth, momentum) < 1.5
    assert not growth(1.03 * critical, scale, alignment, depth, momentum) < 30


def test_momentum_rescales_time():
    covariance, cross = random_moments()
    loss = network_loss(spectral_objective, covariance, cross)
    layers = tuple(jnp.asarray(0.5 * np.eye(4)) for _ in range(2))
    plain = layer_grams(descend(loss, layers, 2e-3, 2000))
    heavy = layer_grams(descend(loss, layers, 2e-4, 2000, momentum=0.9))
    assert relative(heavy, plain) < 2e-2


def test_descent_compiles_once():
    from theory.dynamics.descent import _layer_path

    layers = (jnp.asarray(0.5 * np.eye(4)),)
    before = _layer_path._cache_size()
    for seed in (0, 1):
        loss = network_loss(spectral_objective, *random_moments(seed=seed))
        descend(loss, layers, 0.01, 10)
    assert _layer_path._cache_size() == before + 1


@pytest.mark.parametrize(("depth", "critical"), [(1, 0.05), (2, 0.0707)])
def test_forgetting_a_feature_whose_views_disagree_limits_the_rate(depth, critical):
    scale, alignment = np.array([1.0, 10.0]), np.array([0.5, -0.5])
    ours = float(critical_learning_rate(scale, alignment, depth=depth))
    assert round(ours, 4) == critical
    loss = network_loss(spectral_objective, jnp.diag(scale), jnp.diag(scale * alignment))
    start = tuple(jnp.asarray(np.diag([0.7, 0.0]) + 1e-7) for _ in range(depth))

    def stray(rate):
        path = descend(loss, start, rate, 400, num_snapshots=40)
        return float(jnp.max(jnp.abs(path[0][:, :, 1])))

    assert stray(0.9 * ours) < 2e-7
    assert not stray(1.1 * ours) < 1e-3


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="one a step"):
        descend(lambda end: jnp.sum(end), (jnp.ones((2, 2)),), np.full(3, 0.1), 4)
    with pytest.raises(InputError, match="snapshots"):
        descend(lambda end: jnp.sum(end), (jnp.ones((2, 2)),), 0.1, 10, num_snapshots=3)
    with pytest.raises(InputError, match="float32"):
        descend(lambda end: jnp.sum(end), (np.ones((2, 2), np.float32),), 0.1, 10)
