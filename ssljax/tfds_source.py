"""Whole splits of TFDS directories, read without TensorFlow."""

import contextlib
import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssljax.arrays import Int, UInt8
from ssljax.errors import UsageError

_CHUNK = 500


class Split(NamedTuple):
    """Images and labels of one split, in the order of its records."""

    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]
    num_classes: int


def read_split(
    name: str,
    split: str,
    label: str,
    data_dir: str | None,
    progress: Callable[[int, int], None] | None,
) -> Split:
    """A split of a data set prepared by TFDS, decoded.

    Reads a few thousand records a second. A data set that is not prepared is downloaded and
    prepared the ordinary TFDS way where TensorFlow is installed, and refused where it is not.

    Args:
        name: TFDS name of the data set.
        split: "train" or "test".
        label: name of the label feature.
        data_dir: where its directory is; by default the variable TFDS_DATA_DIR, then TFDS's own.
        progress: called with (records read, records in all) after each chunk.

    Returns:
        All records, in order.

    Raises:
        UsageError: if the data is missing, cannot be prepared, or is damaged.
    """
    import tensorflow_datasets as tfds  # noqa: PLC0415

    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    with _quiet():
        try:
            builder = tfds.builder(name, data_dir=data_dir)
            if not builder.is_prepared():
                _prepare(builder, name, data_dir)
            source = tfds.data_source(name, split=split, data_dir=data_dir, download=False)
        except NotImplementedError as error:
            raise UsageError(
                f"{name} in {data_dir or 'the TFDS directory'} is prepared in a format without "
                "random access; prepare it with file_format='array_record' in an empty directory "
                "and name that one with --data-dir"
            ) from error
        return _read(source, builder, name, split, label, progress)


def _prepare(builder, name, data_dir):
    folder = Path(builder.data_dir).parent.parent
    remedy = (
        "name the directory that has it with --data-dir (or the variable TFDS_DATA_DIR), or let "
        "TFDS download it into an existing directory: pip install 'ssljax-lab[prepare]'"
    )
    if data_dir is not None and not folder.is_dir():
        raise UsageError(f"no directory {folder} to read {name} from; {remedy}")
    if importlib.util.find_spec("tensorflow") is None:
        raise UsageError(f"{name} is not prepared in {folder}; {remedy}")
    try:
        builder.download_and_prepare(file_format="array_record")
    except OSError as error:  # requests' connection errors are OSErrors
        raise UsageError(f"cannot download {name} ({type(error).__name__}); {remedy}") from error


def _read(source, builder, name, split, label, progress):
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    total = len(source)
    images = np.empty((total, *builder.info.features["image"].shape), np.uint8)
    labels = np.empty((total,), np.int32)
    for start in range(0, total, _CHUNK):
        stop = min(start + _CHUNK, total)
        try:
            records = source.__getitems__(list(range(start, stop)))
        except (OSError, ValueError, IndexError, RuntimeError, SyntaxError, DecodeError) as error:
            raise UsageError(
                f"records {start} to {stop - 1} of {name} {split} in {builder.data_dir} cannot "
                f"be read ({type(error).__name__}: {error}); prepare the data set again"
            ) from error
        for row, record in enumerate(records, start):
            images[row] = record["image"]
            labels[row] = record[label]
        if progress is not None:
            progress(stop, total)
    return Split(images, labels, builder.info.features[label].num_classes)


@contextlib.contextmanager
def _quiet():
    """No remarks of TFDS about optional decoders and folders it looked into."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
