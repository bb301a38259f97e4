"""Folders of image files with class and group labels, in the layouts they are published in.

A group is a class together with the attributes that are spuriously related to it. Every image is
decoded at one size: the shorter side scaled, the middle cut out.
"""

import csv
import dataclasses
import itertools
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ssljax.data.decoding import photograph, undecodable
from ssljax.data.sources import Damaged, Example, ImageSource
from ssljax.system.errors import UsageError

URBANCARS_NAMES = ("urban", "country")
_WATERBIRDS_SPLITS = {"train": "0", "val": "1", "test": "2"}
_URBANCARS_RATIOS = {"train": "0.95", "val": "0.5", "test": "0.5"}
_SPLIT_FOLDERS = {
    "train": ("train",),
    "val": ("val", "validation"),
    "test": ("test", "val", "validation"),
}
_EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class _File(NamedTuple):
    path: Path
    label: int
    group: int


@dataclasses.dataclass(frozen=True)
class Files:
    """Decodes image files."""

    files: tuple[_File, ...]
    side: int

    def __call__(self, indices: Sequence[int]) -> list[Example | Damaged]:
        """The examples of some files, in order."""
        return [self._example(self.files[index]) for index in indices]

    def _example(self, file):
        try:
            return Example(photograph(file.path, self.side), file.label, file.group)
        except undecodable() as error:
            return Damaged(str(file.path), type(error).__name__)


def open_class_folders(path: str | Path, split: str, side: int) -> ImageSource:
    """A folder with one subfolder for each class, in sorted order (ImageNet, ImageNet-9).

    Args:
        path: the folder of all splits, with subfolders train and val or test; or the folder of
            one split, which then counts as "train". The classes are those of all splits
            together, so that a class without test images shifts no label.
        split: "train", "val" or "test" (the folder val serves as "test" where there is no test).
        side: height and width to decode to.

    Returns:
        The images; groups are the classes.

    Raises:
        UsageError: for a folder without images, or without this split.
    """
    _check_split(split)
    top = _existing(Path(path), "one subfolder per class, or train and val folders of them")
    names = {name for folders in _SPLIT_FOLDERS.values() for name in folders}
    splits = {name: top / name for name in names if (top / name).is_dir()}
    root = next((splits[name] for name in _SPLIT_FOLDERS[split] if name in splits), None)
    if root is None:
        if splits or split != "train":
            raise UsageError(
                f"{top} has no {split} images: wanted a folder"
                f" {' or '.join(str(top / name) for name in _SPLIT_FOLDERS[split])}"
            )
        root, splits = top, {"train": top}
    classes = sorted({e.name for folder in splits.values() for e in folder.iterdir() if e.is_dir()})
    files = [
        _File(file, label, label)
        for label, name in enumerate(classes)
        for file in _images_in(root / name)
    ]
    return _opened(files, root, side, len(classes), tuple(classes))


def open_waterbirds(path: str | Path, split: str, side: int) -> ImageSource:
    """Waterbirds: `metadata.csv` with img_filename, y (waterbird), place (water) and split.

    Args:
        path: the published folder, for instance waterbird_complete95_forest2water2.
        split: "train", "val" or "test".
        side: height and width to decode to.

    Returns:
        The images; groups are ``2 y + place``.

    Raises:
        UsageError: for an unknown split, or a folder without a usable metadata.csv.
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
    return _opened(files, root, side, 2, names)


def open_urbancars(path: str | Path, split: str, side: int) -> ImageSource:
    """UrbanCars: car, background and co-occurring object, each urban or country.

    The published layout: ``bg-0.95_co_occur_obj-0.95/train`` and ``bg-0.5_co_occur_obj-0.5/val``
    or ``/test``, each with folders ``obj-NAME_bg-NAME_co_occur_obj-NAME``.

    Args:
        path: the folder that holds these.
        split: "train", "val" or "test".
        side: height and width to decode to.

    Returns:
        The images; the class is the car, groups are ``4 car + 2 background + object``.

    Raises:
        UsageError: for an unknown split or a missing folder.
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
    return _opened(files, root, side, 2, tuple(names))


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


def _opened(files, root, side, num_classes, group_names):
    if not files:
        raise UsageError(f"{root} holds no images of this split; wanted the published layout")
    text = "\n".join(f"{file.path.relative_to(root)} {file.group}" for file in files)
    return ImageSource(
        read=Files(tuple(files), side),
        num_images=len(files),
        image_shape=(side, side, 3),
        num_classes=num_classes,
        name=str(root),
        fingerprint=zlib.crc32(f"{side}\n{text}".encode()),
        group_names=group_names,
    )
