"""The command line: one parser for each command, and what each command does."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from ssljax import run_commands
from ssljax.build import NAMED_POLICIES
from ssljax.config import Config
from ssljax.errors import UsageError
from ssljax.overrides import (
    OneLineParser,
    add_settings,
    overridden,
    settings,
    value_text,
)
from ssljax.presets import PRESETS, preset
from ssljax.train import NonFiniteMetrics, StopRequested, fit

EXIT_STOPPED = 143  # 128 + SIGTERM, as shells report a process ended by it

_VARIANTS = {"policy": NAMED_POLICIES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      arguments: Without the program's name; the process's own by default.

    Returns:
      Exit code: 0; 2 for anything the user gave that cannot be used; 1 for a run that diverged;
      143 for one that SIGTERM stopped after saving.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except UsageError as error:
        return _ended(error, 2)
    except NonFiniteMetrics as error:
        return _ended(error, 1)
    except StopRequested as error:
        return _ended(error, EXIT_STOPPED)
    except KeyboardInterrupt:
        return _ended("interrupted; the same command resumes at the last checkpoint", 130)


def _ended(error: Exception | str, code: int) -> int:
    print(f"ssljax: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _run(given: list[str]) -> int:
    parser = OneLineParser(
        prog="python -m ssljax",
        description="Train encoders with projection heads, and measure them.",
        epilog="example:\n  python -m ssljax train digits_smoke",
    )
    commands: Any = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=OneLineParser, required=True
    )
    _add_train(commands, _preset_shown(given))
    shown = commands.add_parser("list", help="table of presets", description="Table of presets.")
    shown.set_defaults(command=_list)
    show = commands.add_parser(
        "show",
        help="every field of a preset",
        description="Every field of a preset, and what the preset is for.",
        epilog="example:\n  python -m ssljax show digits_linear",
    )
    show.add_argument("preset", metavar="PRESET")
    show.set_defaults(command=_show)
    run_commands.add_parsers(commands)
    values = parser.parse_args(given)
    return values.command(values)


def _preset_shown(given: list[str]) -> Config:
    """The preset whose values `train --help` shows as defaults, where one is named."""
    named = [text for text in given[1:] if text in PRESETS]
    return preset(named[0]) if given[:1] == ["train"] and named else Config()


def _add_train(commands: Any, config: Config) -> None:
    train = commands.add_parser(
        "train",
        help="train a preset, or resume it",
        usage="python -m ssljax train PRESET [--workdir DIR] [--any.field value]",
        description=(
            "Train a preset in a run folder. The same command resumes an interrupted run.\n"
            "Presets: " + ", ".join(PRESETS)
        ),
        epilog=(
            "examples:\n"
            "  python -m ssljax train digits_smoke\n"
            "  python -m ssljax train digits_mlp --optimizer.learning-rate 0.001 --strength 0.8\n"
            "  python -m ssljax train digits_resnet --data arrays:images.npz --workdir runs/mine"
        ),
    )
    train.add_argument("preset", metavar="PRESET", help="see `python -m ssljax list`")
    train.add_argument("--workdir", metavar="DIR", help="run folder (default: runs/PRESET)")
    add_settings(train, config, _VARIANTS)
    train.set_defaults(command=_train)


def _train(values: argparse.Namespace) -> int:
    given = dict(vars(values))
    workdir = given.pop("workdir") or f"runs/{values.preset}"
    del given["command"], given["preset"]
    config = overridden(preset(values.preset), given, _VARIANTS)
    with _precision(config):
        result = fit(config, workdir)
    last = result.metrics[-1]
    print(f"{'step':24} {last['step']}")
    print(f"{'loss':24} {last['loss']:.6g}")
    for layer, accuracies in result.evaluation.items():
        for name, value in accuracies.items():
            print(f"{layer + ' ' + name:24} {value:.4f}")
    print(f"{'results in':24} {Path(workdir)}")
    return 0


def _precision(config: Config) -> Any:
    is_wide = config.precision == "float64"
    return jax.enable_x64(True) if is_wide else contextlib.nullcontext()


def _list(values: argparse.Namespace) -> int:
    del values
    rows = [("PRESET", "DATA", "ENCODER", "HEAD", "LOSS", "STEPS", "WHAT")]
    for name, make in PRESETS.items():
        config = make()
        what = (make.__doc__ or "").splitlines()[0]
        kinds = (config.encoder.kind, config.head.kind, config.loss.name)
        rows.append((name, config.data, *kinds, str(config.num_steps), what))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    return 0


def _show(values: argparse.Namespace) -> int:
    config = preset(values.preset)
    lines = (PRESETS[values.preset].__doc__ or "").splitlines()
    print("\n".join(line.strip() for line in lines).strip())
    print()
    for setting in settings(config):
        print(f"{setting.flag:36} {value_text(setting.value) or '(empty)'}")
    return 0
