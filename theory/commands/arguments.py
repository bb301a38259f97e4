"""Arguments that commands share, and the types of lists; loads nothing that computes."""

import argparse
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

_LOSSES = ("spectral", "vicreg", "barlow", "infonce")
_LOSS_HELP = (
    "spectral contrastive, covariance VICReg, unnormalized Barlow Twins, dot-product InfoNCE of"
    " Gaussian data with many negatives"
)
_OUTPUT_HELP = "where the result goes: npz, or JSON where it ends in .json; - prints JSON"


def add_moments(parser: argparse.ArgumentParser) -> None:
    """Add the moments, the output, and which directions count as data."""
    parser.add_argument(
        "moments", metavar="MOMENTS.npz", help="second moments of two views; - is stdin"
    )
    add_output(parser)
    add_tolerance(parser)


def add_output(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add where the result goes."""
    parser.add_argument("--out", required=required, metavar="OUT.npz", help=_OUTPUT_HELP)


def add_tolerance(parser: argparse.ArgumentParser) -> None:
    """Add which directions count as data."""
    parser.add_argument(
        "--range-tolerance",
        type=float,
        metavar="T",
        help="directions below this fraction of the largest covariance eigenvalue are outside the"
        " data; default: 1e-10, or 1e-6 for sampled moments",
    )


def add_loss(parser: argparse.ArgumentParser, *, many: bool = False) -> None:
    """Add one loss, or a list of them, and their parameters."""
    if many:
        parser.add_argument(
            "--losses",
            type=parse_losses,
            default="spectral",
            metavar="A,B",
            help=f"training losses among {', '.join(_LOSSES)}: {_LOSS_HELP}",
        )
    else:
        parser.add_argument(
            "--loss", choices=_LOSSES, default="spectral", help=f"training loss: {_LOSS_HELP}"
        )
    parser.add_argument(
        "--invariance-weight",
        type=float,
        metavar="K",
        help="invariance weight of vicreg; at 1 it is the spectral loss",
    )
    parser.add_argument("--temperature", type=float, metavar="TAU", help="temperature of infonce")


def add_depth(parser: argparse.ArgumentParser) -> None:
    """Add the number of layers."""
    parser.add_argument("--depth", type=int, default=2, help="number of layers")


def add_decay(parser: argparse.ArgumentParser, *, branch: bool = True) -> None:
    """Add weight decay, and which of its minima."""
    parser.add_argument(
        "--weight-decay",
        type=float,
        default=0.0,
        metavar="X",
        help="weight decay: adds (X/2) ||W||^2 of every layer to the loss",
    )
    if branch:
        add_branch(parser)


def add_branch(parser: argparse.ArgumentParser) -> None:
    """Add which minimum of weight decay."""
    parser.add_argument(
        "--branch",
        choices=("continued", "global"),
        default="continued",
        help="with weight decay: the minimum continued from zero decay, or the global one",
    )


def add_start(parser: argparse.ArgumentParser, *, file: bool = False) -> None:
    """Add the scale that every layer starts from, and a file in its place."""
    group = parser.add_mutually_exclusive_group() if file else parser
    group.add_argument(
        "--init-scale",
        type=float,
        default=0.1,
        help="every layer starts as this times the identity",
    )
    if file:
        group.add_argument("--init", metavar="FILE", help="npz with the initial weights W1, W2, …")


def parse_times(text: str) -> np.ndarray:
    """Return the times of a comma list; inf is the end state."""
    return np.array(_parse_list(float, text))


def parse_losses(text: str) -> tuple[str, ...]:
    """Return the losses of a comma list, each once."""
    names = tuple(text.split(","))
    if len(set(names)) < len(names) or not set(names) <= set(_LOSSES):
        raise argparse.ArgumentTypeError(
            f"is {text!r}, wanted some of {', '.join(_LOSSES)}, each once, as in spectral,vicreg"
        )
    return names


def parse_ascending(item: Callable[[str], Any]) -> Callable[[str], tuple]:
    """Return the type of comma lists whose items have the given type and ascend."""

    def parse(text: str) -> tuple:
        values = _parse_list(item, text)
        if any(later <= earlier for earlier, later in itertools.pairwise(values)):
            raise argparse.ArgumentTypeError(f"is {text!r}, wanted ascending values, as in 1,2,3")
        return values

    return parse


def parse_grid(text: str) -> np.ndarray:
    """Return an ascending grid: a comma list, or FIRST:LAST:COUNT, geometric with log: ahead."""
    if ":" not in text:
        return np.array(parse_ascending(float)(text))
    parts = text.removeprefix("log:").split(":")
    spaced = np.geomspace if text.startswith("log:") else np.linspace
    try:
        first, last, size = float(parts[0]), float(parts[1]), int(":".join(parts[2:]))
    except (ValueError, IndexError):
        raise argparse.ArgumentTypeError(
            f"is {text!r}, wanted FIRST:LAST:COUNT or log:FIRST:LAST:COUNT, or a list as 0.1,0.2"
        ) from None
    if size < 2 or not 0.0 < first < last < np.inf:
        raise argparse.ArgumentTypeError(
            f"is {text!r}, wanted at least 2 values above 0 that ascend, as in 0.02:1:50"
        )
    return spaced(first, last, size)


def _parse_list(item: Callable[[str], Any], text: str) -> tuple:
    try:
        return tuple(item(part) for part in text.split(","))
    except ValueError:
        kind = "whole numbers" if item is int else "numbers"
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted {kind} after commas") from None
