"""Where and when speeds were measured: the `environment` of `speed.json`."""

import datetime
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax

from experiments.core.provenance import PACKAGES, describe_command, read_checkout


def read_environment(wall_seconds: float) -> dict[str, Any]:
    """Return the machine, the versions and the command of this process, as JSON values.

    Args:
      wall_seconds: Seconds that measuring took.

    Returns:
      Device kind and count, CPU cores this process may use, Python and package versions, git
      commit and whether tracked files differ from it (None outside a checkout), command line,
      date (UTC) and wall seconds.
    """
    devices = jax.devices()
    commit, modified = read_checkout()
    return {
        "device": devices[0].device_kind,
        "device_count": len(devices),
        "cores": _count_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: find_version(name) for name in PACKAGES},
        "commit": commit or None,
        "modified": modified if commit else None,
        "command": describe_command(sys.argv),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(wall_seconds, 2),
    }


def find_version(name: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
