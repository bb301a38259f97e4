"""Cached views: the same numbers whatever the batch, other numbers for another key."""

import jax
import numpy as np
import pytest

from ssljax.augment.policies import DIGITS_POLICY, NOISE_POLICY
from ssljax.measure.features import view_features, view_keys
from ssljax.measure.moments import layer_moments, pixel_layer
from ssljax.system.errors import UsageError


def _views(images, key, batch_size, views=3, policy=DIGITS_POLICY):
    return view_features(
        pixel_layer,
        {},
        None,
        images,
        1 / 16,
        key,
        policy,
        0.5,
        views=views,
        layers=("input",),
        batch_size=batch_size,
    )["input"]


IMAGES = np.random.default_rng(0).integers(0, 17, (10, 8, 8, 1), dtype=np.uint8)


def test_views_do_not_depend_on_the_batch_or_on_the_other_images():
    whole = _views(IMAGES, jax.random.key(0), 10)
    parts = _views(IMAGES, jax.random.key(0), 6)  # the last batch is moved back to full size
    alone = _views(IMAGES[:6], jax.random.key(0), 6)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    np.testing.assert_allclose(alone, whole[:6], atol=1e-6)


def test_another_key_gives_other_views_and_no_two_views_are_alike():
    first, second = (_views(IMAGES, jax.random.key(seed), 10) for seed in (0, 1))
    assert np.min(np.max(np.abs(first - second), axis=-1)) > 1e-3
    assert np.min(np.max(np.abs(first[:, 0] - first[:, 1]), axis=-1)) > 1e-3
    keys = jax.random.key_data(view_keys(jax.random.key(0), 10, 3)).reshape(30, -1)
    assert len(np.unique(np.asarray(keys), axis=0)) == 30


def test_second_moments_of_cached_views_agree_with_streamed_ones():
    images = np.random.default_rng(1).integers(0, 17, (400, 8, 8, 1), dtype=np.uint8)
    # The policy is the one whose program is small: what is compared does not depend on it.
    cached = _views(images, jax.random.key(0), 128, views=8, policy=NOISE_POLICY)
    streamed = layer_moments(
        pixel_layer,
        {},
        None,
        images,
        1 / 16,
        jax.random.key(7),
        NOISE_POLICY,
        0.5,
        views=8,
        layers=("input",),
    )["input"]
    flat = cached.reshape(-1, 64).astype(np.float64)
    sampled = flat.T @ flat / len(flat)
    # Two independent draws of 3200 correlated views: relative error about 1/sqrt(400).
    assert np.linalg.norm(sampled - streamed["covariance"]) < 0.03 * np.linalg.norm(sampled)


def test_no_views_are_refused():
    with pytest.raises(UsageError, match="at least one"):
        _views(IMAGES, jax.random.key(0), 4, views=0)
