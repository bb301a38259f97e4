"""``launch``: several processes of one run on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssljax.cli.options import read_settings
from ssljax.system.launch import launch_processes
from ssljax.system.settings import NONNEGATIVE, POSITIVE, Settings, setting

_EXAMPLE = """python -m ssljax launch --processes 2 -- train digits_smoke
  python -m ssljax launch --processes 2 --devices-per-process 4 -- train digits_mlp"""


@dataclass(frozen=True, kw_only=True)
class LaunchOptions(Settings):
    """Train one run with several processes of this machine.

    One process for each GPU, or on simulated CPU devices. One that dies ends the others; the same
    command resumes. After the options: -- train PRESET …
    """

    processes: int = setting(2, "how many processes", POSITIVE)
    devices_per_process: int = setting(
        0,
        "simulated CPU devices in each; 0: a GPU each where there are enough, else one CPU device",
        NONNEGATIVE,
    )


def run_launch(arguments: Sequence[str]) -> int:
    """Run `train` as several processes of this machine."""
    given = list(arguments)
    start = next((at for at, word in enumerate(given) if word in ("--", "train")), len(given))
    options = read_settings("launch", LaunchOptions, given[:start], _EXAMPLE)
    command = given[start + 1 :] if given[start : start + 1] == ["--"] else given[start:]
    return launch_processes(
        command, options.processes, devices_per_process=options.devices_per_process
    )
