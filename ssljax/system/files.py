"""Files that are never seen half-written."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

from ssljax.system.errors import UsageError


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never half of it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step.

    Until then it has a name that no other process uses, on no host: in containers all processes
    may have the same number.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line, up to the first damaged one; empty without a file.

    A process that was killed leaves at most its last line half-written.
    """
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                break
            if not isinstance(line, dict):
                break
            lines.append(line)
    return lines


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
      UsageError: The file is missing or holds no JSON object.
    """
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}): give the folder of a run of ssljax train"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not JSON ({error}): restore it, or train again in another folder"
        ) from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no JSON object: restore it, or train in another folder")
    return value
