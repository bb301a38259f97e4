"""Read and write moments and results: input is checked, output files are replaced whole."""

import contextlib
import io
import json
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float

from theory.linalg.errors import InputError
from theory.moments.moments import Moments

_REQUIRED = ("covariance", "cross_covariance")
_OPTIONAL = ("mean", "images", "views", "half_covariance", "half_cross_covariance")


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read arrays of an npz file by name; nothing in the file is ever executed.

    Args:
      path: An npz file of plain arrays; ``"-"`` is standard input.

    Returns:
      Arrays by name.

    Raises:
      InputError: No such file, not an npz file, truncated, or holding pickled objects.
    """
    try:
        with _open_stream(path) as stream:
            # np.load accepts a bare pickle or a .npy too; only archives are wanted here.
            if not zipfile.is_zipfile(stream):
                raise InputError(
                    f"{path} is not an npz file, or is truncated: write it with numpy.savez"
                )
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give the path of an npz file") from None
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,  # encrypted, or packed by a method that zipfile does not know
        MemoryError,  # a damaged shape
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if isinstance(error, InputError):
            raise
        reason = "holds pickled objects" if "pickle" in str(error) else "cannot be read"
        raise InputError(
            f"{path} {reason} ({_one_line(error)}): give plain arrays written with numpy.savez"
        ) from None


def read_moments(path: str | Path) -> Moments:
    """Read moments from an npz file, with the keys that `Moments` has as attributes.

    float32 and integers are read as float64; other keys are ignored. What the numbers mean is for
    `theory.moments.check.check_moments`.

    Args:
      path: File with covariance, cross_covariance and any of the optional moments.

    Returns:
      `Moments` in NumPy arrays.

    Raises:
      InputError: As `read_arrays`; a required key missing, or an array that is not of real numbers.
    """
    arrays = read_arrays(path)
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(
            f"{path} lacks {' and '.join(missing)}, it holds {found}: wanted covariance (dim, dim)"
            " and cross_covariance (dim, dim)"
        )
    for name in _REQUIRED + _OPTIONAL:
        if name in arrays and arrays[name].dtype.kind not in "fiu":
            raise InputError(
                f"{name} in {path} is of type {arrays[name].dtype}, wanted real numbers in float64"
            )
    values = {
        name: arrays[name].astype(np.float64) for name in _REQUIRED + _OPTIONAL if name in arrays
    }
    return Moments(**values)


def read_layers(path: str | Path) -> tuple[Float[np.ndarray, "out in"], ...]:
    """Read weights W1..WL of a deep linear network from an npz file, first layer first.

    Args:
      path: File with W1, W2, … of shape (out, in).

    Returns:
      Weights in float64.

    Raises:
      InputError: As `read_arrays`; no W1, a gap in the numbering, or not finite matrices.
    """
    arrays = read_arrays(path)
    depth = sum(name[:1] == "W" and name[1:].isdigit() for name in arrays)
    wanted = [f"W{layer}" for layer in range(1, depth + 1)]
    if depth == 0 or any(name not in arrays for name in wanted):
        found = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(f"{path} holds {found}, wanted the weights of all layers as W1, W2, …")
    for name in wanted:
        matrix = arrays[name]
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or not np.all(np.isfinite(matrix)):
            raise InputError(
                f"{name} in {path} has shape {matrix.shape} and type {matrix.dtype}, wanted a"
                " matrix (out, in) of finite numbers"
            )
    return tuple(arrays[name].astype(np.float64) for name in wanted)


def check_writable(path: str | Path) -> None:
    """Refuse, before any work is done, a path that a file cannot be written to.

    Args:
      path: Where a result will go; its folder is created when it is written. ``"-"`` is the
        screen.

    Returns:
      Nothing.

    Raises:
      InputError: The path is a folder, or a parent is a file or not writable.
    """
    if str(path) == "-":
        return
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is an existing folder, wanted a file to write: add a file name")
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{path} cannot be written: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written: no permission in {folder}")


def check_result_path(path: str | Path) -> None:
    """Refuse, before any work is done, the path of a result that `write_result` cannot write.

    Args:
      path: As in `write_result`.

    Returns:
      Nothing.

    Raises:
      InputError: As `check_writable`, or a name that asks for a format that is not written.
    """
    ending = "" if str(path) == "-" else Path(path).suffix
    if ending not in ("", ".npz", ".json"):
        raise InputError(f"{path} ends in {ending}, wanted .npz or .json: give one of these")
    check_writable(path)


def write_arrays(path: str | Path, **arrays: np.ndarray) -> None:
    """Write an npz file all at once: there is the whole new file, or the old one, or none.

    Args:
      path: Where; its folder is created if it does not exist.
      **arrays: Arrays by name.

    Returns:
      Nothing.

    Raises:
      InputError: The file cannot be written.
    """
    with _replace_file(path) as stream:
        # The annotation of savez knows no keyword but its own.
        named: dict[str, Any] = dict(arrays)
        np.savez(stream, **named)


def write_result(path: str | Path, **arrays: np.ndarray) -> None:
    """Write a result all at once, as the name of its file asks for.

    Args:
      path: Where: npz for a name that ends in .npz or in nothing, JSON for one that ends in
        .json; ``"-"`` prints JSON.
      **arrays: Arrays by name. In JSON they are nested lists, and numbers that are not finite
        are null.

    Returns:
      Nothing.

    Raises:
      InputError: The file cannot be written, or its name ends in something else.
    """
    check_result_path(path)
    if str(path) != "-" and Path(path).suffix != ".json":
        write_arrays(path, **arrays)
        return
    listed = {
        name: _replace_nonfinite(np.asarray(array).tolist()) for name, array in arrays.items()
    }
    text = json.dumps(listed, indent=1) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    with _replace_file(path) as stream:
        stream.write(text.encode())


def _replace_nonfinite(value: Any) -> Any:
    if isinstance(value, list):
        return [_replace_nonfinite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _open_stream(path: str | Path) -> Any:
    if str(path) == "-":
        return io.BytesIO(sys.stdin.buffer.read())
    return Path(path).open("rb")


@contextlib.contextmanager
def _replace_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a stream whose content replaces a file once all of it is written."""
    path = Path(path)
    check_writable(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        # mkstemp makes a private file; a result is as readable as any other new file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {_one_line(error)}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]  # of a damaged file it can quote all of it
