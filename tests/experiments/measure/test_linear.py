"""Linear networks on pixels: laws of balanced layers, planted leads, complete rows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core.measurements import Measurement, Run, curve_name, make_table
from experiments.measure.linear import chain, descent, pixels, reweighting
from experiments.measure.subject import Labeled, Split, Subject
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from experiments.tools.listing import find_missing
from experiments.tools.registry import EXPERIMENTS
from theory.layers.chain import balance_residuals, chain_layer_grams
from theory.layers.grams import minimum_norm_layers
from theory.moments.moments import Moments
from theory.optimum.thresholds import decayed_mode

DIM = 5


def test_layers_start_balanced_and_weigh_all_features_alike():
    with jax.enable_x64(True):
        layers = descent.draw_orthogonal_layers(jax.random.key(0), DIM, 3, 0.8)
        np.testing.assert_allclose(balance_residuals(layers), 0, atol=1e-14)
        for number, gram in enumerate(chain_layer_grams(layers), start=1):
            np.testing.assert_allclose(gram, 0.8 ** (2 * number) * np.eye(DIM), atol=1e-14)
    assert np.abs(np.asarray(layers[0] - layers[1])).max() > 0.1


def test_adam_follows_its_equations():
    covariance, shared = np.diag([1.0, 2.0, 0.5]), np.diag([0.9, 0.4, 0.3])
    rng = np.random.default_rng(0)
    layers = [rng.normal(size=(3, 3)) for _ in range(2)]
    rate, steps = 0.05, 7
    expected = list(layers)
    means, squares = [np.zeros((3, 3))] * 2, [np.zeros((3, 3))] * 2
    for step in range(steps):
        first, second = expected
        gram = first.T @ second.T @ second @ first
        outer = 2 * second @ first @ (2 * covariance @ gram @ covariance - 2 * shared)
        slopes = [second.T @ outer, outer @ first.T]
        for place, slope in enumerate(slopes):
            means[place] = 0.9 * means[place] + 0.1 * slope
            squares[place] = 0.999 * squares[place] + 0.001 * slope**2
            mean = means[place] / (1 - 0.9 ** (step + 1))
            square = squares[place] / (1 - 0.999 ** (step + 1))
            now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            expected[place] = expected[place] - now * mean / (np.sqrt(square) + 1e-8)
    with jax.enable_x64(True):
        moments = Moments(jnp.asarray(covariance), jnp.asarray(shared))
        found = descent.descend_by_adam(moments, tuple(map(jnp.asarray, layers)), rate, steps)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)


def test_half_of_the_features_survive_the_decay_between_the_middle_thresholds():
    scale, alignment = np.linspace(0.5, 2.0, 6), np.linspace(0.9, 0.3, 6)
    with jax.enable_x64(True):
        moments = Moments(jnp.diag(jnp.asarray(scale)), jnp.diag(jnp.asarray(scale * alignment)))
        decay = chain.half_decay(moments)
        kept = decayed_mode(
            jnp.asarray(scale), jnp.asarray(alignment), weight_decay=decay, depth=chain.DEPTH
        )
    assert np.sum(np.asarray(kept) > 0) == 3


def test_slopes_are_those_of_the_layers(subject, monkeypatch):
    monkeypatch.setattr(chain, "DIRECTIONS", DIM)
    whole = np.diag(np.linspace(0.4, 2.0, DIM))
    with jax.enable_x64(True):
        balanced = minimum_norm_layers(jnp.asarray(whole), chain.DEPTH)
        found = _values(chain._slopes(subject, tuple(map(jnp.asarray, balanced))))
        assert found["theory"] < 1e-12
        # All the work in the first layer: slopes are 1 instead of 1/4, 2/4 and 3/4.
        ones = (jnp.eye(DIM),) * (chain.DEPTH - 1)
        found = _values(chain._slopes(subject, (jnp.asarray(whole), *ones)))
    expected = {"theory": 4, "rival:one_less": 3, "rival:one_more": 5}
    for variant, depth in expected.items():
        missed = np.sqrt(np.mean((1 - np.arange(1, 4) / depth) ** 2))
        assert found[variant] == pytest.approx(missed, rel=1e-10)


def test_spectra_of_the_optimum_are_those_that_moments_predict(subject):
    covariance, shared = np.diag([1.0, 2.0, 0.5]), np.diag([0.9, 0.4, 0.3])
    with jax.enable_x64(True):
        moments = Moments(jnp.asarray(covariance), jnp.asarray(shared))
        whole = jnp.asarray(np.sqrt(shared) @ np.linalg.inv(covariance))
        layers = tuple(map(jnp.asarray, minimum_norm_layers(whole, chain.DEPTH)))
        rows, curves = _sort(chain._compare_with_moments(subject, moments, layers))
    errors = _values(rows)
    assert errors["theory"] < 1e-12
    variances = [
        np.diag(covariance * (shared / covariance.diagonal() ** 2) ** (n / 4)) for n in range(5)
    ]
    entropies = [-np.sum(v / v.sum() * np.log(v / v.sum())) for v in variances]
    missed = np.sqrt(np.mean((entropies[0] - np.array(entropies[1:])) ** 2))
    assert errors["rival:data"] == pytest.approx(missed, rel=1e-10)
    assert len(curves) == 4 * chain.DEPTH
    # Layer 4 puts out the alignments M/Σ: .9, .6, .2.
    key = subject.key("layer_spectrum", layer="layer4")
    np.testing.assert_allclose(curves[curve_name(key)], [0.9, 0.6, 0.2], rtol=1e-12)


def test_fixed_heads_are_made_up_for():
    with jax.enable_x64(True):
        errors = reweighting.weights_errors(1.5, 3, chain.RATIO_STEPS)
    assert errors["theory"] < 0.01
    # The weights are s κ^i, so that s itself misses by i log κ.
    missed = np.log(1.5) * np.sqrt(np.mean(np.arange(5) ** 2))
    assert errors["rival:s"] == pytest.approx(missed, rel=0.01)


def test_views_without_augmentation_are_the_images(split):
    images = split.train.images
    data = pixels.measure_pixels(images, 0, strength=0.0, views=2, directions=8)
    projected = pixels.project_images(data, images)
    second = projected.T @ projected / len(images)
    np.testing.assert_allclose(data.covariance, second, atol=1e-6)
    np.testing.assert_allclose(data.cross_covariance, second, atol=1e-6)
    assert np.trace(data.covariance) == pytest.approx(8.0, rel=1e-9)


def test_a_last_layer_that_drops_the_class_leaves_a_lead(split):
    images = split.train.images
    data = pixels.measure_pixels(images, 0, strength=0.0, views=2, directions=8)
    keep = jnp.eye(8)
    leads = chain.few_label_leads((keep, keep), data, split, 0, 3)
    np.testing.assert_array_equal(leads, 0)
    # Classes differ in brightness, the leading direction.
    drop = keep.at[0, 0].set(0.0)
    assert chain.few_label_leads((keep, drop), data, split, 0, 3).mean() > 0.2


def test_rows_are_complete_and_keyed_on_the_seed(split):
    values = []
    for seed in (0, 1):
        subject = _subject(seed, split)
        rows, curves = _sort(chain.measure_linear_chain(subject))
        table = make_table(rows, [Run("linear-chain", seed, "smoke")], curves)
        assert find_missing("linear-chain", seed, table, EXPERIMENTS) == ()
        values.append({row.variant: row.value for row in rows if row.quantity == "rank_error"})
    assert values[0]["theory"] != values[1]["theory"]


@pytest.fixture(name="split", scope="module")
def _split():
    """Two classes of noise, one brighter than the other."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 40)
    noise = rng.integers(0, 120, (80, 6, 6, 3))
    images = (noise + 100 * labels[:, None, None, None]).astype(np.uint8)
    return Split(Labeled(images[:56], labels[:56]), Labeled(images[56:], labels[56:]))


@pytest.fixture(name="subject")
def _own_subject(split):
    return _subject(0, split)


def _subject(seed, split):
    size = dataclasses.replace(SIZES["smoke"])
    training = TRAININGS["linear-chain"]
    return Subject("linear-chain", seed, training, size, lambda task: split)


def _sort(found):
    found = tuple(found)
    rows = tuple(item for item in found if isinstance(item, Measurement))
    curves = (item for item in found if not isinstance(item, Measurement))
    return rows, {curve_name(item.key): item.values for item in curves}


def _values(rows):
    return {row.variant: row.value for row in rows}
