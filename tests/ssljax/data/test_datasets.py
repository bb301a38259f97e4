import io
import logging
import os
import pickle
import shutil
import types

import numpy as np
import pytest

from ssljax.data.datasets import Dataset, load_dataset, open_dataset
from ssljax.data.sources import Damaged, read_into_memory
from ssljax.data.tfds import open_split
from ssljax.system.errors import UsageError

DATA_DIR = os.environ.get("TFDS_DATA_DIR")
needs_data = pytest.mark.skipif(
    DATA_DIR is None, reason="no real images: set TFDS_DATA_DIR to prepared TFDS directories"
)


def test_digits_are_split_into_disjoint_fixed_parts_of_the_bundled_images():
    train, test, both = (load_dataset("digits", split) for split in ("train", "test", "all"))
    assert (len(train.images), len(test.images), len(both.images)) == (1300, 497, 1797)
    np.testing.assert_array_equal(np.concatenate([train.images, test.images]), both.images)
    np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), both.labels)
    assert both.images.dtype == np.uint8
    assert both.images.shape == (1797, 8, 8, 1)
    assert both.images.max() * both.pixel_scale == 1.0
    # Every class in both parts, about as often as by chance.
    assert np.bincount(test.labels, minlength=10).min() > 30
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    ours = {(image.tobytes(), label) for image, label in zip(both.images, both.labels)}
    theirs = {(p.astype(np.uint8).tobytes(), label) for p, label in zip(pixels, labels)}
    assert ours == theirs


def test_an_unknown_data_set_names_the_known_ones():
    with pytest.raises(UsageError, match="digits, cifar10, cifar100, cifar100_coarse, mnist"):
        load_dataset("cifar11", "train")


def test_an_unknown_split_names_the_known_ones():
    with pytest.raises(UsageError, match="train, test, all"):
        load_dataset("digits", "validation")


def test_a_missing_directory_names_the_remedy_and_leaves_nothing_behind(tmp_path):
    missing = tmp_path / "nowhere"
    with pytest.raises(UsageError, match=r"--data-dir.*pip install 'ssljax-lab\[prepare\]'"):
        load_dataset("cifar10", "train", str(missing))
    assert not missing.exists()


def test_an_empty_directory_names_the_remedy_where_nothing_can_prepare_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"not prepared.*pip install 'ssljax-lab\[prepare\]'"):
        load_dataset("cifar10", "train", str(tmp_path))


def image_file(size, level, kind="JPEG"):
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", size, (level, level, level)).save(buffer, kind)
    return io.BytesIO(buffer.getvalue())


def prepared(name, data_dir, splits, file_format="array_record"):
    """A TFDS directory of a stock data set, written by its own builder from given records."""
    import tensorflow_datasets as tfds

    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    builder = tfds.builder(name, data_dir=str(data_dir), file_format=file_format)
    builder._split_generators = types.MethodType(
        lambda self, _: {split: enumerate(records) for split, records in splits.items()}, builder
    )
    builder.download_and_prepare()
    logger.setLevel(level)


@pytest.fixture(scope="module")
def imagenet_like(tmp_path_factory):
    """ImageNet-R's layout with photographs of several sizes, one of them garbage, one cut short."""
    data_dir = tmp_path_factory.mktemp("tfds")
    files = [image_file((40 + 10 * i, 30 + 5 * i), 40 * i) for i in range(5)]
    files[1] = io.BytesIO(b"no image at all")
    files[3] = io.BytesIO(files[3].getvalue()[:400])
    records = [
        {"file_name": f"{i}.jpg", "image": file, "label": 100 + i} for i, file in enumerate(files)
    ]
    prepared("imagenet_r", data_dir, {"test": records})
    return str(data_dir)


def test_photographs_of_tfds_are_decoded_to_one_size_and_damaged_ones_named(imagenet_like):
    with pytest.raises(UsageError, match=r"record \d of imagenet_r test.*--on-damaged skip"):
        load_dataset("imagenet_r", "test", imagenet_like, side=16)
    loaded = load_dataset("imagenet_r", "test", imagenet_like, side=16, on_damaged="skip")
    assert loaded.images.shape == (3, 16, 16, 3)
    # TFDS shuffles what it writes, so the place of a record says nothing.
    assert sorted(loaded.labels) == [100, 102, 104]
    assert loaded.num_classes == 1000
    levels = 40.0 * (loaded.labels - 100)
    np.testing.assert_allclose(loaded.images[:, 0, 0, 0], levels, atol=2)
    assert len(loaded.damaged) == 2
    source = open_dataset("imagenet_r", "test", imagenet_like, side=16)
    copy = pickle.loads(pickle.dumps(source))  # what a worker process is sent
    kept = [example for example in copy.read(range(5)) if not isinstance(example, Damaged)]
    np.testing.assert_array_equal([example.image for example in kept], loaded.images)
    alone = [source.read([index])[0] for index in range(5)]
    labels = [example.label for example in alone if not isinstance(example, Damaged)]
    assert labels == [example.label for example in kept] == loaded.labels.tolist()
    with pytest.raises(UsageError, match="no train split; it has test"):
        load_dataset("imagenet_r", "train", imagenet_like)


def test_a_cut_record_file_is_refused_in_one_line(imagenet_like, tmp_path):
    shutil.copytree(os.path.join(imagenet_like, "imagenet_r"), tmp_path / "imagenet_r")
    file = next((tmp_path / "imagenet_r").glob("*/*.array_record*"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"record 0 of imagenet_r test .*RuntimeError") as error:
        load_dataset("imagenet_r", "test", str(tmp_path))
    with pytest.raises(UsageError, match="none of the 5 images of imagenet_r"):
        load_dataset("imagenet_r", "test", str(tmp_path), on_damaged="skip")
    assert "\n" not in str(error.value)


def test_stl10_has_its_unlabelled_split(tmp_path):
    files = [image_file((96, 96), 10 * i, "PNG") for i in range(6)]
    records = [{"image": file, "label": i - 1} for i, file in enumerate(files)]
    splits = {"train": records[1:3], "test": records[3:], "unlabelled": records[:1]}
    prepared("stl10", tmp_path, splits)
    unlabelled = load_dataset("stl10", "unlabelled", str(tmp_path))
    assert unlabelled.labels.tolist() == [-1]
    everything = load_dataset("stl10", "all", str(tmp_path))
    assert sorted(everything.images[:2, 0, 0, 0]) == [10, 20]
    assert sorted(everything.images[2:, 0, 0, 0]) == [30, 40, 50]
    assert everything.name == "stl10"


@needs_data
@pytest.mark.real_data
def test_a_set_prepared_without_random_access_names_the_remedy(tmp_path):
    directory = tmp_path / "mnist" / "3.0.1"
    shutil.copytree(os.path.join(str(DATA_DIR), "mnist", "3.0.1"), directory)
    for path in directory.glob("*.json"):
        path.write_text(path.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(UsageError, match="file_format='array_record'"):
        load_dataset("mnist", "test", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10_corrupted", "cifar10_corrupted/fog_5"),
        ("cifar10_corrupted/none_5", "no data set 'cifar10_corrupted/none_5'"),
        ("imagenet2012", r"obtained by hand first, see https://.*/imagenet2012"),
        ("folder:", "unknown data set"),
        ("folder:nowhere", "no folder nowhere"),
        ("imagenet_r", "not prepared"),
    ],
)
def test_what_is_not_there_is_said_in_one_line_with_the_way_to_it(
    tmp_path, monkeypatch, name, message
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    split = "train" if name in ("imagenet2012", "folder:nowhere") else "test"
    with pytest.raises(UsageError, match=message) as error:
        load_dataset(name, split, str(tmp_path))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def read(name, split, count):
    source = open_dataset(name, split, DATA_DIR)
    assert len(source) == 10_000
    return read_into_memory(source, indices=range(count))


@needs_data
@pytest.mark.real_data
def test_the_real_test_splits_have_their_sizes_classes_and_balance():
    calls = []
    cifar10 = load_dataset(
        "cifar10", "test", DATA_DIR, progress=lambda done, total: calls.append((done, total))
    )
    assert cifar10.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(cifar10.labels).tolist() == [1000] * 10
    assert calls[-1] == (10_000, 10_000)
    assert len(calls) > 5
    # Published channel means of CIFAR-10 (training set .4914, .4822, .4465).
    means = cifar10.images.mean(axis=(0, 1, 2)) * cifar10.pixel_scale
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=0.006)


@needs_data
@pytest.mark.real_data
def test_coarse_labels_are_a_function_of_the_fine_ones_on_the_same_images():
    fine, coarse = read("cifar100", "test", 2000), read("cifar100_coarse", "test", 2000)
    np.testing.assert_array_equal(fine.images, coarse.images)
    assert (fine.num_classes, coarse.num_classes) == (100, 20)
    pairs = set(zip(fine.labels.tolist(), coarse.labels.tolist()))
    assert len(pairs) == 100
    assert np.bincount([second for _, second in pairs]).tolist() == [5] * 20


@needs_data
@pytest.mark.real_data
def test_mnist_has_one_channel_and_ten_digits():
    mnist = read("mnist", "test", 100)
    assert mnist.images.shape == (100, 28, 28, 1)
    assert mnist.num_classes == 10
    assert isinstance(mnist, Dataset)


@needs_data
@pytest.mark.real_data
def test_damaged_records_are_refused_with_their_place(tmp_path):
    source = os.path.join(str(DATA_DIR), "mnist")
    shutil.copytree(source, tmp_path / "mnist")
    damaged = next((tmp_path / "mnist").glob("*/*test.array_record*"))
    content = bytearray(damaged.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200_000] = bytes(200_000)
    damaged.write_bytes(content)
    source = open_split("mnist", "test", "label", str(tmp_path), 0)
    with pytest.raises(UsageError, match="of mnist test") as error:
        read_into_memory(source, indices=range(4500, 6500))
    assert "\n" not in str(error.value)
    loaded = read_into_memory(source, on_damaged="skip", indices=range(4500, 6500))
    assert 400 < len(loaded.damaged) < 700  # records of some 380 bytes
    assert len(loaded.damaged) + len(loaded.images) == 2000
