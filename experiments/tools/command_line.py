"""The command line: experiments by name, their tables and pages, and tools on one's own runs.

Nothing that computes is imported before a command runs, so that `--help` answers at once.
"""

import argparse
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from experiments.accelerator.options import EXAMPLES
from experiments.accelerator.options import add_options as add_accelerator_options
from experiments.core.runner import MeasureNetwork, NetworksFailedError
from experiments.errors import InputError
from experiments.tools.registry import EXPERIMENTS

TIERS = ("smoke", "laptop", "workstation", "paper")
LIST_WIDTH = 100
_NAMES = textwrap.fill(", ".join(EXPERIMENTS), 78, initial_indent="  ", subsequent_indent="  ")
EPILOG = f"""experiments ("python -m experiments list" shows what each asks):
{_NAMES}

examples:
  python -m experiments quickstart --out runs/quickstart
  python -m experiments settled --tier smoke --out runs/settled
  python -m experiments all --tier laptop --out runs/laptop
  python -m experiments judge runs/laptop   # measurements.csv, runs.csv -> verdicts.json
  python -m experiments pages runs/laptop   # figures, report.html, a page for each claim
  python -m experiments compare runs/digits_resnet --settle --out runs/compare
  python -m experiments train digits_linear --observe ranks,defects,ledger

exit codes: 0 done, 1 some networks failed, 2 input that cannot be used, 130 stopped
"""
COMPARE_KEYS = """keys of FEATURES.npz:
  features      (images, views, width): what the head receives, two or more views of each image
  W1, W2, ...   (out, in): the weights of the head, first layer first; no bias, no nonlinearity
  weight_decay  optional: coefficient X of (X/2) sum ||W_l||^2
  other keys, for instance biases b1, b2, ..., are left out and named in the report

several sources are seeds of one setting: each is compared by itself, the answer is over all.
even views are settled on and odd ones predicted from where a file has four or more.

examples:
  python -m experiments compare runs/digits_resnet --settle --out runs/compare
  python -m experiments compare seed0.npz seed1.npz seed2.npz --weight-decay 0.1
"""
PHASE_EXAMPLE = """GRID: a list as 0.1,0.2, or FIRST:LAST:COUNT, or log:FIRST:LAST:COUNT

example:
  python -m experiments phase --retentions 0.1:1:50 --strengths log:0.1:2:50 --weight-decay 0.1
"""


class _Parser(argparse.ArgumentParser):
    """Errors are one line and name the way out."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults beside every option, and examples as they are typed."""


def main(arguments: Sequence[str] | None, load_measure: Callable[[], MeasureNetwork]) -> int:
    """Run the command line; return the exit code.

    0 is done, 1 that networks failed, 2 that the input cannot be used, 130 that it was stopped.

    Args:
      arguments: Words after the program's name; None for those of this process.
      load_measure: Returns what trains and measures one network, importable by its name.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["train"]:
            return _train(words[1:])
        options = make_parser().parse_args(words)
        return _COMMANDS.get(options.name, _run_experiments)(options, load_measure)
    except ValueError as error:
        if not isinstance(error, _list_refusals()):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except NetworksFailedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return 130


def _list_refusals() -> tuple[type[Exception], ...]:
    """Return the exceptions that say what a user can do: ours, and those of packages loaded."""
    below = {"ssljax.system.errors": "UsageError", "theory.linalg.errors": "InputError"}
    loaded = [
        getattr(sys.modules[module], name)
        for module, name in below.items()
        if module in sys.modules
    ]
    return (InputError, *loaded)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands but `train`, whose options are those of `ssljax train`."""
    parser = _Parser(
        prog="python -m experiments",
        description="Hold predictions of `theory` against measurements of `ssljax`.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="name", metavar="NAME", required=True)

    def add(name: str, words: str, epilog: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=words, description=words, epilog=epilog, formatter_class=_Help
        )

    add("list", "list the experiments, what each asks, and its claims")
    for name in ("all", *EXPERIMENTS):
        if name == "all":
            one = add("all", "run every experiment: train and measure what is missing, judge, draw")
        else:
            # Without help of its own: only `list` shows twenty questions.
            question = EXPERIMENTS[name].question
            one = commands.add_parser(name, description=question, formatter_class=_Help)
        _add_run(one, f"folder of tables and pages (runs/{name}-TIER)")
        one.add_argument("--seeds", help="with commas, in place of those of the tier")
        one.add_argument(
            "--jobs",
            type=int,
            default=0,
            help="networks side by side; 0: one a core, at most 4, and one on an accelerator",
        )
    add("judge", "write verdicts.json from the tables of a folder").add_argument(
        "folder", type=Path, help="with measurements.csv and runs.csv"
    )
    pages = add("pages", "write figures and pages from the tables of a folder")
    pages.add_argument("folder", type=Path, help="with measurements.csv and runs.csv")
    pages.add_argument("--readme", type=Path, help="README whose table of claims is renewed")
    _add_run(
        add("quickstart", "predict, train, measure and compare on handwritten digits, in minutes"),
        "folder of tables and pages (runs/quickstart-TIER)",
    )
    _add_compare(add("compare", "say whether theory explains a linear head", COMPARE_KEYS))
    spectra = add("spectra", "draw the layer spectra that a run measured, along training too")
    spectra.add_argument("run", type=Path, help="a run folder of ssljax")
    spectra.add_argument("--out", type=Path, help="folder of the figures (the run folder)")
    _add_phase(add("phase", "map which layer serves a task better, and simulate it", PHASE_EXAMPLE))
    _add_speed(add("speed", "time ours beside peers from PyPI and stated targets"))
    add_accelerator_options(
        add("accelerator", "test, time and train on an accelerator, step by step", EXAMPLES)
    )
    commands.add_parser(
        "train",
        add_help=False,
        help="ssljax train with theory's ranks, invariance defects and balance ledger observed",
    )
    return parser


def _add_run(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument("--out", type=Path, help=out)
    parser.add_argument(
        "--tier", "--scale", choices=TIERS, default="laptop", help="how large a run"
    )


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=Path,
        nargs="+",
        help="run folders of ssljax with a linear head, or files FEATURES.npz",
    )
    parser.add_argument("--out", type=Path, help="folder of the report (runs/compare-NAME)")
    parser.add_argument(
        "--weight-decay",
        type=float,
        metavar="X",
        help="coefficient X of (X/2) sum ||W_l||^2; default: the run's own, or the file's",
    )
    parser.add_argument(
        "--loss",
        metavar="NAME",
        help="the loss that trained the head; of losses other than spectral only the layer law is"
        " tested; default: the run's own, spectral for a file",
    )
    parser.add_argument(
        "--settle",
        action="store_true",
        help="also train a head on with the encoder frozen, until it is where theory applies",
    )
    parser.add_argument("--views", type=int, default=8, help="views an image for moments of a run")
    parser.add_argument("--seed", type=int, default=0, help="randomness of views and rivals")


def _add_phase(parser: argparse.ArgumentParser) -> None:
    _add_run(parser, "folder of the report (runs/phase-TIER)")
    parser.add_argument(
        "--retentions",
        metavar="GRID",
        help="how often augmentation keeps the task's feature; default: 0.02:1:N, N of the tier",
    )
    parser.add_argument(
        "--strengths",
        metavar="GRID",
        help="strength of that feature; default: log:0.05:3.2:N",
    )
    parser.add_argument(
        "--weight-decay",
        type=float,
        default=0.05,
        metavar="X",
        help="of the second map",
    )
    parser.add_argument(
        "--others",
        default="0.2,0.3,1,1.5,2",
        metavar="A,B",
        help="strengths of the other features, which augmentation always keeps",
    )
    parser.add_argument(
        "--view-noise", type=float, default=0.5, metavar="X", help="noise of a view"
    )


def _add_speed(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Time ours and others in turn; write speed.json and speed.png. The peers come with"
        " pip install -e '.[bench]'; what is not installed is left out and named."
    )
    parser.epilog = "example:\n  python -m experiments speed --only losses,augment"
    parser.add_argument("--out", type=Path, default=Path("runs/speed"), help="folder of results")
    parser.add_argument(
        "--only",
        help="benchmarks or groups (theory, losses, augment, train, gpu, scale), with commas;"
        " default: all",
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender")
    parser.add_argument(
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="processor: where others use the machine; fair for one thread only",
    )
    parser.add_argument(
        "--large", action="store_true", help="also dimension 10000: minutes and 8 GiB"
    )


def _list(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    for name, experiment in EXPERIMENTS.items():
        claims = ", ".join(str(claim.id) for claim in experiment.claims)
        sources = "; ".join(dict.fromkeys(claim.source for claim in experiment.claims))
        word = "claims" if len(experiment.claims) > 1 else "claim"
        note = f"[{word} {claims}, {sources}]" if claims else "[no claim]"
        lines = textwrap.wrap(experiment.question, LIST_WIDTH - 13)
        if len(lines[-1]) + len(note) < LIST_WIDTH - 13:
            lines[-1] += f" {note}"
        else:
            lines.append(note)
        print(f"{name:<13}" + f"\n{'':<13}".join(lines))
    return 0


def _run_experiments(
    options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]
) -> int:
    from experiments.tools import commands  # noqa: PLC0415

    verdicts = commands.run(
        () if options.name == "all" else (options.name,),
        _folder(options),
        options.tier,
        load_measure(),
        seeds=_read_seeds(options.seeds),
        workers=options.jobs,
    )
    return _show(verdicts, _folder(options))


def _judge(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    from experiments.tools import judging  # noqa: PLC0415

    judging.print_verdicts(judging.judge(options.folder))
    return 0


def _pages(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    from experiments.tools import commands  # noqa: PLC0415

    verdicts = commands.pages(options.folder)
    if options.readme is not None:
        commands.renew_readme(options.readme, options.folder, verdicts)
    return _show(verdicts, options.folder)


def _show(verdicts: Sequence[Any], folder: Path) -> int:
    from experiments.pages.publish import INDEX  # noqa: PLC0415
    from experiments.tools.judging import print_verdicts  # noqa: PLC0415

    print_verdicts(verdicts)
    print(f"open {folder / INDEX}")
    return 0


def _quickstart(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    from experiments.tools.quickstart.run import run_quickstart  # noqa: PLC0415

    run_quickstart(_folder(options), options.tier)
    return 0


def _compare(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    from experiments.tools.comparison.run import run_comparison  # noqa: PLC0415

    run_comparison(
        options.source,
        options.out or Path("runs") / f"compare-{options.source[0].stem}",
        weight_decay=options.weight_decay,
        loss=options.loss,
        settle=options.settle,
        views=options.views,
        seed=options.seed,
    )
    return 0


def _spectra(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    from experiments.tools.spectra import run_spectra  # noqa: PLC0415

    run_spectra(options.run, options.out or options.run)
    return 0


def _phase(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    from experiments.tools.phase import SIZES, read_grid, run_phase  # noqa: PLC0415

    size = SIZES[options.tier]
    grid = read_grid(
        options.retentions or f"0.02:1:{size.resolution}",
        options.strengths or f"log:0.05:3.2:{size.resolution}",
        options.weight_decay,
        options.others,
        options.view_noise,
    )
    run_phase(_folder(options), grid, size)
    return 0


def _speed(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    from experiments.speed.run import run  # noqa: PLC0415

    run(
        options.out,
        only=options.only,
        rounds=options.rounds,
        clock=options.clock,
        large=options.large,
    )
    return 0


def _accelerator(options: argparse.Namespace, load_measure: Callable[[], MeasureNetwork]) -> int:
    from experiments.accelerator.command import run_accelerator  # noqa: PLC0415

    return run_accelerator(options)


def _train(words: list[str]) -> int:
    from experiments.tools.train import run_train  # noqa: PLC0415

    return run_train(words)


_COMMANDS: dict[str, Callable[[argparse.Namespace, Callable[[], MeasureNetwork]], int]] = {
    "list": _list,
    "judge": _judge,
    "pages": _pages,
    "quickstart": _quickstart,
    "compare": _compare,
    "spectra": _spectra,
    "phase": _phase,
    "speed": _speed,
    "accelerator": _accelerator,
}


def _folder(options: argparse.Namespace) -> Path:
    return options.out or Path("runs") / f"{options.name}-{options.tier}"


def _read_seeds(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(seed) for seed in text.split(",")) if text else ()
    except ValueError as error:
        raise InputError(f"--seeds {text}; wanted whole numbers with commas: 0,1,2") from error
