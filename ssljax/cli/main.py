"""The table of commands, and how a refusal becomes one line and an exit code.

Nothing heavy is imported before it is known which command runs: ``--help`` takes a tenth of a
second.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ssljax.system.errors import UsageError


class Command(NamedTuple):
    """A line of the table: ``module:function`` in this folder, and what it does."""

    function: str
    summary: str


COMMANDS = {
    "list": Command("presets:run_list", "table of presets"),
    "show": Command("presets:run_show", "every field of a preset, and what it is for"),
    "train": Command("train:run_train", "train a preset, or resume it"),
    "sweep": Command("sweep:run_sweep", "train a preset with every combination of some values"),
    "launch": Command("launch:run_launch", "train with several processes of this machine"),
    "moments": Command("measure:run_moments", "second moments of a data set's augmented views"),
    "probe": Command("measure:run_probe", "accuracies of a run's frozen features"),
    "spectra": Command(
        "measure:run_spectra", "moments of a run's layers, for `python -m theory solve`"
    ),
    "runs": Command(
        "runs:run_runs", "table of runs: state, loss, accuracies, and in what they differ"
    ),
    "report": Command("runs:run_report", "write a run's page again"),
    "export": Command("runs:run_export", "a run's weights as one file, for NumPy or for torch"),
}

_HELP = """usage: python -m ssljax COMMAND [options]

Train encoders with projection heads, and measure them.

commands:
{commands}

Each has its own help: python -m ssljax COMMAND --help

exit codes:
  0    done
  1    the loss became infinite or NaN
  2    something given cannot be used; one line says what, what was wanted and what to do
  74   a disk failed or is full; what was saved is intact
  75   no step finished for a long time, or another process of the run was lost
  130  interrupted from the keyboard
  137  killed (SIGKILL), mostly for want of memory: nothing could be said any more
  143  ended by SIGTERM after saving
After 74 to 143 the same command resumes.

example:
  python -m ssljax train digits_smoke"""


def main(
    arguments: Sequence[str] | None = None,
    *,
    make_observers: Callable[[Any], tuple[Any, ...]] = lambda config: (),
) -> int:
    """Run one command.

    Args:
      arguments: Without the program's name; the process's own by default.
      make_observers: `ssljax.training.observers.Observer`s for a run of `train`, from its
        configuration.

    Returns:
      Exit code: 0; 2 for anything the user gave that cannot be used; 1 for a run that diverged;
      74 for a disk that cannot be written; 75 for a run that is stuck or has lost a peer; 130 for
      one interrupted from the keyboard; 143 for one that SIGTERM stopped after saving. A process
      that is killed gives 137 to its shell without our doing.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given, make_observers)
        sys.stdout.flush()
        return code
    except UsageError as error:
        print_error(error)
        return 2
    except KeyboardInterrupt:
        print_error("interrupted; the same command starts or resumes")
        return 130
    except BrokenPipeError:  # `runs --json | head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def print_error(error: object) -> None:
    """Print a refusal as one line on the error stream."""
    print(f"ssljax: {' '.join(str(error).split())}", file=sys.stderr, flush=True)


def _run(given: list[str], make_observers: Callable[[Any], tuple[Any, ...]]) -> int:
    if not given:
        raise UsageError(f"no command given; wanted one of {', '.join(COMMANDS)}")
    name, *rest = given
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = (f"  {key.ljust(width)}  {command.summary}" for key, command in COMMANDS.items())
        print(_HELP.format(commands="\n".join(lines)))
        return 0
    if name not in COMMANDS:
        from ssljax.config.fields import suggest  # noqa: PLC0415

        raise UsageError(
            f"unknown command {name!r}{suggest(name, COMMANDS)}; wanted one of"
            f" {', '.join(COMMANDS)}"
        )
    module, _, function = COMMANDS[name].function.partition(":")
    run = getattr(importlib.import_module(f"ssljax.cli.{module}"), function)
    try:
        return run(rest, make_observers=make_observers) if name == "train" else run(rest)
    except SystemExit as ended:  # the help of a command
        return int(ended.code or 0)
