"""Accuracies by group, by hand: a feature that shows the object, and one that shows shortcuts."""

import numpy as np
import pytest

from experiments.core.blocks import decode_blocks
from experiments.measure.encoders.groups import divide_objects, read_groups, read_shortcuts
from experiments.measure.encoders.passes import EMBEDDING, FEATURE, RANDOM, UNTRAINED
from experiments.networks.images import Labeled, Split
from tests.experiments.measure.encoders.planted import SIDE, make_passes

OBJECTS = 40


def draw_pictures(groups, object_size, shortcut_size, rng):
    """Pictures whose first row shows the class and whose second the shortcuts, with noise."""
    labels, background, digit = groups // 4, groups // 2 % 2, groups % 2
    images = rng.normal(120, 10, (len(groups), SIDE, SIDE, 3))
    images[:, 0] += object_size * (2 * labels - 1)[:, None, None]
    images[:, 1] += shortcut_size * (background + digit - 1)[:, None, None]
    return Labeled(np.clip(images, 0, 255).astype(np.uint8), labels, groups)


@pytest.fixture
def make_groups():
    def make(object_size, shortcut_size):
        rng = np.random.default_rng(0)
        balanced = np.repeat(np.arange(8), OBJECTS)
        biased = rng.choice([0, 7, 1, 6], 400, p=[0.48, 0.48, 0.02, 0.02])
        parts = [
            draw_pictures(groups, object_size, shortcut_size, rng)
            for groups in (biased, balanced, balanced)
        ]
        return make_passes(Split(*parts), "groups-contrastive")

    return make


def test_biased_probes_follow_shortcuts_where_they_are_all_there_is(make_groups):
    aligned, misled = read_shortcuts(make_groups(0, 40))
    assert (aligned.task, misled.task) == ("aligned", "misled")
    assert aligned.value > 0.95
    assert misled.value < 0.05
    assert aligned.n == 2 * OBJECTS
    aligned, misled = read_shortcuts(make_groups(60, 0))
    assert min(aligned.value, misled.value) > 0.95


def test_a_retrained_layer_repairs_groups_whose_objects_are_seen(make_groups):
    rows = list(read_groups(FEATURE, EMBEDDING, RANDOM, UNTRAINED)(make_groups(60, 40)))
    found = {(row.variant, row.layer, row.task, row.level): row for row in rows}
    for group in range(8):
        for split in ("validation", "test"):
            row = found["trained", "feature", f"group:{group}", f"split={split}"]
            assert row.value > 0.9
            assert row.n == (OBJECTS if split == "test" else OBJECTS // 2)
            assert len(decode_blocks(row.blocks, row.n)) == 20
    assert ("untrained", "feature", "group:0", "split=validation") not in found
    assert ("untrained", "feature", "group:0", "split=test") in found
    assert found["random_head", "embedding", "group:5", "split=test"].blocks.startswith("count3x")
    assert len(rows) == 8 * (3 * 2 + 1)


def test_shortcuts_alone_serve_groups_at_chance_after_retraining(make_groups):
    rows = read_groups(FEATURE)(make_groups(0, 40))
    accuracies = [row.value for row in rows if row.level == "split=test"]
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.1)


def test_halves_share_no_object():
    objects = np.tile(np.arange(10), 8)
    groups = np.repeat(np.arange(8), 10)
    first, second = divide_objects(groups)
    assert set(objects[first]) == set(range(5))
    assert set(objects[second]) == set(range(5, 10))
    assert len(np.unique(np.concatenate([first, second]))) == 80
