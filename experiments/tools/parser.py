"""The options of every command; imports nothing that computes, so that `--help` answers at once."""

import argparse
import textwrap
from pathlib import Path
from typing import NoReturn

from experiments.accelerator.options import EXAMPLES
from experiments.accelerator.options import add_options as add_accelerator_options
from experiments.errors import InputError
from experiments.tools.registry import EXPERIMENTS

TIERS = ("smoke", "laptop", "workstation", "paper")
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
