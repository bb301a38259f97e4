"""Two shortcuts: disjoint splits, gaps by group, the smoke experiment."""

import numpy as np
import pytest

from experiments.errors import InputError
from experiments.group_cells import LayerGroups, ShortcutGaps, shortcut_gaps
from experiments.group_rows import Outcome, group_rows
from experiments.groups import run
from experiments.training_images import shortcuts_of
from ssljax.data.composites import GROUP_NAMES
from ssljax.measure.robust_probe import GroupAccuracy, group_accuracy


def test_splits_are_biased_only_where_they_are_trained_on():
    splits = shortcuts_of("smoke")
    for part in splits:
        assert part.groups is not None
        np.testing.assert_array_equal(part.labels, part.groups // 4)
    train, val, test = (np.bincount(part.groups, minlength=8) / len(part.groups) for part in splits)
    assert train[[0, 7]].sum() > 0.85
    np.testing.assert_allclose(val, 1 / 8)
    np.testing.assert_allclose(test, 1 / 8)

    def objects(part):
        side = part.images.shape[1]
        middle = part.images[:, side // 4 : 3 * side // 4, side // 4 : 3 * side // 4]
        return {picture.tobytes() for picture in middle}

    assert not objects(splits.train) & objects(splits.val)


def test_gaps_compare_misled_groups_with_the_training_mixture():
    by_group = np.array([0.9, 0.8, 0.6, 0.3, 0.4, 0.5, 0.7, 1.0])
    rng = np.random.default_rng(0)
    train = np.repeat(np.arange(8), [90, 4, 4, 2, 2, 4, 4, 90])
    rng.shuffle(train)
    gaps = shortcut_gaps(GroupAccuracy(0.65, 0.3, by_group, np.full(8, 10)), train)
    mixture = (90 * 0.9 + 4 * (0.8 + 0.6 + 0.5 + 0.7) + 2 * 0.7 + 90) / 200
    assert gaps.background == pytest.approx((0.6 + 0.5) / 2 - mixture)
    assert gaps.other == pytest.approx((0.8 + 0.7) / 2 - mixture)
    assert gaps.both == pytest.approx((0.3 + 0.4) / 2 - mixture)
    few = group_accuracy(np.zeros(4, int), np.zeros(4, int), np.arange(4))
    with pytest.raises(InputError, match="eight"):
        shortcut_gaps(few, train)


def test_the_groups_of_a_gap_are_those_whose_names_say_so():
    from experiments.group_cells import OTHER_BACKGROUND, OTHER_BOTH, OTHER_OBJECT

    own = {"automobile": ("sky", "zero"), "horse": ("land", "one")}
    found = {False: {False: [], True: []}, True: {False: [], True: []}}
    for group, name in enumerate(GROUP_NAMES):
        car = name.split(",")[0]
        background, digit = own[car]
        found[background not in name][digit not in name].append(group)
    assert found[True][False] == list(OTHER_BACKGROUND)
    assert found[False][True] == list(OTHER_OBJECT)
    assert found[True][True] == list(OTHER_BOTH)


def _cell(before, after):
    def layer(worst):
        pair = np.array([worst, worst + 0.1])
        return LayerGroups(pair, pair, ShortcutGaps(-0.1, -0.1, worst - 0.9))

    return {"feature": layer(before), "embedding": layer(after)}


def test_rows_hold_only_where_training_made_the_difference():
    good, flat = [_cell(0.6, 0.5)] * 3, [_cell(0.3, 0.3)] * 3
    rows = group_rows(Outcome([_cell(0.5, 0.5)] * 3, good, flat, flat))
    assert [row.verdict for row in rows] == ["holds"] * 5 + ["fails", "holds", "fails", "fails"] + [
        "holds"
    ]
    as_untrained = group_rows(Outcome(flat, good, good, good))
    assert as_untrained[1].verdict == "inconclusive"


def test_the_experiment_runs_at_smoke_scale(tmp_path, trained_cache):
    results = run(tmp_path / "out", "smoke")
    assert [row.id for row in results.rows] == [6] * 10
    assert all(np.isfinite(row.measured) for row in results.rows)
    assert (tmp_path / "out" / "groups.png").stat().st_size > 10_000
    assert "urbancars:PATH" in (tmp_path / "out" / "report.html").read_text()
