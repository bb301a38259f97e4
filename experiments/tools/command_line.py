"""The command line of experiments: run, judge and show them."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from experiments.core.measured import MeasureNetwork
from experiments.core.runner import NetworksFailedError
from experiments.errors import InputError
from experiments.tools.registry import EXPERIMENTS
from experiments.tools.table_commands import (
    TABLE_COMMANDS,
    add_table_commands,
    run_table_command,
    show_verdicts,
)

TIERS = ("smoke", "laptop", "workstation", "paper")


class _Parser(argparse.ArgumentParser):
    """Errors are one line and name the way out."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m experiments --help")


def add_commands(commands: "argparse._SubParsersAction[_Parser]") -> None:
    """Add the commands that run, judge and show experiments to a parser."""
    add_table_commands(commands)
    commands.add_parser("list", help="the experiments, what each asks, and its claims")
    for name in ("all", *EXPERIMENTS):
        question = "every experiment" if name == "all" else EXPERIMENTS[name].question
        one = commands.add_parser(
            name, help=question, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        one.add_argument("--out", type=Path, help=f"folder of tables and pages (runs/{name}-TIER)")
        one.add_argument(
            "--tier", "--scale", choices=TIERS, default="laptop", help="how large a run"
        )
        one.add_argument("--seeds", help="with commas, in place of those of the tier")
        one.add_argument(
            "--jobs",
            type=int,
            default=0,
            help="networks side by side; 0: one a core, at most 4, and one on an accelerator",
        )


def run_command(options: argparse.Namespace, measure: MeasureNetwork) -> int:
    """Run one of the commands that `add_commands` adds; return the exit code.

    Args:
      options: As parsed.
      measure: Trains and measures one network.

    Raises:
      InputError: The input cannot be used.
    """
    if options.name == "list":
        for name, experiment in EXPERIMENTS.items():
            claims = ", ".join(str(claim.id) for claim in experiment.claims)
            note = f" (claim{'s' * (len(experiment.claims) > 1)} {claims})" if claims else ""
            print(f"{name:<13}{experiment.question}{note}")
        return 0
    if options.name in TABLE_COMMANDS:
        return run_table_command(options)
    from experiments.tools import commands  # noqa: PLC0415

    folder = options.out or Path("runs") / f"{options.name}-{options.tier}"
    names = () if options.name == "all" else (options.name,)
    verdicts = commands.run(
        names,
        folder,
        options.tier,
        measure,
        seeds=_read_seeds(options.seeds),
        workers=options.jobs,
    )
    return show_verdicts(verdicts, folder)


def main(arguments: list[str] | None, measure: MeasureNetwork) -> int:
    """Run the command line; return the exit code.

    0 is done, 1 that networks failed, 2 that the input cannot be used, 130 that it was stopped.
    """
    parser = _Parser(prog="python -m experiments", description=__doc__)
    add_commands(parser.add_subparsers(dest="name", metavar="NAME", required=True))
    try:
        return run_command(parser.parse_args(arguments), measure)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except NetworksFailedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130


def _read_seeds(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(seed) for seed in text.split(",")) if text else ()
    except ValueError as error:
        raise InputError(f"--seeds {text}; wanted whole numbers with commas: 0,1,2") from error
