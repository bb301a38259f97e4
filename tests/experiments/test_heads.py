"""Heads of several shapes: the shares, the depth law by hand, what rows say, and a smoke run."""

import numpy as np
import pytest

from experiments.head_shape_rows import between_share, law_defects, shape_rows, shuffled_share
from experiments.head_shapes import HeadShape, ShapeOutcome, head_shape
from experiments.heads import HEADS, run
from experiments.sizes import SIZES
from experiments.trainings import trainings
from ssljax.config.config import HeadConfig

SHAPES = (
    HeadShape("no head", 0, 0),
    HeadShape("linear", 1, 0),
    HeadShape("1 × 8", 2, 8),
    HeadShape("1 × 64", 2, 64),
    HeadShape("1 × 256", 2, 256),
    HeadShape("3 × 64", 4, 64),
)


def test_the_heads_of_the_table_have_the_shapes_they_are_named_by():
    table = trainings(SIZES["laptop"])
    shapes = [head_shape(table[name].config.head) for name in HEADS]
    assert [(shape.depth, shape.narrowest) for shape in shapes] == [
        (shape.depth, shape.narrowest) for shape in SHAPES
    ]
    assert head_shape(HeadConfig(kind="linear", widths=(16, 4, 8))).narrowest == 4


def test_the_share_between_groups_is_that_of_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4, 5)) + np.arange(5.0)[None]
    within = np.sum((values - values.mean(axis=0)) ** 2)
    total = np.sum((values - values.mean()) ** 2)
    assert between_share(values) == pytest.approx(1 - within / total, rel=1e-12)
    assert between_share(np.ones((3, 4))) == 0.0
    # Groups that do not differ reach what the F distribution allows, and no more.
    assert 0.4 < shuffled_share(rng.standard_normal((3, 5))) < 0.75


def test_the_depth_law_interpolates_log_odds():
    pixels = np.array([0.6, 0.5])
    embedding = np.array([[0.1, 0.05], [0.2, 0.5]])
    shapes = (HeadShape("linear", 1, 0), HeadShape("3 × 64", 4, 64))
    predicted = law_defects(shapes, 7, pixels, embedding)

    def logit(p):
        return np.log(p / (1 - p))

    share = np.array([7 / 8, 7 / 11])
    expected = logit(pixels)[:, None] + share[None] * (logit(embedding) - logit(pixels)[:, None])
    np.testing.assert_allclose(logit(predicted), expected, rtol=1e-10, atol=1e-12)
    without = law_defects((HeadShape("no head", 0, 0),), 7, pixels, embedding[:, :1])
    np.testing.assert_allclose(without, embedding[:, :1], rtol=1e-12)


def _outcome(change, trend=1.0):
    """Networks that follow every prediction, moved by `change` times the head."""
    seeds = 0.002 * np.arange(3.0)[:, None]
    order = np.array([0.0, 1.0, 3.0, 2.5, 1.5, 4.0]) * trend  # I(feature): depth, then narrowness
    feature = 0.2 + change * 0.02 * order[None] + seeds
    ratio = np.array([1.0, 0.9, 0.3, 0.5, 0.8, 0.4])[None]
    rank = np.array([64.0, 20.0, 4.0, 15.0, 16.0, 8.0])[None]

    def pair(first, second):
        return np.stack([np.broadcast_to(first, (3, 6)), np.broadcast_to(second, (3, 6))], axis=-1)

    information = 0.3 + change * 0.1 * (np.arange(6.0) > 0)[None] + change * 0.01 * order + seeds
    embedding = feature * ratio
    pixels = np.full(3, 0.7)
    law = law_defects(SHAPES, 7, pixels, embedding)
    return ShapeOutcome(
        shapes=SHAPES,
        encoder_depth=7,
        input_defects=pixels,
        probe_defects=pair(feature, embedding),
        training_defects=pair(law, embedding),
        ranks=pair(10 + change * order[None] + 30 * seeds, rank),
        accuracies=pair(0.5 + change * 0.01 * order[None] + seeds, 0.4),
        information=pair(information, 0.1),
        local_ranks=np.broadcast_to(rank, (3, 6)),
        initial_ranks=np.broadcast_to(np.array([64.0, 32.0, 4.0, 30.0, 32.0, 25.0]), (3, 6)),
    )


def test_rows_hold_where_every_prediction_comes_true():
    rows = shape_rows(_outcome(1.0), "made up")
    assert {row.id for row in rows} == {13}
    assert [row.verdict for row in rows] == ["holds"] * 11


def test_rows_fail_where_heads_change_nothing_or_the_other_way():
    same = shape_rows(_outcome(0.0), "made up")
    assert [row.verdict for row in same[:4]] == ["fails"] * 4
    assert same[8].verdict == "fails"
    reversed_rows = shape_rows(_outcome(1.0, trend=-1.0), "made up")
    assert reversed_rows[4].verdict == reversed_rows[6].verdict == "fails"


def test_the_smoke_run_measures_every_head(tmp_path, trained_cache):
    results = run(tmp_path, "smoke")
    assert {row.id for row in results.rows} == {13}
    assert all(np.isfinite(row.measured) for row in results.rows)
    assert (tmp_path / "heads.png").stat().st_size > 10_000
    assert "no head" in (tmp_path / "report.html").read_text()
    # Random heads switch off about half their units: an exact fact of the machinery.
    initial = next(row for row in results.rows if "before training" in row.claim)
    assert initial.measured < 1.5
