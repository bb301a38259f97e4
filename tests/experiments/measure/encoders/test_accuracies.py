"""Probes are the minimizers they claim to be, and rows count their correct answers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from experiments.core.blocks import decode_blocks
from experiments.measure.encoders.accuracies import read_at_one_scale, read_eighths, read_task
from experiments.measure.encoders.passes import FEATURE
from experiments.measure.encoders.probes import PENALTY, find_correct, fit_probe
from tests.experiments.measure.encoders.planted import make_passes, make_split


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 600)
    mixing = rng.normal(size=(12, 12)) * np.exp(-np.arange(12) / 3)
    values = (rng.normal(size=(5, 12))[labels] + rng.normal(size=(600, 12))) @ mixing
    return values.astype(np.float32), labels


@pytest.mark.parametrize("scaling", ["each", "one"])
def test_probe_is_the_minimizer_that_an_independent_solver_finds(features, scaling):
    values, labels = features
    probe = fit_probe(values, labels, scaling=scaling)
    deviations = values.std(axis=0, dtype=np.float64)
    size = deviations if scaling == "each" else np.sqrt(np.mean(deviations**2))
    peer = LogisticRegression(C=1 / (PENALTY * len(values)), tol=1e-10, max_iter=10_000)
    peer.fit((values - values.mean(axis=0)) / size, labels)
    ours = probe.weights * np.broadcast_to(size, 12)[:, None]
    centered = ours - ours.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(centered, peer.coef_.T, atol=2e-3 * np.abs(peer.coef_).max())


def test_scale_of_the_features_means_nothing_and_scale_of_a_coordinate_only_to_one_probe(features):
    values, labels = features
    diagonal = np.exp(-np.arange(12)).astype(np.float32)
    for scaling, is_blind in (("each", True), ("one", False)):
        plain = find_correct(fit_probe(values, labels, scaling=scaling), values, labels)
        for factor in (100.0, diagonal):
            changed = (values * factor).astype(np.float32)
            again = find_correct(fit_probe(changed, labels, scaling=scaling), changed, labels)
            if is_blind or np.ndim(factor) == 0:
                assert np.mean(again != plain) < 0.01
            else:
                assert np.mean(again) < np.mean(plain) - 0.05


def test_rows_count_the_correct_answers_of_every_draw():
    split = make_split(np.random.default_rng(0))
    passes = make_passes(split)
    rows = {(row.variant, row.layer): row for row in read_task("cifar10")(passes)}
    assert set(rows) == {
        ("trained", "feature"),
        ("trained", "embedding"),
        ("random_head", "embedding"),
        ("untrained", "feature"),
    }
    answers = []
    for name, variant in passes.subject.variants.items():
        if name.startswith("random_head"):
            seen, new = (variant(part.images)["embedding"] for part in (split.train, split.test))
            probe = fit_probe(seen, split.train.labels)
            answers.append(find_correct(probe, new, split.test.labels))
    row = rows["random_head", "embedding"]
    assert row.value == pytest.approx(np.mean(answers))
    kept = np.array(answers)[:, 2:]  # blocks of two images each
    assert decode_blocks(row.blocks, row.n)[0] == pytest.approx(kept.mean())
    assert rows["trained", "feature"].value > 0.5


def test_eighths_and_one_scale_are_rows_of_their_own():
    split = make_split(np.random.default_rng(0))
    passes = make_passes(split)
    (one_scale,) = read_at_one_scale("fine")(passes)
    assert one_scale.level == "probe=one_scale"
    first, drawn = read_eighths("fine")(passes)
    values = passes.at(FEATURE, split.train.images)[0][:, :2]
    new = passes.at(FEATURE, split.test.images)[0][:, :2]
    probe = fit_probe(values, split.train.labels)
    assert first.level == "coordinates=first_eighth"
    assert first.value == pytest.approx(np.mean(find_correct(probe, new, split.test.labels)))
    assert drawn.level == "coordinates=random_eighth"
    assert drawn.blocks.startswith("count5x")
