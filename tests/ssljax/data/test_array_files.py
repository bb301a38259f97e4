import numpy as np
import pytest

from ssljax.data.datasets import load_dataset
from ssljax.system.errors import UsageError


def arrays_file(path, **arrays):
    np.savez(path, **arrays)
    return f"arrays:{path}"


IMAGES = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)
LABELS = np.array([0, 2, 1, 0])


def test_images_without_channels_are_gray_and_test_images_are_a_split(tmp_path):
    name = arrays_file(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    train = load_dataset(name, "train")
    np.testing.assert_array_equal(train.images[..., 0], IMAGES)
    np.testing.assert_array_equal(train.labels, LABELS)
    assert train.num_classes == 3
    assert train.name == name
    assert len(load_dataset(name, "all").images) == 4
    with pytest.raises(UsageError, match="no test_images"):
        load_dataset(name, "test")


@pytest.mark.parametrize("channels", [(), (3,)])
def test_medmnist_keys_are_accepted(tmp_path, channels):
    count = {"train": 5, "val": 2, "test": 3}
    arrays = {}
    for part, number in count.items():
        arrays[f"{part}_images"] = np.full((number, 28, 28, *channels), number, np.uint8)
        arrays[f"{part}_labels"] = np.arange(number, dtype=np.uint8)[:, None] % 3
    name = arrays_file(tmp_path / "m.npz", **arrays)
    for part, number in count.items():
        loaded = load_dataset(name, part)
        assert loaded.images.shape == (number, 28, 28, 3 if channels else 1)
        assert (loaded.images == number).all()
        assert loaded.labels.tolist() == [i % 3 for i in range(number)]
        assert loaded.num_classes == 3
    assert len(load_dataset(name, "all")) == 8


@pytest.mark.parametrize(
    ("labels", "expected", "told"),
    [
        (np.array([1, 2, 3, 1]), [0, 1, 2, 0], "3 labels from 1 to 3 are numbered from 0 to 2"),
        (np.array([0, 7, 5, 0], np.uint64), [0, 2, 1, 0], "3 labels from 0 to 7"),
        (np.array([0, 2**40, 1, 0], np.uint64), [0, 2, 1, 0], "to 1099511627776"),
        (np.array([[2], [0], [1], [1]]), [2, 0, 1, 1], ""),
        (np.array([True, False, True, True]), [1, 0, 1, 1], ""),
        (None, [-1] * 4, "no labels"),
    ],
)
def test_labels_are_numbered_from_0_and_what_was_changed_is_said(
    tmp_path, capsys, labels, expected, told
):
    arrays = {"images": IMAGES} | ({} if labels is None else {"labels": labels})
    loaded = load_dataset(arrays_file(tmp_path / "a.npz", **arrays), "train")
    assert loaded.labels.tolist() == expected
    assert loaded.labels.dtype == np.int32
    assert loaded.num_classes == max(expected) + 1
    found = capsys.readouterr().err
    assert told in found if told else found == ""


def test_a_class_of_the_test_images_alone_shifts_no_label(tmp_path, capsys):
    name = arrays_file(
        tmp_path / "b.npz",
        images=IMAGES[..., None],
        labels=np.array([0, 2, 0, 2]),
        test_images=IMAGES[:2, ..., None],
        test_labels=np.array([1, 0]),
    )
    assert load_dataset(name, "train").labels.tolist() == [0, 2, 0, 2]
    assert load_dataset(name, "test").labels.tolist() == [1, 0]
    assert load_dataset(name, "train").num_classes == 3
    assert capsys.readouterr().err.count("no training image has the label 1;") == 1


COLOR = np.zeros((4, 3, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": COLOR, "labels": LABELS}, r"channels-first.*transpose\(images, \(0, 2, 3, 1"),
        ({"images": COLOR[:, :1], "labels": LABELS}, "channels-first"),
        ({"images": np.zeros((4, 8, 8, 4), np.uint8), "labels": LABELS}, "alpha"),
        ({"images": np.zeros((4, 8, 8, 2), np.uint8), "labels": LABELS}, "alpha"),
        ({"images": IMAGES / 255, "labels": LABELS}, r"float64 .*round\(255 \* images"),
        ({"images": np.full((4, 6, 5), np.nan), "labels": LABELS}, "NaN"),
        ({"images": IMAGES.astype(np.uint16), "labels": LABELS}, "uint16 .*images // 257"),
        ({"images": IMAGES, "labels": LABELS[:3]}, "for 4 images"),
        ({"images": IMAGES, "labels": np.eye(4, dtype=int)}, "one class for each image"),
        ({"images": IMAGES, "labels": LABELS / 2}, "wanted integers"),
        ({"images": IMAGES, "labels": LABELS - 1}, "label -1"),
        ({"images": IMAGES, "labels": np.full(4, 2**63, np.uint64)}, r"below 2\*\*63"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "images of"),
        ({"images": IMAGES, "test_images": IMAGES, "test_labels": LABELS}, "some of its splits"),
        ({"x": IMAGES, "y": LABELS}, r"no images or train_images \(it holds x, y\)"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(tmp_path, arrays, message):
    name = arrays_file(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError, match=message) as error:
        load_dataset(name, "train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"text", None, "truncated"])
def test_a_damaged_or_missing_arrays_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "a.npz"
    if content == "truncated":
        arrays_file(path, images=np.tile(IMAGES, (100, 1, 1)), labels=np.tile(LABELS, 100))
        path.write_bytes(path.read_bytes()[:1000])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.npz") as error:
        load_dataset(f"arrays:{path}", "train")
    assert "\n" not in str(error.value)
