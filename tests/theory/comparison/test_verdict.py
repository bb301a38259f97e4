"""Joint verdict: real gradient descent passes, and each way to be wrong fails its criterion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theory.comparison.metrics import riemannian_distance
from theory.comparison.nulls import (
    balanced_weights,
    gauged_weights,
    prediction_nulls,
)
from theory.comparison.verdict import judge_head
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_grams
from theory.linalg.errors import InputError

DEPTH = 2


@pytest.fixture(scope="module")
def moments():
    """Non-commuting moments with eight alignments between .2 and .95."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        left, right, directions = (np.linalg.qr(rng.standard_normal((8, 8)))[0] for _ in range(3))
        mixing = (left * np.linspace(1.4, 0.5, 8)) @ right
        survival = (directions * np.linspace(0.95, 0.2, 8)) @ directions.T
        return mixing @ mixing.T, mixing @ survival @ mixing.T


@pytest.fixture(scope="module")
def trained(moments):
    """A head of two layers trained by plain gradient descent with decay, never told the theory."""
    with jax.enable_x64(True):
        covariance, cross = (jnp.asarray(m) for m in moments)
        first, second = (
            jax.random.normal(key, (8, 8), float) * 0.2
            for key in jax.random.split(jax.random.key(0))
        )

        def loss(weights):
            gram = weights[0].T @ weights[1].T @ weights[1] @ weights[0]
            value = jnp.trace(gram @ covariance @ gram @ covariance) - 2 * jnp.trace(gram @ cross)
            return value + 1e-3 * sum(jnp.sum(w**2) for w in weights)

        def step(weights, _):
            slopes = jax.grad(loss)(weights)
            return jax.tree.map(lambda w, g: w - 0.03 * g, weights, slopes), None

        weights, _ = jax.lax.scan(step, (first, second), None, length=40_000)
        return weights, (first, second)


@pytest.fixture(scope="module")
def prediction(moments):
    with jax.enable_x64(True):
        covariance, cross = moments
        inverse = np.linalg.inv(covariance)
        return layer_grams(inverse @ cross @ inverse, DEPTH)


def verdict_of(prediction, weights, covariance, **options):
    nulls = prediction_nulls(jax.random.key(1), prediction, covariance)
    return judge_head(prediction, weights, covariance, nulls, **options)


def test_a_trained_head_meets_its_prediction(moments, trained, prediction):
    weights, untrained = trained
    nulls = prediction_nulls(jax.random.key(1), prediction, moments[0])
    nulls["untrained"] = chain_layer_grams(untrained)
    result = judge_head(prediction, weights, moments[0], nulls)
    assert result.verdict == "holds"
    assert result.num_modes == result.predicted_count == result.measured_count == 8
    assert np.all(result.agreement.distances < 0.02)
    assert np.all(result.agreement.law_distances < 0.01)
    assert np.all(result.agreement.skill > 0.9)
    assert result.agreement.log_identity_r2 > 0.999
    assert result.agreement.median_relative_error < 0.01
    np.testing.assert_allclose(result.agreement.exponents, [0.5, 1.0], atol=0.01)
    np.testing.assert_allclose(result.agreement.affinity, 1.0, atol=1e-6)
    assert np.isnan(result.agreement.null_distances["gauge"][-1])
    assert np.all(np.isfinite([d[0] for d in result.agreement.null_distances.values()]))
    assert (
        min(d[0] for d in result.agreement.null_distances.values()) == result.agreement.best_null[0]
    )
    for layer in range(DEPTH):
        first = weights[0] if layer == 0 else weights[1] @ weights[0]
        twin = riemannian_distance(prediction[layer], first.T @ first, np.eye(8))
        np.testing.assert_allclose(result.agreement.distances[layer], float(twin), rtol=1e-8)


def test_a_random_gauge_keeps_the_function_and_fails(moments, trained, prediction):
    gauged = gauged_weights(jax.random.key(5), trained[0])
    result = verdict_of(prediction, gauged, moments[0])
    assert result.verdict == "fails"
    assert result.criteria["count"]
    assert result.agreement.distances[-1] < 0.02
    assert not result.criteria["balance"]
    assert not result.criteria["distance"]


def test_the_untrained_head_fails(moments, trained, prediction):
    assert verdict_of(prediction, trained[1], moments[0]).verdict == "fails"


def test_the_right_exponent_in_the_wrong_directions_fails_on_distance_only(moments, prediction):
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((8, 8)))[0]
    weights = tuple(turn @ np.asarray(w) @ turn.T for w in balanced_weights(prediction[-1], DEPTH))
    result = verdict_of(prediction, weights, moments[0])
    assert result.criteria["balance"]
    assert result.criteria["exponent"]
    assert not result.criteria["distance"]
    assert result.verdict == "fails"


def test_missing_modes_fail_the_count(moments, prediction):
    values, vectors = np.linalg.eigh(prediction[-1])
    pruned = (vectors[:, 3:] * values[3:]) @ vectors[:, 3:].T
    result = verdict_of(prediction, balanced_weights(pruned, DEPTH), moments[0])
    assert result.measured_count == 5
    assert result.num_modes == 5
    assert not result.criteria["count"]
    assert result.verdict == "fails"


def test_nearly_equal_modes_are_inconclusive():
    gram = np.diag([1.0, 0.9, 0.8])
    prediction = layer_grams(gram, DEPTH)
    result = verdict_of(prediction, balanced_weights(gram, DEPTH), np.eye(3))
    assert result.powerless
    assert result.verdict == "inconclusive"
    np.testing.assert_allclose(
        result.agreement.isotropic_distance, 2 * result.agreement.log_spread, rtol=1e-9
    )


def test_a_collapsed_head_fails_without_an_error(moments, prediction):
    result = verdict_of(prediction, (np.zeros((8, 8)),) * 2, moments[0])
    assert result.verdict == "fails"
    assert result.measured_count == result.num_modes == 0
    assert np.all(result.agreement.distances == np.inf)


def test_one_layer_and_chosen_modes(moments, prediction):
    single = verdict_of(prediction[-1:], balanced_weights(prediction[-1], 1), moments[0])
    assert single.verdict == "holds"
    weights = balanced_weights(prediction[-1], DEPTH)
    assert verdict_of(prediction, weights, moments[0], num_modes=4).num_modes == 4
    with pytest.raises(InputError, match="9 modes asked for, 8 are active"):
        verdict_of(prediction, weights, moments[0], num_modes=9)
    with pytest.raises(InputError, match="predict with depth 1"):
        verdict_of(prediction, weights[:1], moments[0])


def scaled_verdict(spread, log_factor):
    """Commuting modes with log gains in ±spread, measured too large by one common factor."""
    gram = np.diag(np.exp(np.linspace(-spread, spread, 4)))
    weights = balanced_weights(np.exp(log_factor) * gram, DEPTH)
    return verdict_of(layer_grams(gram, DEPTH), weights, np.eye(4))


def test_a_small_distance_is_not_enough_where_a_null_is_nearly_as_close():
    result = scaled_verdict(1.0, 0.08)
    np.testing.assert_allclose(result.agreement.distances, [0.04, 0.08], rtol=1e-9)
    assert result.agreement.distances[0] > 0.2 * result.agreement.best_null[0]
    assert result.verdict == "fails"
    assert not result.criteria["distance"]


def test_beating_every_null_is_not_enough_above_the_bar():
    result = scaled_verdict(3.0, 0.12)
    assert np.all(result.agreement.distances <= 0.2 * result.agreement.best_null)
    np.testing.assert_allclose(result.agreement.distances, [0.06, 0.12], rtol=1e-9)
    assert not result.criteria["distance"]
    assert scaled_verdict(3.0, 0.09).verdict == "holds"


def test_uneven_layers_fail_balance_and_exponent():
    gram = np.diag(np.exp(np.linspace(-3, 3, 4)))
    weights = tuple(np.diag(np.diag(gram) ** power) for power in (0.35, 0.15))
    result = verdict_of(layer_grams(gram, DEPTH), weights, np.eye(4))
    np.testing.assert_allclose(result.agreement.exponents, [0.7, 1.0], atol=1e-12)
    assert not result.criteria["exponent"]
    assert not result.criteria["balance"]
    assert result.verdict == "fails"
