"""Which layer to probe: tasks, maps, the risk against simulation, rules and rows, a smoke run."""

import numpy as np
import pytest

from experiments.probe_curves import (
    FRACTIONS,
    active_gram,
    fractional_map,
    head_maps,
    in_unit,
    measured_risks,
    predicted_risks,
)
from experiments.probe_layer_rows import (
    COLOR,
    CROP,
    ProbeOutcome,
    misses,
    probe_rows,
    regrets,
    rule_choices,
    rule_regrets,
    spearman,
)
from experiments.probe_tasks import task_targets
from ssljax.data.datasets import Dataset


def _images(count=40):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Dataset(images, np.arange(count, dtype=np.int32) % 10, 1 / 255, 10, "random")


def test_tasks_are_what_they_are_named():
    dataset = _images()
    dataset.images[0] = 0
    dataset.images[0, :, :4, 0] = 255  # the left half pure red
    targets = task_targets(dataset)
    assert targets["class"].shape == (40, 10)
    assert targets["color"][0] == pytest.approx(0.5)
    assert targets["saturation"][0] == pytest.approx(0.5)
    assert targets["left or right"][0] == pytest.approx(0.299)
    assert targets["top or bottom"][0] == pytest.approx(0.0)
    assert targets["brightness"][0] == pytest.approx(0.299 / 2)
    assert targets["contrast"][0] == pytest.approx(0.299 / 2)
    assert [targets["animal or vehicle"][label, 0] for label in (0, 1, 2, 7, 8)] == [0, 0, 1, 1, 0]
    gray = Dataset(
        np.repeat(dataset.images[..., :1], 3, axis=-1), dataset.labels, 1 / 255, 10, "gray"
    )
    assert "color" not in task_targets(gray)


def _head(width=6, seed=0):
    """A balanced head of two layers on features of a known covariance, one mode dead."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((width, width)))
    gains = np.array([1.0, 0.8, 0.5, 0.3, 0.2, 1e-5])
    gram = rotation * gains[None] ** 2 @ rotation.T
    first = np.sqrt(gains)[:, None] * rotation.T
    second = np.diag(np.sqrt(gains))
    return rotation, gram, (first, second)


def test_maps_of_a_balanced_head_are_the_powers_of_its_gram():
    rotation, gram, weights = _head()
    maps = head_maps(weights, np.eye(6))
    for fraction, linear in zip(FRACTIONS, maps):
        gains = np.array([1.0, 0.8, 0.5, 0.3, 0.2, 1e-5]) ** fraction
        if fraction not in (0.0, 0.5, 1.0):
            gains[-1] = 0.0  # dead: no small power brings it back
        expected = rotation * gains[None] ** 2 @ rotation.T
        np.testing.assert_allclose(linear.T @ linear, expected, atol=1e-10)
    np.testing.assert_array_equal(fractional_map(gram, 0.0), np.eye(6))
    kept = np.linalg.eigvalsh(active_gram(gram, np.eye(6)))
    np.testing.assert_allclose(kept[1:], np.array([0.2, 0.3, 0.5, 0.8, 1.0]) ** 2)
    assert abs(kept[0]) < 1e-12


def test_dead_modes_are_told_by_the_output_and_not_by_the_gram():
    # The second direction hardly varies, so a large gain there is still nothing in the output.
    gram, covariance = np.diag([1.0, 1.0]), np.diag([1.0, 1e-4])
    np.testing.assert_allclose(active_gram(gram, covariance), np.diag([1.0, 0.0]), atol=1e-9)


def test_predicted_risks_are_those_of_simulated_probes():
    rng = np.random.default_rng(0)
    _, gram, weights = _head()
    scales = np.array([1.0, 0.5, 1.0, 0.7, 0.3, 1.0])

    def drawn(count):
        features = rng.standard_normal((count, 6)) * scales[None]
        two = features @ rng_targets + 0.3 * rng.standard_normal((count, 2))
        return features, {"first": two[:, :1], "both": two}

    rng_targets = rng.standard_normal((6, 2))
    (train, targets), (test, wanted) = drawn(20_000), drawn(20_000)
    covariance = np.diag(scales**2)
    predicted = predicted_risks(train, active_gram(gram, covariance), targets, (60, 200))
    maps = [in_unit(linear, train) for linear in head_maps(weights, covariance)]
    assert np.mean(np.sum((train @ maps[3].T) ** 2, axis=1)) == pytest.approx(1.0)
    measured = measured_risks(
        [train @ linear.T for linear in maps],
        [test @ linear.T for linear in maps],
        targets,
        wanted,
        (60, 200),
        draws=60,
        seed=0,
    )
    assert measured.shape == (60, 2, 2, len(FRACTIONS))
    means = measured.mean(axis=0)
    np.testing.assert_allclose(predicted[:, 0], means[:, 0], rtol=0.08)
    np.testing.assert_allclose(predicted[:, 1], means[:, 1], rtol=0.06)
    assert np.ptp(means[0, 1]) > 0.5 * means[0, 1].min()  # depth matters here


def test_rank_correlation_is_spearman_s():
    from scipy.stats import rankdata

    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (2, 3, 9)).astype(float)
    for index in range(3):
        expected = np.corrcoef(rankdata(first[index]), rankdata(second[index]))[0, 1]
        assert spearman(first, second)[index] == pytest.approx(expected)
    assert spearman(np.ones(3), np.arange(3.0)) == 0.0


def _outcome(predicted, measured, error=1e-3):
    """Three policies, two tasks, one number of labels; curves (policies, tasks, fractions)."""

    def spread(curves):
        return np.repeat(np.asarray(curves, float)[None, :, :, None], 2, axis=0)

    measured = spread(measured)
    return ProbeOutcome(
        policies=("both", CROP, COLOR),
        tasks=("class", "color"),
        counts=(50,),
        predicted=spread(predicted),
        measured=measured,
        errors=np.full(measured.shape, error),
        active=np.ones((2, 3, 2)),
    )


def _curves():
    """Class falls with depth everywhere; color rises where it is jittered, else it falls."""
    falling, valley = 0.9 - 0.3 * FRACTIONS, 0.8 + (FRACTIONS - 0.5) ** 2 - 0.01 * FRACTIONS
    rising = 0.6 + 0.3 * FRACTIONS
    return np.array([[falling, rising], [valley, falling], [falling, rising]])


def test_rows_hold_where_moments_are_right_and_no_fixed_depth_is():
    rows = probe_rows(_outcome(_curves(), _curves()), "made up")
    assert {row.id for row in rows} == {20}
    assert [row.verdict for row in rows] == ["holds"] * 6
    costs = rule_regrets(_outcome(_curves(), _curves()))
    assert costs["moments"] == [0.0, 0.0]
    assert min(costs[name][0] for name in ("feature", "middle", "embedding")) > 0.1


def test_rows_fail_where_moments_are_wrong_and_are_open_without_power():
    wrong = probe_rows(_outcome(_curves()[:, :, ::-1], _curves()), "made up")
    assert [row.verdict for row in wrong] == ["fails"] * 6
    flat = probe_rows(_outcome(_curves(), _curves(), error=1.0), "made up")
    assert [row.verdict for row in flat[:3]] == ["inconclusive"] * 3
    assert "0 of 12 curves" in flat[0].claim


def test_a_depth_misses_only_beyond_the_ties_of_the_best():
    valley = np.broadcast_to(np.abs(FRACTIONS - 0.5), (3, 2, len(FRACTIONS)))
    outcome = _outcome(valley, valley)
    assert not misses(outcome, np.array(2)).any()  # 0.25 away
    assert misses(outcome, np.array(1)).all()
    assert not misses(outcome._replace(errors=outcome.errors + 0.1), np.array(1)).any()
    np.testing.assert_allclose(regrets(outcome, np.array(0)), 1.0)
    assert rule_choices() == {"feature": 0, "middle": 4, "embedding": 8}


def test_the_smoke_run_predicts_and_probes(tmp_path, trained_cache):
    from experiments.probe_layer import run

    results = run(tmp_path, "smoke")
    assert {row.id for row in results.rows} == {20}
    assert len(results.rows) == 6
    assert np.isfinite(results.rows[3].measured)
    for name in ("probe_curves.png", "probe_rules.png"):
        assert (tmp_path / name).stat().st_size > 10_000
