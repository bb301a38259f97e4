"""Image data sets by name: digits, TFDS directories, folders, composites, arrays from a file.

Images stay uint8 until they are on the device; `pixel_scale` maps them to floats there.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssljax.data.composites import load_mnist_on_cifar
from ssljax.data.folders import open_class_folders, open_urbancars, open_waterbirds
from ssljax.data.shortcuts import load_two_shortcuts
from ssljax.data.sources import (
    RESIDENT_GIB,
    Dataset,
    ImageSource,
    OnDamaged,
    Progress,
    in_memory,
    joined,
)
from ssljax.data.tfds import open_split
from ssljax.system.errors import UsageError

__all__ = [
    "DATASET_NAMES",
    "SPLITS",
    "Dataset",
    "ImageSource",
    "OnDamaged",
    "Progress",
    "load_dataset",
    "open_dataset",
]

ARRAYS_PREFIX = "arrays:"
NUM_TRAINING_DIGITS = 1300
PHOTOGRAPH_SIDE = 224
"""Height and width that images of different sizes are decoded to by default."""


class _Prepared(NamedTuple):
    """A TFDS data set: its name there, its label, and its split for each of ours."""

    name: str
    label: str
    splits: Mapping[str, str]


_TRAIN_TEST = {"train": "train", "test": "test"}
_TFDS = {
    "cifar10": _Prepared("cifar10", "label", _TRAIN_TEST),
    "cifar100": _Prepared("cifar100", "label", _TRAIN_TEST),
    "cifar100_coarse": _Prepared("cifar100", "coarse_label", _TRAIN_TEST),
    "mnist": _Prepared("mnist", "label", _TRAIN_TEST),
    "stl10": _Prepared("stl10", "label", {**_TRAIN_TEST, "unlabelled": "unlabelled"}),
    "imagenet2012": _Prepared("imagenet2012", "label", {"train": "train", "test": "validation"}),
    "imagenet_r": _Prepared("imagenet_r", "label", {"test": "test"}),
    "imagenet_a": _Prepared("imagenet_a", "label", {"test": "test"}),
}
_CORRUPTED = {
    "cifar10_corrupted": {"test": "test"},
    "imagenet2012_corrupted": {"test": "validation"},
}
_FOLDERS = {
    "folder": open_class_folders,
    "waterbirds": open_waterbirds,
    "urbancars": open_urbancars,
}
_COMPOSITES = {"mnist_on_cifar": load_mnist_on_cifar, "two_shortcuts": load_two_shortcuts}
DATASET_NAMES = (
    "digits",
    *_TFDS,
    *(f"{name}/KIND_SEVERITY" for name in _CORRUPTED),
    *_COMPOSITES,
    *(f"{name}:PATH" for name in _FOLDERS),
    f"{ARRAYS_PREFIX}FILE.npz",
)
SPLITS = ("train", "test", "all", "val", "unlabelled")


def open_dataset(
    name: str,
    split: str,
    data_dir: str | None = None,
    *,
    side: int = PHOTOGRAPH_SIDE,
    progress: Progress | None = None,
) -> Dataset | ImageSource:
    """One split of a named data set, left on disk where it is stored image by image.

    Args:
        name: "digits" (8x8 handwritten digits bundled with scikit-learn, pixels 0 to 16);
            prepared as TFDS directories "cifar10", "cifar100", "cifar100_coarse" (the 20
            superclasses), "mnist", "stl10", "imagenet2012", "imagenet_r", "imagenet_a",
            "cifar10_corrupted/fog_5" and "imagenet2012_corrupted/fog_5" (any corruption and
            severity of TFDS); made of CIFAR-10 and MNIST "mnist_on_cifar" and "two_shortcuts";
            "folder:PATH" with a subfolder for each class, "waterbirds:PATH" and
            "urbancars:PATH" as published; or "arrays:FILE.npz" with keys `images` (uint8) and
            `labels`, and optionally `test_images` and `test_labels`.
        split: "train", "test", "all" (train, then test), and where they exist "val" and
            "unlabelled" (STL-10). Digits have 1300 training and 497 test images by a fixed
            permutation. An arrays file without test keys has no "test". ImageNet's test images
            are its validation split.
        data_dir: where the TFDS directories are; by default the environment variable
            TFDS_DATA_DIR, then TFDS's own default.
        side: height and width that photographs (ImageNet, folders) are decoded to.
        progress: called while what is small is read.

    Returns:
        A source, or the split in memory where it is made there.

    Raises:
        UsageError: for an unknown name or split, and for data that is missing or damaged.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; wanted one of {', '.join(SPLITS)}")
    if name.startswith(ARRAYS_PREFIX):
        _check_has(name, split, ("train", "test", "all"))
        return _arrays(name, split)
    if name == "digits":
        _check_has(name, split, ("train", "test", "all"))
        return _digits(split)
    if name in _COMPOSITES:
        return _COMPOSITES[name](split, data_dir, progress)
    kind, _, path = name.partition(":")
    if kind in _FOLDERS and path:
        _check_has(name, split, ("train", "val", "test"))
        return _FOLDERS[kind](path, split, side)
    prepared = _TFDS.get(name)
    base, _, corruption = name.partition("/")
    if base in _CORRUPTED:
        if not corruption:
            raise UsageError(f"{name} needs a corruption and its severity, such as {name}/fog_5")
        prepared = _Prepared(name, "label", _CORRUPTED[base])
    if prepared is None:
        raise UsageError(f"unknown data set {name!r}; known are {', '.join(DATASET_NAMES)}")
    parts = ("train", "test") if split == "all" else (split,)
    for part in parts:
        _check_has(name, part, tuple(prepared.splits))
    opened = [
        open_split(prepared.name, prepared.splits[part], prepared.label, data_dir, side)
        for part in parts
    ]
    return joined(opened, name)


def load_dataset(
    name: str,
    split: str,
    data_dir: str | None = None,
    *,
    side: int = PHOTOGRAPH_SIDE,
    on_damaged: OnDamaged = "refuse",
    limit_gib: float = RESIDENT_GIB,
    first: int = 0,
    progress: Progress | None = None,
) -> Dataset:
    """One split of a named data set, in memory.

    Args:
        name: as for `open_dataset`.
        split: as for `open_dataset`.
        data_dir: as for `open_dataset`.
        side: as for `open_dataset`.
        on_damaged: whether a damaged image or record is refused, or left out and named. An
            arrays file that is damaged is always refused.
        limit_gib: refuse to read more than this, in GiB.
        first: where the whole split exceeds the limit, read only that many images; 0: all.
        progress: called with (records read, records in all).

    Returns:
        The split, read completely.

    Raises:
        UsageError: for an unknown name or split, a set that exceeds the limit, and for data that
            is missing or damaged.
    """
    opened = open_dataset(name, split, data_dir, side=side, progress=progress)
    if isinstance(opened, Dataset):
        return opened
    part = range(min(first, len(opened))) if first and opened.gib > limit_gib else None
    return in_memory(
        opened, on_damaged=on_damaged, limit_gib=limit_gib, indices=part, progress=progress
    )


def _check_has(name, split, splits):
    if split not in splits:
        raise UsageError(f"{name} has no {split} split; it has {', '.join(splits)}")


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
        RuntimeError,  # encrypted, or packed by a method that zipfile does not know
        MemoryError,  # a damaged shape
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
    # Labels of the other split count too, so that both splits have the same classes.
    kinds = {key: arrays[key] for key in ("labels", "test_labels") if key in arrays}
    for key, array in kinds.items():
        if not np.issubdtype(array.dtype, np.integer) or array.size == 0 or array.max() >= 2**31:
            raise UsageError(f"{path} holds {key} of {array.dtype} {array.shape}; {needs}")
    num_classes = 1 + max(int(array.max()) for array in kinds.values())
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
