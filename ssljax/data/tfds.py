"""Splits of TFDS directories, read without TensorFlow."""

import contextlib
import importlib.util
import logging
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ssljax.data.decoding import exact_image, list_decoding_errors, photograph, squeeze_photograph
from ssljax.data.sources import Damaged, Example, ImageSource
from ssljax.system.errors import UsageError


def open_split(
    name: str,
    split: str,
    label: str,
    data_dir: str | None,
    side: int = 0,
    squeezed_into: int = 0,
) -> ImageSource:
    """Open a split of a data set prepared by TFDS.

    Reads a few thousand small records a second. A data set that is not prepared is downloaded
    and prepared the ordinary TFDS way where TensorFlow is installed, and refused where it is not.

    Args:
        name: TFDS name of the data set, with its configuration where it has several.
        split: TFDS name of the split.
        label: name of the label feature.
        data_dir: where its directory is; by default the variable TFDS_DATA_DIR, then TFDS's own.
        side: height and width that photographs of different sizes are decoded to; sets whose
            images have one size keep it.
        squeezed_into: side of the square that whole photographs are squeezed into instead
            (:func:`ssljax.data.decoding.squeeze_photograph`); 0: the middle is cut out.

    Returns:
        The records, in order.

    Raises:
        UsageError: if the data is missing, cannot be prepared, or its files are damaged.
    """
    import tensorflow_datasets as tfds  # noqa: PLC0415

    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    with _quiet():
        try:
            builder = tfds.builder(name, data_dir=data_dir)
        except (tfds.core.DatasetNotFoundError, ValueError) as error:
            known = str(error).strip().splitlines()[0]
            raise UsageError(f"TFDS has no data set {name!r} ({known})") from error
        if not builder.is_prepared():
            _prepare(builder, name, data_dir)
        info = builder.info
        if split not in info.splits:
            raise UsageError(
                f"{name} in {builder.data_dir} has no {split} split, it has"
                f" {', '.join(info.splits)}: prepare it again"
            )
        features: Any = info.features
        shape = features["image"].shape
        fixed = None not in shape
        squeezed_into = 0 if fixed else squeezed_into
        stored = squeezed_into or side
        records = Records(
            name, split, label, data_dir, shape if fixed else None, stored, bool(squeezed_into)
        )
        count = len(records.source)
    lengths = (name, str(builder.version), split, info.splits[split].shard_lengths)
    return ImageSource(
        read=records,
        num_images=count,
        image_shape=shape if fixed else (stored + bool(squeezed_into), stored, 3),
        num_classes=features[label].num_classes,
        name=f"{name} {split}",
        fingerprint=zlib.crc32(repr(lengths).encode()),
        squeezed_side=side if squeezed_into else 0,
    )


class Records:
    """Reads and decodes records; opens its files anew in every process it is sent to."""

    def __init__(
        self,
        name: str,
        split: str,
        label: str,
        data_dir: str | None,
        shape: tuple[int, int, int] | None,
        side: int,
        is_whole: bool = False,
    ):
        self._place = (name, split, data_dir)
        self._label = label
        self._shape = shape
        self._side = side
        self._is_whole = is_whole
        self._source: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_source": None}

    @property
    def source(self) -> Any:
        """Return TFDS's own random access to the records, images not yet decoded."""
        if self._source is None:
            self._source = _open_source(*self._place)
        return self._source

    def __call__(self, indices: Sequence[int]) -> list[Example | Damaged]:
        """Return the examples of some records, in order."""
        source, indices = self.source, list(indices)
        try:
            records = source.__getitems__(indices)
        except _list_reading_errors():
            # One of them is damaged: which?
            return [self._read_one(index) for index in indices]
        return [self._decode(index, record) for index, record in zip(indices, records)]

    def _read_one(self, index):
        try:
            record = self.source.__getitems__([index])[0]
        except _list_reading_errors() as error:
            return self._describe_damage(index, error)
        return self._decode(index, record)

    def _decode(self, index, record):
        try:
            data = bytes(record["image"])
            if self._shape is not None:
                image = exact_image(data, self._shape)
            elif self._is_whole:
                image = squeeze_photograph(data, self._side)
            else:
                image = photograph(data, self._side)
        except list_decoding_errors() as error:
            return self._describe_damage(index, error)
        return Example(image, int(record[self._label]))

    def _describe_damage(self, index, error):
        name, split, data_dir = self._place
        where = f" in {data_dir}" if data_dir else ""
        lines = re.sub(r"<.* object at .*>", "", str(error)).strip().splitlines()
        why = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        return Damaged(f"record {index} of {name} {split}{where}", why)


def _list_reading_errors() -> tuple[type[Exception], ...]:
    from google.protobuf.message import DecodeError  # noqa: PLC0415

    return (*list_decoding_errors(), RuntimeError, KeyError, DecodeError)


def _open_source(name, split, data_dir):
    import tensorflow_datasets as tfds  # noqa: PLC0415

    try:
        with _quiet():
            return tfds.data_source(
                name,
                split=split,
                data_dir=data_dir,
                download=False,
                decoders={"image": tfds.decode.SkipDecoding()},
            )
    except NotImplementedError as error:
        raise UsageError(
            f"{name} in {data_dir or 'the TFDS directory'} is prepared in a format without "
            "random access; prepare it with file_format='array_record' in an empty directory "
            "and name that one with --data-dir"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"the {split} files of {name} in {data_dir or 'the TFDS directory'} cannot be opened"
            f" ({why}); restore them, or prepare the data set again in an empty directory"
        ) from error


def _prepare(builder, name, data_dir):
    folder = Path(builder.data_dir).parent.parent
    remedy = (
        "name the directory that has it with --data-dir (or the variable TFDS_DATA_DIR), or let "
        "TFDS download it into an existing directory: pip install 'ssljax-lab[prepare]'"
    )
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        page = builder.name.split("/")[0]
        remedy += (
            "; its archives have to be obtained by hand first, see"
            f" https://www.tensorflow.org/datasets/catalog/{page}"
        )
    if data_dir is not None and not folder.is_dir():
        raise UsageError(f"no directory {folder} to read {name} from; {remedy}")
    if importlib.util.find_spec("tensorflow") is None:
        raise UsageError(f"{name} is not prepared in {folder}; {remedy}")
    try:
        builder.download_and_prepare(file_format="array_record")
    # Connection errors of requests are OSErrors; an archive missing is an AssertionError.
    except (OSError, AssertionError) as error:
        raise UsageError(f"cannot download {name} ({type(error).__name__}); {remedy}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence TFDS's remarks about optional decoders and folders it looked into."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
