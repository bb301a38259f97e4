"""The manifest of a finished checkpoint: a digest of every file, and its metrics.

Sealing reads every file once more, from the page cache, because the store gives no checksums of
what matters: it checks its indexes, but of 60 single-bit flips in the file that holds the arrays
(Orbax 0.12.8, tensorstore 0.1.86) 60 were restored as another state without a word. The manifest
is written after Orbax has committed; a checkpoint whose process was killed in between has none and
is left to Orbax.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from ssljax.system.errors import UsageError
from ssljax.system.files import write_json

MANIFEST_FILE = "manifest.json"
HISTORY_FILE = "metrics.jsonl"


class Manifest(NamedTuple):
    """What a checkpoint says of itself.

    Attributes:
      metric: Value that decides which checkpoint is best; none where nothing was measured.
      metric_name: What the value is.
    """

    metric: float | None
    metric_name: str


def seal(folder: Path, manifest: Manifest, history: bytes) -> None:
    """Seal a committed checkpoint: add the history of metrics, then the digests of all files."""
    (folder / HISTORY_FILE).write_bytes(history)
    files = {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_FILE
    }
    is_number = manifest.metric is not None and math.isfinite(manifest.metric)
    entries: dict[str, Any] = {
        "metric": manifest.metric if is_number else None,
        "metric_name": manifest.metric_name,
        "files": files,
    }
    write_json(folder / MANIFEST_FILE, entries | {"digest": _entries_digest(entries)})


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a checkpoint, without checking its files; none where there is none.

    Raises:
      UsageError: It is damaged.
    """
    entries = _read_entries(folder)
    return None if entries is None else Manifest(entries["metric"], entries["metric_name"])


def check_files(folder: Path) -> bool:
    """Return whether a checkpoint has a manifest; all its files are then as they were written.

    Raises:
      UsageError: The manifest is damaged, or a file is missing or has changed.
    """
    entries = _read_entries(folder)
    if entries is None:
        return False
    for name, digest in entries["files"].items():
        path = folder / name
        if not path.is_file():
            raise UsageError(f"{name} is missing")
        if _digest(path) != digest:
            raise UsageError(f"{name} has changed since it was written")
    return True


def read_saved_history(folder: Path) -> bytes | None:
    """Return the lines of metrics up to a sealed checkpoint; none where it was not sealed."""
    path = folder / HISTORY_FILE
    return path.read_bytes() if (folder / MANIFEST_FILE).exists() and path.exists() else None


def remove_checkpoint(folder: Path) -> None:
    """Delete a checkpoint; a process killed meanwhile leaves a name that counts as unfinished."""
    doomed = folder.with_name(f"{folder.name}.orbax-checkpoint-tmp-removed")
    if doomed.exists():
        shutil.rmtree(doomed)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _read_entries(folder: Path) -> dict[str, Any] | None:
    try:
        text = (folder / MANIFEST_FILE).read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{MANIFEST_FILE} cannot be read") from error
    try:
        entries = json.loads(text)
        digest = entries.pop("digest")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{MANIFEST_FILE} is damaged") from error
    if digest != _entries_digest(entries):
        raise UsageError(f"{MANIFEST_FILE} has changed since it was written")
    return entries


def _entries_digest(entries: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
