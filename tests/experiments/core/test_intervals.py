"""Intervals: the numbers of worked examples, coverage, and the words they lead to."""

import numpy as np
import pytest
from scipy import stats

from experiments.core.intervals import (
    bound_status,
    change_status,
    difference_status,
    equality_status,
    half_width,
    ledger_bound,
    p_value,
    pseudo_values,
    reject_by_holm,
    shared_variance,
)


def statuses(seeds, margin=1.0, equal=2.0, blocks=None):
    seeds = np.array(seeds, float)
    shared = 0.0 if blocks is None else shared_variance(np.array(blocks, float))
    mean, half = seeds.mean(), half_width(seeds, shared)
    half90 = half_width(seeds, shared, confidence=0.9)
    return (
        str(difference_status(mean - half, mean + half, margin)),
        str(change_status(mean - half, mean + half, margin)),
        str(equality_status(mean - half, mean + half, mean - half90, mean + half90, equal)),
    )


def test_three_seeds_without_blocks():
    seeds = np.array([1.4, 2.1, 1.7])
    assert seeds.mean() == pytest.approx(1.7333, abs=5e-5)
    assert half_width(seeds) == pytest.approx(0.8724, abs=5e-5)
    assert statuses(seeds) == ("holds", "holds", "open")
    assert seeds.mean() - half_width(seeds, confidence=0.9) >= 1  # a gate at 1 passes


def test_blocks_add_the_error_that_seeds_share():
    blocks = np.array([[1, 2, 0, 3], [2, 2, 1, 3], [1, 3, 0, 2]], float)
    seeds = blocks.mean(axis=1)
    assert seeds.mean() == pytest.approx(1.6667, abs=5e-5)
    assert half_width(seeds, shared_variance(blocks)) == pytest.approx(1.2143, abs=5e-5)
    assert statuses(seeds, blocks=blocks)[0] == "holds"


def test_an_effect_that_is_absent_is_excluded():
    seeds = np.array([-0.3, 0.2, 0.1, -0.1, 0.05])
    assert seeds.mean() == pytest.approx(-0.0100, abs=5e-5)
    assert half_width(seeds) == pytest.approx(0.2420, abs=5e-5)
    assert statuses(seeds) == ("excluded", "excluded", "holds")


def test_a_wide_interval_is_open():
    seeds = np.array([0.2, 0.9, 0.4])
    assert seeds.mean() == pytest.approx(0.5, abs=5e-5)
    assert half_width(seeds) == pytest.approx(0.8957, abs=5e-5)
    assert statuses(seeds)[0] == "open"


def test_words_at_the_edges():
    low, high = np.array([0.1, 0.1, -0.1, -0.1]), np.array([0.5, 1.5, 1.5, 0.5])
    assert list(difference_status(low, high, 1.0)) == ["small", "holds", "open", "excluded"]
    assert list(bound_status(np.array([0.5, 5.0, 50.0]))) == ["holds", "open", "excluded"]
    # "not worse than -1" does not ask whether it is better.
    assert str(equality_status(2.0, 4.0, 2.2, 3.8, 1.0, below=False)) == "holds"
    assert str(equality_status(2.0, 4.0, 2.2, 3.8, 1.0)) == "excluded"
    assert str(equality_status(-4.0, -2.0, -3.8, -2.2, 1.0, below=False)) == "excluded"
    assert str(change_status(-0.4, -0.1, 1.0)) == "holds"


def test_pseudo_values_of_a_mean_are_its_blocks_and_of_a_ratio_its_influence():
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=10)
    without = (blocks.sum() - blocks) / 9
    np.testing.assert_allclose(pseudo_values(np.append(blocks.mean(), without)), blocks)
    # For a smooth function of a mean, x + f'(m)(x - m) up to O(1/B).
    many = 2 + 0.3 * rng.normal(size=400)
    replicates = np.log(np.append(many.mean(), (many.sum() - many) / 399))
    expected = np.log(many.mean()) + (many - many.mean()) / many.mean()
    np.testing.assert_allclose(pseudo_values(replicates), expected, atol=1e-3)


def test_p_value_inverts_the_interval():
    seeds = np.array([1.4, 2.1, 1.7])
    p = p_value(seeds, 0.25)
    assert half_width(seeds, 0.25, confidence=1 - p) == pytest.approx(seeds.mean(), rel=1e-6)
    plain = stats.ttest_1samp(seeds, 0).pvalue
    assert p_value(seeds) == pytest.approx(plain, rel=1e-6)
    assert p_value(np.zeros(3)) == 1.0
    assert p_value(np.ones(3)) == 0.0
    assert 0 < p_value(np.array([1.0, 1 + 1e-9, 1.0])) < 1e-9


def test_holm_stops_at_the_first_that_fails():
    assert list(reject_by_holm(np.array([0.04, 0.01, 0.03, 0.001]))) == [False, True, False, True]
    assert list(reject_by_holm(np.array([]))) == []


def test_ledger_bound_bounds_the_rounding_of_random_walks():
    # The account of D against D itself while every update is rounded to float32.
    rng = np.random.default_rng(1)
    width, hidden, out, steps = 24, 24, 12, 300
    first = rng.normal(size=(hidden, width)).astype(np.float32) / 5
    second = rng.normal(size=(out, hidden)).astype(np.float32) / 5
    start = second.astype(float).T @ second - first.astype(float) @ first.T
    account = start.copy()
    for _ in range(steps):
        gain1 = rng.normal(size=first.shape).astype(np.float32) * np.float32(1e-3)
        gain2 = rng.normal(size=second.shape).astype(np.float32) * np.float32(1e-3)
        for weights, gain, sign in ((second.T, gain2.T, 1), (first, gain1, -1)):
            w, g = weights.astype(float), gain.astype(float)
            account += sign * (w @ g.T + g @ w.T + g @ g.T)
        first, second = first + gain1, second + gain2
    imbalance = second.astype(float).T @ second - first.astype(float) @ first.T
    error = np.linalg.norm(imbalance - account) / np.linalg.norm(imbalance)
    bound = ledger_bound(
        steps,
        hidden,
        float(np.linalg.norm(first)),
        float(np.linalg.norm(second)),
        float(np.linalg.norm(imbalance)),
    )
    assert 0.1 * bound < error < bound


# Operating characteristics: percent reproduced, open, contradicted at effects -2, 0, 1, 2, 3, and
# the half-width, from 40,000 draws with accuracies of 10,000 paired images (0.42 a seed, 0.14
# shared).
CHARACTERISTICS = {
    (3, 0.5): ((0, 5, 95), (2, 68, 30), (31, 68, 1), (74, 26, 0), (95, 5, 0), 1.5),
    (3, 1.0): ((0, 32, 68), (2, 82, 15), (15, 83, 2), (42, 58, 0), (69, 31, 0), 2.4),
    (3, 1.5): ((0, 56, 44), (2, 88, 10), (10, 88, 2), (25, 75, 0), (44, 56, 0), 3.5),
    (5, 0.5): ((0, 0, 100), (3, 31, 67), (68, 31, 1), (100, 0, 0), (100, 0, 0), 0.8),
    (5, 1.0): ((0, 1, 99), (2, 64, 34), (33, 64, 2), (85, 15, 0), (99, 1, 0), 1.3),
    (5, 1.5): ((0, 12, 88), (2, 79, 19), (19, 78, 2), (57, 43, 0), (88, 12, 0), 1.8),
}


def noisy_blocks(rng, draws, seeds, spread, blocks=100):
    shared = 0.14 * np.sqrt(blocks) * rng.normal(size=(draws, 1, blocks))
    own = 0.42 * np.sqrt(blocks) * rng.normal(size=(draws, seeds, blocks))
    return shared + own + spread * rng.normal(size=(draws, seeds, 1))


@pytest.mark.parametrize(("seeds", "spread"), CHARACTERISTICS)
def test_operating_characteristics(seeds, spread):
    draws = 2500
    blocks = noisy_blocks(np.random.default_rng(seeds), draws, seeds, spread)
    values = blocks.mean(axis=-1)
    half, mean = half_width(values, shared_variance(blocks)), values.mean(axis=-1)
    *rows, width = CHARACTERISTICS[seeds, spread]
    assert np.mean(half) == pytest.approx(width, abs=0.06)
    for effect, expected in zip((-2, 0, 1, 2, 3), rows):
        words = difference_status(mean + effect - half, mean + effect + half, 1.0)
        found = [
            100 * np.isin(words, group).mean()
            for group in (("holds", "small"), ("open",), ("excluded",))
        ]
        # Four standard errors of this simulation and of the other, and rounding to a percent.
        error = 4 * 100 * np.sqrt(0.25 * (1 / draws + 1 / 40_000)) * 0.87 + 0.5
        np.testing.assert_allclose(found, expected, atol=error)


@pytest.mark.parametrize("seeds", [3, 5, 8])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.5])
def test_coverage(seeds, spread):
    draws = 4000
    blocks = noisy_blocks(np.random.default_rng(8), draws, seeds, spread)
    values = blocks.mean(axis=-1)
    covered = np.abs(values.mean(axis=-1)) <= half_width(values, shared_variance(blocks))
    assert 0.94 <= covered.mean() <= 0.985
