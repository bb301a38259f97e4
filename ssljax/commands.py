"""The command line: a parser for each command.

Nothing here imports JAX, so that help, tables and mistyped names are answered at once; what a
command does is in `ssljax.command_actions`.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from ssljax.config import NAMED_POLICIES, Config, PolicyChoice
from ssljax.errors import UsageError
from ssljax.overrides import OneLineParser, add_settings, settings, value_text
from ssljax.presets import PRESETS, preset

VARIANTS = {"policy": NAMED_POLICIES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      arguments: Without the program's name; the process's own by default.

    Returns:
      Exit code: 0; 2 for anything the user gave that cannot be used; 1 for a run that diverged;
      130 for one interrupted from the keyboard; 143 for one that SIGTERM stopped after saving.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except UsageError as error:
        print(f"ssljax: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ssljax: interrupted; the same command starts or resumes", file=sys.stderr)
        return 130


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
    shown.set_defaults(action="list")
    show = commands.add_parser(
        "show",
        help="every field of a preset",
        description="Every field of a preset, and what the preset is for.",
        epilog="example:\n  python -m ssljax show digits_linear",
    )
    show.add_argument("preset", metavar="PRESET")
    show.set_defaults(action="show")
    _add_measurements(commands)
    values = parser.parse_args(given)
    if values.action == "list":
        return _list()
    if values.action in ("show", "train"):
        preset(values.preset)  # a mistyped name is refused before anything is imported
    if values.action == "show":
        return _show(values)
    from ssljax.command_actions import ACTIONS  # noqa: PLC0415

    return ACTIONS[values.action](values)


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
    add_settings(train, config, VARIANTS)
    train.set_defaults(action="train")


def _add_measurements(commands: Any) -> None:
    _add_moments(commands)
    probe = _run_parser(
        commands,
        "probe",
        "accuracy of a linear probe and of k nearest neighbors on a run's features",
        "python -m ssljax probe runs/digits_smoke --layers feature,embedding",
    )
    _add_data_dir(probe)
    probe.set_defaults(action="probe")
    spectra = _run_parser(
        commands,
        "spectra",
        "moments of a run's layers, as files for `python -m theory solve`",
        "python -m ssljax spectra runs/digits_smoke --layers feature,embedding --views 16",
    )
    spectra.add_argument("--views", type=int, default=8, help="views of each image (default: 8)")
    spectra.add_argument(
        "--images", type=int, default=0, help="images used, from the first; 0: all (default: 0)"
    )
    _add_data_dir(spectra)
    spectra.set_defaults(action="spectra")
    export = commands.add_parser(
        "export",
        help="a run's weights as one NumPy file",
        description="A run's weights and running statistics as one NumPy file.",
        epilog="example:\n  python -m ssljax export runs/digits_smoke --out weights.npz",
    )
    export.add_argument("run", metavar="RUN", help="run folder")
    export.add_argument("--out", required=True, metavar="FILE.npz", help="file to write")
    export.set_defaults(action="export")


def _run_parser(commands: Any, name: str, text: str, example: str) -> Any:
    parser = commands.add_parser(
        name, help=text, description=text.capitalize() + ".", epilog=f"example:\n  {example}"
    )
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument(
        "--layers",
        metavar="A,B,...",
        default="feature,embedding",
        help="layers to measure (default: feature,embedding)",
    )
    return parser


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", default=None, metavar="DIR", help="TFDS directory (default: the run's)"
    )


def _add_moments(commands: Any) -> None:
    moments = commands.add_parser(
        "moments",
        help="second moments of a data set's augmented views",
        usage="python -m ssljax moments DATASET --out MOMENTS.npz [options]",
        description="Second moments of a data set's augmented views: what theory predicts from.",
        epilog=(
            "examples:\n"
            "  python -m ssljax moments digits --out moments.npz --strength 0.3 --centre\n"
            "  python -m ssljax moments cifar10 --data-dir DIR --out moments.npz --images 5000"
        ),
    )
    moments.add_argument("dataset", metavar="DATASET", help="digits, cifar10, … arrays:FILE.npz")
    moments.add_argument("--out", required=True, metavar="MOMENTS.npz", help="file to write")
    moments.add_argument("--strength", type=float, default=1.0, help="(default: 1.0)")
    moments.add_argument("--views", type=int, default=16, help="views of each image (default: 16)")
    moments.add_argument(
        "--centre",
        "--center",
        dest="centre",
        action="store_true",
        help="subtract the mean image of the clean images first (default: off)",
    )
    moments.add_argument("--split", default="train", help="train, test or all (default: train)")
    moments.add_argument(
        "--images", type=int, default=0, help="images used, from the first; 0: all (default: 0)"
    )
    moments.add_argument("--seed", type=int, default=0, help="of the views (default: 0)")
    _add_data_dir(moments)
    add_settings(moments, PolicyChoice(), VARIANTS)
    moments.set_defaults(action="moments")


def _list() -> int:
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
