import numpy as np
import pytest

from ssljax.data.composites import (
    BACKGROUND_CLASSES,
    DESIGNS,
    GROUP_NAMES,
    OBJECT_CLASSES,
    Design,
    divide_objects,
    group_counts,
    load_two_shortcuts,
    make_two_shortcuts,
    resize_gray,
)
from ssljax.data.datasets import Dataset
from ssljax.data.sources import wrap_dataset
from ssljax.system.errors import UsageError

# Every image is flat and its level names its class and its number: pictures can be read back.
NUMBER = np.tile(np.arange(6), 10)
LABELS = np.repeat(np.arange(10), 6)
FLAT = np.zeros((60, 32, 32, 3), np.uint8)
FLAT[:] = np.stack([20 * LABELS, 10 + NUMBER, 0 * LABELS], axis=1)[:, None, None]
IMAGES = Dataset(FLAT, LABELS, 1 / 255, 10, "cifar10")
STROKES = np.zeros((20, 28, 28, 1), np.uint8)
STROKES[:10, 4:24, 12:16] = 255
STROKES[10:, 10:18, 4:24] = 250
DIGITS = Dataset(STROKES, np.repeat([0, 1], 10), 1 / 255, 10, "mnist")
SMALL = Design(6, 0.75, 0.5)


@pytest.mark.parametrize("side", [32, 64])
def test_object_background_and_digit_are_those_of_the_group_in_their_places(side):
    made = make_two_shortcuts(IMAGES, DIGITS, SMALL, seed=3, side=side)
    q = side // 4
    ink = np.stack([resize_gray(STROKES[i, None, :, :, 0], q)[0] for i in (0, 10)])
    for picture, label, group in zip(made.images, made.labels, made.groups):
        assert group // 4 == label
        assert picture[side // 2, side // 2, 0] == 20 * (1, 7)[label]
        assert picture[q, q, 0] == 20 * (1, 7)[label]
        corner = picture[0, 0, 0] // 20
        assert corner in BACKGROUND_CLASSES[group // 2 % 2]
        assert picture[q - 1, q, 0] // 20 == corner
        digit = picture[3 * q :, (side - q) // 2 : (side + q) // 2]
        shape = ink[group % 2]
        np.testing.assert_array_equal(digit[..., 1][shape > 0], shape[shape > 0])
        assert set(digit[..., 0][shape == 0]) == {20 * corner}


def test_groups_have_exactly_the_counts_of_the_design():
    assert group_counts(DESIGNS["train"]).tolist() == [3610, 190, 190, 10, 10, 190, 190, 3610]
    assert DESIGNS["val"] == DESIGNS["test"]
    assert group_counts(DESIGNS["test"]).tolist() == [1000] * 8
    made = make_two_shortcuts(IMAGES, DIGITS, SMALL, seed=0)
    counts = np.bincount(made.groups, minlength=8)
    assert counts[:4].sum() == counts[4:].sum() == 6
    assert (made.images.shape, made.num_classes) == ((12, 32, 32, 3), 2)
    assert made.group_names[6] == GROUP_NAMES[6] == "horse, land background, digit zero"


def test_each_correlation_is_set_for_itself():
    for design in (Design(100, 0.9, 0.5), Design(100, 0.2, 1.0)):
        counts = group_counts(design).reshape(2, 2, 2)
        for label in (0, 1):
            of_class = counts[label]
            assert of_class[label].sum() == round(100 * design.background)
            assert of_class[:, label].sum() == round(100 * design.digit)


def test_objects_are_not_repeated_while_there_are_enough_and_the_seed_decides():
    made = make_two_shortcuts(IMAGES, DIGITS, SMALL, seed=0)
    numbers = made.images[:, 16, 16, 1]
    for label in (0, 1):
        assert sorted(numbers[made.labels == label] - 10) == list(range(6))
    again = make_two_shortcuts(IMAGES, DIGITS, SMALL, seed=0)
    other = make_two_shortcuts(IMAGES, DIGITS, SMALL, seed=1)
    np.testing.assert_array_equal(made.images, again.images)
    assert (made.images != other.images).any()


def test_four_pictures_of_each_object_put_it_in_all_groups_of_its_class_in_one_order():
    made = make_two_shortcuts(IMAGES, DIGITS, Design(24, 0.5, 0.5), seed=2)
    numbers = made.images[:, 16, 16, 1] - 10
    assert made.groups is not None
    np.testing.assert_array_equal(made.groups, np.repeat(np.arange(8), 6))
    np.testing.assert_array_equal(numbers.reshape(8, 6), np.tile(np.arange(6), (8, 1)))


def test_designs_and_sets_that_cannot_be_meant_are_refused():
    with pytest.raises(UsageError, match="fractions"):
        make_two_shortcuts(IMAGES, DIGITS, Design(6, 1.2, 0.5), seed=0)
    with pytest.raises(UsageError, match="multiple of 4"):
        make_two_shortcuts(IMAGES, DIGITS, SMALL, seed=0, side=30)
    few = Dataset(FLAT[:6], LABELS[:6], 1 / 255, 10, "a few")
    with pytest.raises(UsageError, match="a few has no images of class"):
        make_two_shortcuts(few, DIGITS, SMALL, seed=0)


def test_training_and_validation_show_different_objects(monkeypatch):
    sources = {"cifar10": IMAGES, "mnist": DIGITS}
    monkeypatch.setattr("ssljax.data.composites._HELD_OUT", 2)
    monkeypatch.setattr(
        "ssljax.data.composites.open_split", lambda name, *rest: wrap_dataset(sources[name])
    )
    monkeypatch.setattr("ssljax.data.composites.DESIGNS", {"train": SMALL, "val": SMALL})
    numbers = {}
    for split in ("train", "val"):
        made = load_two_shortcuts(split, None, None)
        assert made.name == "two_shortcuts"
        numbers[split] = set((made.images[:, 16, 16, 1] - 10).tolist())
        assert made.images[:, 0, 0, 0].max() < 20 * 9  # backgrounds are shared, objects are none
    assert numbers == {"train": {0, 1, 2, 3}, "val": {4, 5}}
    with pytest.raises(UsageError, match="no all split"):
        load_two_shortcuts("all", None, None)


def test_held_out_objects_are_the_last_of_each_class_and_never_all():
    train, val = divide_objects(IMAGES, 2)
    assert len(train) == len(IMAGES) - 4
    for classes in OBJECT_CLASSES:
        rows = np.flatnonzero(np.isin(IMAGES.labels, classes))
        of_class = np.isin(val.labels, classes)
        np.testing.assert_array_equal(val.images[of_class], IMAGES.images[rows[-2:]])
    with pytest.raises(UsageError, match="not all"):
        divide_objects(IMAGES, 6)
