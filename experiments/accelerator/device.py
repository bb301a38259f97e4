"""Which device computes here: kind, number, memory, driver, clocks and versions."""

import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import distributions
from typing import Any

import jax

from experiments.accelerator.steps import Request

_QUERY = (
    "name",
    "driver_version",
    "memory.total",
    "power.limit",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "clocks.max.mem",
    "temperature.gpu",
    "mig.mode.current",
)
_PACKAGES = ("jax", "flax", "optax", "numpy", "scipy", "libtpu", "nvidia-", "triton")


def describe_device(request: Request) -> Iterator[dict[str, Any]]:
    """Yield the device that JAX computes on, then what the driver says of it."""
    del request
    devices = jax.devices()
    first = devices[0]
    memory = first.memory_stats() if first.platform != "cpu" else None
    yield {
        "what": "device",
        "platform": first.platform,
        "kind": first.device_kind,
        "count": len(devices),
        "memory_gib": round(memory["bytes_limit"] / 2**30, 2) if memory else None,
        "runtime": first.client.platform_version,
        "host": platform.platform(),
        "host_cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": _list_versions(),
        "settings": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("XLA_", "JAX_", "NVIDIA_TF32", "LIBTPU_", "CUDA_VISIBLE"))
        },
    }
    yield {"what": "driver", "devices": ask_driver()}


def ask_driver() -> list[dict[str, str]]:
    """Return what nvidia-smi says of every GPU; nothing where there is no such program."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = answer.stdout.strip().splitlines()
    return [dict(zip(_QUERY, (field.strip() for field in line.split(",")))) for line in lines]


def _list_versions() -> dict[str, str]:
    names = ((one.metadata["Name"] or "", one.version) for one in distributions())
    return dict(sorted(pair for pair in names if pair[0].lower().startswith(_PACKAGES)))
