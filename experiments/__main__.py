"""`python -m experiments NAME`: each experiment holds a prediction of `theory` against `ssljax`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.core.runner import MeasureNetwork
from experiments.tools import command_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    return command_line.main(arguments, load_measure)


def load_measure() -> MeasureNetwork:
    """Return what trains and measures one network; loads JAX."""
    from experiments.measure.network import measure_network  # noqa: PLC0415

    return measure_network


def prepare_processes(words: Sequence[str]) -> None:
    """Say in the environment how this process and those that it starts compile.

    XLA reuses what it compiled, for the next seed and the next time. A smoke run compiles for
    longer than it computes, so most optimizations are left out.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache / "ssljax" / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
    if "smoke" in words:
        os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


if __name__ == "__main__":
    prepare_processes(sys.argv[1:])
    sys.exit(main())
