"""Data sets in one .npz file: `images` and `labels`, or the keys of MedMNIST."""

import functools
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ssljax.data.sources import Dataset
from ssljax.system.arrays import Int, UInt8
from ssljax.system.errors import UsageError
from ssljax.system.progress import notice

ARRAY_SPLITS = ("train", "val", "test", "all")
_PREFIXES = {"train": ("", "train_"), "val": ("val_",), "test": ("test_",)}
_WANTED = "wanted an .npz file with uint8 images (n, height, width[, channels]) and labels (n,)"


def load_array_file(path: str | Path, split: str, name: str) -> Dataset:
    """Read a split of a data set from an .npz file.

    Keys are `images` and `labels` or `train_images` and `train_labels`, and where there are such
    splits `val_images`, `test_images` and so on. Images are uint8 with channels last, or without
    channels: gray. Labels are integers, (n,) or (n, 1), the same for all splits: where they do not
    count from 0 without gaps they are numbered in increasing order, which is said. A file without
    labels is a set without classes (-1).

    Args:
        path: the file.
        split: "train", "val", "test" or "all" (train, then test where there is one).
        name: of the data set.

    Returns:
        The images.

    Raises:
        UsageError: for a file that cannot be read, lacks the split, or holds anything else.
    """
    path = Path(path)
    arrays = _read(path)
    pairs = {}
    for part, prefixes in _PREFIXES.items():
        prefix = next((p for p in prefixes if f"{p}images" in arrays), None)
        if prefix is not None:
            keys = (f"{prefix}images", f"{prefix}labels")
            pairs[part] = _check_pair(path, *keys, arrays[keys[0]], arrays.get(keys[1]))
    parts = [part for part in ("train", "test") if part in pairs] if split == "all" else [split]
    if not parts or parts[0] not in pairs:
        found = ", ".join(arrays) or "nothing"
        wanted = " or ".join(f"{p}images" for p in _PREFIXES.get(split, ("", "train_")))
        raise UsageError(f"{path} has no {wanted} (it holds {found}); {_WANTED}")
    classes = np.unique(np.concatenate([labels for _, labels in pairs.values()]))
    if len({images.shape[1:] for images, _ in pairs.values()}) > 1:
        shapes = ", ".join(str(images.shape[1:]) for images, _ in pairs.values())
        raise UsageError(f"{path} holds images of several shapes, {shapes}; wanted one")
    is_labeled = int(classes[0]) >= 0
    if not is_labeled and len(classes) > 1:
        raise UsageError(
            f"{path} has labels for some of its splits only; give labels to all of them or to none"
        )
    _tell_labels(path, tuple(classes.tolist()))
    if is_labeled and "train" in pairs:
        _tell_unseen(path, tuple(np.setdiff1d(classes, pairs["train"][1]).tolist()))
    labels = np.concatenate([pairs[part][1] for part in parts])
    return Dataset(
        np.concatenate([pairs[part][0] for part in parts]),
        (np.searchsorted(classes, labels) if is_labeled else labels).astype(np.int32),
        1 / 255,
        len(classes) if is_labeled else 0,
        name,
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here: np.load leaves a file open that turns out not to be its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise UsageError(f"no file {path}; {_WANTED}") from None
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
        raise UsageError(f"{path} cannot be read as an .npz file; {_WANTED}") from error


def _check_pair(
    path: Path, key: str, label_key: str, images: np.ndarray, labels: np.ndarray | None
) -> tuple[UInt8[np.ndarray, "n height width channels"], Int[np.ndarray, " n"]]:
    """Return images with channels and int64 labels, -1 for images without a label."""
    _check_images(f"{path} holds {key} of {images.dtype} {images.shape}", images)
    if images.ndim == 3:
        images = images[..., None]
    if labels is None:
        return images, np.full(len(images), -1)
    what = f"{path} holds {label_key} of {labels.dtype} {labels.shape} for {len(images)} images"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != images.shape[:1]:
        raise UsageError(f"{what}; wanted one class for each image, of shape ({len(images)},)")
    if not (np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool):
        raise UsageError(f"{what}; wanted integers: numpy.unique(labels, return_inverse=True)[1]")
    if int(labels.min()) < 0:
        raise UsageError(
            f"{path} holds the label {labels.min()}; wanted 0 or more: leave out the images without"
            f" a class, or leave out {label_key} to train without classes"
        )
    if int(labels.max()) >= 2**63:
        raise UsageError(f"{what}; wanted labels below 2**63: number the classes from 0")
    return images, labels.astype(np.int64)


def _check_images(what: str, images: np.ndarray) -> None:
    if images.ndim not in (3, 4) or images.size == 0:
        raise UsageError(f"{what}; {_WANTED}")
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        if images.shape[1] <= 4 or images.shape[2] == images.shape[3]:
            raise UsageError(
                f"{what}, which looks channels-first; wanted channels last:"
                " numpy.transpose(images, (0, 2, 3, 1))"
            )
        if images.shape[3] in (2, 4):
            raise UsageError(
                f"{what}, whose last channel looks like alpha; wanted 1 or 3 channels: leave it"
                " out with images[..., :-1], or compose the images onto a background"
            )
    if images.dtype == np.uint8:
        return
    if np.issubdtype(images.dtype, np.floating):
        if not np.all(np.isfinite(images)):
            raise UsageError(f"{what} with NaN or infinite values; wanted uint8 from 0 to 255")
        raise UsageError(
            f"{what}; wanted uint8 from 0 to 255: for values from 0 to 1"
            " numpy.round(255 * images).astype(numpy.uint8)"
        )
    raise UsageError(f"{what}; wanted uint8 from 0 to 255: for 16 bits images // 257")


@functools.cache
def _tell_labels(path: Path, classes: tuple[int, ...]) -> None:
    """Say once how labels were understood, where that is not plain."""
    if classes == (-1,):
        notice(f"{path} has no labels: its images have no classes, no probe is fitted")
    elif classes != tuple(range(len(classes))):
        notice(
            f"{path}: its {len(classes)} labels from {classes[0]} to {classes[-1]} are numbered"
            f" from 0 to {len(classes) - 1} in their order"
        )


@functools.cache
def _tell_unseen(path: Path, unseen: tuple[int, ...]) -> None:
    if unseen:
        listed = ", ".join(map(str, unseen[:4])) + (" …" if len(unseen) > 4 else "")
        notice(f"{path}: no training image has the label {listed}; a probe counts it as wrong")
