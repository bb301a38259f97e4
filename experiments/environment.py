"""Where and when an experiment ran: what a reader needs to run it again."""

import datetime
import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from experiments.revision import ask_git

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "diffrax")


def environment(wall_seconds: float) -> dict[str, Any]:
    """The machine, the versions and the command of this process.

    Args:
      wall_seconds: Seconds the experiment took.

    Returns:
      Device kind and count, CPU cores this process may use, Python and package versions, git
      commit and whether tracked files differ from it (None outside a checkout), command line,
      date (UTC) and wall seconds; JSON values only.
    """
    devices = jax.devices()
    commit, modified = _checkout()
    return {
        "device": devices[0].device_kind,
        "device_count": len(devices),
        "cores": _cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "commit": commit,
        "modified": modified,
        "command": command_line(sys.argv),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(wall_seconds, 2),
    }


def command_line(arguments: list[str]) -> str:
    """The command a user would type again.

    Example:
      >>> command_line(["/x/experiments/__main__.py", "quickstart", "--out", "my runs"])
      "python -m experiments quickstart --out 'my runs'"
    """
    program = Path(arguments[0])
    if program.name == "__main__.py":
        return f"python -m {shlex.join([program.parent.name, *arguments[1:]])}"
    return shlex.join([program.name, *arguments[1:]])


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _checkout() -> tuple[str | None, bool | None]:
    # Asking about this very file keeps an installation inside a stranger's repository from
    # reporting the stranger's commit.
    here = Path(__file__).resolve()
    if ask_git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None, None
    commit = ask_git(here.parent, "rev-parse", "HEAD")
    changes = ask_git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)
