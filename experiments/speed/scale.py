"""What it costs to share a step: measured on this machine, and on paper for a pod of TPU v5e.

Simulated devices share this machine's cores, so that with a fixed global batch more devices never
do less work in all: whatever they are slower by is lost to dividing the step and to communication.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from experiments.errors import InputError
from experiments.speed.communication import (
    LOSSES,
    RESNET18_CIFAR,
    gather_crossover,
    logits_crossover,
    step_seconds,
)

ARRANGEMENTS = ((1, 1), (1, 2), (1, 4), (1, 8), (2, 4))
"""Processes and devices in each."""

POD_CHIPS = (1, 16, 64, 256)
_TIMEOUT_SECONDS = 900
ROUNDS = 3


def scale_rows(*, rounds: int = ROUNDS, steps: int = 20) -> list[dict[str, Any]]:
    """Rows of `speed.json`: steps a second for each arrangement, then the pod on paper.

    Args:
      rounds: Repetitions of each arrangement, interleaved so that a busy moment hits all.
      steps: Steps timed in each.

    Returns:
      Rows; ``ratio`` of an arrangement is its speed over that of one device (1 - ratio is lost),
      of the pod the share of the step that is not communication.

    Raises:
      InputError: A process ended early.
    """
    speeds: dict[tuple[int, int], list[float]] = {one: [] for one in ARRANGEMENTS}
    for _ in range(rounds):
        for arrangement in ARRANGEMENTS:
            speeds[arrangement].append(measured_speed(*arrangement, steps=steps))
    alone = statistics.median(speeds[1, 1])
    rows = []
    for (processes, devices), values in speeds.items():
        ratios = [value / alone for value in values]
        rows.append(
            _row(
                f"{_many(processes, 'process', 'es')} of {_many(devices, 'simulated device', 's')}",
                statistics.median(values),
                "steps/s",
                ratios,
            )
        )
    return rows + paper_rows()


def _many(number: int, word: str, ending: str) -> str:
    return f"{number} {word}{ending if number > 1 else ''}"


def paper_rows() -> list[dict[str, Any]]:
    """The same for ResNet-18 on CIFAR images and a pod of v5e, 512 images a chip; nothing is run.

    Returns:
      A row for each loss and number of chips, then the two batches at which NT-Xent changes.
    """
    rows = []
    for loss in LOSSES:
        for chips in POD_CHIPS:
            work = RESNET18_CIFAR._replace(batch=512 * chips)
            seconds = step_seconds(loss, work, chips)
            speed = 1 / (sum(seconds))
            name = f"{loss}, {chips} v5e chip{'s' if chips > 1 else ''}, on paper"
            rows.append(_row(name, speed, "steps/s", [1 - seconds.lost]))
    gather = gather_crossover(RESNET18_CIFAR, 512)
    rows.append(
        _row("batch where NT-Xent's gather costs the encoder, 512 a chip", gather, "images")
    )
    logits = logits_crossover(RESNET18_CIFAR)
    rows.append(_row("batch where NT-Xent's logits cost the encoder", logits, "images"))
    return rows


def _row(what: str, ours: float, unit: str, ratios: list[float] | None = None) -> dict[str, Any]:
    return {
        "what": "scale",
        "case": what,
        "ours": ours,
        "peer": None,
        "peer_version": None,
        "unit": unit,
        "ratio": statistics.median(ratios) if ratios else None,
        "low": min(ratios) if ratios else None,
        "high": max(ratios) if ratios else None,
    }


def measured_speed(processes: int, devices: int, *, steps: int) -> float:
    """Steps a second of a small ResNet with NT-Xent, 64 images a step over all devices.

    Args:
      processes: Of this machine.
      devices: Simulated devices of each.
      steps: Steps timed, after those that compile.

    Returns:
      Steps a second, as the first process sees it.

    Raises:
      InputError: A process ended early.
    """
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "seconds"
        command = [sys.executable, "-m", "experiments.speed.scale_worker", str(out), str(steps)]
        running = [
            subprocess.Popen(
                [*command, *([address, str(number), str(processes)] if processes > 1 else [])],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for number in range(processes)
        ]
        try:
            errors = [process.communicate(timeout=_TIMEOUT_SECONDS)[1] for process in running]
        except subprocess.TimeoutExpired:
            errors = [b"no answer in time"]
        finally:
            for process in running:
                process.kill()
        if any(process.wait() for process in running) or not out.exists():
            lines = b"".join(errors).decode(errors="replace").strip().splitlines() or ["?"]
            raise InputError(
                f"{processes} processes of {devices} devices ended early ({lines[-1][:200]}): close"
                " other programs and try again"
            )
        return steps / float(out.read_text())
