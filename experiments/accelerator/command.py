"""The command: the steps one after the other, and the answer in a few lines."""

import argparse
import contextlib
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from experiments.accelerator.options import choose_steps
from experiments.accelerator.record import (
    describe_step,
    read_record,
    start_record,
)
from experiments.accelerator.steps import STEPS, Request
from experiments.accelerator.worker import encode_request
from experiments.core.provenance import describe_versions, read_checkout
from experiments.errors import InputError

_LEAST_SECONDS = 5.0
NO_DEVICE = (
    "JAX sees no accelerator here, only the CPU: install the driver and jax[cuda13] or jax[tpu], or"
    " rehearse with --rehearse"
)


def run_accelerator(options: argparse.Namespace) -> int:
    """Run the steps in order; return the exit code.

    Args:
      options: Of `experiments.accelerator.options`.

    Returns:
      0 where everything passed, 1 where a test, a step or the tier did not.

    Raises:
      InputError: No accelerator, a step that does not exist, time that is not positive, a missing
        file, or a record that cannot be written.
    """
    names = choose_steps(options.steps)
    if not options.minutes > 0:
        raise InputError(f"--minutes {options.minutes} given; wanted a positive number")
    if options.data and not options.data.is_file():
        raise InputError(f"--data {options.data}: there is no such file")
    path = options.out.absolute()
    commit, modified = read_checkout()
    start_record(
        path,
        {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "minutes": options.minutes,
            "rehearsal": options.rehearse,
            "data": str(options.data) if options.data else None,
            "commit": commit or None,
            "modified": modified if commit else None,
            "versions": describe_versions(),
        },
    )
    deadline = time.monotonic() + 60 * options.minutes
    for name in names:
        allowed = STEPS[name].share * (deadline - time.monotonic())
        if allowed < _LEAST_SECONDS:
            describe_step(path, name, status="left out", message="no time was left")
        else:
            describe_step(path, name, status="running", allowed_seconds=round(allowed, 1))
            run_isolated(name, Request(allowed, options.rehearse, options.data, path))
        step = read_record(path)["steps"][name]
        if name == "device" and is_cpu_only(step) and not options.rehearse:
            path.unlink()
            raise InputError(NO_DEVICE)
        print(summarize_step(name, step), flush=True)
    print(f"record: {path}")
    steps = read_record(path)["steps"]
    return int(any(has_failed(step) for step in steps.values()))


def run_isolated(name: str, request: Request, command: Sequence[str] = ()) -> None:
    """Run a step in a process of its own until it ends or its time is over, and say how it ended.

    Args:
      name: Of the step.
      request: What it is asked.
      command: In place of the program that runs a step.
    """
    module = "experiments.accelerator.worker"
    words = list(command) or [sys.executable, "-m", module, name, encode_request(request)]
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, start_new_session=True)
        try:
            code = process.wait(timeout=request.seconds)
            status = "failed" if code else "done"
        except subprocess.TimeoutExpired:
            status = "out of time"
        finally:
            # Also what it started: a process that is left over holds the device.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    message = lines[-1][:300] if status == "failed" and lines else ""
    seconds = round(time.monotonic() - started, 1)
    describe_step(request.record, name, status=status, seconds=seconds, message=message)


def is_cpu_only(step: dict[str, Any]) -> bool:
    """Return whether JAX found nothing but the CPU."""
    return any(result.get("platform") == "cpu" for result in step["results"])


def has_failed(step: dict[str, Any]) -> bool:
    """Return whether a step, one of its tests or the command that it ran failed."""
    return step["status"] == "failed" or any(map(is_failure, step["results"]))


def is_failure(result: dict[str, Any]) -> bool:
    """Return whether a result says that something failed."""
    broke = "message" in result and "ours" not in result and result["what"] != "stopped"
    return (
        result.get("passed") is False
        or bool(result.get("exit"))
        or (broke and "passed" not in result)
    )


def summarize_step(name: str, step: dict[str, Any]) -> str:
    """Return how a step ended, in one line and one more for everything that failed.

    Example:
      >>> summarize_step("tests", {"status": "done", "seconds": 2.0, "results": [{"what": "a"}]})
      'tests: done, 1 result in 2.0 s'
    """
    results = step["results"]
    words = f"{name}: {step['status']}, {len(results)} result{'s' * (len(results) != 1)}"
    words += f" in {step['seconds']} s" if "seconds" in step else ""
    words += f" ({step['message']})" if step.get("message") else ""
    lines = [words]
    for result in filter(is_failure, results):
        reason = result.get("message") or result.get("said")
        reason = reason or f"error {result.get('error'):.2g}, bound {result.get('bound'):.2g}"
        lines.append(f"  not passed: {result['what']}: {reason}")
    return "\n".join(lines)
