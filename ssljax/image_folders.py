"""Folders of image files with class and group labels, in the layouts they are published in.

A group is a class together with the attributes that are spuriously related to it. Images are
decoded into memory at one size: the shorter side scaled, the middle cut out.
"""

import csv
import itertools
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ssljax.arrays import Int
from ssljax.datasets import Dataset, Progress
from ssljax.errors import UsageError

URBANCARS_NAMES = ("urban", "country")
_WATERBIRDS_SPLITS = {"train": "0", "val": "1", "test": "2"}
_URBANCARS_RATIOS = {"train": "0.95", "val": "0.5", "test": "0.5"}
_EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class GroupedDataset(NamedTuple):
    """Images with a group each.

    Attributes:
        dataset: images and class labels.
        groups: group of each image, from 0.
        group_names: what the groups are.
        skipped: files that could not be decoded and were left out.
    """

    dataset: Dataset
    groups: Int[np.ndarray, " n"]
    group_names: tuple[str, ...]
    skipped: tuple[str, ...]


class _File(NamedTuple):
    path: Path
    label: int
    group: int


def load_class_folders(
    path: str | Path,
    side: int,
    *,
    damaged: Literal["refuse", "skip"] = "refuse",
    progress: Progress | None = None,
) -> GroupedDataset:
    """A folder with one subfolder per class, in sorted order (ImageNet, ImageNet-9).

    Args:
        path: the folder of one split.
        side: height and width to decode to.
        damaged: whether a file that cannot be decoded is refused or skipped and named.
        progress: called with (files decoded, files in all).

    Returns:
        The images; groups are the classes.

    Raises:
        UsageError: for a folder without images, and for a damaged file unless skipped.
    """
    root = _existing(Path(path), "one subfolder per class")
    classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
    files = [
        _File(file, label, label)
        for label, name in enumerate(classes)
        for file in _images_in(root / name)
    ]
    return _decoded(files, root, side, len(classes), tuple(classes), damaged, progress)


def load_waterbirds(
    path: str | Path,
    split: str,
    side: int,
    *,
    damaged: Literal["refuse", "skip"] = "refuse",
    progress: Progress | None = None,
) -> GroupedDataset:
    """Waterbirds: `metadata.csv` with img_filename, y (waterbird), place (water) and split.

    Args:
        path: the published folder, for instance waterbird_complete95_forest2water2.
        split: "train", "val" or "test".
        side: height and width to decode to.
        damaged: whether a file that cannot be decoded is refused or skipped and named.
        progress: called with (files decoded, files in all).

    Returns:
        The images; groups are ``2 y + place``.

    Raises:
        UsageError: for an unknown split, a folder without a usable metadata.csv, or a damaged
            file unless skipped.
    """
    _check_split(split)
    root = _existing(Path(path), "metadata.csv and image files")
    table = root / "metadata.csv"
    wanted = "wanted columns img_filename, y, place, split with y and place 0 or 1"
    try:
        with table.open(newline="") as file:
            files = [
                _File(
                    root / row["img_filename"], int(row["y"]), 2 * int(row["y"]) + int(row["place"])
                )
                for row in csv.DictReader(file)
                if row["split"] == _WATERBIRDS_SPLITS[split]
            ]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{table} cannot be used ({type(error).__name__}); {wanted}") from error
    if any(not 0 <= file.group <= 3 or file.label not in (0, 1) for file in files):
        raise UsageError(f"{table} holds other classes or places; {wanted}")
    names = tuple(
        f"{bird} on {place}"
        for bird, place in itertools.product(("landbird", "waterbird"), ("land", "water"))
    )
    return _decoded(files, root, side, 2, names, damaged, progress)


def load_urbancars(
    path: str | Path,
    split: str,
    side: int,
    *,
    damaged: Literal["refuse", "skip"] = "refuse",
    progress: Progress | None = None,
) -> GroupedDataset:
    """UrbanCars: car, background and co-occurring object, each urban or country.

    The published layout: ``bg-0.95_co_occur_obj-0.95/train`` and ``bg-0.5_co_occur_obj-0.5/val``
    or ``/test``, each with folders ``obj-NAME_bg-NAME_co_occur_obj-NAME``.

    Args:
        path: the folder that holds these.
        split: "train", "val" or "test".
        side: height and width to decode to.
        damaged: whether a file that cannot be decoded is refused or skipped and named.
        progress: called with (files decoded, files in all).

    Returns:
        The images; the class is the car, groups are ``4 car + 2 background + object``.

    Raises:
        UsageError: for an unknown split, a missing folder, or a damaged file unless skipped.
    """
    _check_split(split)
    ratio = _URBANCARS_RATIOS[split]
    folder = Path(path) / f"bg-{ratio}_co_occur_obj-{ratio}" / split
    root = _existing(folder, "the eight folders obj-..._bg-..._co_occur_obj-...")
    files, names = [], []
    for group, (car, background, other) in enumerate(itertools.product(URBANCARS_NAMES, repeat=3)):
        names.append(f"{car} car, {background} background, {other} object")
        inside = root / f"obj-{car}_bg-{background}_co_occur_obj-{other}"
        files += [_File(file, group // 4, group) for file in _images_in(inside)]
    return _decoded(files, root, side, 2, tuple(names), damaged, progress)


def _check_split(split):
    if split not in _WATERBIRDS_SPLITS:
        raise UsageError(f"unknown split {split!r}; wanted train, val or test")


def _existing(path, content):
    if not path.is_dir():
        raise UsageError(f"no folder {path}; wanted the published folder with {content}")
    return path


def _images_in(folder):
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _EXTENSIONS)


def _decoded(files, root, side, num_classes, group_names, damaged, progress):
    if not files:
        raise UsageError(f"{root} holds no images of this split; wanted the published layout")
    images = np.empty((len(files), side, side, 3), np.uint8)
    kept, skipped = [], []
    for done, file in enumerate(files, start=1):
        try:
            images[len(kept)] = _image(file.path, side)
            kept.append(file)
        except (OSError, ValueError, SyntaxError) as error:
            if damaged == "refuse":
                raise UsageError(
                    f"{file.path} cannot be decoded ({type(error).__name__}); restore it, or load "
                    "with damaged='skip' to leave such files out"
                ) from error
            skipped.append(str(file.path))
        if progress is not None:
            progress(done, len(files))
    if not kept:
        raise UsageError(f"none of the {len(files)} images in {root} can be decoded; restore them")
    labels = np.array([file.label for file in kept], np.int32)
    groups = np.array([file.group for file in kept], np.int32)
    dataset = Dataset(images[: len(kept)], labels, 1 / 255, num_classes, str(root))
    return GroupedDataset(dataset, groups, group_names, tuple(skipped))


def _image(path, side):
    """RGB pixels: shorter side scaled to `side` (bilinear, antialiased), the middle cut out."""
    from PIL import Image  # noqa: PLC0415

    with Image.open(path) as file:
        image = file.convert("RGB")
    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), np.uint8)
