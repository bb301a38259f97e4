import numpy as np
import pytest

from ssljax.measure.probe import linear_probe, regression_probe, ridge_probe
from ssljax.measure.probe_protocols import probe_path
from ssljax.measure.sgd_probe import sgd_probe
from ssljax.system.errors import UsageError
from tests.ssljax.measure.test_neighbors import TEST, TEST_LABELS, TRAIN, TRAIN_LABELS

DATA = (TRAIN, TRAIN_LABELS, TEST, TEST_LABELS)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("l2", [1e-3, 1e-1])
def test_the_logistic_probe_equals_scikit_learn(standardize, l2):
    from sklearn.linear_model import LogisticRegression

    scale = np.array([1, 2, 0.5, 3, 1, 1], np.float32)
    train, test = TRAIN * scale + 1, TEST * scale + 1
    ours = linear_probe(
        train, TRAIN_LABELS, test, TEST_LABELS, num_classes=4, l2=l2, standardize=standardize
    )
    deviation = train.std(axis=0) if standardize else np.ones(6)
    theirs = LogisticRegression(C=1 / (l2 * len(train)), tol=1e-10, max_iter=10_000)
    theirs.fit(train / deviation, TRAIN_LABELS)
    np.testing.assert_allclose(
        ours.weights * deviation[:, None], theirs.coef_.T, atol=1e-3 * np.abs(theirs.coef_).max()
    )
    differing = ours.predictions != theirs.predict(test / deviation)
    assert differing.mean() < 0.005
    assert ours.test_accuracy == np.mean(ours.predictions == TEST_LABELS)
    assert ours.gradient_norm < 1e-5
    assert 0 < ours.iterations < 200


def test_the_probe_stops_at_the_minimum_of_the_stated_objective():
    ours = linear_probe(*DATA, num_classes=4, l2=0.02, standardize=False)

    def objective(weights, bias):
        logits = TRAIN.astype(float) @ weights + bias
        log_sum = np.log(np.exp(logits).sum(axis=1))
        return np.mean(log_sum - logits[np.arange(300), TRAIN_LABELS]) + 0.01 * np.sum(weights**2)

    at_minimum = objective(ours.weights, ours.bias)
    np.testing.assert_allclose(ours.loss, at_minimum, rtol=1e-5)
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = 0.05 * rng.normal(size=(6, 4))
        assert objective(ours.weights + step, ours.bias) > at_minimum


def test_sample_weights_count_like_repetitions():
    repeats = np.repeat([0, 1, 2], 100)  # 300 rows again: nothing new to compile
    weighted = linear_probe(
        *DATA, num_classes=4, standardize=False, sample_weights=repeats.astype(float)
    )
    repeated = linear_probe(
        np.repeat(TRAIN, repeats, axis=0), np.repeat(TRAIN_LABELS, repeats), TEST, TEST_LABELS,
        num_classes=4, standardize=False,
    )  # fmt: skip
    np.testing.assert_allclose(weighted.weights, repeated.weights, atol=5e-3)


def test_the_ridge_probe_equals_scikit_learn():
    from sklearn.linear_model import Ridge

    ours = ridge_probe(*DATA, num_classes=4, l2=0.03, standardize=False)
    theirs = Ridge(alpha=0.03 * 300).fit(TRAIN.astype(float), np.eye(4)[TRAIN_LABELS])
    np.testing.assert_allclose(ours.weights, theirs.coef_.T, atol=1e-6)
    np.testing.assert_allclose(ours.bias, theirs.intercept_, atol=1e-6)
    assert ours.test_accuracy > 0.5


def test_the_regression_probe_recovers_linear_targets_and_nothing_from_noise():
    rng = np.random.default_rng(3)
    mixing, noise = rng.normal(size=(6, 2)), rng.normal(size=(700, 1))
    targets = np.concatenate([TEST @ mixing + 3, noise], axis=1)
    ours = regression_probe(TEST[:400], targets[:400], TEST[400:], targets[400:], l2=1e-8)
    np.testing.assert_allclose(ours.r2[:2], 1, atol=1e-5)
    assert abs(ours.r2[2]) < 0.1


def test_a_constant_feature_is_given_no_weight_whatever_its_value():
    def replaced(x, value):
        return np.concatenate([x[:, :5], np.full((len(x), 1), value, np.float32)], axis=1)

    probes = [
        linear_probe(
            replaced(TRAIN, value), TRAIN_LABELS, replaced(TEST, value), TEST_LABELS, num_classes=4
        )
        for value in (0.0, 5.3)
    ]
    np.testing.assert_allclose(probes[1].weights, probes[0].weights, atol=1e-3)
    np.testing.assert_allclose(probes[1].weights[5], 0, atol=1e-3)
    np.testing.assert_array_equal(probes[1].predictions, probes[0].predictions)


def test_test_images_decide_nothing():
    first = linear_probe(*DATA, num_classes=4)
    second = linear_probe(TRAIN, TRAIN_LABELS, TEST[:10] * 7, TEST_LABELS[:10], num_classes=4)
    np.testing.assert_array_equal(first.weights, second.weights)


def test_bad_probe_input_is_refused():
    with pytest.raises(UsageError, match="l2"):
        linear_probe(*DATA, num_classes=4, l2=-1.0)
    with pytest.raises(UsageError, match="wanted 0 to 2"):
        linear_probe(*DATA, num_classes=3)
    with pytest.raises(UsageError, match="NaN"):
        ridge_probe(TRAIN * np.float32(np.nan), *DATA[1:], num_classes=4)


def test_a_start_saves_iterations_and_does_not_move_the_minimum():
    cold = linear_probe(*DATA, num_classes=4, l2=1e-2)
    warm = linear_probe(*DATA, num_classes=4, l2=1e-2, start=cold)
    assert warm.iterations < cold.iterations / 2
    np.testing.assert_allclose(warm.weights, cold.weights, atol=2e-4)


PENALTIES = (1e-4, 1e-1, 1e-2, 3.0)


def test_the_penalty_is_chosen_on_held_out_training_features():
    path = probe_path(*DATA, penalties=PENALTIES, num_classes=4, held_out=0.25, seed=1)
    np.testing.assert_array_equal(path.penalties, [3.0, 1e-1, 1e-2, 1e-4])
    order = np.random.default_rng(1).permutation(300)
    out, rest = order[:75], order[75:]
    cold = [
        linear_probe(
            TRAIN[rest], TRAIN_LABELS[rest], TRAIN[out], TRAIN_LABELS[out], num_classes=4, l2=l2
        )
        for l2 in path.penalties
    ]
    np.testing.assert_array_equal(path.held_out_accuracies, [fit.test_accuracy for fit in cold])
    assert path.iterations.sum() < sum(fit.iterations for fit in cold)  # warm starts
    assert path.l2 == path.penalties[np.argmax(path.held_out_accuracies)]
    whole = linear_probe(*DATA, num_classes=4, l2=path.l2)
    np.testing.assert_allclose(path.probe.weights, whole.weights, atol=1e-3)
    # Other test features: the same choice, the same weights.
    other = probe_path(
        TRAIN, TRAIN_LABELS, -TEST, TEST_LABELS, penalties=PENALTIES, num_classes=4,
        held_out=0.25, seed=1,
    )  # fmt: skip
    np.testing.assert_array_equal(other.probe.weights, path.probe.weights)


@pytest.mark.parametrize("standardize", [True, False])
def test_descent_reaches_the_minimum_that_the_solver_finds(standardize):
    scale = np.array([1, 2, 0.5, 3, 1, 1], np.float32)
    data = (TRAIN * scale + 1, TRAIN_LABELS, TEST * scale + 1, TEST_LABELS)
    options = {"num_classes": 4, "l2": 1e-2, "standardize": standardize}
    exact = linear_probe(*data, **options)
    ours = sgd_probe(*data, **options, epochs=30, batch_size=50)
    # Averaged noise of the last, small steps: relative excess loss.
    assert exact.loss <= ours.loss * (1 + 1e-6)
    assert ours.loss < exact.loss * 1.002
    assert np.mean(ours.predictions != exact.predictions) < 0.02
    assert ours.iterations == 180


def test_more_epochs_come_closer_and_the_seed_decides_the_rest():
    exact = linear_probe(*DATA, num_classes=4, l2=1e-2)
    losses = [
        sgd_probe(*DATA, num_classes=4, l2=1e-2, epochs=epochs, batch_size=50).loss - exact.loss
        for epochs in (3, 30)
    ]
    assert losses[1] < losses[0] / 3
    first, second, third = (
        sgd_probe(*DATA, num_classes=4, epochs=3, batch_size=50, seed=seed).weights
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert np.max(np.abs(first - third)) > 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sgd_probe(*DATA, num_classes=4, epochs=0), "at least one epoch"),
        (lambda: probe_path(*DATA, num_classes=4, penalties=()), "one or more"),
        (lambda: probe_path(*DATA, num_classes=4, penalties=(-1.0,)), "at least 0"),
        (lambda: probe_path(*DATA, num_classes=4, penalties=(1.0,), held_out=1e-4), "both parts"),
    ],
)
def test_impossible_paths_and_descents_are_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
