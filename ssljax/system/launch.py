"""Start several processes of one run on this machine, pass on their output, end them together."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from ssljax.system.errors import UsageError

GRACE_SECONDS = 15.0
"""How long the others may take to end by themselves after one has failed."""

_POLL_SECONDS = 0.05
_LAUNCHED = ("train",)
_CHATTER = re.compile(rb"\[Gloo\] |Expected number of connected peer ranks")


def launch_processes(
    command: Sequence[str],
    processes: int,
    *,
    devices_per_process: int = 0,
    gpus: int | None = None,
) -> int:
    """Run one command of this program as several processes, until the last has ended.

    Lines of each process are shown with its number in front. When one fails, the others are ended
    within `GRACE_SECONDS`; SIGTERM and SIGINT are passed on to all.

    Args:
      command: Arguments of ``python -m ssljax``, starting with ``train``.
      processes: How many, at least 1.
      devices_per_process: Simulated CPU devices in each; 0 for one GPU each where there are
        enough, otherwise one CPU device each.
      gpus: GPUs of this machine; counted by default.

    Returns:
      Exit code: 0 where all ended well, otherwise that of the first that failed (128 + number of
      the signal for one that was killed).

    Raises:
      UsageError: The command cannot be run by several processes, or a number is out of range.
    """
    if not command or command[0] not in _LAUNCHED:
        raise UsageError(
            f"launch runs {' or '.join(_LAUNCHED)}, got {command[0] if command else 'nothing'}:"
            " write python -m ssljax launch --processes 2 -- train PRESET …"
        )
    if processes < 1 or devices_per_process < 0:
        raise UsageError(
            f"{processes} processes with {devices_per_process} devices each: give --processes at"
            " least 1 and --devices-per-process at least 0"
        )
    gpus = count_gpus() if gpus is None else gpus
    address = f"127.0.0.1:{_free_port()}"
    return run_together(
        [process_command(command, address, number, processes) for number in range(processes)],
        [
            process_environment(os.environ, number, processes, devices_per_process, gpus)
            for number in range(processes)
        ],
    )


def run_together(
    commands: Sequence[Sequence[str]],
    environments: Sequence[Mapping[str, str]],
    *,
    grace_seconds: float = GRACE_SECONDS,
) -> int:
    """Run programs side by side until the last has ended; one that fails ends the others.

    Args:
      commands: One command line for each process.
      environments: One environment for each.
      grace_seconds: How long the others may take to end by themselves.

    Returns:
      The exit code, as `launch` gives it.
    """
    children = [
        subprocess.Popen(
            command,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # the terminal's interrupt comes here and is passed on once
        )
        for command, environment in zip(commands, environments, strict=True)
    ]
    listeners = [
        threading.Thread(target=_copy_lines, args=(stream, f"[{number}] ", out), daemon=True)
        for number, child in enumerate(children)
        for stream, out in ((child.stdout, sys.stdout), (child.stderr, sys.stderr))
    ]

    def forward(number: int, frame: object) -> None:
        for child in children:
            child.send_signal(number)  # does nothing to one that has ended

    forwarded = (signal.SIGTERM, signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    previous = {number: signal.signal(number, forward) for number in forwarded if is_main}
    try:
        for listener in listeners:
            listener.start()
        code = _wait(children, grace_seconds)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    for listener in listeners:
        listener.join(timeout=5)
    return code


def process_command(command: Sequence[str], address: str, number: int, processes: int) -> list[str]:
    """Return the command line of one process."""
    own = ["--coordinator", address, "--process-id", str(number), "--num-processes", str(processes)]
    return [sys.executable, "-m", "ssljax", *command, *own]


def process_environment(
    environment: Mapping[str, str],
    number: int,
    processes: int,
    devices_per_process: int,
    gpus: int,
) -> dict[str, str]:
    """Return the environment of one process: its own GPU, or simulated devices on the CPU."""
    own = dict(environment)
    if devices_per_process == 0 and gpus >= processes:
        visible = environment.get("CUDA_VISIBLE_DEVICES", "")
        names = [name for name in visible.split(",") if name] or [str(i) for i in range(gpus)]
        own["CUDA_VISIBLE_DEVICES"] = names[number]
        return own
    own["JAX_PLATFORMS"] = "cpu"
    own["JAX_NUM_CPU_DEVICES"] = str(devices_per_process or 1)
    # An older way to ask for simulated devices, which JAX refuses beside the newer one.
    flags = re.sub(
        r"--xla_force_host_platform_device_count=\d+", "", environment.get("XLA_FLAGS", "")
    )
    own.pop("XLA_FLAGS", None)
    if flags.strip():
        own["XLA_FLAGS"] = flags.strip()
    return own


def count_gpus() -> int:
    """Return how many NVIDIA GPUs a process started here would see, without starting any."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name and name != "-1"])
    return len([path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdigit()])


def exit_code(returned: int) -> int:
    """Return a child's exit code as a shell reports it: 128 + the number of a signal."""
    return returned if returned >= 0 else 128 - returned


def _wait(children: Sequence[subprocess.Popen[bytes]], grace_seconds: float) -> int:
    """Wait for all; the first failure sets the code and a deadline for the others."""
    code, deadline = 0, float("inf")
    while running := [number for number, child in enumerate(children) if child.poll() is None]:
        # A killed process comes before its peers, which fail because of it.
        failed = sorted(
            (child.returncode, at) for at, child in enumerate(children) if child.returncode
        )
        if failed and not code:
            returned, number = failed[0]
            code, deadline = exit_code(returned), time.monotonic() + grace_seconds
            _say(f"process {number} {_describe_end(returned)}: ending the others")
        elif time.monotonic() > deadline:
            for number in running:
                _say(f"process {number} did not end within {grace_seconds:g} s: killed")
                children[number].kill()
            deadline = float("inf")
        time.sleep(_POLL_SECONDS)
    failures = sorted(child.returncode for child in children if child.returncode)
    return code or (exit_code(failures[0]) if failures else 0)


def _describe_end(returned: int) -> str:
    if returned >= 0:
        return f"ended with code {returned}"
    names = {item.value: item.name for item in signal.Signals}
    return f"was ended by {names.get(-returned, f'signal {-returned}')}"


def _copy_lines(stream: Any, prefix: str, out: TextIO) -> None:
    """Copy the lines of a process with its number in front; the chatter of Gloo is left out."""
    with stream:
        for line in stream:
            if not _CHATTER.search(line):
                out.write(prefix + line.decode(errors="replace"))
                out.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _say(text: str) -> None:
    print(f"ssljax launch: {text}", file=sys.stderr, flush=True)
