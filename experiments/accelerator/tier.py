"""The experiments of a tier, as far as they come in the time that is left."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.accelerator.steps import Request
from experiments.core.measurements import PARTS, RUNS

_SECONDS_TO_STOP = 15.0


def run_tier(request: Request) -> Iterator[dict[str, Any]]:
    """Run all experiments beside the record; yield what was measured and how it ended.

    Networks that are finished stay in the folder, and the same command goes on with the others.
    """
    tier = "smoke" if request.tiny else "workstation"
    folder = request.record.with_name(f"{request.record.stem}-{tier}")
    words = ["-m", "experiments", "all", "--tier", tier, "--out", str(folder)]
    yield run_command([sys.executable, *words], folder, request.seconds - 2 * _SECONDS_TO_STOP)


def run_command(command: list[str], folder: Path, seconds: float) -> dict[str, Any]:
    """Run a command until it ends or its time is over; then it is stopped as by Ctrl-C.

    Args:
      command: The program and its words.
      folder: Of its results, one folder a network in ``networks``.
      seconds: Until it is stopped.

    Returns:
      ``networks`` that are complete, ``exit`` code (None where it was stopped), ``seconds`` and
      what it ``said`` last.
    """
    started = time.monotonic()
    log = folder.with_suffix(".log")
    with log.open("w") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout=max(seconds, 1.0))
        except subprocess.TimeoutExpired:
            code = None
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_SECONDS_TO_STOP)
        finally:
            # Also what it started: a process that is left over holds the device.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lines = log.read_text(errors="replace").strip().splitlines()
    return {
        "what": "tier",
        "command": command[1:],
        "networks": sorted(path.parent.name for path in (folder / PARTS).glob(f"*/{RUNS}")),
        "exit": code,
        "seconds": round(time.monotonic() - started, 1),
        "said": lines[-1][:300] if lines else "",
    }
