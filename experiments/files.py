"""Files that are either complete or not there."""

import os
import tempfile
from pathlib import Path

from experiments.errors import InputError


def make_folder(path: Path) -> Path:
    """The folder `path`, created with its parents, proven writable.

    Args:
      path: A folder, existing or not.

    Returns:
      The same path.

    Raises:
      InputError: It cannot be created or nothing can be written in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write in the folder {path} ({error.strerror}); name a writable one with --out"
        ) from error
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part.

    Args:
      path: The file; its folder is created.
      content: All of it.

    Raises:
      InputError: The folder or the file cannot be written.
    """
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        # Files that tools read must not inherit the privacy of temporary files.
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path} ({error.strerror}); name a writable folder with --out"
        ) from error
