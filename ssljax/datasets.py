"""Image data sets, read into memory once: embedded digits, TFDS directories, arrays from a file.

Images stay uint8 until they are on the device; `pixel_scale` maps them to floats there.
"""

import dataclasses
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ssljax.arrays import Int, UInt8
from ssljax.errors import UsageError

Progress = Callable[[int, int], None]
"""Called with (records read, records in all) while a split is read."""

ARRAYS_PREFIX = "arrays:"
NUM_TRAINING_DIGITS = 1300
_TFDS_NAMES = ("cifar10", "cifar100", "cifar100_coarse", "mnist")
DATASET_NAMES = ("digits", *_TFDS_NAMES, f"{ARRAYS_PREFIX}FILE.npz")
SPLITS = ("train", "test", "all")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A split of a data set, in memory.

    Attributes:
        images: (n, height, width, channels).
        labels: class of each image, from 0.
        pixel_scale: ``images * pixel_scale`` are floats from 0 to 1.
        num_classes: number of classes of the whole data set.
        name: as given to :func:`load_dataset`.
    """

    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]
    pixel_scale: float
    num_classes: int
    name: str


def load_dataset(
    name: str,
    split: str,
    data_dir: str | None = None,
    *,
    progress: Progress | None = None,
) -> Dataset:
    """One split of a named data set.

    Args:
        name: "digits" (8x8 handwritten digits bundled with scikit-learn, pixels 0 to 16);
            "cifar10", "cifar100", "cifar100_coarse" (the 20 superclasses), "mnist", prepared as
            TFDS directories; or "arrays:FILE.npz" with keys `images` (uint8) and `labels`, and
            optionally `test_images` and `test_labels`.
        split: "train", "test" or "all" (train, then test). Digits have 1300 training and 497
            test images by a fixed permutation. An arrays file without test keys has no "test".
        data_dir: where the TFDS directories are; by default the environment variable
            TFDS_DATA_DIR, then TFDS's own default.
        progress: called while records are read.

    Returns:
        The split, read completely.

    Raises:
        UsageError: for an unknown name or split, and for data that is missing or damaged.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; wanted one of {', '.join(SPLITS)}")
    if name == "digits":
        return _digits(split)
    if name.startswith(ARRAYS_PREFIX):
        return _arrays(name, split)
    if name in _TFDS_NAMES:
        return _tfds(name, split, data_dir, progress)
    raise UsageError(f"unknown data set {name!r}; known are {', '.join(DATASET_NAMES)}")


def _digits(split):
    from sklearn.datasets import load_digits  # noqa: PLC0415

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    rows = {
        "train": order[:NUM_TRAINING_DIGITS],
        "test": order[NUM_TRAINING_DIGITS:],
        "all": order,
    }[split]
    images = pixels[rows].astype(np.uint8).reshape(-1, 8, 8, 1)
    return Dataset(images, labels[rows].astype(np.int32), 1 / 16, 10, "digits")


def _tfds(name, split, data_dir, progress):
    from ssljax.tfds_source import read_split  # noqa: PLC0415

    directory, label = (
        ("cifar100", "coarse_label") if name == "cifar100_coarse" else (name, "label")
    )
    parts = [
        read_split(directory, part, label, data_dir, progress)
        for part in (("train", "test") if split == "all" else (split,))
    ]
    images = np.concatenate([part.images for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    return Dataset(images, labels, 1 / 255, parts[0].num_classes, name)


def _arrays(name, split):
    path = Path(name.removeprefix(ARRAYS_PREFIX))
    needs = "wanted an .npz file with uint8 images (n, height, width[, channels]) and labels (n,)"
    try:
        # Opened here: np.load leaves a file open that turns out not to be its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise UsageError(f"no file {path}; {needs}") from None
    except (
        OSError,
        ValueError,
        EOFError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UsageError(f"{path} cannot be read as an .npz file; {needs}") from error
    prefixes = {"train": ("",), "test": ("test_",), "all": ("", "test_")}[split]
    if split == "all" and "test_images" not in arrays:
        prefixes = ("",)
    pairs = []
    for prefix in prefixes:
        keys = (f"{prefix}images", f"{prefix}labels")
        missing = [key for key in keys if key not in arrays]
        if missing:
            found = ", ".join(arrays) or "nothing"
            raise UsageError(
                f"{path} has no {' and no '.join(missing)} (it holds {found}); {needs}"
            )
        pairs.append(_checked_pair(path, arrays[keys[0]], arrays[keys[1]], needs))
    images = np.concatenate([images for images, _ in pairs])
    labels = np.concatenate([labels for _, labels in pairs])
    num_classes = 1 + max(
        int(array.max()) for key, array in arrays.items() if key in ("labels", "test_labels")
    )
    return Dataset(images, labels, 1 / 255, num_classes, name)


def _checked_pair(path, images, labels, needs):
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.size == 0:
        raise UsageError(f"{path} holds images of {images.dtype} {images.shape}; {needs}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise UsageError(
            f"{path} holds labels of {labels.dtype} {labels.shape} for {len(images)} images; "
            f"{needs}"
        )
    if labels.min() < 0:
        raise UsageError(f"{path} holds the label {labels.min()}; labels count from 0")
    return images if images.ndim == 4 else images[..., None], labels.astype(np.int32)
