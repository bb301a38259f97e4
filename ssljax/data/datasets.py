"""Image data sets by name: a table with one line for each.

Images stay uint8 until they are on the device; `pixel_scale` maps them to floats there.
"""

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssljax.data.array_files import ARRAY_SPLITS, load_array_file
from ssljax.data.composites import DIGIT_SIDE, load_mnist_on_cifar, load_two_shortcuts
from ssljax.data.folders import Decoded, open_class_folders, open_urbancars, open_waterbirds
from ssljax.data.sources import (
    RESIDENT_GIB,
    Dataset,
    ImageSource,
    OnDamaged,
    Progress,
    join_sources,
    read_into_memory,
)
from ssljax.data.tfds import open_split
from ssljax.system.errors import UsageError

__all__ = [
    "DATASETS",
    "DATASET_NAMES",
    "SPLITS",
    "Dataset",
    "ImageSource",
    "OnDamaged",
    "Progress",
    "load_dataset",
    "open_dataset",
]

NUM_TRAINING_DIGITS = 1300
PHOTOGRAPH_SIDE = 224
"""Height and width that images of different sizes are decoded to by default."""

SPLITS = ("train", "test", "all", "val", "unlabelled")


class Request(NamedTuple):
    """What is asked of a data set.

    Attributes:
        name: as the user gave it.
        argument: its part after the colon or slash: a path, or a corruption.
        split: one that the data set has.
        data_dir: where TFDS directories are.
        decoded: size of photographs.
        digit_side: height and width of digits on images.
        progress: called while what is small is read.
    """

    name: str
    argument: str
    split: str
    data_dir: str | None
    decoded: Decoded
    digit_side: int
    progress: Progress | None


class Entry(NamedTuple):
    """A data set of the table.

    Attributes:
        open: returns the images of a request, in memory or as a source.
        splits: what splits there are.
        argument: what follows the name, for instance ":PATH"; empty for nothing.
    """

    open: Callable[[Request], Dataset | ImageSource]
    splits: tuple[str, ...]
    argument: str = ""


def _make_tfds_entry(
    tfds_name: str = "", label: str = "label", argument: str = "", **splits: str
) -> Entry:
    """Return the entry of a data set that TFDS prepares: its label and its splits for ours."""
    splits = splits or {"train": "train", "test": "test"}
    joint = ("all",) if {"train", "test"} <= set(splits) else ()

    def open_prepared(request: Request) -> ImageSource:
        parts = ("train", "test") if request.split == "all" else (request.split,)
        side, squeezed_into = request.decoded
        name = tfds_name or request.name
        opened = [
            open_split(name, splits[part], label, request.data_dir, side, squeezed_into)
            for part in parts
        ]
        return join_sources(opened, request.name)

    return Entry(open_prepared, (*splits, *joint), argument)


def _read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return what load_digits of scikit-learn does, whose import alone takes a CPU second."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise UsageError("the digits come with scikit-learn: pip install scikit-learn")
    folder = Path(found.submodule_search_locations[0])
    with gzip.open(folder / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :-1], table[:, -1].astype(int)


def _open_digits(request: Request) -> Dataset:
    pixels, labels = _read_digits()
    order = np.random.default_rng(0).permutation(len(pixels))
    rows = {
        "train": order[:NUM_TRAINING_DIGITS],
        "test": order[NUM_TRAINING_DIGITS:],
        "all": order,
    }[request.split]
    images = pixels[rows].astype(np.uint8).reshape(-1, 8, 8, 1)
    return Dataset(images, labels[rows].astype(np.int32), 1 / 16, 10, "digits")


_FOLDER_SPLITS = ("train", "val", "test")
_KIND = "/KIND_SEVERITY"

DATASETS = {
    "digits": Entry(_open_digits, ("train", "test", "all")),
    "cifar10": _make_tfds_entry(),
    "cifar100": _make_tfds_entry(),
    "cifar100_coarse": _make_tfds_entry("cifar100", "coarse_label"),
    "mnist": _make_tfds_entry(),
    "stl10": _make_tfds_entry(train="train", test="test", unlabelled="unlabelled"),
    "imagenet2012": _make_tfds_entry(train="train", test="validation"),
    "imagenet_r": _make_tfds_entry(test="test"),
    "imagenet_a": _make_tfds_entry(test="test"),
    "cifar10_corrupted": _make_tfds_entry(argument=_KIND, test="test"),
    "imagenet2012_corrupted": _make_tfds_entry(argument=_KIND, test="validation"),
    "mnist_on_cifar": Entry(
        lambda ask: load_mnist_on_cifar(
            ask.split, ask.data_dir, ask.progress, digit_side=ask.digit_side
        ),
        ("train", "test"),
    ),
    "two_shortcuts": Entry(
        lambda ask: load_two_shortcuts(ask.split, ask.data_dir, ask.progress), _FOLDER_SPLITS
    ),
    "folder": Entry(
        lambda ask: open_class_folders(ask.argument, ask.split, ask.decoded),
        _FOLDER_SPLITS,
        ":PATH",
    ),
    "waterbirds": Entry(
        lambda ask: open_waterbirds(ask.argument, ask.split, ask.decoded), _FOLDER_SPLITS, ":PATH"
    ),
    "urbancars": Entry(
        lambda ask: open_urbancars(ask.argument, ask.split, ask.decoded), _FOLDER_SPLITS, ":PATH"
    ),
    "arrays": Entry(
        lambda ask: load_array_file(ask.argument, ask.split, ask.name), ARRAY_SPLITS, ":FILE.npz"
    ),
}
"""The data sets. To add one: a function that opens it, and a line here."""

DATASET_NAMES = tuple(f"{name}{entry.argument}" for name, entry in DATASETS.items())


def open_dataset(
    name: str,
    split: str,
    data_dir: str | None = None,
    *,
    side: int = PHOTOGRAPH_SIDE,
    squeezed_into: int = 0,
    digit_side: int = DIGIT_SIDE,
    progress: Progress | None = None,
) -> Dataset | ImageSource:
    """Open one split of a named data set, left on disk where it is stored image by image.

    Args:
        name: "digits" (8x8 handwritten digits bundled with scikit-learn, pixels 0 to 16);
            prepared as TFDS directories "cifar10", "cifar100", "cifar100_coarse" (the 20
            superclasses), "mnist", "stl10", "imagenet2012", "imagenet_r", "imagenet_a",
            "cifar10_corrupted/fog_5" and "imagenet2012_corrupted/fog_5" (any corruption and
            severity of TFDS); made of CIFAR-10 and MNIST "mnist_on_cifar" and "two_shortcuts";
            "folder:PATH" with a subfolder for each class or image files alone, "waterbirds:PATH"
            and "urbancars:PATH" as published; or "arrays:FILE.npz"
            (:func:`ssljax.data.array_files.load_array_file`).
        split: "train", "test", "all" (train, then test), and where they exist "val" and
            "unlabelled" (STL-10). Digits have 1300 training and 497 test images by a fixed
            permutation. An arrays file without test keys has no "test". ImageNet's test images
            are its validation split.
        data_dir: where the TFDS directories are; by default the environment variable
            TFDS_DATA_DIR, then TFDS's own default.
        side: height and width that photographs (ImageNet, folders) are decoded to.
        squeezed_into: side of the square that whole photographs are squeezed into, for random
            crops of all of them; 0: their middle is cut out.
        digit_side: height and width of the digits of "mnist_on_cifar".
        progress: called while what is small is read.

    Returns:
        A source, or the split in memory where it is made there.

    Raises:
        UsageError: for an unknown name or split, and for data that is missing or damaged.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; wanted one of {', '.join(SPLITS)}")
    kind, separator, argument = _split_name(name)
    entry = DATASETS.get(kind)
    if entry is None or bool(argument and separator) != bool(entry.argument):
        if entry is not None and entry.argument.startswith("/"):
            raise UsageError(f"{name} needs a corruption and its severity, such as {name}/fog_5")
        raise UsageError(f"unknown data set {name!r}; known are {', '.join(DATASET_NAMES)}")
    if split not in entry.splits:
        raise UsageError(f"{name} has no {split} split; it has {', '.join(entry.splits)}")
    decoded = Decoded(side, squeezed_into)
    request = Request(name, argument, split, data_dir, decoded, digit_side, progress)
    return entry.open(request)


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
    """Read one split of a named data set into memory.

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
    return read_into_memory(
        opened, on_damaged=on_damaged, limit_gib=limit_gib, indices=part, progress=progress
    )


def _split_name(name):
    """Split a name into the part before its separator, the separator and its argument."""
    return name.partition(":") if ":" in name else name.partition("/")
