"""The folder of a run: its configuration, what it was trained on, and its one writer.

The lock is the operating system's, through the library filelock: it is let go of by itself when
its process dies, on network file systems too where their server keeps locks. Where a file system
has none, a run says so and starts only when told to.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ssljax.config.config import Config
from ssljax.config.fields import config_dict, config_from_dict, differences
from ssljax.data.datasets import Dataset, ImageSource
from ssljax.system.distributed import agree, all_agree
from ssljax.system.errors import UsageError
from ssljax.system.files import read_json, write_json, write_text
from ssljax.system.progress import notice

CONFIG_FILE = "config.json"
DESCRIPTION_FILE = "model.json"
LOCK_FILE = ".lock"
OWNER_FILE = ".owner.json"
_VISIBLE_SECONDS = 20.0

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
    """Return the description of a run on a data set, or on the source that a sample is of."""
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


def check_folder(workdir: Path, config: Config) -> None:
    """Refuse a folder that cannot be written, or that holds another run; makes nothing.

    Raises:
      UsageError: It is one of these.
    """
    check_writable(workdir)
    check_same_run(workdir, config, None)


def write_run(workdir: Path, config: Config, description: RunDescription) -> None:
    """Write the configuration and the description."""
    write_json(workdir / CONFIG_FILE, config_dict(config))
    write_json(workdir / DESCRIPTION_FILE, dataclasses.asdict(description))


def read_config(workdir: Path) -> Config:
    """Return the configuration of a run folder.

    Raises:
      UsageError: It is missing or damaged.
    """
    return config_from_dict(Config(), read_json(workdir / CONFIG_FILE))


def read_description(workdir: Path) -> RunDescription:
    """Return the description of a run folder.

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


class FolderTaken(UsageError):
    """Another process is training in the folder; when it is done, the same call succeeds."""


@contextlib.contextmanager
def hold_folder(workdir: Path, *, force: bool = False) -> Iterator[None]:
    """Make the folder and hold it for one run, of however many processes.

    Args:
      workdir: Run folder.
      force: Train there although its file system has no locks.

    Yields:
      Nothing; the folder is held meanwhile.

    Raises:
      FolderTaken: In every process: another run writes there.
      UsageError: In every process: the folder cannot be written or locked, or not all hosts see
        the same folder and each would restore something else.
    """
    with contextlib.ExitStack() as stack:
        owner = agree(lambda: stack.enter_context(_lock(workdir, force)))
        path = workdir / OWNER_FILE
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while _read(path) != owner and time.monotonic() < deadline:
            time.sleep(0.1)  # network file systems show new files after a while
        if not all_agree(_read(path) == owner):
            raise UsageError(
                f"run folder {workdir} is not the same on every host: give --workdir a folder on a"
                " file system that all of them share"
            )
        yield


def is_held(workdir: Path) -> bool:
    """Return whether a process writes to the folder, as far as its file system can tell.

    A look must not disturb, and the folder may be another user's: the lock is asked for shared, on
    a file opened for reading. (NFS refuses an exclusive one there, which is no sign of a writer.)
    """
    try:
        with (workdir / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextlib.contextmanager
def _lock(workdir: Path, force: bool) -> Iterator[dict[str, Any]]:
    """Hold the folder in this process; gives what is written in its owner file."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 (only training needs it)

    path, owner = workdir / LOCK_FILE, workdir / OWNER_FILE
    with contextlib.ExitStack() as stack:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise UsageError(
                f"run folder {workdir} cannot be written ({error.strerror}): give --workdir a"
                " folder that can"
            ) from error
        try:
            lock = FileLock(path, thread_local=False, fallback_to_soft=False)
            stack.enter_context(lock.acquire(timeout=0))
        except Timeout as error:
            found = _read(owner) or {}
            where = f" (process {found['pid']} on {found['host']})" if "pid" in found else ""
            raise FolderTaken(
                f"another process{where} is training in {workdir}: wait for it or stop it, or give"
                " --workdir another folder"
            ) from error
        except OSError as error:
            if not force:
                raise UsageError(
                    f"run folder {workdir} is on a file system without locks ({error.strerror}), so"
                    " two runs there would not notice each other: give --workdir another folder,"
                    " or --force to train there"
                ) from error
            notice(f"{workdir} has no lock ({error.strerror}): see to it that only one run writes")
        signature = {"host": platform.node(), "pid": os.getpid(), "id": uuid.uuid4().hex}
        write_text(owner, json.dumps(signature) + "\n")
        try:
            yield signature
        finally:
            with contextlib.suppress(OSError):
                owner.unlink()


def _read(owner: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(owner.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
