"""The command line: a parser for each command.

Nothing here imports JAX, so that help, tables and mistyped names are answered at once; what a
command does is in `ssljax.cli.command_actions`.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ssljax.cli.run_commands import add_cluster_options, add_run_commands
from ssljax.config.config import NAMED_POLICIES, Config, PolicyChoice
from ssljax.config.overrides import OneLineParser, add_settings, sequence, settings, value_text
from ssljax.config.presets import PRESETS, preset
from ssljax.system.errors import UsageError

VARIANTS = {"policy": NAMED_POLICIES}


def main(
    arguments: Sequence[str] | None = None,
    *,
    make_observers: Callable[[Config], tuple[Any, ...]] = lambda config: (),
) -> int:
    """Run one command.

    Args:
      arguments: Without the program's name; the process's own by default.
      make_observers: `ssljax.training.observers.Observer`s for a run of `train`, from its
      configuration.

    Returns:
      Exit code: 0; 2 for anything the user gave that cannot be used; 1 for a run that diverged;
      74 for a disk that cannot be written; 75 for a run that is stuck or has lost a peer; 130 for
      one interrupted from the keyboard; 143 for one that SIGTERM stopped after saving.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given, make_observers)
    except UsageError as error:
        print(f"ssljax: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ssljax: interrupted; the same command starts or resumes", file=sys.stderr)
        return 130


def _run(given: list[str], make_observers: Callable[[Config], tuple[Any, ...]]) -> int:
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
    add_run_commands(commands)
    values = parser.parse_args(given)
    if values.action == "list":
        return _list()
    if values.action in ("show", "sweep", "train"):
        preset(values.preset)  # a mistyped name is refused before anything is imported
    if values.action == "show":
        return _show(values)
    from ssljax.cli.command_actions import ACTIONS  # noqa: PLC0415

    if values.action == "train":
        values.make_observers = make_observers
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
    add_cluster_options(train)
    add_settings(train, config, VARIANTS)
    train.set_defaults(action="train")


def _add_measurements(commands: Any) -> None:
    _add_moments(commands)
    _add_probe(commands)
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
        help="a run's weights as one file, for NumPy or for torch",
        description=(
            "A run's weights as one file: FILE.npz holds all weights and running statistics,\n"
            "FILE.safetensors the encoder under torchvision's names (see ssljax.runs.export)."
        ),
        epilog=(
            "examples:\n"
            "  python -m ssljax export runs/digits_smoke --out weights.npz\n"
            "  python -m ssljax export runs/digits_smoke --out encoder.safetensors"
        ),
    )
    export.add_argument("run", metavar="RUN", help="run folder")
    export.add_argument(
        "--out", required=True, metavar="FILE", help="file to write: FILE.npz or FILE.safetensors"
    )
    export.set_defaults(action="export")


def _add_probe(commands: Any) -> None:
    probe = _run_parser(
        commands,
        "probe",
        "accuracies of a run's frozen features: linear probe, nearest neighbors, few shots",
        "python -m ssljax probe runs/digits_smoke --layers feature,embedding --few-shot 1,5\n"
        "  python -m ssljax probe runs/digits_smoke --layers all --path 1e-1,1e-3,1e-5\n"
        "  python -m ssljax probe RUN --on cifar100 --probe sgd --no-standardize --out FILE.json",
    )
    probe.add_argument(
        "--probe",
        choices=("lbfgs", "sgd"),
        help="to the minimum, or 100 epochs of descent on a cosine schedule (default: the run's)",
    )
    probe.add_argument("--l2", type=float, metavar="X", help="penalty (default: the run's)")
    probe.add_argument(
        "--path",
        type=sequence(float),
        metavar="A,B,...",
        help="penalties that a held-out tenth of the training images chooses from, with lbfgs",
    )
    probe.add_argument(
        "--no-standardize",
        action="store_true",
        help="leave features as they are (default: divided by their standard deviation)",
    )
    probe.add_argument(
        "--few-shot",
        type=sequence(int),
        metavar="A,B,...",
        help="also probes with so many labels a class",
    )
    probe.add_argument(
        "--few-shot-draws", type=int, metavar="N", help="draws of the labels (default: the run's)"
    )
    probe.add_argument("--neighbors", type=int, metavar="N", help="that vote (default: the run's)")
    probe.add_argument(
        "--on", metavar="DATASET", help="probe with another data set (default: the run's)"
    )
    probe.add_argument(
        "--out",
        metavar="FILE.json",
        help="file to write (default: RUN/evaluation.json, with --on RUN/evaluation-DATASET.json)",
    )
    _add_data_dir(probe)
    probe.set_defaults(action="probe")


def _run_parser(commands: Any, name: str, text: str, example: str) -> Any:
    parser = commands.add_parser(
        name, help=text, description=text.capitalize() + ".", epilog=f"example:\n  {example}"
    )
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument(
        "--layers",
        metavar="A,B,...",
        default="feature,embedding",
        help="layers to measure, or all (default: feature,embedding)",
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
    rows = [("PRESET", "LOSS", "STEPS", "COST", "EXPECTED", "WHAT")]
    for name, entry in PRESETS.items():
        config = entry.config
        figures = (entry.cost, entry.expected or "-")
        rows.append((name, config.loss.name, str(config.num_steps), *figures, entry.summary))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print("\ntrain one: python -m ssljax train PRESET; sources and fields: ssljax show PRESET")
    return 0


def _show(values: argparse.Namespace) -> int:
    config = preset(values.preset)
    entry = PRESETS[values.preset]
    print(f"{entry.summary} {entry.details}".rstrip())
    print()
    print(f"{'command':36} {entry.command}")
    print(f"{'cost':36} {entry.cost}")
    if entry.expected:
        print(f"{'expected':36} {entry.expected} ({entry.source})")
    print()
    for setting in settings(config):
        print(f"{setting.flag:36} {value_text(setting.value) or '(empty)'}")
    return 0
