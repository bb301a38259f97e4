"""Which layer is better downstream: margins by another solver, rules, simulated probes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from theory.downstream.layer_choice import (
    head_disadvantages,
    sample_indicators,
    scenario_edges,
    weight_threshold,
)
from theory.downstream.probe_risk import effective_ridge, probe_risk
from theory.linalg.errors import InputError

STRENGTH = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.5])
RETENTION = np.array([1.0, 1.0, 0.5, 1.0, 0.3, 1.0])
WEIGHTS = RETENTION * STRENGTH / (STRENGTH**2 + 0.25)
VARIANCES = STRENGTH**2 + 0.25


def _radius_over_margin(amplitudes, feature):
    """(radius/margin)² of the hard-margin classifier of one feature's sign, numerically."""
    count = len(amplitudes)
    codes = np.arange(2**count)[:, None] >> np.arange(count)[None, :]
    signs = 1.0 - 2.0 * (codes & 1)
    points, labels = signs * amplitudes, signs[:, feature]
    found = scipy.optimize.minimize(
        lambda w: w @ w,
        np.eye(count)[feature] / amplitudes[feature],
        jac=lambda w: 2 * w,
        constraints={
            "type": "ineq",
            "fun": lambda w: labels * (points @ w) - 1,
            "jac": lambda w: labels[:, None] * points,
        },
        method="SLSQP",
    )
    return np.sum(amplitudes**2) * found.fun


@pytest.mark.parametrize("feature", [0, 2, 3])
def test_indicator_is_radius_over_margin_of_the_best_separator(feature):
    strength, weights = STRENGTH[:4], WEIGHTS[:4]
    table = sample_indicators(weights, strength**2, strength, jnp.array([0.5, 1.0]))
    for column, fraction in enumerate((0.5, 1.0)):
        expected = _radius_over_margin(weights**fraction * strength, feature)
        assert abs(table[feature, column] / expected - 1) < 1e-8


def test_before_the_head_is_better_exactly_below_the_mean_weight():
    table = sample_indicators(WEIGHTS, VARIANCES, STRENGTH, jnp.array([0.5, 1.0]))
    ratios = head_disadvantages(WEIGHTS, VARIANCES)
    np.testing.assert_allclose(table[:, 1] / table[:, 0], ratios, rtol=1e-13)
    for feature in range(6):
        others = np.arange(6) != feature
        threshold = weight_threshold(WEIGHTS, VARIANCES, others)
        assert (ratios[feature] > 1) == (WEIGHTS[feature] < threshold)


def test_a_ridge_probe_on_few_labels_prefers_the_layer_that_the_rule_names():
    rng = np.random.default_rng(0)
    ratios = np.asarray(head_disadvantages(WEIGHTS, VARIANCES))
    clear = [int(np.argmin(ratios)), int(np.argmax(ratios))]
    for feature in clear:
        accuracy = {}
        for fraction in (0.5, 1.0):
            scale = WEIGHTS**fraction
            right = []
            for _ in range(200):
                signs = rng.choice([-1.0, 1.0], size=(212, 6))
                inputs = (signs * STRENGTH + 0.5 * rng.normal(size=(212, 6))) * scale
                labels = signs[:, feature]
                train = inputs[:12]
                ridge = 0.1 * np.mean(np.sum(train**2, axis=1))
                weight = np.linalg.solve(train.T @ train + ridge * np.eye(6), train.T @ labels[:12])
                right.append(np.mean(np.sign(inputs[12:] @ weight) == labels[12:]))
            accuracy[fraction] = np.mean(right)
        assert (accuracy[0.5] > accuracy[1.0]) == (ratios[feature] > 1)


def test_indicators_are_log_convex_in_depth_so_that_one_layer_is_best():
    fractions = jnp.linspace(0.0, 1.0, 101)
    logs = np.log(sample_indicators(WEIGHTS, VARIANCES, STRENGTH, fractions))
    assert np.all(np.diff(logs, 2, axis=1) > -1e-12)


def test_disruption_weakness_and_strength_each_cross_once():
    others = np.arange(6) != 3
    threshold = float(weight_threshold(WEIGHTS, VARIANCES, others))

    def better_before(strength, retention):
        weights = WEIGHTS.copy()
        variances = VARIANCES.copy()
        weights[3] = retention * strength / (strength**2 + 0.25)
        variances[3] = strength**2 + 0.25
        return float(head_disadvantages(weights, variances)[3]) > 1

    edges = scenario_edges(0.8, 1.0, 0.5, threshold)
    for retention in np.linspace(0.05, 1.0, 20):
        assert better_before(0.8, retention) == (retention < edges.disrupted)
    assert 0 < edges.disrupted < 1
    for strength in np.geomspace(0.05, 5.0, 40):
        expected = strength < edges.weak or strength > edges.strong
        assert better_before(strength, 1.0) == expected
    assert 0.05 < edges.weak < edges.strong < 5.0
    never = scenario_edges(0.8, 0.1, 0.5, threshold)
    assert np.isnan(never.weak)
    assert better_before(0.5, 0.1)


@pytest.mark.parametrize("num_labels", [20, 60])
def test_predicted_probe_risk_is_what_simulated_probes_have(num_labels):
    rng = np.random.default_rng(1)
    variances, targets = np.geomspace(2.0, 0.05, 15), rng.normal(size=15) ** 2
    ridge, noise = 0.5, 0.3
    risks = []
    for _ in range(1000):
        weight = np.sqrt(targets / variances)
        inputs = rng.normal(size=(num_labels, 15)) * np.sqrt(variances)
        labels = inputs @ weight + noise**0.5 * rng.normal(size=num_labels)
        found = np.linalg.solve(inputs.T @ inputs + ridge * np.eye(15), inputs.T @ labels)
        risks.append(np.sum((found - weight) ** 2 * variances) + noise)
    predicted = float(probe_risk(variances, targets, num_labels, ridge, noise))
    error = 3 * np.std(risks) / len(risks) ** 0.5
    assert abs(np.mean(risks) - predicted) < error + 0.03 * predicted


def test_effective_ridge_solves_its_equation_and_differentiates():
    variances = jnp.geomspace(3.0, 1e-3, 12)
    found = effective_ridge(variances, 7, 0.2)
    total = jnp.sum(variances / (variances + found)) + 0.2 / found
    assert abs(total - 7) < 1e-12
    slope = jax.grad(effective_ridge, 2)(variances, 7, 0.2)
    step = 1e-6
    ends = effective_ridge(variances, 7, 0.2 + step) - effective_ridge(variances, 7, 0.2 - step)
    assert abs(slope - ends / (2 * step)) < 1e-8


def test_best_layer_flips_with_the_alignment_of_the_labels():
    """Modes of layer t have variance s^(1−t) n^t; the target is on the kept or on the lost one."""
    data, output = np.array([1.0, 1.0, 1.0]), np.array([0.9, 0.3, 0.05])
    for target, best in (([1.0, 0.0, 0.0], 2), ([0.0, 0.0, 1.0], 0)):
        risks = [
            float(probe_risk(data ** (1 - t) * output**t, np.array(target), 20, 0.1, 0.05))
            for t in (0.0, 0.5, 1.0)
        ]
        assert np.argmin(risks) == best


def test_impossible_probes_are_refused():
    with pytest.raises(InputError, match="num_labels is 0"):
        effective_ridge(np.ones(2), 0, 1.0)
    with pytest.raises(InputError, match="ridge is 0"):
        effective_ridge(np.ones(2), 5, 0.0)


def test_a_feature_of_no_weight_is_in_the_input_only():
    weights, ones = np.array([1.0, 0.5, 0.0]), np.ones(3)
    fractions = np.array([0.0, 0.5, 1.0])
    found = sample_indicators(weights, ones, ones, fractions)
    np.testing.assert_allclose(found[:, 0], 3.0)
    assert np.all(np.isinf(found[2, 1:]))
    without = sample_indicators(weights[:2], ones[:2], ones[:2], fractions)
    np.testing.assert_allclose(found[:2, 1:], without[:, 1:])
    slope = jax.grad(lambda w: sample_indicators(w, ones, ones, fractions)[0, 1])(weights)
    assert np.all(np.isfinite(slope))
