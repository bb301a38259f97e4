"""The images of a run: in memory, or a sample of them and where the rest is streamed from."""

from typing import NamedTuple

import numpy as np

from ssljax.config.config import Config
from ssljax.data.datasets import Dataset, ImageSource, Progress, open_dataset
from ssljax.data.sources import damage_report, in_memory, source_of
from ssljax.system.progress import notice

SAMPLE_GIB = 0.25


class RunData(NamedTuple):
    """What a run is trained on.

    Attributes:
      dataset: All images, or an evenly spaced sample of those that are streamed.
      source: Where images are streamed from; none where all are in memory.
    """

    dataset: Dataset
    source: ImageSource | None


def training_data(config: Config, report: Progress | None = None) -> RunData:
    """The images that a configuration trains on.

    Args:
      config: Names them, and says what is streamed and what happens to damaged ones.
      report: Called with (images read, images in all).

    Returns:
      The images. Of streamed ones a sample of at most a quarter of a GiB is read: what input
      normalization and moments are measured on.

    Raises:
      UsageError: The data are missing or damaged, or too large not to be streamed.
    """
    opened = _opened(config, config.split, report)
    if isinstance(opened, Dataset):
        return RunData(opened, source_of(opened) if config.stream == "always" else None)
    is_large = opened.gib > config.resident_gib
    if config.stream == "always" or (config.stream == "auto" and is_large):
        return RunData(_read(config, opened, min(SAMPLE_GIB, config.resident_gib), report), opened)
    return RunData(_all(config, opened, report), None)


def measured_images(config: Config, split: str, report: Progress | None = None) -> Dataset:
    """Images of one split of a run's data set that its features are measured on.

    Args:
      config: Names the data set and how much of it may be in memory.
      split: Which split.
      report: Called with (images read, images in all).

    Returns:
      All of them where they fit, otherwise an evenly spaced part of them; a line says so.

    Raises:
      UsageError: The data are missing or damaged.
    """
    opened = _opened(config, split, report)
    if isinstance(opened, Dataset):
        return opened
    return _read(config, opened, config.resident_gib, report)


def _opened(config, split, report):
    return open_dataset(
        config.data, split, config.data_dir or None, side=config.image_side, progress=report
    )


def _read(config, source, gib, report):
    count = int(source.num_images * min(1.0, gib / source.gib))
    if count == source.num_images:
        return _all(config, source, report)
    count = max(count, min(2, source.num_images))
    spaced = np.linspace(0, source.num_images - 1, count).astype(int).tolist()
    notice(f"{source.name}: measuring on {count} of {source.num_images} images, evenly spaced")
    return _all(config, source, report, indices=spaced, limit_gib=np.inf)


def _all(config, source, report, **options):
    limits = {"limit_gib": config.resident_gib, **options}
    dataset = in_memory(source, on_damaged=config.on_damaged, progress=report, **limits)
    if dataset.damaged:
        notice(damage_report(dataset.damaged, source.name))
    return dataset
