"""The file of a check: one JSON object that is complete whenever it is read.

``{"environment": {...}, "steps": {NAME: {"status", "allowed_seconds", "seconds", "message",
"results": [...]}}}``; `status` is one of "running", "done", "failed", "out of time" and "left out".
"""

import json
from pathlib import Path
from typing import Any

from experiments.files import write_bytes

Record = dict[str, Any]


def start_record(path: Path, environment: dict[str, Any]) -> None:
    """Write a record without steps.

    Args:
      path: The file.
      environment: Where and how the check was started; JSON values.

    Raises:
      InputError: The file cannot be written.
    """
    _write(path, {"environment": environment, "steps": {}})


def read_record(path: Path) -> Record:
    """Return what a file holds."""
    return json.loads(path.read_text())


def describe_step(path: Path, step: str, **values: Any) -> None:
    """Set values of a step, which is added where it is new.

    Args:
      path: The file.
      step: Name of the step.
      **values: JSON values, such as its status.
    """
    record = read_record(path)
    record["steps"].setdefault(step, {"results": []}).update(values)
    _write(path, record)


def add_result(path: Path, step: str, result: dict[str, Any]) -> None:
    """Append a result to a step.

    Args:
      path: The file.
      step: A step that was described before.
      result: JSON values.

    Raises:
      ValueError: A number is not finite: JSON has no word for it.
    """
    record = read_record(path)
    record["steps"][step]["results"].append(result)
    _write(path, record)


def _write(path: Path, record: Record) -> None:
    write_bytes(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
