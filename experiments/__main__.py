"""`python -m experiments NAME`: each experiment holds a prediction of `theory` against `ssljax`."""

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

from experiments.catalog import EXPERIMENTS
from experiments.errors import InputError
from experiments.tools.table_commands import (
    TABLE_COMMANDS,
    add_table_commands,
    run_table_command,
)

SCALES = ("smoke", "laptop", "paper")
EPILOG = """examples:
  python -m experiments quickstart --out runs/quickstart
  python -m experiments compare runs/digits_resnet --settle --out runs/compare
  python -m experiments compare FEATURES.npz --weight-decay 0.1 --out runs/compare
  python -m experiments spectra runs/digits_smoke
  python -m experiments judge runs/tables    # measurements.csv, runs.csv -> verdicts.json
  python -m experiments pages runs/tables    # figures, report.html and a page for each claim
  python -m experiments speed --only theory --out runs/speed
  python -m experiments train digits_linear --observe ranks,defects,ledger

experiments:
""" + "\n".join(f"  {name:<12}{entry.question}" for name, entry in EXPERIMENTS.items())


class _Parser(argparse.ArgumentParser):
    """Errors are one line and name the way out."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m experiments --help")


class _HelpWithExample(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Defaults beside every option, and the example as it is typed."""


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m experiments",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    commands.add_parser("list", help="the experiments and what each asks")
    for name, entry in EXPERIMENTS.items():
        one = commands.add_parser(
            name, help=entry.question, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        one.add_argument("--out", type=Path, help=f"folder of the report (runs/{name}-SCALE)")
        one.add_argument("--scale", choices=SCALES, default="laptop", help="how large a run")
    everything = commands.add_parser(
        "all",
        help="every experiment of a scale that has no results yet, and one page over them",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    everything.add_argument("--out", type=Path, default=Path("runs"), help="folder of all")
    everything.add_argument("--scale", choices=SCALES, default="laptop", help="how large a run")
    everything.add_argument("--again", action="store_true", help="also those that have results")
    everything.add_argument(
        "--jobs",
        type=int,
        help="experiments at a time, each in a process of its own; on an accelerator: 1"
        " (smoke: one for each core, at most 2; else 1)",
    )
    index = commands.add_parser("index", help="write index.html over the results of a folder")
    index.add_argument("folder", type=Path, nargs="?", default=Path("runs"))
    compare = commands.add_parser(
        "compare",
        help="predicted against measured for a run, or for features and head weights",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    compare.add_argument("source", type=Path, help="a run folder of ssljax, or FEATURES.npz")
    compare.add_argument("--out", type=Path, help="folder of the report (runs/compare-NAME)")
    compare.add_argument(
        "--weight-decay",
        type=float,
        help="coefficient X of (X/2) sum ||W_l||^2; default: the run's own, or the file's",
    )
    compare.add_argument(
        "--settle",
        action="store_true",
        help="also train the head on with the encoder frozen, until it is where theory applies",
    )
    compare.add_argument("--views", type=int, default=8, help="views an image for the moments")
    compare.add_argument("--seed", type=int, default=0, help="randomness of views and nulls")
    spectra = commands.add_parser(
        "spectra",
        help="draw the layer spectra that a run measured, along training and at its end",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    spectra.add_argument("run", type=Path, help="a run folder of ssljax")
    spectra.add_argument("--out", type=Path, help="folder of the figures (the run folder)")
    speed = commands.add_parser(
        "speed",
        help="how fast, beside peers from PyPI and stated targets",
        description="Time ours and others in turn; writes speed.json and speed.png. The peers come"
        " with pip install -e '.[bench]'; what is not installed is left out and named.",
        epilog="example:\n  python -m experiments speed --only losses,augment --out runs/speed",
        formatter_class=_HelpWithExample,
    )
    speed.add_argument("--out", type=Path, default=Path("runs/speed"), help="folder of the results")
    speed.add_argument(
        "--only",
        help="benchmarks or groups (theory, losses, augment, train, gpu,"
        " scale), with commas; default: all",
    )
    speed.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    speed.add_argument(
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="processor: where others use the machine; fair for one thread only",
    )
    speed.add_argument(
        "--large", action="store_true", help="also dimension 10000: minutes and 8 GiB"
    )
    add_table_commands(commands)
    commands.add_parser(
        "train",
        add_help=False,
        help="ssljax train with theory's ranks, invariance defects and balance ledger observed",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one experiment; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] and words[0] in TABLE_COMMANDS:
        return _work_on_tables(words)
    # Imported here, so that --help and a mistyped name answer before jax has loaded.
    from ssljax.system.errors import UsageError  # noqa: PLC0415
    from theory.linalg.errors import InputError as TheoryError  # noqa: PLC0415

    try:
        if words[:1] == ["train"]:
            from experiments.train import run_train  # noqa: PLC0415

            _keep_compiled_programs()
            return run_train(words[1:])
        given = _parser().parse_args(words)
        _keep_compiled_programs()
        if getattr(given, "scale", None) == "smoke":
            _compile_quickly()
        return _run(given)
    except (InputError, UsageError, TheoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was finished before is kept", file=sys.stderr)
        return 130


def _work_on_tables(words: list[str]) -> int:
    """Judge or draw tables, which needs no jax."""
    try:
        return run_table_command(_parser().parse_args(words))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _keep_compiled_programs() -> None:
    """Let XLA reuse what it compiled: for the next seed, and the next time."""
    import jax  # noqa: PLC0415

    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "ssljax" / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)


def _compile_quickly() -> None:
    """Leave out XLA's optimizations: a smoke run compiles for longer than it computes."""
    import jax  # noqa: PLC0415

    jax.config.update("jax_disable_most_optimizations", True)


def _run(given: argparse.Namespace) -> int:
    if given.name == "list":
        for name, entry in EXPERIMENTS.items():
            print(f"{name:<12}{entry.question}")
        return 0
    if given.name == "compare":
        from experiments.compare import run_comparison  # noqa: PLC0415

        out = given.out or Path("runs") / f"compare-{given.source.stem}"
        run_comparison(
            given.source,
            out,
            weight_decay=given.weight_decay,
            settle=given.settle,
            views=given.views,
            seed=given.seed,
        )
        return 0
    if given.name == "spectra":
        from experiments.spectra import run_spectra  # noqa: PLC0415

        run_spectra(given.run, given.out or given.run)
        return 0
    if given.name == "speed":
        from experiments.speed.run import run as run_speed  # noqa: PLC0415

        run_speed(
            given.out, only=given.only, rounds=given.rounds, clock=given.clock, large=given.large
        )
        return 0
    if given.name == "all":
        from experiments.everything import run_all  # noqa: PLC0415

        # Smoke runs mostly trace and compile, which leaves a second core idle.
        usual = min(2, os.cpu_count() or 1) if given.scale == "smoke" else 1
        run_all(
            given.out,
            given.scale,
            lambda text: print(text, file=sys.stderr, flush=True),
            again=given.again,
            jobs=usual if given.jobs is None else given.jobs,
        )
        return 0
    if given.name == "index":
        from experiments.index_page import write_index  # noqa: PLC0415

        print(write_index(given.folder))
        return 0
    out = given.out or Path("runs") / f"{given.name}-{given.scale}"
    importlib.import_module(f"experiments.{given.name}").run(out, given.scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
