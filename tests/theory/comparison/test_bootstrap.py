"""Bootstrap intervals: coverage, and an exponent that excludes the wrong depth."""

import jax
import jax.numpy as jnp
import numpy as np

from theory.comparison.bootstrap import bootstrap_interval, conditional_bootstrap_interval
from theory.comparison.metrics import log_gains, regression_slope
from theory.layers.grams import layer_grams


def test_bootstrap_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(6).standard_normal((200, 60))
    intervals = jax.jit(
        jax.vmap(lambda key, rows: bootstrap_interval(key, rows, jnp.mean, num_resamples=300))
    )(jax.random.split(jax.random.key(0), 200), draws)
    covered = np.mean((intervals.low < 0) & (intervals.high > 0))
    assert 0.88 < covered < 0.99
    width = np.mean(intervals.high - intervals.low)
    np.testing.assert_allclose(width, 2 * 1.96 / np.sqrt(60), rtol=0.05)


def test_bootstrap_over_modes_excludes_the_wrong_depth():
    rng = np.random.default_rng(7)
    grams = layer_grams(np.diag(np.exp(np.linspace(-2, 2, 20))), 2)
    gains = np.asarray(log_gains(grams, np.eye(20))) + 0.02 * rng.standard_normal((2, 20))
    interval = bootstrap_interval(
        jax.random.key(1), gains.T, lambda rows: regression_slope(rows[:, 1], rows[:, 0])
    )
    assert 1 / 3 < float(interval.low) < 0.5 < float(interval.high) < 1.0


def test_conditional_interval_ignores_the_spread_between_groups():
    rng = np.random.default_rng(8)
    rows = 5.0 * rng.standard_normal((3, 1)) + rng.standard_normal((3, 100))
    within = conditional_bootstrap_interval(jax.random.key(2), rows, jnp.mean)
    width = float(within.high - within.low)
    expected = 2 * 1.96 * np.sqrt(np.mean(rows.var(axis=1)) / 300)
    np.testing.assert_allclose(width, expected, rtol=0.15)
    assert float(within.low) < rows.mean() < float(within.high)
