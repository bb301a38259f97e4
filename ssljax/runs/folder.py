"""The folder of a run: its configuration, what it was trained on, and who may write to it."""

import dataclasses
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ssljax.config.config import Config
from ssljax.data.datasets import Dataset, ImageSource
from ssljax.system.errors import UsageError
from ssljax.system.files import read_json, write_json
from ssljax.config.overrides import config_dict, config_from_dict, differences

CONFIG_FILE = "config.json"
DESCRIPTION_FILE = "model.json"

_FREE = (
    "data_dir",
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "best_metric",
    "sinks",
    "devices",
    "mesh",
    "parallel",
    "on_damaged",
    "reader_threads",
    "reader_processes",
)
_FREE_SECTIONS = ("moments.", "evaluation.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunDescription:
    """What a run folder must say besides its configuration for the network to be rebuilt.

    Attributes:
      image_shape: (height, width, channels).
      pixel_scale: Factor from stored pixels to floating point.
      num_images: Images trained on.
      num_classes: Classes of the data set.
      data_checksum: CRC-32 of the images trained on, or of a sample and the names of the files;
        a resumed run must see the same.
      layers: Names of the network's layers.
      num_parameters: Trained numbers.
    """

    image_shape: tuple[int, int, int]
    pixel_scale: float
    num_images: int
    num_classes: int
    data_checksum: int
    layers: tuple[str, ...]
    num_parameters: int


def describe(
    dataset: Dataset,
    layers: tuple[str, ...],
    num_parameters: int,
    source: ImageSource | None = None,
) -> RunDescription:
    """The description of a run on a data set, or on the source that a sample is of."""
    images = np.ascontiguousarray(dataset.images).data
    return RunDescription(
        image_shape=dataset.image_shape,
        pixel_scale=dataset.pixel_scale,
        num_images=len(dataset if source is None else source),
        num_classes=dataset.num_classes,
        data_checksum=zlib.crc32(images, 0 if source is None else source.fingerprint),
        layers=layers,
        num_parameters=num_parameters,
    )


def check_writable(workdir: Path) -> None:
    """Refuse a run folder that cannot be made or written; makes nothing.

    Raises:
      UsageError: The folder, or the nearest one above it, is not a folder or is read-only.
    """
    folder = workdir.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        what = "is not a folder" if not folder.is_dir() else "is read-only"
        raise UsageError(
            f"run folder {workdir} cannot be written, {folder} {what}: give --workdir a folder that"
            " can"
        )


def write_run(workdir: Path, config: Config, description: RunDescription) -> None:
    """Write the configuration and the description."""
    write_json(workdir / CONFIG_FILE, config_dict(config))
    write_json(workdir / DESCRIPTION_FILE, dataclasses.asdict(description))


def read_config(workdir: Path) -> Config:
    """The configuration of a run folder.

    Raises:
      UsageError: It is missing or damaged.
    """
    return config_from_dict(Config(), read_json(workdir / CONFIG_FILE))


def read_description(workdir: Path) -> RunDescription:
    """The description of a run folder.

    Raises:
      UsageError: It is missing or damaged.
    """
    path = workdir / DESCRIPTION_FILE
    values: dict[str, Any] = read_json(path)
    names = {field.name for field in dataclasses.fields(RunDescription)}
    if set(values) != names:
        raise UsageError(
            f"{path} holds {', '.join(sorted(values)) or 'nothing'}, wanted"
            f" {', '.join(sorted(names))}: restore it, or train again in another folder"
        )
    for name in ("image_shape", "layers"):
        values[name] = tuple(values[name])
    return RunDescription(**values)


def check_same_run(workdir: Path, config: Config, description: RunDescription | None) -> None:
    """Refuse to resume a run as a different one.

    Where things are read and written, how often, on how many devices, and what is measured at the
    end may change. The number of steps may grow where the learning rate is constant, since the
    steps already taken would have been the same.

    Raises:
      UsageError: A field differs that decides what is trained, or the images differ.
    """
    if not (workdir / CONFIG_FILE).exists():
        return
    previous = read_config(workdir)
    changed = [
        name
        for name in differences(previous, config)
        if name not in _FREE and not name.startswith(_FREE_SECTIONS)
    ]
    constant = config.optimizer.final_fraction == 1.0
    if constant and config.num_steps >= previous.num_steps:
        changed = [name for name in changed if name != "num_steps"]
    if changed:
        raise UsageError(
            f"{workdir} holds a run that differs in {', '.join(changed)}: give the same values to"
            " resume it, or another --workdir"
        )
    if description is None or not (workdir / DESCRIPTION_FILE).exists():
        return
    if read_description(workdir).data_checksum != description.data_checksum:
        raise UsageError(
            f"{workdir} holds a run on other images than those of {config.data}: give the same"
            " data to resume it, or another --workdir"
        )
