"""Probes with few labels: ridge from sums, cross-validation, predicted and measured risk."""

import numpy as np
import pytest

from experiments.measure.heads.probes import (
    FRACTIONS,
    Examples,
    MeasuredRisks,
    crossvalidate,
    fractional_maps,
    head_maps,
    measure_risks,
    predict_risks,
    regrets,
)
from experiments.measure.heads.ridge import PENALTY, add_up, fit_ridge, squared_errors
from experiments.measure.heads.targets import describe_images, drop_constant
from experiments.measure.subject import Labeled
from ssljax.measure.probe import regression_probe

RNG = np.random.default_rng(0)
LAYERS = RNG.normal(size=(2, 60, 5)) * np.array([3.0, 1.0, 0.5, 0.3, 0.1]) + 1.0
WANTED = LAYERS[0] @ RNG.normal(size=(5, 3)) + RNG.normal(size=(60, 3)) + 2.0


def test_ridge_from_sums_is_the_probe_of_the_library():
    probe = fit_ridge(add_up(LAYERS[:, :40], WANTED[:40]))
    errors = squared_errors(probe, add_up(LAYERS[:, 40:], WANTED[40:]))
    for depth, layer in enumerate(LAYERS):
        other = regression_probe(
            layer[:40], WANTED[:40], layer[40:], WANTED[40:], l2=PENALTY, standardize=False
        )
        np.testing.assert_allclose(probe.kernel[depth], other.weights, rtol=1e-9)
        missed = (1 - other.r2) * np.var(WANTED[40:], axis=0)
        np.testing.assert_allclose(errors[depth], missed, rtol=1e-9)


def test_cross_validation_tests_each_fold_by_the_others():
    found = crossvalidate(LAYERS, WANTED)
    total = np.zeros(3)
    for fold in np.array_split(np.arange(60), 5):
        rest = np.setdiff1d(np.arange(60), fold)
        probe = fit_ridge(add_up(LAYERS[1, rest], WANTED[rest]))
        total += np.sum((LAYERS[1, fold] @ probe.kernel + probe.bias - WANTED[fold]) ** 2, axis=0)
    np.testing.assert_allclose(found[1], total, rtol=1e-9)


def draw_examples(count: int, rng: np.random.Generator) -> Examples:
    features = rng.normal(size=(count, 6)) * np.array([2.0, 1.5, 1.0, 0.7, 0.5, 0.3])
    weights = np.array([[0.0, 0.0, 1.0, 0.0, 2.0, 0.0]]).T
    noise = 0.3 * rng.normal(size=(count, 1))
    return Examples(features - features.mean(axis=0), {"one": features @ weights + noise})


def test_moments_predict_the_risk_of_probes_over_depth():
    gram, rng = np.diag([4.0, 2.0, 1.0, 0.5, 0.1, 0.0]), np.random.default_rng(1)
    train, test = draw_examples(4000, rng), draw_examples(4000, rng)
    maps = fractional_maps(gram)
    predicted = predict_risks(train, maps, (20, 80))
    measured = measure_risks(train, test, maps, (20, 80), draws=40, seed=0)
    assert predicted.shape == measured.mean.shape == (1, 2, len(FRACTIONS))
    off = np.abs(predicted - measured.mean)
    assert np.all(off < 4 * measured.error + 0.03 * measured.mean)
    assert np.argmin(predicted[0, 1]) == np.argmin(measured.mean[0, 1]) == 0
    assert np.all(measured.crossvalidated >= measured.mean.min(axis=-1) - 2 * measured.error.max())


def test_maps_of_a_balanced_head_are_powers_of_it():
    values = np.array([1.0, 0.8, 0.6, 0.4])
    first = np.diag(np.sqrt(values))
    maps = head_maps((first, first), np.eye(4))
    powers = [np.diag(values**t) for t in FRACTIONS]
    for found, power in zip(maps, powers, strict=True):
        np.testing.assert_allclose(found.T @ found, power.T @ power, atol=1e-9)
    narrow = head_maps((first, first[:2]), np.eye(4))[-1]
    np.testing.assert_allclose(narrow, np.diag([1.0, 0.8, 0.0, 0.0]), atol=1e-12)


def test_regret_is_a_share_of_the_spread():
    curve = np.array([[[3.0, 1.0, 2.0]]])
    measured = MeasuredRisks(curve, np.ones_like(curve), curve[..., 0])
    assert [regrets(measured, depth).item() for depth in range(3)] == [1.0, 0.0, 0.5]
    assert regrets(measured, np.array([[2]])).item() == 0.5


def test_images_are_described_by_what_they_show():
    images = np.zeros((4, 4, 4, 3), np.uint8)
    images[0] = 255
    images[1, :, :2] = 51
    images[2, :2, :, 0] = 255
    found = describe_images(Labeled(images, np.array([0, 3, 3, 1])), 10)
    assert found["brightness"][:2, 0] == pytest.approx([1.0, 0.1])
    assert found["left"][1, 0] == pytest.approx(0.2)
    assert found["color"][2, 0] == pytest.approx(0.5)
    assert found["top"][2, 0] > 0.1
    assert found["animal"].ravel().tolist() == [0, 1, 1, 0]
    assert found["class"].argmax(axis=1).tolist() == [0, 3, 3, 1]
    gray = {name: values[:2] for name, values in found.items()}
    kept, other = drop_constant(gray, found)
    assert set(kept) == set(other) == set(found) - {"color", "saturation", "top"}
