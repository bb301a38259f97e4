"""Images of every task, made of handwritten digits in the smoke tier."""

import dataclasses

import numpy as np
import pytest

from experiments.errors import InputError
from experiments.networks import images
from experiments.networks.images import (
    SMOKE_COUNTS,
    SOURCES,
    average_pixels,
    fingerprint,
    load_task,
    load_training_images,
    take_first,
)
from experiments.networks.sizes import SIZES
from ssljax.data.datasets import Dataset

SIZE = SIZES["smoke"]
NOISE = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
NOISY = Dataset(NOISE, np.arange(5, dtype=np.int32), 1 / 255, 5, "random")


@pytest.mark.parametrize("task", SOURCES)
def test_every_task_has_images_to_fit_on_and_to_test_on(task):
    split = load_task(task, "base", "smoke")
    assert (split.validation is not None) == (task in images.GROUP_TASKS)
    for part in filter(None, split):
        side = 32 if task == "corruptions" else 16  # as stored: its formulas are made for 32
        assert part.images.shape[1:] == ((8, 8, 1) if task == "digits" else (side, side, 3))
        assert part.images.dtype == np.uint8
        assert len(part.images) == len(part.labels)
        assert np.bincount(part.labels).min() > 0  # every class occurs, from 0 on
    if task not in images.GROUP_TASKS:
        assert len(split.train.labels) == SIZE.probe_labels
        assert len(split.test.labels) == SIZE.num_test


def test_tasks_on_the_same_pictures_differ_in_their_labels_only():
    digit, background, clean = (
        load_task(task, "digits-full", "smoke").test for task in ("digit", "background", "cifar10")
    )
    np.testing.assert_array_equal(digit.images, background.images)
    np.testing.assert_array_equal(background.labels, clean.labels)
    mnist, parity = (load_task(task, "base", "smoke").test for task in ("mnist", "parity"))
    np.testing.assert_array_equal(digit.labels, mnist.labels)
    np.testing.assert_array_equal(parity.labels, mnist.labels % 2)
    assert (np.ptp(mnist.images, axis=3) == 0).all()
    assert np.ptp(clean.images, axis=3).mean() > 10


def test_digits_on_images_are_shown_as_the_network_saw_them():
    clean = load_task("cifar10", "base", "smoke").test.images.astype(int)
    full, faint, large = (
        np.abs(load_task("digit", name, "smoke").test.images.astype(int) - clean)
        for name in ("digits-full", "digits-faint", "digits-split")
    )
    inside = np.zeros((16, 16), bool)
    inside[4:12, 4:12] = True  # 16 of 32 pixels
    assert full[:, ~inside].max() == 0 < full[:, inside].max()
    assert faint.sum() < 0.55 * full.sum()
    assert large[:, ~inside].max() > 0
    assert load_training_images("digits-full", "smoke").has_ink


def test_test_objects_are_the_same_in_all_groups_of_their_class_in_one_order():
    split = load_task("group:5", "groups-contrastive", "smoke")
    for part in (split.test, split.validation):
        assert part is not None
        assert part.groups is not None
        count = SMOKE_COUNTS.objects
        np.testing.assert_array_equal(part.groups, np.repeat(np.arange(8), count))
        objects = part.images[:, 4:12, 4:12].reshape(2, 4, count, -1)
        assert (objects == objects[:, :1]).all()
        assert len(np.unique(objects[:, 0].reshape(2 * count, -1), axis=0)) == 2 * count
    groups = split.train.groups
    assert groups is not None
    own = np.mean((groups // 2 % 2 == split.train.labels) & (groups % 2 == split.train.labels))
    assert 0.85 < own < 0.95


def test_pixels_are_averaged_over_squares_and_rounded_up_at_a_half():
    found = average_pixels(NOISY, 4).images
    for place in np.ndindex(5, 4, 4, 3):
        image, y, x, channel = place
        square = NOISE[image, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2, channel].astype(float)
        assert found[place] == np.floor(square.mean() + 0.5)
    np.testing.assert_array_equal(average_pixels(NOISY, 8).images, NOISE)
    with pytest.raises(InputError, match="divides 8"):
        average_pixels(NOISY, 3)


def test_a_fingerprint_changes_with_pixels_labels_and_groups():
    changed = (
        NOISY,
        dataclasses.replace(NOISY, images=NOISE ^ np.uint8(1)),
        dataclasses.replace(NOISY, labels=NOISY.labels[::-1]),
        dataclasses.replace(NOISY, groups=NOISY.labels),
        take_first(NOISY, 4),
    )
    assert len({fingerprint(dataset) for dataset in changed}) == len(changed)


def test_an_unknown_task_is_refused():
    with pytest.raises(InputError, match="no images of 'cats'"):
        load_task("cats", "base", "smoke")
