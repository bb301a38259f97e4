"""Expectations of the losses over batches: exact, by enumeration, and in the Gaussian limit."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax import losses


def batches_of_two(seed=0):
    """All equally likely batches of two of three images with two views: exact expectations."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(3, 2, 4))
    pairs = [(x[u], x[v]) for x in images for u in (0, 1) for v in (0, 1)]
    both = np.array(list(itertools.product(pairs, pairs)))
    covariance = np.mean([np.outer(view, view) for x in images for view in x], axis=0)
    cross = np.mean([np.outer(x, y) for x, y in pairs], axis=0)
    return both[:, :, 0], both[:, :, 1], covariance, cross, pairs


def expectation(loss, first, second):
    with jax.enable_x64(True):
        return np.mean(np.asarray(jax.vmap(loss)(jnp.asarray(first), jnp.asarray(second))))


def test_theory_forms_are_unbiased_and_the_biased_forms_have_the_bias_they_state():
    first, second, covariance, cross, pairs = batches_of_two()
    spectral = -2 * np.trace(cross) + np.sum(covariance**2)
    identity = np.eye(4)
    distance = 2 * (np.trace(covariance) - np.trace(cross))
    np.testing.assert_allclose(
        expectation(partial(losses.vicreg_covariance, invariance=0.6), first, second),
        np.sum((covariance - identity) ** 2) + 0.6 * distance,
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        expectation(losses.barlow_twins_unnormalized, first, second),
        np.sum((cross - identity) ** 2),
        rtol=1e-12,
    )
    square = np.mean([(x @ y) ** 2 for x, y in pairs])
    np.testing.assert_allclose(
        expectation(losses.spectral_cross_view_biased, first, second),
        spectral + (square - np.sum(covariance**2)) / 2,
        rtol=1e-12,
    )
    fourth = np.mean([(x @ x) ** 2 for x, _ in pairs])
    np.testing.assert_allclose(
        expectation(losses.spectral_within_view_biased, first, second),
        spectral + (fourth - np.sum(covariance**2)) / 2,
        rtol=1e-12,
    )


def test_dot_info_nce_of_gaussian_data_tends_to_half_the_spectral_loss():
    # Embeddings x, x⁺ with variance v and covariance c each; T = 1, so -k c + k v²/2 of k modes.
    rng = np.random.default_rng(0)
    count, dim, variance, cross = 20_000, 2, 0.5, 0.3
    shared = rng.normal(size=(count, dim)) * np.sqrt(cross)
    first, second = (
        jnp.float32(shared + rng.normal(size=(count, dim)) * np.sqrt(variance - cross))
        for _ in range(2)
    )
    value = float(losses.dot_info_nce(first[:4000], second[:4000], 1.0)) - np.log(4000)
    # Standard error of the mean of 4000 terms of size about .7: .011.
    assert value == pytest.approx(dim * (variance**2 / 2 - cross), abs=0.05)
