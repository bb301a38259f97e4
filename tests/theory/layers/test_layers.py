"""Layer Grams and spectra: reference numbers, laws of the layers, minimum norm."""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from tests import reference
from theory.geometry.ranks import variance_effective_rank
from theory.layers.grams import (
    layer_grams,
    layer_spectra,
    layer_weights,
    minimum_norm_layers,
    weight_spectra,
)
from theory.linalg.powers import fractional_gram
from theory.losses.quadratic import spectral_loss
from theory.optimum.low_rank import low_rank_layer_spectra
from theory.optimum.quadratic import quadratic_optimum

STRENGTH = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.5])
RETENTION = np.array([1.0, 1.0, 0.5, 1.0, 0.3, 1.0])
POST = [0.6897, 0.9756, 0.4918, 0.8989, 0.2400, 0.6000]
PRE = [0.8305, 0.9877, 0.7013, 0.9481, 0.4899, 0.7746]


@pytest.fixture
def moments():
    return reference.random_moments(np.random.default_rng(0), 6)


def weights_of(gram, direction, depth):
    return layer_weights(SimpleNamespace(grams=layer_grams(gram, depth)), direction)


def geodesic(start, end, fraction):
    """Weighted geometric mean X #_t Y = X^½ (X^-½ Y X^-½)^t X^½, in NumPy."""
    root, inverse = reference.power(start, 0.5), reference.power(start, -0.5)
    return root @ reference.power(inverse @ end @ inverse, fraction) @ root


def test_features_have_the_published_weights_before_and_after_the_head():
    frame = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    variance, shared = STRENGTH**2 + 0.25, RETENTION**2 * STRENGTH**2
    loss = spectral_loss((frame * variance) @ frame.T, (frame * shared) @ frame.T)
    gram = quadratic_optimum(loss).gram
    pre, post = np.stack([weights_of(gram, u, 2) for u in frame.T], axis=1)
    np.testing.assert_allclose(post, POST, atol=5e-5)
    np.testing.assert_allclose(pre, PRE, atol=6e-5)
    for depth in (1, 3):
        exponents = np.arange(1, depth + 1)[:, None] / depth
        expected = (np.sqrt(shared) / variance) ** exponents
        found = np.stack([weights_of(gram, u, depth) for u in frame.T], axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-13)


def test_layer_weights_follow_the_axis_of_times_and_have_a_slope_where_they_are_zero():
    grams = layer_grams(np.diag([4.0, 1.0, 0.0]), 2)
    course = SimpleNamespace(grams=jnp.stack([grams, 4.0 * grams]))
    np.testing.assert_allclose(layer_weights(course, np.eye(3)[0]), [[2**0.5, 2], [8**0.5, 4]])

    def weight(scale):
        return layer_weights(SimpleNamespace(grams=scale * grams), np.eye(3)[2])[0]

    assert weight(1.0) == jax.grad(weight)(1.0) == 0.0


def test_effective_rank_of_feature_weights_falls_with_depth_as_published():
    weights = jnp.array([0.69, 0.878, 0.787, 0.27, 0.56, 0.6, 0.235, 0.292])
    ranks = [
        float(variance_effective_rank(weights ** (2 * t))) for t in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    np.testing.assert_allclose(ranks, [8.0, 7.78, 7.26, 6.61, 6.00], atol=6e-3)
    assert np.all(np.diff(ranks) < 0)


def test_unaligned_features_weigh_less_before_the_head_squared_than_after_it(moments):
    gram = quadratic_optimum(spectral_loss(*moments)).gram
    rng = np.random.default_rng(2)
    for feature in rng.normal(size=(20, 6)):
        feature = feature / np.linalg.norm(feature)
        pre, post = weights_of(gram, feature, 2)
        assert pre**2 <= post + 1e-14
    vector = np.linalg.eigh(gram)[1][:, 2]
    pre, post = weights_of(gram, vector, 2)
    assert abs(pre**2 - post) < 1e-13


def test_rank_one_networks_do_not_reweight_features_between_layers():
    direction = np.array([0.6, 0.0, 0.8])
    gram = 0.25 * np.outer(direction, direction)
    for feature, share in ((np.eye(3)[0], 0.6), (np.eye(3)[2], 0.8)):
        expected = [0.5**0.5 * share, 0.5 * share]
        np.testing.assert_allclose(weights_of(gram, feature, 2), expected, atol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("rank", [3, 6])
def test_layer_grams_are_those_of_balanced_layers_and_powers_of_the_first(moments, depth, rank):
    gram = quadratic_optimum(spectral_loss(*moments), rank=rank).gram
    grams = layer_grams(gram, depth)
    product = np.eye(6)
    for layer, weight in enumerate(reference.balanced_layers(np.asarray(gram), depth)):
        product = weight @ product
        np.testing.assert_allclose(grams[layer], product.T @ product, atol=1e-10)
        power = np.linalg.matrix_power(np.asarray(grams[0]), layer + 1)
        np.testing.assert_allclose(grams[layer], power, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_minimum_norm_layers_are_balanced_and_of_least_norm(moments, depth):
    factor = quadratic_optimum(spectral_loss(*moments), rank=4).factor
    layers = minimum_norm_layers(factor, depth)
    product = np.eye(6)
    for weight in layers:
        product = weight @ product
    np.testing.assert_allclose(product, factor, atol=1e-13)
    for lower, upper in itertools.pairwise(layers):
        np.testing.assert_allclose(upper.T @ upper, lower @ lower.T, atol=1e-13)
    norm = sum(float(np.sum(weight**2)) for weight in layers)
    values = np.linalg.svd(factor, compute_uv=False) ** 2
    assert abs(norm - depth * np.sum(values ** (1 / depth))) < 1e-12
    rng = np.random.default_rng(3)
    for _ in range(20 if depth > 1 else 0):
        # Another factorization of the same map: a change of basis between the first two layers.
        change = np.eye(4) + 0.2 * rng.normal(size=(4, 4))
        other = [change @ layers[0], layers[1] @ np.linalg.inv(change), *layers[2:]]
        assert sum(np.sum(weight**2) for weight in other) > norm


def test_minimum_norm_layers_have_slopes_at_dropped_modes_and_equal_ones():
    """Along paths that keep a dropped mode dropped, and through equal singular values."""
    frame = jnp.asarray(np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0])
    turn = jnp.asarray(np.random.default_rng(6).normal(size=(3, 3)))

    def layers(t):
        sizes = jnp.stack([2.0 + t, 2.0 + 3.0 * t, 0.0 * t])
        factor = sizes[:, None] * (frame @ jax.scipy.linalg.expm(t * (turn - turn.T))).T
        return jnp.stack(minimum_norm_layers(factor, 3))

    _, slope = jax.jvp(layers, (0.0,), (1.0,))
    ends = (layers(1e-5) - layers(-1e-5)) / 2e-5
    np.testing.assert_allclose(slope, ends, atol=1e-8)


def test_layer_spectra_are_variances_of_the_outputs_and_lie_on_the_geodesic(moments):
    covariance, cross_covariance = moments
    gram = quadratic_optimum(spectral_loss(covariance, cross_covariance)).gram
    grams = layer_grams(gram, 3)
    spectra = layer_spectra(covariance, grams)
    root = reference.power(covariance, 0.5)
    output = root @ np.asarray(gram) @ root
    product = np.eye(6)
    layers = [np.eye(6), *reference.balanced_layers(np.asarray(gram), 3)]
    for layer, weight in enumerate(layers):
        product = weight @ product
        outputs = np.linalg.eigvalsh(product @ covariance @ product.T)[::-1]
        np.testing.assert_allclose(spectra[layer], outputs, atol=1e-12)
        on_geodesic = np.linalg.eigvalsh(geodesic(covariance, output, layer / 3))[::-1]
        np.testing.assert_allclose(spectra[layer], on_geodesic, atol=1e-12)
    alignments = np.linalg.eigvalsh(np.linalg.solve(root, cross_covariance) @ np.linalg.inv(root))
    np.testing.assert_allclose(spectra[-1], alignments[::-1], atol=1e-12)


def test_commuting_layer_variances_are_geometric_interpolations():
    variance, aligned = np.array([4.0, 2.0, 0.5]), np.array([0.3, 0.6, 0.9])
    gram = quadratic_optimum(spectral_loss(np.diag(variance), np.diag(variance * aligned))).gram
    spectra = layer_spectra(np.diag(variance), layer_grams(gram, 2))
    for layer in range(3):
        expected = variance ** (1 - layer / 2) * aligned ** (layer / 2)
        np.testing.assert_allclose(spectra[layer], np.sort(expected)[::-1], atol=1e-14)


def test_log_determinants_are_linear_in_depth(moments):
    covariance, cross_covariance = moments
    loss = spectral_loss(covariance, cross_covariance)
    full = layer_spectra(covariance, layer_grams(quadratic_optimum(loss).gram, 4))
    steps = np.diff(np.sum(np.log(full), axis=1))
    np.testing.assert_allclose(steps, steps[0], atol=1e-10)
    limited = layer_spectra(covariance, layer_grams(quadratic_optimum(loss, rank=3).gram, 4))
    steps = np.diff(np.sum(np.log(limited[:, :3]), axis=1))
    np.testing.assert_allclose(steps[1:], steps[1], atol=1e-10)
    assert abs(steps[0] - steps[1]) > 1e-3


def test_every_layer_does_equal_work(moments):
    """‖log eig(G_l⁻¹ G_{l+1})‖, the distance a layer moves the representation, is one number."""
    grams = np.asarray(layer_grams(quadratic_optimum(spectral_loss(*moments)).gram, 4))
    work = [
        np.linalg.norm(np.log(scipy.linalg.eigh(upper, lower, eigvals_only=True)))
        for lower, upper in itertools.pairwise(grams)
    ]
    np.testing.assert_allclose(work, work[0], atol=1e-10)


def test_conditioning_of_every_layer_is_bounded(moments):
    """κ(Σ)^(1 − l/L) κ(N)^(l/L): geometric means of ordered matrices are ordered."""
    covariance, _ = moments
    grams = layer_grams(quadratic_optimum(spectral_loss(*moments)).gram, 4)
    spectra = np.asarray(layer_spectra(covariance, grams))
    conditions = spectra[:, 0] / spectra[:, -1]
    fractions = np.arange(5) / 4
    bounds = conditions[0] ** (1 - fractions) * conditions[-1] ** fractions
    assert np.all(conditions <= bounds * (1 + 1e-9))


def test_low_rank_layer_spectra_equal_the_dense_ones(moments):
    covariance, _ = moments
    optimum = quadratic_optimum(spectral_loss(*moments), rank=3)
    dense = np.asarray(layer_spectra(covariance, layer_grams(optimum.gram, 4)))
    thin = low_rank_layer_spectra(covariance, optimum.factor, depth=4)
    np.testing.assert_allclose(thin, dense[1:, :3], atol=1e-12)


def test_weight_spectra_and_fractional_depth_interpolate(moments):
    gram = quadratic_optimum(spectral_loss(*moments)).gram
    spectra = np.asarray(weight_spectra(layer_grams(gram, 2)))
    np.testing.assert_allclose(spectra[0] ** 2, spectra[1], atol=1e-11)
    np.testing.assert_allclose(fractional_gram(gram, 0.0), np.eye(6), atol=1e-12)
    np.testing.assert_allclose(
        fractional_gram(gram, 1.5) @ fractional_gram(gram, 0.5), gram @ gram, rtol=1e-11
    )


def test_layers_compile_once_map_and_differentiate(moments):
    gram = quadratic_optimum(spectral_loss(*moments)).gram
    covariance = jnp.asarray(moments[0])
    compiled = jax.jit(lambda s, g: layer_spectra(s, layer_grams(g, 3)))
    compiled(covariance, gram)
    doubled = gram * 2.0
    with jax.no_tracing():
        compiled(covariance, doubled)
    np.testing.assert_allclose(
        jax.vmap(lambda g: layer_grams(g, 2))(jnp.stack([gram, gram]))[1], layer_grams(gram, 2)
    )
    weights = jnp.asarray(np.random.default_rng(4).normal(size=(4, 6)))
    direction = jnp.diag(jnp.arange(1.0, 7.0))

    def reading(covariance):
        return jnp.sum(weights * layer_spectra(covariance, layer_grams(gram, 3)))

    slope = jnp.sum(jax.grad(reading)(covariance) * direction)
    step = 1e-6
    ends = reading(covariance + step * direction) - reading(covariance - step * direction)
    assert abs(slope - ends / (2 * step)) < 1e-6 * abs(slope)
