"""Folders of image files, with or without classes, in the layouts they are published in.

A group is a class together with the attributes that are spuriously related to it. Every image is
decoded at one size (:mod:`ssljax.data.decoding`). Hidden files and folders, ``__MACOSX``,
``Thumbs.db``, files of other kinds and folders without images are left out.
"""

import csv
import dataclasses
import functools
import itertools
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ssljax.data.decoding import list_decoding_errors, photograph, squeeze_photograph
from ssljax.data.sources import Damaged, Example, ImageSource
from ssljax.system.errors import UsageError
from ssljax.system.progress import notice

URBANCARS_NAMES = ("urban", "country")
_WATERBIRDS_SPLITS = {"train": "0", "val": "1", "test": "2"}
_URBANCARS_RATIOS = {"train": "0.95", "val": "0.5", "test": "0.5"}
_SPLIT_FOLDERS = {
    "train": ("train",),
    "val": ("val", "validation"),
    "test": ("test", "val", "validation"),
}
_EXTENSIONS = {
    ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
}  # fmt: skip
_NOT_IMAGES = ("__MACOSX", "Thumbs.db", "desktop.ini")
_NAMED = 4


class _File(NamedTuple):
    path: Path
    label: int
    group: int = -1


@dataclasses.dataclass(frozen=True)
class Files:
    """Decodes image files, to a square of this side; whole ones are squeezed into it."""

    files: tuple[_File, ...]
    side: int
    whole: bool = False

    def __call__(self, indices: Sequence[int]) -> list[Example | Damaged]:
        """Return the examples of some files, in order."""
        return [self._example(self.files[index]) for index in indices]

    def _example(self, file):
        read = squeeze_photograph if self.whole else photograph
        try:
            return Example(read(file.path, self.side), file.label, file.group)
        except list_decoding_errors() as error:
            return Damaged(str(file.path), f"{type(error).__name__}: {error}".splitlines()[0])


class Decoded(NamedTuple):
    """How the images of a folder are decoded.

    Attributes:
        side: height and width that a network sees.
        squeezed_into: side of the square that whole images are squeezed into, for random crops
            (:func:`ssljax.data.decoding.squeeze_photograph`); 0: the middle is cut out.
    """

    side: int
    squeezed_into: int = 0


def open_class_folders(path: str | Path, split: str, decoded: Decoded) -> ImageSource:
    """Open a folder with one subfolder for each class, in sorted order (ImageNet, ImageNet-9).

    Args:
        path: the folder of all splits, with subfolders train and val or test; or the folder of
            one split, which then counts as "train". The classes are those of all splits
            together, so that a class without test images shifts no label. A folder of image files
            without subfolders has no classes: every label is -1.
        split: "train", "val" or "test" (the folder val serves as "test" where there is no test).
        decoded: size of the images.

    Returns:
        The images. What was left out is said once, in one line.

    Raises:
        UsageError: for a folder without images, or without this split.
    """
    _check_split(split)
    top = _require_folder(
        Path(path),
        "image files, with one subfolder per class, or train and val folders of them",
    )
    names = {name for folders in _SPLIT_FOLDERS.values() for name in folders}
    splits = {name: top / name for name in sorted(names) if (top / name).is_dir()}
    root = next((splits[name] for name in _SPLIT_FOLDERS[split] if name in splits), None)
    if root is None:
        if splits or split != "train":
            raise UsageError(
                f"{top} has no {split} images: wanted a folder"
                f" {' or '.join(str(top / name) for name in _SPLIT_FOLDERS[split])}"
            )
        root, splits = top, {"train": top}
    found = {folder: _list_classes(folder) for folder in splits.values()}
    classes = sorted({name for in_split in found.values() for name in in_split})
    if classes:
        files = [
            _File(file, label)
            for label, name in enumerate(classes)
            for file in found[root].get(name, [])
        ]
    else:
        files = [_File(file, -1) for file in _list_images(root)]
    _tell_left_out(root, bool(classes))
    _tell_unseen(top, tuple(classes), frozenset(found[splits.get("train", root)]))
    return _open_files(files, root, decoded, len(classes), class_names=tuple(classes))


def open_waterbirds(path: str | Path, split: str, decoded: Decoded) -> ImageSource:
    """Open Waterbirds: `metadata.csv` with img_filename, y (waterbird), place (water) and split.

    Args:
        path: the published folder, for instance waterbird_complete95_forest2water2.
        split: "train", "val" or "test".
        decoded: size of the images.

    Returns:
        The images; groups are ``2 y + place``.

    Raises:
        UsageError: for an unknown split, or a folder without a usable metadata.csv.
    """
    _check_split(split)
    root = _require_folder(Path(path), "metadata.csv and image files")
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
    return _open_files(files, root, decoded, 2, group_names=names)


def open_urbancars(path: str | Path, split: str, decoded: Decoded) -> ImageSource:
    """Open UrbanCars: car, background and co-occurring object, each urban or country.

    The published layout: ``bg-0.95_co_occur_obj-0.95/train`` and ``bg-0.5_co_occur_obj-0.5/val``
    or ``/test``, each with folders ``obj-NAME_bg-NAME_co_occur_obj-NAME``.

    Args:
        path: the folder that holds these.
        split: "train", "val" or "test".
        decoded: size of the images.

    Returns:
        The images; the class is the car, groups are ``4 car + 2 background + object``.

    Raises:
        UsageError: for an unknown split or a missing folder.
    """
    _check_split(split)
    ratio = _URBANCARS_RATIOS[split]
    folder = Path(path) / f"bg-{ratio}_co_occur_obj-{ratio}" / split
    root = _require_folder(folder, "the eight folders obj-..._bg-..._co_occur_obj-...")
    files, names = [], []
    for group, (car, background, other) in enumerate(itertools.product(URBANCARS_NAMES, repeat=3)):
        names.append(f"{car} car, {background} background, {other} object")
        inside = root / f"obj-{car}_bg-{background}_co_occur_obj-{other}"
        files += [_File(file, group // 4, group) for file in _list_images(inside)]
    return _open_files(files, root, decoded, 2, group_names=tuple(names))


def _check_split(split):
    if split not in _WATERBIRDS_SPLITS:
        raise UsageError(f"unknown split {split!r}; wanted train, val or test")


def _require_folder(path, content):
    if not path.is_dir():
        raise UsageError(f"no folder {path}; wanted the published folder with {content}")
    return path


def _is_left_out(path):
    return path.name.startswith(".") or path.name in _NOT_IMAGES


def _list_images(folder):
    """Return the image files of a folder, sorted."""
    if not folder.is_dir():
        return []
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _EXTENSIONS and not _is_left_out(file) and not file.is_dir()
    )


def _list_classes(folder):
    """Return the image files of each subfolder that has any."""
    found = {
        entry.name: _list_images(entry) for entry in folder.iterdir() if not _is_left_out(entry)
    }
    return {name: files for name, files in found.items() if files}


@functools.cache
def _tell_left_out(root: Path, has_classes: bool) -> None:
    """Say once what of a folder is not shown."""
    shown = set(_list_images(root)) if not has_classes else set()
    inside = _list_classes(root) if has_classes else {}
    entries = [entry for entry in root.iterdir() if entry.name not in inside]
    for name, files in inside.items():
        kept = set(files)
        entries += [entry for entry in (root / name).iterdir() if entry not in kept]
    left = sorted(str(entry.relative_to(root)) for entry in entries if entry not in shown)
    if left:
        notice(f"{root}: left out {_name_some(left)} (hidden, empty or no image)")


@functools.cache
def _tell_unseen(top: Path, classes: tuple[str, ...], trained: frozenset[str]) -> None:
    """Say once which classes have no training images."""
    unseen = [name for name in classes if name not in trained]
    if unseen:
        notice(f"{top}: no training images of {_name_some(unseen)}; a probe counts them as wrong")


def _name_some(names):
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _open_files(files, root, decoded, num_classes, *, group_names=(), class_names=()):
    if not files:
        raise UsageError(
            f"{root} holds no images of this split: wanted a subfolder of image files for each"
            " class, image files without any subfolder, or the published layout"
        )
    text = "\n".join(
        f"{file.path.relative_to(root)} {file.group if group_names else file.label}"
        for file in files
    )
    side = decoded.squeezed_into or decoded.side
    is_whole = bool(decoded.squeezed_into)
    return ImageSource(
        read=Files(tuple(files), side, is_whole),
        num_images=len(files),
        image_shape=(side + is_whole, side, 3),
        num_classes=num_classes,
        name=str(root),
        fingerprint=zlib.crc32(f"{side}\n{text}".encode()),
        group_names=group_names,
        class_names=class_names,
        squeezed_side=decoded.side if is_whole else 0,
    )
