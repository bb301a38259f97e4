"""Arguments of `python -m theory`, refused in one line before anything is read."""

import argparse
import math
from collections.abc import Callable

import numpy as np

_SOLVE_EXAMPLE = """example:
  python -m theory solve moments.npz --out solution.npz --depth 3 --rank 64 --weight-decay 0.01

MOMENTS.npz holds covariance and cross_covariance (d, d) of two augmented views. OUT.npz gets gram
(depth, d, d), spectrum (depth, d), layer_spectrum (depth + 1, d), loss, active and alignment (d,).
Loss: -2 tr(FM) + tr(F Sigma F Sigma) with F = W'W; weight decay X adds (X/2) ||W_l||^2 a layer.
"""
_FLOW_EXAMPLE = """example:
  python -m theory flow moments.npz --out flow.npz --times 0,10,100,1000 --depth 2

OUT.npz gets times (t,), gram (t, depth, d, d), spectrum (t, depth, d),
layer_spectrum (t, depth + 1, d) and loss (t,). Time is learning rate x steps of plain gradient
descent, learning rate / (1 - momentum) x steps with momentum.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        """One line instead of the usage."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action):
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def make_parser(
    solve_command: Callable[[argparse.Namespace], None],
    flow_command: Callable[[argparse.Namespace], None],
) -> argparse.ArgumentParser:
    """Parser whose result has ``run``, the command to call with it.

    Args:
      solve_command: Runs `solve`.
      flow_command: Runs `flow`.

    Returns:
      The parser.
    """
    parser = _Parser(
        prog="python -m theory",
        description="Predict what each layer of a deep linear contrastive network learns.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    solve = commands.add_parser(
        "solve",
        help="where training ends: Grams and spectra of every layer at the optimum",
        description="Where training ends: Grams and spectra of every layer at the optimum.",
        epilog=_SOLVE_EXAMPLE,
        formatter_class=_Formatter,
    )
    _add_common(solve)
    solve.add_argument("--depth", type=_count, default=2, help="number of layers")
    solve.add_argument(
        "--rank", type=_count, help="narrowest width; as wide as the data without it"
    )
    solve.add_argument(
        "--branch",
        choices=("continued", "global"),
        default="continued",
        help="with weight decay: the minimum continued from zero decay, or the global one",
    )
    solve.add_argument(
        "--factors",
        action="store_true",
        help="write vectors (d, k) and values (depth, k), no gram; always so above d = 4000",
    )
    solve.set_defaults(run=solve_command)
    flow = commands.add_parser(
        "flow",
        help="how training gets there: every layer along gradient flow",
        description="How training gets there: every layer along gradient flow.",
        epilog=_FLOW_EXAMPLE,
        formatter_class=_Formatter,
    )
    _add_common(flow)
    flow.add_argument("--times", type=_times, required=True, help="flow times, e.g. 0,10,100")
    flow.add_argument("--depth", type=_count, help="number of layers; 2, or as --init has")
    start = flow.add_mutually_exclusive_group()
    start.add_argument(
        "--init-scale",
        type=_positive,
        default=0.1,
        help="every layer starts as this times the identity",
    )
    start.add_argument("--init", metavar="FILE", help="npz with the initial weights W1, W2, …")
    flow.set_defaults(run=flow_command)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("moments", metavar="MOMENTS.npz", help="second moments of two views")
    parser.add_argument("--out", required=True, metavar="OUT.npz", help="where the result goes")
    parser.add_argument(
        "--loss",
        choices=("spectral", "vicreg", "barlow", "infonce"),
        default="spectral",
        help="training loss: spectral contrastive, covariance VICReg, unnormalized Barlow Twins,"
        " dot-product InfoNCE of Gaussian data with many negatives",
    )
    parser.add_argument(
        "--invariance-weight", type=_positive, metavar="K", help="of vicreg; 1 is spectral"
    )
    parser.add_argument("--temperature", type=_positive, metavar="TAU", help="of infonce")
    parser.add_argument("--weight-decay", type=_decay, default=0.0, metavar="X", help="strength")
    parser.add_argument(
        "--range-tolerance",
        type=_positive,
        metavar="T",
        help="fraction of the largest covariance eigenvalue that is outside the data; 1e-10, or"
        " 1e-6 for sampled moments",
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a finite number")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a whole number of at least 1")
    return int(text)


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a number above 0")
    return value


def _decay(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"is {text!r}, wanted a number of at least 0")
    return value


def _times(text: str) -> np.ndarray:
    values = np.array([_number(part) for part in text.split(",")])
    if values[0] < 0 or np.any(np.diff(values) <= 0):
        raise argparse.ArgumentTypeError(
            f"is {text!r}, wanted times of at least 0 in ascending order, as in 0,10,100"
        )
    return values
