"""Losses of the Gram against their definitions on samples, and the identities between them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.theory.gram_objectives import (
    barlow_objective,
    cosine_infonce_objective,
    dot_infonce_objective,
    gaussian_infonce_objective,
    gram_gradient,
    network_loss,
    spectral_objective,
    vicreg_objective,
)
from theory.linalg.errors import InputError
from theory.losses.quadratic import quadratic_value, spectral_loss

DIM, OUT = 4, 3
RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(size=(OUT, DIM))
GRAM = WEIGHT.T @ WEIGHT
SHARED = RANDOM.normal(size=(30, DIM))
FIRST, SECOND = SHARED + 0.5 * RANDOM.normal(size=(2, 30, DIM))
COVARIANCE = 0.5 * (FIRST.T @ FIRST + SECOND.T @ SECOND) / 30
CROSS = 0.5 * (FIRST.T @ SECOND + SECOND.T @ FIRST) / 30


def test_spectral_is_its_definition_on_the_embeddings_of_all_pairs():
    points = np.concatenate([FIRST, SECOND]) @ WEIGHT.T
    pull = np.mean(np.sum((FIRST @ WEIGHT.T) * (SECOND @ WEIGHT.T), axis=1))
    push = np.mean((points @ points.T) ** 2)
    ours = spectral_objective(GRAM, COVARIANCE, CROSS)
    np.testing.assert_allclose(ours, push - 2 * pull, rtol=1e-12)
    np.testing.assert_allclose(ours, quadratic_value(spectral_loss(COVARIANCE, CROSS), GRAM))


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.5])
def test_vicreg_is_its_definition_and_at_unit_weight_the_spectral_loss(weight):
    spread = WEIGHT @ COVARIANCE @ WEIGHT.T - np.eye(OUT)
    apart = 2 * np.trace(WEIGHT @ (COVARIANCE - CROSS) @ WEIGHT.T)
    ours = vicreg_objective(GRAM, COVARIANCE, CROSS, weight)
    np.testing.assert_allclose(ours + OUT, np.sum(spread**2) + weight * apart, rtol=1e-12)
    if weight == 1.0:
        np.testing.assert_allclose(ours, spectral_objective(GRAM, COVARIANCE, CROSS), rtol=1e-12)


def test_barlow_is_its_definition():
    miss = WEIGHT @ CROSS @ WEIGHT.T - np.eye(OUT)
    np.testing.assert_allclose(barlow_objective(GRAM, CROSS) + OUT, np.sum(miss**2), rtol=1e-12)


def cross_entropy(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(shifted).sum(axis=1)) - np.diag(shifted))


def test_infonce_of_dots_and_cosines_are_their_definitions_on_embeddings():
    first, second = FIRST @ WEIGHT.T, SECOND @ WEIGHT.T
    ours = dot_infonce_objective(GRAM, FIRST, SECOND, 0.7)
    np.testing.assert_allclose(ours, cross_entropy(first @ second.T / 0.7), rtol=1e-12)
    first, second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    ours = cosine_infonce_objective(GRAM, FIRST, SECOND, 0.2)
    np.testing.assert_allclose(ours, cross_entropy(first @ second.T / 0.2), rtol=1e-12)
    scaled = cosine_infonce_objective(9.0 * GRAM, FIRST, SECOND, 0.2)
    np.testing.assert_allclose(scaled, ours, rtol=1e-12)


def test_gaussian_infonce_is_half_the_spectral_loss_and_the_limit_of_many_negatives():
    ours = gaussian_infonce_objective(GRAM, COVARIANCE, CROSS, 0.5)
    half = 0.5 * spectral_objective(GRAM / 0.5, COVARIANCE, CROSS)
    np.testing.assert_allclose(ours, half, rtol=1e-12)
    random = np.random.default_rng(1)
    gram, count = np.array([[0.3]]), 4000
    shared = random.normal(size=(count, 1))
    views = [np.sqrt(0.6) * shared + np.sqrt(0.4) * random.normal(size=(count, 1)) for _ in "ab"]
    batch = dot_infonce_objective(gram, *views, 1.0) - np.log(count)
    exact = gaussian_infonce_objective(gram, np.eye(1), 0.6 * np.eye(1), 1.0)
    np.testing.assert_allclose(batch, exact, atol=5 * 0.3 / np.sqrt(count))


@pytest.mark.parametrize(
    ("objective", "data"),
    [
        (spectral_objective, (COVARIANCE, CROSS)),
        (vicreg_objective, (COVARIANCE, CROSS, 1.5)),
        (barlow_objective, (CROSS,)),
        (dot_infonce_objective, (FIRST, SECOND, 0.7)),
        (cosine_infonce_objective, (FIRST, SECOND, 0.7)),
    ],
)
def test_gradients_match_finite_differences_and_the_chain_rule(objective, data):
    slope = np.asarray(gram_gradient(objective, *data)(jnp.asarray(GRAM)))
    np.testing.assert_allclose(slope, slope.T, atol=1e-14)
    turn = RANDOM.normal(size=(DIM, DIM))
    turn, step = turn + turn.T, 1e-6
    ends = [objective(GRAM + sign * step * turn, *data) for sign in (1, -1)]
    difference = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(np.sum(slope * turn), difference, rtol=1e-6)
    through = jax.grad(network_loss(objective, *data))(jnp.asarray(WEIGHT))
    np.testing.assert_allclose(through, 2 * WEIGHT @ slope, atol=1e-12)


def test_spectral_gradient_is_the_closed_one_and_float32_is_refused():
    slope = gram_gradient(spectral_objective, COVARIANCE, CROSS)(jnp.asarray(GRAM))
    closed = 2.0 * (COVARIANCE @ GRAM @ COVARIANCE - CROSS)
    np.testing.assert_allclose(slope, closed, atol=1e-12)
    with pytest.raises(InputError, match="float32"):
        gram_gradient(barlow_objective, CROSS.astype(np.float32))
