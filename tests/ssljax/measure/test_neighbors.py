import numpy as np
import pytest

from ssljax.measure.neighbors import cosine_knn, knn_predictions
from ssljax.system.errors import UsageError


def clouds(seed, count, classes=4, dim=6):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(classes, dim))
    labels = rng.integers(0, classes, count)
    return (centers[labels] + rng.normal(size=(count, dim))).astype(np.float32), labels


TRAIN, TRAIN_LABELS = clouds(1, 300)
TEST, TEST_LABELS = clouds(2, 700)


@pytest.mark.parametrize("neighbors", [1, 7, 300])
def test_equal_votes_equal_scikit_learn_with_cosine_distance(neighbors):
    from sklearn.neighbors import KNeighborsClassifier

    theirs = KNeighborsClassifier(neighbors, metric="cosine").fit(TRAIN, TRAIN_LABELS)
    ours = knn_predictions(TRAIN, TRAIN_LABELS, TEST, neighbors=neighbors, temperature=0.0)
    np.testing.assert_array_equal(ours, theirs.predict(TEST))


def test_weighted_votes_equal_a_loop_over_the_neighbors():
    ours = knn_predictions(TRAIN, TRAIN_LABELS, TEST, neighbors=9, temperature=0.07)
    for query, predicted in zip(TEST.astype(float), ours):
        similarity = TRAIN @ query / np.linalg.norm(TRAIN, axis=1) / np.linalg.norm(query)
        votes = np.zeros(4)
        for row in np.argsort(similarity)[-9:]:
            votes[TRAIN_LABELS[row]] += np.exp(similarity[row] / 0.07)
        assert votes[predicted] >= votes.max() * (1 - 1e-4)


def test_accuracy_is_the_fraction_of_right_predictions_and_ignores_scale():
    predictions = knn_predictions(TRAIN, TRAIN_LABELS, TEST, neighbors=10, temperature=0.1)
    accuracy = cosine_knn(TRAIN, TRAIN_LABELS, TEST, TEST_LABELS, neighbors=10, temperature=0.1)
    assert accuracy == np.mean(predictions == TEST_LABELS)
    assert accuracy == cosine_knn(100 * TRAIN, TRAIN_LABELS, 1e-3 * TEST, TEST_LABELS)
    assert accuracy > 0.5


def test_centering_removes_a_common_offset():
    plain = cosine_knn(TRAIN, TRAIN_LABELS, TEST, TEST_LABELS, center=True)
    moved = cosine_knn(TRAIN + 40, TRAIN_LABELS, TEST + 40, TEST_LABELS, center=True)
    assert abs(plain - moved) < 0.005


def test_a_zero_feature_and_a_tiny_temperature_stay_finite():
    test = np.concatenate([np.zeros((1, 6), np.float32), TEST[:3]])
    predictions = knn_predictions(TRAIN, TRAIN_LABELS, test, neighbors=5, temperature=1e-4)
    assert predictions.shape == (4,)
    assert predictions.min() >= 0


@pytest.mark.parametrize(
    ("neighbors", "temperature", "message"),
    [(0, 0.1, "at least 1"), (301, 0.1, "300"), (1, -0.1, "temperature")],
)
def test_impossible_votes_are_refused(neighbors, temperature, message):
    with pytest.raises(UsageError, match=message):
        knn_predictions(TRAIN, TRAIN_LABELS, TEST, neighbors=neighbors, temperature=temperature)


def test_features_and_labels_that_mean_nothing_are_refused_by_name():
    broken = TRAIN.copy()
    broken[7, 2] = np.nan
    unlabeled = np.where(np.arange(len(TEST_LABELS)) < 2, -1, TEST_LABELS)
    for change, message in (
        ({"train_features": broken}, r"1 of 300 training features .* row 7"),
        ({"test_features": np.full_like(TEST, np.inf)}, "test features hold NaN or infinity"),
        ({"train_labels": np.full_like(TRAIN_LABELS, -1)}, "300 of 300 training images"),
        ({"test_labels": unlabeled}, rf"2 of {len(TEST)} test images have a label below 0"),
        ({"test_features": TEST[:0], "test_labels": TEST_LABELS[:0]}, "no test features"),
    ):
        given = {
            "train_features": TRAIN,
            "train_labels": TRAIN_LABELS,
            "test_features": TEST,
            "test_labels": TEST_LABELS,
        }
        with pytest.raises(UsageError, match=message):
            cosine_knn(**(given | change))
