"""Closed-form moments against samples of the same model, at the Monte Carlo rate, and laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import reference
from tests.theory import augmented_views as views
from theory.linalg.whitening import generalized_eigenpairs
from theory.losses import supervised
from theory.moments import augmentations, data_models
from theory.moments.check import check_moments

DIM = 4
STRENGTH, RETENTION = np.array([0.5, 1.0, 1.5, 2.0]), np.array([0.9, 0.3, 1.0, 0.6])


def _data_covariance():
    return reference.random_moments(np.random.default_rng(0), DIM)[0]


def _images(key, count):
    root = np.linalg.cholesky(_data_covariance())
    return jax.random.normal(key, (count, DIM), float) @ root.T


def _on_images(sampler, *arguments):
    def sample(key, count):
        first, second = jax.random.split(key)
        return sampler(second, _images(first, count), *arguments)

    return sample


def _feature_model(name, retention, view_noise, shared_noise=0.0):
    model = data_models.FeatureModel(STRENGTH, retention, view_noise, shared_noise)
    moments = getattr(data_models, f"{name}_moments")
    sampler = {"resampling": views.resampling_views, "dropping": views.dropping_views}[name]
    return lambda: moments(model), lambda key, count: sampler(key, model, count, 2)


def _classes():
    means = np.random.default_rng(1).normal(size=(3, DIM))
    arguments = (means, np.array([0.2, 0.3, 0.5]), 0.5 * _data_covariance())
    return (
        lambda: supervised.supervised_moments(*arguments),
        lambda key, count: views.class_views(key, *arguments, count, 3),
    )


_OPERATORS = np.random.default_rng(2).normal(size=(3, 5, DIM))
_CHANCES = np.array([0.5, 0.3, 0.2])
MODELS = {
    "resampling with view noise": _feature_model("resampling", RETENTION, 0.5),
    "view noise only": _feature_model("resampling", np.ones(DIM), 0.5),
    "dropping": _feature_model("dropping", RETENTION, 0.0),
    "dropping with view noise": _feature_model("dropping", RETENTION, 0.5),
    "shared and view noise": _feature_model("resampling", np.ones(DIM), 0.5, 0.7),
    "classes": _classes(),
    "noise": (
        lambda: augmentations.noise_moments(_data_covariance(), 0.3),
        _on_images(views.noise_views, 2, 0.3),
    ),
    "mask": (
        lambda: augmentations.mask_moments(_data_covariance(), 0.7),
        _on_images(views.mask_views, 2, 0.7),
    ),
    "complementary mask": (
        lambda: augmentations.complementary_mask_moments(_data_covariance()),
        _on_images(views.complementary_mask_views),
    ),
    "gain": (
        lambda: augmentations.gain_moments(_data_covariance(), 1.2, 0.4),
        _on_images(views.gain_views, 2, 1.2, 0.4),
    ),
    "operators": (
        lambda: augmentations.linear_operator_moments(_data_covariance(), _OPERATORS, _CHANCES),
        _on_images(views.operator_views, 2, _OPERATORS, _CHANCES),
    ),
}


def _sample_moments(sample):
    _, count, dim = sample.shape
    flat, sums = sample.reshape(-1, dim), sample.sum(axis=1)
    covariance = flat.T @ flat / len(flat)
    return covariance, (sums.T @ sums / len(flat) - covariance) / (count - 1)


@pytest.mark.parametrize("name", MODELS)
def test_samples_approach_the_closed_form_at_the_monte_carlo_rate(name):
    closed_form, sampler = MODELS[name]
    population = closed_form()

    samples = np.asarray(sampler(jax.random.key(3), 32 * 4000))
    samples = samples.reshape(32, 4000, *samples.shape[1:])

    def error(sample):
        covariance, cross_covariance = _sample_moments(sample)
        first = covariance - population.covariance
        second = cross_covariance - population.cross_covariance
        return np.sum(first**2) + np.sum(second**2)

    few, many = (
        np.mean([error(sample[:count]) for sample in samples]) ** 0.5 for count in (250, 4000)
    )
    # Sixteen times the images, a quarter of the error; 32 draws know it to about a fifth.
    assert 2.8 < few / many < 5.6
    assert few < 0.35 * np.linalg.norm(population.covariance)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"complementary mask"}))
def test_population_moments_are_positive_and_within_the_covariance(name):
    report = check_moments(MODELS[name][0]())
    assert report.negative == 0


def test_rows_of_the_model_give_their_published_weights():
    def after_head(moments):
        variance, shared = (jnp.diagonal(m) for m in (moments.covariance, moments.cross_covariance))
        return jnp.sqrt(shared) / variance

    phi, alpha, sigma, tau = STRENGTH, RETENTION, 0.5, 0.7
    resampled = data_models.FeatureModel(phi, alpha, sigma)
    np.testing.assert_allclose(
        after_head(data_models.resampling_moments(resampled)), alpha * phi / (phi**2 + sigma**2)
    )
    np.testing.assert_allclose(
        after_head(data_models.dropping_moments(resampled)),
        alpha * phi / (alpha * phi**2 + sigma**2),
    )
    np.testing.assert_allclose(
        after_head(data_models.dropping_moments(data_models.FeatureModel(phi, alpha))), 1 / phi
    )
    shared = data_models.FeatureModel(phi, np.ones(4), sigma, tau)
    np.testing.assert_allclose(
        after_head(data_models.resampling_moments(shared)),
        np.sqrt(phi**2 + tau**2) / (phi**2 + tau**2 + sigma**2),
    )


def test_noise_attenuates_every_mode_by_its_own_variance():
    covariance = _data_covariance()
    moments = augmentations.noise_moments(covariance, 0.3)
    variances = np.linalg.eigvalsh(covariance)[::-1]
    values = generalized_eigenpairs(moments.covariance, moments.cross_covariance).values
    np.testing.assert_allclose(values, variances / (variances + 0.3), atol=1e-13)


def test_masks_are_sums_over_all_masks():
    covariance, keep = _data_covariance(), 0.7
    expected, mean = np.zeros((DIM, DIM)), np.zeros((DIM, DIM))
    for code in range(2**DIM):
        mask = np.array([code >> bit & 1 for bit in range(DIM)], float)
        chance = np.prod(np.where(mask > 0, keep, 1 - keep))
        expected += chance * covariance * np.outer(mask, mask)
        mean += chance * np.diag(mask)
    moments = augmentations.mask_moments(covariance, keep)
    np.testing.assert_allclose(moments.covariance, expected, atol=1e-14)
    np.testing.assert_allclose(moments.cross_covariance, mean @ covariance @ mean, atol=1e-14)


def test_complementary_masks_do_not_see_independent_noise():
    signal = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    for noise in (0.0, 5.0):
        moments = augmentations.complementary_mask_moments(signal + noise * np.eye(3))
        np.testing.assert_allclose(
            moments.cross_covariance, 0.25 * (signal - np.diag(np.diagonal(signal))), atol=1e-15
        )


def test_a_group_leaves_only_its_invariants():
    flips = augmentations.flip_operators(2, 3)
    np.testing.assert_allclose(flips[1] @ np.arange(6.0), [2, 1, 0, 5, 4, 3])
    shifts = augmentations.shift_operators(2, 2)
    for operators, invariants in ((flips, 4), (shifts, 1)):
        dim = operators.shape[1]
        mean = operators.mean(axis=0)
        np.testing.assert_allclose(mean @ mean, mean, atol=1e-15)
        moments = augmentations.linear_operator_moments(np.eye(dim), operators)
        values = generalized_eigenpairs(moments.covariance, moments.cross_covariance).values
        np.testing.assert_allclose(
            values, [1.0] * invariants + [0.0] * (dim - invariants), atol=1e-14
        )


def test_shifted_moments_are_diagonal_in_fourier_and_shifts_of_the_image():
    operators = augmentations.shift_operators(1, 5)
    np.testing.assert_allclose(operators[2] @ np.arange(5.0), np.roll(np.arange(5.0), 2))
    rng = np.random.default_rng(4)
    factor = rng.normal(size=(5, 5))
    chances = rng.dirichlet(np.ones(5))
    moments = augmentations.linear_operator_moments(factor @ factor.T, operators)
    fourier = np.fft.fft(np.eye(5)) / np.sqrt(5)
    spectrum = fourier @ moments.covariance @ fourier.conj().T
    np.testing.assert_allclose(spectrum - np.diag(np.diagonal(spectrum)), 0, atol=1e-13)
    moments = augmentations.linear_operator_moments(np.eye(5), operators, chances)
    gains = np.abs(np.fft.fft(chances)) ** 2
    values = generalized_eigenpairs(moments.covariance, moments.cross_covariance).values
    np.testing.assert_allclose(values, np.sort(gains)[::-1], atol=1e-13)


def test_alignments_differentiate_with_respect_to_the_strength():
    covariance = _data_covariance()

    def kept(probability):
        moments = augmentations.mask_moments(covariance, probability)
        return generalized_eigenpairs(moments.covariance, moments.cross_covariance).values[1]

    step = 1e-6
    expected = (kept(0.7 + step) - kept(0.7 - step)) / (2 * step)
    assert abs(jax.grad(kept)(0.7) - expected) < 1e-8
    assert expected > 0
