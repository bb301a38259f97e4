"""One step in a process of its own: ``... -m experiments.accelerator.worker STEP REQUEST``.

A step that crashes, hangs or exhausts the memory of the device takes nothing else with it, and
every step finds the device free.
"""

import json
import os
import sys
from pathlib import Path

from experiments.accelerator.record import add_result
from experiments.accelerator.steps import Request, load_step


def run_step(name: str, request: Request) -> None:
    """Run a step; each result is in the record as soon as it is there."""
    for result in load_step(name)(request):
        add_result(request.record, name, result)


def encode_request(request: Request) -> str:
    """Return a request as the word of a command line that `decode_request` reads."""
    values = request._asdict()
    return json.dumps(values | {"data": values["data"] and str(values["data"])}, default=str)


def decode_request(text: str) -> Request:
    """Return the request that `encode_request` wrote."""
    values = json.loads(text)
    data = Path(values["data"]) if values["data"] else None
    return Request(values["seconds"], values["tiny"], data, Path(values["record"]))


def offer_cpu() -> None:
    """Let JAX use the CPU beside the accelerator: references are computed there."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):
        os.environ["JAX_PLATFORMS"] = f"{platforms},cpu"


if __name__ == "__main__":
    offer_cpu()
    run_step(sys.argv[1], decode_request(sys.argv[2]))
