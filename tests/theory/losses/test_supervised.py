"""Class collapse, and three linear layers under a squared loss."""

import numpy as np
import pytest

from tests import reference
from theory.layers.grams import layer_grams, minimum_norm_layers
from theory.losses.quadratic import spectral_loss
from theory.losses.supervised import squared_loss_factor, supervised_moments
from theory.optimum.quadratic import quadratic_optimum

MEANS = np.array([[1.0, 0.5, 0.0, 0.0], [-1.0, 0.5, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0]])
CHANCES = np.array([0.3, 0.3, 0.4])
WITHIN = np.diag([0.3, 0.3, 1.0, 0.5])


def test_features_within_classes_collapse_in_every_layer():
    moments = supervised_moments(MEANS, CHANCES, WITHIN)
    gram = quadratic_optimum(spectral_loss(moments.covariance, moments.cross_covariance)).gram
    for layer in layer_grams(gram, 3):
        np.testing.assert_allclose(np.asarray(layer)[2:], 0.0, atol=1e-15)

    def share_within(gram):
        return np.sum(gram * WITHIN) / np.sum(gram * np.asarray(moments.covariance))

    assert share_within(gram) < 0.6 * share_within(np.eye(4))


def test_finite_classes_leave_subclass_features_with_the_published_powers():
    weights = []
    for examples in (100, 1600):
        moments = supervised_moments(MEANS, CHANCES, WITHIN, examples_per_class=examples)
        gram = quadratic_optimum(spectral_loss(moments.covariance, moments.cross_covariance)).gram
        before, after = layer_grams(gram, 2)
        weights.append((before[2, 2] ** 0.5, after[2, 2] ** 0.5))
    (few_before, few_after), (many_before, many_after) = weights
    assert abs(few_after / many_after - 16**0.5) < 1e-9
    assert abs(few_before / many_before - 16**0.25) < 1e-9


def _descend(layers, covariance, labels, rate, steps):
    """Gradient descent of ½E‖W_L…W_1 x − y‖² on all layers."""
    layers = [layer.copy() for layer in layers]
    for _ in range(steps):
        below = [np.eye(covariance.shape[0])]
        for layer in layers:
            below.append(layer @ below[-1])
        above = below[-1] @ covariance - labels
        slopes = []
        for index in reversed(range(len(layers))):
            slopes.append(above @ below[index].T)
            above = layers[index].T @ above
        for layer, slope in zip(layers, reversed(slopes)):
            layer -= rate * slope
    return layers


@pytest.mark.parametrize("rank", [None, 1])
def test_squared_loss_factor_is_the_least_squares_map_of_bounded_rank(rank):
    rng = np.random.default_rng(0)
    covariance, _ = reference.random_moments(rng, 4)
    labels = rng.normal(size=(3, 4))
    factor = np.asarray(squared_loss_factor(covariance, labels, rank=rank))
    exact = labels @ np.linalg.inv(covariance)
    if rank is None:
        np.testing.assert_allclose(factor, exact, atol=1e-12)
        return

    def loss(weight):
        return np.trace((weight - exact) @ covariance @ (weight - exact).T)

    assert np.linalg.matrix_rank(factor) == 1
    start = [rng.normal(size=(1, 4)), rng.normal(size=(3, 1))]
    found = _descend(start, covariance, labels, 0.05, 20_000)
    assert abs(loss(found[1] @ found[0]) - loss(factor)) < 1e-10


def test_three_layers_of_squared_loss_split_the_map_by_thirds():
    rng = np.random.default_rng(1)
    covariance = np.diag([1.0, 1.5, 0.7])
    labels = rng.normal(size=(2, 3))
    factor = squared_loss_factor(covariance, labels)
    gram = factor.T @ factor
    before, after, _ = layer_grams(gram, 3)
    errors = []
    starts = [rng.normal(size=shape) / 3**0.5 for shape in ((3, 3), (3, 3), (2, 3))]
    for scale in (0.2, 0.1):
        found = _descend([scale * w for w in starts], covariance, labels, 0.02, 40_000)
        first, second = found[0], found[1] @ found[0]
        errors.append(
            [
                np.linalg.norm(first.T @ first - before) / np.linalg.norm(before),
                np.linalg.norm(second.T @ second - after) / np.linalg.norm(after),
            ]
        )
    assert max(errors[1]) < 2e-2
    # The error is of second order in the start.
    for rough, fine in zip(*errors):
        assert 3.0 < rough / fine < 5.0
    layers = minimum_norm_layers(np.asarray(factor), 3)
    np.testing.assert_allclose(layers[0].T @ layers[0], before, atol=1e-12)
