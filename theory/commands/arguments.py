"""What the commands of `python -m theory` share: the parser, its types, common arguments."""

import argparse
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

LOSSES = ("spectral", "vicreg", "barlow", "infonce")
OUTPUT_HELP = "where the result goes: npz, or JSON where it ends in .json; - prints JSON"
BRANCH_HELP = "with weight decay: the minimum continued from zero decay, or the global one"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        """One line instead of the usage."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action):
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def make_parser() -> tuple[argparse.ArgumentParser, Any]:
    """The parser and what commands add themselves to, with `add_command`."""
    parser = _Parser(
        prog="python -m theory",
        description="Predict what each layer of a deep linear contrastive network learns.",
    )
    return parser, parser.add_subparsers(dest="command", required=True, metavar="COMMAND")


def add_command(
    commands: Any, name: str, about: str, example: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """Add a command to those of `make_parser`.

    Args:
      commands: Second result of `make_parser`.
      name: What the user types.
      about: What it answers, in a line.
      example: Shown under its help.
      run: Called with the parsed arguments.

    Returns:
      The command's parser, for its arguments.
    """
    command = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=example,
        formatter_class=_Formatter,
    )
    command.set_defaults(run=run)
    return command


def add_moments(parser: argparse.ArgumentParser) -> None:
    """Moments in, result out, and which directions count as data."""
    parser.add_argument(
        "moments", metavar="MOMENTS.npz", help="second moments of two views; - is stdin"
    )
    add_output(parser)
    parser.add_argument(
        "--range-tolerance",
        type=positive,
        metavar="T",
        help="fraction of the largest covariance eigenvalue that is outside the data; 1e-10, or"
        " 1e-6 for sampled moments",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Where the result goes."""
    parser.add_argument("--out", required=True, metavar="OUT.npz", help=OUTPUT_HELP)


def add_loss(parser: argparse.ArgumentParser, *, many: bool = False) -> None:
    """One loss, or a list of them, and their parameters."""
    names = (
        "spectral contrastive, covariance VICReg, unnormalized Barlow Twins, dot-product InfoNCE of"
        " Gaussian data with many negatives"
    )
    if many:
        parser.add_argument(
            "--losses",
            type=losses,
            default="spectral",
            metavar="A,B",
            help=f"training losses among {', '.join(LOSSES)}: {names}",
        )
    else:
        parser.add_argument(
            "--loss", choices=LOSSES, default="spectral", help=f"training loss: {names}"
        )
    parser.add_argument(
        "--invariance-weight", type=positive, metavar="K", help="of vicreg; 1 is spectral"
    )
    parser.add_argument("--temperature", type=positive, metavar="TAU", help="of infonce")


def add_decay(parser: argparse.ArgumentParser) -> None:
    """Weight decay and the branch of the optimum."""
    parser.add_argument("--weight-decay", type=decay, default=0.0, metavar="X", help="strength")
    parser.add_argument(
        "--branch", choices=("continued", "global"), default="continued", help=BRANCH_HELP
    )


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a finite number")
    return value


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a whole number of at least 1")
    return int(text)


def whole(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a whole number of at least 0")
    return int(text)


def positive(text: str) -> float:
    """A number above 0."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a number above 0")
    return value


def decay(text: str) -> float:
    """A number of at least 0."""
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a number of at least 0")
    return value


def times(text: str) -> np.ndarray:
    """Ascending numbers of at least 0, after commas."""
    values = np.array([number(part) for part in text.split(",")])
    if values[0] < 0 or np.any(np.diff(values) <= 0):
        raise argparse.ArgumentTypeError(
            f"is {text!r}, wanted times of at least 0 in ascending order, as in 0,10,100"
        )
    return values


def losses(text: str) -> tuple[str, ...]:
    """Names of losses after commas, each once."""
    names = tuple(text.split(","))
    if len(set(names)) < len(names) or not set(names) <= set(LOSSES):
        raise argparse.ArgumentTypeError(
            f"is {text!r}, wanted some of {', '.join(LOSSES)}, each once, as in spectral,vicreg"
        )
    return names


def ascending(item: Callable[[str], Any]) -> Callable[[str], tuple]:
    """Type of comma lists whose items have the given type and ascend."""

    def parsed(text: str) -> tuple:
        values = tuple(item(part) for part in text.split(","))
        if any(later <= earlier for earlier, later in itertools.pairwise(values)):
            raise argparse.ArgumentTypeError(f"is {text!r}, wanted ascending values, as in 1,2,3")
        return values

    return parsed


def grid(text: str) -> np.ndarray:
    """Positive ascending numbers: a comma list, or FIRST:LAST:COUNT, with log: ahead geometric."""
    if ":" not in text:
        return np.array(ascending(positive)(text))
    parts = text.removeprefix("log:").split(":")
    spaced = np.geomspace if text.startswith("log:") else np.linspace
    if len(parts) != 3:
        raise argparse.ArgumentTypeError(
            f"is {text!r}, wanted FIRST:LAST:COUNT or log:FIRST:LAST:COUNT, or a list as 0.1,0.2"
        )
    first, last, size = positive(parts[0]), positive(parts[1]), count(parts[2])
    if size < 2 or last <= first:
        raise argparse.ArgumentTypeError(
            f"is {text!r}, wanted at least 2 values that ascend, as in 0.02:1:50"
        )
    return spaced(first, last, size)
