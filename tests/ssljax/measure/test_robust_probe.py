import numpy as np
import pytest

from ssljax.measure.probe import linear_probe
from ssljax.measure.probe_protocols import few_shot_accuracy
from ssljax.measure.robust_probe import draw_balanced_rows, group_accuracy, retrain_probe
from ssljax.system.errors import UsageError


def shifted(seed, count, aligned):
    """A weak core feature, a strong spurious one that agrees with the label with given chance."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    spurious = np.where(rng.uniform(size=count) < aligned, labels, 1 - labels)
    features = rng.normal(size=(count, 6))
    features[:, 0] += 1.3 * (2 * labels - 1)
    features[:, 1] += 4 * (2 * spurious - 1)
    return features, labels, 2 * labels + spurious


def test_group_accuracy_counts_by_group():
    accuracy = group_accuracy(
        np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0]), np.array([0, 0, 1, 1, 3])
    )
    assert accuracy.average == 0.6
    assert accuracy.worst == 0
    np.testing.assert_allclose(accuracy.by_group, [0.5, 1, np.nan, 0])
    assert accuracy.sizes.tolist() == [2, 2, 0, 1]


def test_a_balanced_subset_has_equal_groups_without_repetition():
    groups = np.repeat([0, 1, 3], [50, 7, 20])
    rows = draw_balanced_rows(groups, 0)
    assert np.bincount(groups[rows]).tolist() == [7, 7, 0, 7]
    assert len(set(rows.tolist())) == 21
    assert set(rows.tolist()) != set(draw_balanced_rows(groups, 1).tolist())


def test_retraining_on_balanced_data_repairs_the_worst_group():
    train = shifted(0, 2000, 0.97)
    held_out, test = shifted(1, 600, 0.5), shifted(2, 2000, 0.5)
    plain = linear_probe(*train[:2], *test[:2], num_classes=2)
    before = group_accuracy(plain.predictions, test[1], test[2])
    after = retrain_probe(train[0], *held_out, *test, seed=0, refits=5)
    # Without the shortcut the core feature alone decides: at best Phi(1.3) = .90 in every group.
    assert before.worst < 0.7
    assert after.test.worst > 0.86
    assert after.penalty in (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)
    # The spurious direction is given (almost) no weight next to the core one.
    contrast = after.weights[:, 1] - after.weights[:, 0]
    assert abs(contrast[1]) < 0.3 * abs(contrast[0])


def test_test_data_decides_nothing_in_retraining():
    train, held_out, test = shifted(0, 300, 0.9), shifted(1, 300, 0.5), shifted(2, 50, 0.5)
    first = retrain_probe(train[0], *held_out, *test, seed=0, refits=2)
    second = retrain_probe(train[0], *held_out, -test[0], *test[1:], seed=0, refits=2)
    np.testing.assert_array_equal(first.weights, second.weights)


def test_three_classes_are_retrained_one_against_the_rest():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    features = rng.normal(size=(300, 4)) + 4 * np.eye(4)[labels]
    result = retrain_probe(
        features, features, labels, labels, features, labels, labels, seed=0, refits=2
    )
    assert result.test.worst > 0.95
    assert result.weights.shape == (4, 3)


def test_a_group_of_one_is_refused():
    train = shifted(0, 50, 0.5)
    groups = np.zeros(50, int)
    groups[0] = 1
    with pytest.raises(UsageError, match="two held-out examples"):
        retrain_probe(train[0], *train[:2], groups, *train, seed=0)


def test_more_shots_are_better_and_draws_give_the_error():
    train, test = shifted(0, 1000, 0.5), shifted(1, 1000, 0.5)
    few, many = (
        few_shot_accuracy(*train[:2], *test[:2], shots=shots, draws=6, seed=0, num_classes=2)
        for shots in (2, 100)
    )
    assert many.accuracy > few.accuracy + 0.05
    assert few.standard_error > many.standard_error
    assert few.accuracies.shape == (6,)
    np.testing.assert_allclose(few.accuracy, few.accuracies.mean())


@pytest.mark.parametrize(("shots", "draws"), [(0, 3), (10_000, 3), (2, 1)])
def test_impossible_few_shot_settings_are_refused(shots, draws):
    train = shifted(0, 100, 0.5)
    with pytest.raises(UsageError):
        few_shot_accuracy(*train[:2], *train[:2], shots=shots, draws=draws, seed=0, num_classes=2)
