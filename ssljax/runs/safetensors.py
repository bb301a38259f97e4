"""Files of named arrays in the safetensors format: no code inside, so safe to read from anyone.

Eight bytes with the length of a JSON header (little-endian), the header, the arrays one after the
other. The header gives each array's type, shape and place, and text under ``__metadata__``.
"""

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ssljax.system.errors import UsageError

_TYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
}
_METADATA = "__metadata__"
_LONGEST_HEADER = 100_000_000


def write_safetensors(
    path: str | os.PathLike, arrays: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Write named arrays in one step: a reader sees the old file or the new, never half of it.

    Args:
      path: The file.
      arrays: By name; float64, float32, float16, int64, int32 or uint8.
      metadata: Text by name.

    Raises:
      UsageError: An array has another type, or the file cannot be written.
    """
    codes = {dtype: code for code, dtype in _TYPES.items()}
    header: dict[str, Any] = {_METADATA: metadata}
    parts, start = [], 0
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<")
        if dtype not in codes:
            raise UsageError(f"{name} is {array.dtype}; wanted one of {', '.join(_TYPES)}")
        content = np.ascontiguousarray(array, dtype).tobytes()
        place = [start, start + len(content)]
        header[name] = {"dtype": codes[dtype], "shape": array.shape, "data_offsets": place}
        parts.append(content)
        start = place[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(b"".join([struct.pack("<Q", len(text)), text, *parts]))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path} ({error.strerror}); name a file in a folder that exists and can"
            " be written"
        ) from error


def read_safetensors(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a file; every length and place in it is checked before it is used.

    Args:
      path: The file.

    Returns:
      Arrays by name, and text by name.

    Raises:
      UsageError: The file is missing, or not a complete one of this format.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read {path} ({error.strerror}); name a .safetensors file"
        ) from error
    try:
        (length,) = struct.unpack_from("<Q", content)
        if length > min(_LONGEST_HEADER, len(content) - 8):
            raise ValueError("the header is longer than the file")
        header = json.loads(content[8 : 8 + length])
        metadata = dict(header.pop(_METADATA, {}))
        data = memoryview(content)[8 + length :]
        return {name: _array(entry, data) for name, entry in header.items()}, metadata
    except (ValueError, TypeError, KeyError, AttributeError, struct.error) as error:
        raise UsageError(
            f"{path} is no complete safetensors file ({error}); write or copy it again"
        ) from error


def _array(entry: dict[str, Any], data: memoryview) -> np.ndarray:
    dtype, shape = _TYPES[entry["dtype"]], tuple(map(int, entry["shape"]))
    start, end = map(int, entry["data_offsets"])
    if not 0 <= start <= end <= len(data) or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{shape} {dtype} does not fit bytes {start} to {end} of {len(data)}")
    return np.frombuffer(data[start:end], dtype).reshape(shape).copy()
