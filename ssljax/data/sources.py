"""Data sets as images that stay where they are, read on demand, and as arrays in memory."""

import dataclasses
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np

from ssljax.system.arrays import Int, UInt8
from ssljax.system.errors import UsageError

Progress = Callable[[int, int], None]
"""Called with (records read, records in all) while a split is read."""

OnDamaged = Literal["refuse", "skip"]
"""What to do about an image or record that cannot be decoded."""

RESIDENT_GIB = 4.0
"""Largest set that is read whole into memory unless more is allowed, in GiB."""

_CHUNK = 64
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A split of a data set, in memory.

    Attributes:
        images: (n, height, width, channels).
        labels: class of each image, from 0; -1 where the data set gives none.
        pixel_scale: ``images * pixel_scale`` are floats from 0 to 1.
        num_classes: number of classes of the whole data set; 0 where there are no labels at all.
        name: as given to :func:`ssljax.data.datasets.load_dataset`.
        class_names: what the classes are, where the data set says so.
        groups: group of each image, from 0: its class together with the attributes that are
            spuriously related to it. None where the data set has no groups.
        group_names: what the groups are.
        damaged: records that could not be decoded and were left out.
        has_ink: whether the last channel is ink, blended onto the others when a view is made
            (see :func:`ssljax.augment.views.make_views`).
        squeezed_side: height and width that a network sees where the images are whole photographs
            squeezed into a square (:func:`ssljax.data.decoding.squeeze_photograph`); 0: they are
            not.
        available: images of the split where these are a sample of them; 0: these are all.
    """

    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]
    pixel_scale: float
    num_classes: int
    name: str
    groups: Int[np.ndarray, " n"] | None = None
    group_names: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    has_ink: bool = False
    class_names: tuple[str, ...] = ()
    squeezed_side: int = 0
    available: int = 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels) of the pictures a network sees; ink is not a channel."""
        height, width, channels = self.images.shape[1:]
        if self.squeezed_side:
            height = width = self.squeezed_side
        return height, width, channels - self.has_ink

    @property
    def is_labeled(self) -> bool:
        """Return whether every image has a class."""
        return bool(len(self.labels)) and int(self.labels.min()) >= 0

    def __len__(self) -> int:
        return len(self.images)


class Example(NamedTuple):
    """One decoded image; the group is -1 where the data set has no groups."""

    image: UInt8[np.ndarray, "height width channels"]
    label: int
    group: int = -1


class Damaged(NamedTuple):
    """An image or record that cannot be decoded: its name, and what happened."""

    record: str
    why: str


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """A split of a data set that stays on disk.

    Attributes:
        read: ``read(indices)``: the examples, in order; can be called from several threads, and
            pickled for other processes.
        num_images: number of images.
        image_shape: (height, width, channels) that every image is decoded to.
        num_classes: number of classes of the whole data set; 0 where there are no labels.
        name: as given to :func:`ssljax.data.datasets.open_dataset`.
        fingerprint: changes with the files the images come from.
        group_names: what the groups are; empty where there are none.
        pixel_scale: ``images * pixel_scale`` are floats from 0 to 1.
        class_names: what the classes are, where the data set says so.
        squeezed_side: as in `Dataset`.
    """

    read: Callable[[Sequence[int]], Sequence[Example | Damaged]]
    num_images: int
    image_shape: tuple[int, int, int]
    num_classes: int
    name: str
    fingerprint: int
    group_names: tuple[str, ...] = ()
    pixel_scale: float = 1 / 255
    class_names: tuple[str, ...] = ()
    squeezed_side: int = 0

    def __len__(self) -> int:
        return self.num_images

    @property
    def gib(self) -> float:
        """Return the size of all decoded images, in GiB."""
        return self.num_images * float(np.prod(self.image_shape)) / 2**30


def damage_report(damaged: Sequence[str], of: str) -> str:
    """Return ``3 damaged images of NAME left out: A, B, C``."""
    more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
    noun = "image" if len(damaged) == 1 else "images"
    return f"{len(damaged)} damaged {noun} of {of} left out: {', '.join(damaged[:_NAMED])}{more}"


def damage_error(damaged: Damaged) -> UsageError:
    """Return the error for a damaged record that is not to be skipped."""
    return UsageError(
        f"{damaged.record} cannot be decoded ({damaged.why}); restore it, or pass"
        " --on-damaged skip (on_damaged='skip') to leave such records out"
    )


def read_into_memory(
    source: ImageSource,
    *,
    on_damaged: OnDamaged = "refuse",
    limit_gib: float = RESIDENT_GIB,
    indices: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Decode images of a source, by several threads, into one array.

    Args:
        source: where the images are.
        on_damaged: whether a damaged image is refused, or left out and named.
        limit_gib: refuse to read more than this, in GiB.
        indices: which images; all of them by default.
        progress: called with (images read, images in all).

    Returns:
        The images, in order.

    Raises:
        UsageError: for a set that exceeds the limit, a damaged image unless skipped, or a set of
            which nothing can be decoded.
    """
    chosen = range(source.num_images) if indices is None else indices
    total = len(chosen)
    size = total * float(np.prod(source.image_shape)) / 2**30
    if size > limit_gib:
        raise UsageError(
            f"{source.name} takes {size:.1f} GiB in memory, the limit is {limit_gib:g} GiB: stream"
            " it in training (--stream auto), use fewer images, or raise --resident-gib"
        )
    images = np.empty((total, *source.image_shape), np.uint8)
    labels, groups = np.empty(total, np.int32), np.empty(total, np.int32)
    kept, done, damaged = 0, 0, []
    chunks = [chosen[start : start + _CHUNK] for start in range(0, total, _CHUNK)]
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for examples in pool.map(source.read, chunks):
            for example in examples:
                if isinstance(example, Damaged):
                    if on_damaged == "refuse":
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise damage_error(example)
                    damaged.append(example.record)
                    continue
                images[kept], labels[kept], groups[kept] = example
                kept += 1
            done += len(examples)
            if progress is not None:
                progress(done, total)
    if not kept:
        raise UsageError(
            f"none of the {total} images of {source.name} can be decoded: restore them"
        )
    return Dataset(
        images[:kept],
        labels[:kept],
        source.pixel_scale,
        source.num_classes,
        source.name,
        groups=groups[:kept] if source.group_names else None,
        group_names=source.group_names,
        damaged=tuple(damaged),
        class_names=source.class_names,
        squeezed_side=source.squeezed_side,
        available=0 if total == source.num_images else source.num_images,
    )


@dataclasses.dataclass(frozen=True)
class _Arrays:
    """Reads from arrays, so that what is in memory can be streamed like anything else."""

    dataset: Dataset

    def __call__(self, indices):
        data = self.dataset
        groups = np.full(len(data.labels), -1) if data.groups is None else data.groups
        return [Example(data.images[i], int(data.labels[i]), int(groups[i])) for i in indices]


def wrap_dataset(dataset: Dataset, fingerprint: int = 0) -> ImageSource:
    """Return a data set in memory as a source."""
    height, width, channels = dataset.images.shape[1:]
    return ImageSource(
        read=_Arrays(dataset),
        num_images=len(dataset.images),
        image_shape=(height, width, channels),
        num_classes=dataset.num_classes,
        name=dataset.name,
        fingerprint=fingerprint,
        group_names=dataset.group_names,
        pixel_scale=dataset.pixel_scale,
        class_names=dataset.class_names,
        squeezed_side=dataset.squeezed_side,
    )


@dataclasses.dataclass(frozen=True)
class _Joined:
    """Reads from one source after another."""

    parts: tuple[ImageSource, ...]

    def __call__(self, indices):
        examples = []
        for index in indices:
            for part in self.parts:
                if index < len(part):
                    examples += part.read([index])
                    break
                index -= len(part)
        return examples


def join_sources(parts: Sequence[ImageSource], name: str) -> ImageSource:
    """Return the splits of one data set as one source, one after the other."""
    first = parts[0]
    if len(parts) == 1:
        return dataclasses.replace(first, name=name)
    return dataclasses.replace(
        first,
        name=name,
        read=_Joined(tuple(parts)),
        num_images=sum(len(part) for part in parts),
        fingerprint=zlib.crc32(repr([part.fingerprint for part in parts]).encode()),
    )
