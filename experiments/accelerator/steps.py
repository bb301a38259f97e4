"""The steps of a check, in order, and what each is asked."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What a step is asked.

    Attributes:
      seconds: Time until it is stopped.
      tiny: Whether this is a rehearsal at the smallest sizes.
      data: An .npz file of images; None for generated ones.
      record: The file of the check, with the results of the steps before.
    """

    seconds: float
    tiny: bool
    data: Path | None
    record: Path


class Step(NamedTuple):
    """One step.

    Attributes:
      what: What it does, in a few words.
      function: ``module:function`` that takes a `Request` and yields results, JSON values.
      share: Share of the time left that it may take.
    """

    what: str
    function: str
    share: float


_ROOM = "experiments.accelerator"
STEPS = {
    "device": Step("which device", f"{_ROOM}.device:describe_device", 0.3),
    "tests": Step("device tests", f"{_ROOM}.device_tests:check_device", 0.35),
    "speed": Step("speed", f"{_ROOM}.timing:time_rows", 0.5),
    "training": Step("SimCLR with nearest neighbors", f"{_ROOM}.training:train_and_watch", 0.6),
    "tier": Step("experiments of a tier", f"{_ROOM}.tier:run_tier", 1.0),
}


def load_step(name: str) -> Callable[[Request], Iterator[dict[str, Any]]]:
    """Return the function of a step; imports what it needs."""
    module, function = STEPS[name].function.split(":")
    return getattr(importlib.import_module(module), function)
