"""Comparison metrics: invariances, NumPy and SciPy twins, and what each must not forgive."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from theory.comparison.metrics import (
    active_modes,
    active_subspace,
    layer_exponents,
    log_gains,
    log_identity_r2,
    riemannian_distance,
)
from theory.layers.chain import balance_residuals, chain_layer_grams
from theory.layers.grams import layer_grams
from theory.linalg.errors import InputError


def positive(rng, dim, spread=2.0):
    vectors = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    return (vectors * np.exp(spread * rng.uniform(-1, 1, dim))) @ vectors.T


@pytest.mark.parametrize("seed", range(4))
def test_riemannian_distance_is_a_metric_blind_to_common_changes_of_features(seed):
    rng, dim = np.random.default_rng(seed), 4
    x, y, z = (positive(rng, dim) for _ in range(3))
    identity = np.eye(dim)
    distance = float(riemannian_distance(x, y, identity))
    twin = np.sqrt(np.mean(np.log(scipy.linalg.eigh(y, x, eigvals_only=True)) ** 2))
    np.testing.assert_allclose(distance, twin, rtol=1e-10)
    np.testing.assert_allclose(float(riemannian_distance(y, x, identity)), distance, rtol=1e-10)
    change = positive(rng, dim, 1.0) @ np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    moved = [change @ m @ change.T for m in (x, y)]
    np.testing.assert_allclose(float(riemannian_distance(*moved, identity)), distance, rtol=1e-8)
    np.testing.assert_allclose(float(riemannian_distance(x, y, change)), distance, rtol=1e-8)
    through = float(riemannian_distance(x, z, identity) + riemannian_distance(z, y, identity))
    assert distance <= through * (1 + 1e-12)


def test_riemannian_distance_of_a_singular_gram_is_infinite_and_of_nan_is_nan():
    singular = np.diag([1.0, 0.0])
    for pair in ((singular, np.eye(2)), (np.eye(2), singular)):
        assert float(riemannian_distance(*pair, np.eye(2))) == np.inf
    assert float(riemannian_distance(singular, np.eye(2), np.eye(2)[:, :1])) == 0.0
    assert np.isnan(float(riemannian_distance(np.full((2, 2), np.nan), np.eye(2), np.eye(2))))


def test_active_subspace_is_the_range_of_the_gram_for_any_covariance():
    rng = np.random.default_rng(1)
    covariance, weight = positive(rng, 6), rng.standard_normal((3, 6))
    gram = weight.T @ weight
    basis = np.asarray(active_subspace(covariance, gram, 3))
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-13)
    np.testing.assert_allclose(basis @ (basis.T @ weight.T), weight.T, atol=1e-12)
    assert int(active_modes(covariance, gram, 1e-8)) == 3


def test_active_modes_are_chosen_by_output_variance_not_by_weight():
    """The Gram ranks the feature of variance 1e-4 first; the output hardly contains it."""
    covariance, gram = np.diag([1.0, 1e-4, 0.5]), np.diag([1.0, 30.0, 1.0])
    assert int(active_modes(covariance, gram, 1e-2)) == 2
    basis = np.asarray(active_subspace(covariance, gram, 2))
    np.testing.assert_allclose(basis[1], 0.0, atol=1e-12)
    assert np.argmax(np.linalg.eigh(gram)[1][:, -1] ** 2) == 1


def test_identity_r2_forgives_neither_scale_nor_slope():
    measured = np.exp(np.linspace(-2, 1, 8))
    predicted = measured * np.exp(0.05 * np.cos(np.arange(8)))
    missed = np.sum((0.05 * np.cos(np.arange(8))) ** 2)
    expected = 1 - missed / np.sum((np.log(measured) - np.log(measured).mean()) ** 2)
    np.testing.assert_allclose(float(log_identity_r2(predicted, measured)), expected, rtol=1e-12)
    assert float(log_identity_r2(3 * measured, measured)) < 0
    assert float(log_identity_r2(measured**2, measured)) < 0.7


def test_balanced_networks_have_exponents_l_over_depth_and_others_do_not():
    rng = np.random.default_rng(2)
    gram = positive(rng, 5)
    for depth in (1, 2, 3, 4):
        exponents = layer_exponents(layer_grams(gram, depth), np.eye(5))
        np.testing.assert_allclose(exponents, np.arange(1, depth + 1) / depth, atol=1e-11)
    lazy = layer_exponents(chain_layer_grams((np.eye(5), scipy.linalg.sqrtm(gram))), np.eye(5))
    np.testing.assert_allclose(lazy, [0.0, 1.0], atol=1e-11)


def test_log_gains_use_the_directions_of_the_whole_map_inside_the_basis():
    rng = np.random.default_rng(3)
    weights = tuple(rng.standard_normal((4, 4)) for _ in range(2))
    grams = np.asarray(chain_layer_grams(weights))
    _, values, vectors = np.linalg.svd(weights[1] @ weights[0])
    gains = np.asarray(log_gains(grams, np.eye(4)))
    np.testing.assert_allclose(gains[1], np.log(values), atol=1e-10)
    first = 0.5 * np.log(np.diag(vectors @ grams[0] @ vectors.T))
    np.testing.assert_allclose(gains[0], first, atol=1e-10)


def test_metrics_compile_batch_differentiate_and_refuse_float32():
    rng = np.random.default_rng(8)
    x, y = (np.stack([positive(rng, 4) for _ in range(3)]) for _ in range(2))
    batched = jax.jit(jax.vmap(riemannian_distance, in_axes=(0, 0, None)))(x, y, np.eye(4))
    single = [riemannian_distance(a, b, np.eye(4)) for a, b in zip(x, y)]
    np.testing.assert_allclose(batched, single, rtol=1e-12)
    gradient = jax.grad(riemannian_distance)(jnp.asarray(x[0]), y[0], np.eye(4))
    step = 1e-6 * positive(rng, 4)
    numeric = 0.5 * (
        riemannian_distance(x[0] + step, y[0], np.eye(4))
        - riemannian_distance(x[0] - step, y[0], np.eye(4))
    )
    np.testing.assert_allclose(np.sum(gradient * step), numeric, rtol=1e-6)
    with pytest.raises(InputError, match="weight 2 would be computed in float32"):
        balance_residuals((x[0], y[0].astype(np.float32)))
