"""Parsers of the commands that start runs in numbers and look after them."""

import argparse
from typing import Any

from ssljax.system.distributed import Cluster


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Options of a run that many processes train together, and of its watchdog."""
    group = parser.add_argument_group(
        "many hosts", "start the same command on every host; the run folder must be shared"
    )
    group.add_argument(
        "--distributed",
        nargs="?",
        const="auto",
        choices=("auto",),
        metavar="auto",
        help="join the processes that Slurm, Open MPI, Kubernetes or a TPU's metadata name",
    )
    group.add_argument(
        "--coordinator", metavar="HOST:PORT", help="where the first process answers, instead"
    )
    group.add_argument("--process-id", type=int, metavar="I", help="this process, from 0")
    group.add_argument("--num-processes", type=int, metavar="N", help="how many there are")
    group.add_argument(
        "--heartbeat-seconds",
        type=int,
        default=Cluster().heartbeat_seconds,
        metavar="N",
        help="silence after which a process counts as lost (default: %(default)s)",
    )
    group.add_argument(
        "--watchdog-seconds",
        type=float,
        default=900.0,
        metavar="X",
        help="end with code 75 when no step finishes for so long; 0: never (default: %(default)s)",
    )


def taken_cluster(given: dict[str, Any]) -> Cluster | None:
    """The cluster that the options name, taken out of parsed arguments; none without any."""
    distributed = given.pop("distributed")
    cluster = Cluster(*(given.pop(name) for name in Cluster._fields))
    explicit = (cluster.coordinator, cluster.process_id, cluster.num_processes)
    return (
        cluster if distributed is not None or any(part is not None for part in explicit) else None
    )


def add_run_commands(commands: Any) -> None:
    """``launch``, ``runs``, ``report`` and ``sweep``."""
    _add_launch(commands)
    _add_runs(commands)
    report = commands.add_parser(
        "report",
        help="write a run's page again",
        description="Write report.html of a run from what its folder holds, finished or not.",
        epilog="example:\n  python -m ssljax report runs/digits_smoke",
    )
    report.add_argument("run", metavar="RUN", help="run folder")
    report.set_defaults(action="report")
    _add_sweep(commands)


def _add_launch(commands: Any) -> None:
    launch = commands.add_parser(
        "launch",
        help="train with several processes of this machine",
        usage="python -m ssljax launch --processes N [options] -- train PRESET [options]",
        description=(
            "Train one run with several processes of this machine: one for each GPU, or on\n"
            "simulated CPU devices. One that dies ends the others; the same command resumes."
        ),
        epilog=(
            "examples:\n"
            "  python -m ssljax launch --processes 2 -- train digits_smoke\n"
            "  python -m ssljax launch --processes 2 --devices-per-process 4 -- train digits_mlp"
        ),
    )
    launch.add_argument("--processes", type=int, default=2, metavar="N", help="(default: 2)")
    launch.add_argument(
        "--devices-per-process",
        type=int,
        default=0,
        metavar="N",
        help="simulated CPU devices in each; 0: a GPU each where there are enough (default: 0)",
    )
    launch.add_argument("command", nargs=argparse.REMAINDER, help="-- train PRESET …")
    launch.set_defaults(action="launch")


def _add_runs(commands: Any) -> None:
    runs = commands.add_parser(
        "runs",
        help="table of runs: state, loss, accuracies, and in what they differ",
        description="Table of the runs below a folder and of the fields in which they differ.",
        epilog=(
            "examples:\n"
            "  python -m ssljax runs\n"
            "  python -m ssljax runs runs/sweep --fields strength,seed\n"
            "  python -m ssljax runs --json"
        ),
    )
    runs.add_argument(
        "folder", nargs="?", default="runs", metavar="DIR", help="looked through (default: runs)"
    )
    runs.add_argument(
        "--fields", metavar="A,B,...", help="columns (default: up to eight that differ)"
    )
    runs.add_argument("--json", action="store_true", help="everything, for scripts")
    runs.set_defaults(action="runs")


def _add_sweep(commands: Any) -> None:
    sweep = commands.add_parser(
        "sweep",
        help="train a preset with every combination of some values",
        usage="python -m ssljax sweep PRESET --grid FIELD=A,B [--grid …] [--seeds 0,1,2] [options]",
        description=(
            "Train a preset with every combination of some values, for each seed. The same\n"
            "command resumes; with --index it does one run, as a task of an array job."
        ),
        epilog=(
            "examples:\n"
            "  python -m ssljax sweep digits_mlp --grid strength=0.2,0.5 --seeds 0,1,2\n"
            "  python -m ssljax sweep digits_mlp --grid head.widths=64,32/128,64 --dry-run\n"
            "  python -m ssljax sweep digits_mlp --grid strength=0.2,0.5 --index 1"
        ),
    )
    sweep.add_argument("preset", metavar="PRESET", help="see `python -m ssljax list`")
    sweep.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="FIELD=A,B,...",
        help="values of a field; for lists separated by /; may be given several times",
    )
    sweep.add_argument("--seeds", default="0", metavar="A,B,...", help="(default: 0)")
    sweep.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="one value for all runs; may be given several times",
    )
    sweep.add_argument("--workdir", metavar="DIR", help="(default: runs/sweep-PRESET)")
    sweep.add_argument(
        "--index", type=int, metavar="I", help="only the run with this number, from 0"
    )
    sweep.add_argument(
        "--one-by-one",
        action="store_true",
        help="never train runs side by side in one program (default: small networks are)",
    )
    sweep.add_argument(
        "--dry-run", action="store_true", help="print the runs and their numbers, train nothing"
    )
    sweep.set_defaults(action="sweep")
