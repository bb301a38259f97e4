"""Every command of `python -m theory`, its arguments and its help; loads nothing that computes."""

import argparse
from typing import Any

from theory.commands.arguments import (
    add_branch,
    add_decay,
    add_depth,
    add_loss,
    add_moments,
    add_output,
    add_start,
    add_tolerance,
    parse_ascending,
    parse_grid,
    parse_times,
)

_SOLVE = """example:
  python -m theory solve moments.npz --out solution.npz --depth 3 --rank 64 --weight-decay 0.01

MOMENTS.npz holds covariance and cross_covariance (d, d) of two augmented views. OUT.npz gets gram
(depth, d, d), spectrum (depth, d), layer_spectrum (depth + 1, d), loss, active and alignment (d,).
Loss: -2 tr(FM) + tr(F Sigma F Sigma) with F = W'W; weight decay X adds (X/2) ||W_l||^2 a layer.
"""
_FLOW = """example:
  python -m theory flow moments.npz --out flow.npz --depth 2
  python -m theory flow moments.npz --out flow.npz --depth 2 --times 0,10,100,1000,inf

OUT.npz gets times (t,), gram (t, depth, d, d), spectrum (t, depth, d),
layer_spectrum (t, depth + 1, d) and loss (t,). Time is learning rate x steps of plain gradient
descent, learning rate / (1 - momentum) x steps with momentum; inf is the end.
"""
_MODES = """example:
  python -m theory modes moments.npz --out modes.npz --depth 3 --weight-decay 0.01 --times 0,10,100

OUT.npz gets, one entry a mode of the data, strongest alignment first: alignment, scale (variance in
the data), final (eigenvalue of layer 1's Gram), final_variance (in the embedding), saddle_node and
global_minimum (weight decays that end the mode), half_time and escape_time (without weight decay),
order (0 is learned first), active, learned; with --times also times (t,) and variance (modes, t) of
the embedding. Spectral loss; exact where the moments commute, else `solve` and `flow` are.
"""
_SWEEP = """example:
  python -m theory sweep moments.npz --out sweep.npz --depths 1,2,3 --ranks 16,64 \\
      --weight-decays 0,0.01,0.1 --losses spectral,barlow

One file with the axes losses, depths, ranks, weight_decays, in this order: loss, active and
effective_rank (of the embedding) on the grid; spectrum (…, largest depth, k) and layer_spectrum
(…, largest depth + 1, k) with the k = --modes largest values of each layer and NaN where a network
has no such layer; the data's alignment (d,). Grams of one setting are for solve.
"""
_PHASE = """example:
  python -m theory phase --out phase.npz --depths 2,3 --weight-decays 0,0.05 \\
      --retentions 0.02:1:50 --strengths log:0.05:3.2:50

OUT.npz gets the axes retention (r,), strength (s,), depth (l,), weight_decay (x,) and, on the grid
(r, s, l, x), advantage: log2 of labels needed after over before the head, positive where the layer
before it wins, NaN where no layer has the feature; best_layer, 0 for the input; active, the number
of features kept; task_active. The task is the sign of one feature; the others are always kept.
"""
_COMPARE = """example:
  python -m theory compare moments.npz seed0.npz seed1.npz seed2.npz --out verdict.json \\
      --weight-decay 0.01 --untrained start.npz

MEASURED.npz holds the weights W1, W2, … (out, in) of a linear head on the features of the moments,
or gram (depth, d, d), the Grams of its layers in the basis of the features; several files are
several seeds of one head. OUT gets, one entry a head: m1 log_identity_r2, m2 exponents, m3
distances, m4 affinity, m5 predicted_count and measured_count, m6 skill, balance, the criteria and
verdicts; null_NAME, the distances of the nulls N1 rotation, N2 gauge, N3 isotropic, N4 untrained
(if given), N5 input, N6 post, N7 shuffled_pairs (where sampling leaves it any mode), N8
wrong_depth_L; and over heads the intervals of the exponents and the final verdict.
"""
_DESIGN = """example:
  python -m theory design crop.npz color.npz blur.npz --direction hue.npz --maximize pre \\
      --out design.json

Each POLICY.npz holds the moments of the same images under one augmentation policy; in a mixture
each pair of views is drawn from policy k with probability w_k. FILE holds direction (d,), the
direction of the features to keep. OUT gets mixture (k,), value, gradient (k,) and gap (0 where no
small change of the mixture helps); and, one row a mixture, pure_NAME of each policy alone and
frontier_NAME from the best for the direction to the best for the rest: mixtures (rows, k), weights
and shares of the direction (rows, depth), ranks (rows, depth + 1), active (rows,).
"""
_EXPLORE = """example:
  python -m theory explore --out explore.html
  python -m theory explore moments.npz --out explore.html

Opens in any browser, without a network. The page starts with a toy of five features; every
MOMENTS.npz that is named becomes a further choice, reduced to its modes (alignment and variance, as
`python -m theory modes` has them), which is exact where covariance and cross-covariance commute.
The page says how far they are from that. A file can also be opened from the page itself.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        """Print one line instead of the usage."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action):
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; ``command`` names the module that runs it."""
    parser = _Parser(
        prog="python -m theory",
        description="Predict what each layer of a deep linear contrastive network learns.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (about, example, add_arguments) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=example,
            formatter_class=_Formatter,
        )
        add_arguments(command)
    return parser


def _add_solve(parser: argparse.ArgumentParser) -> None:
    add_moments(parser)
    add_loss(parser)
    add_decay(parser)
    add_depth(parser)
    parser.add_argument(
        "--rank", type=int, help="narrowest width of the network; default: as wide as the data"
    )
    parser.add_argument(
        "--factors",
        action="store_true",
        help="write vectors (d, k) and values (depth, k), no gram; always so above d = 4000",
    )


def _add_flow(parser: argparse.ArgumentParser) -> None:
    add_moments(parser)
    add_loss(parser)
    add_decay(parser, branch=False)
    parser.add_argument(
        "--times",
        type=parse_times,
        help="flow times, as in 0,10,100,inf; without it, chosen by the half-times of the modes",
    )
    parser.add_argument(
        "--depth", type=int, help="number of layers; default: 2, or as many as --init has"
    )
    add_start(parser, file=True)
    parser.add_argument(
        "--max-steps", type=int, default=65536, help="steps of the solver, after which it gives up"
    )


def _add_modes(parser: argparse.ArgumentParser) -> None:
    add_moments(parser)
    add_decay(parser)
    add_depth(parser)
    add_start(parser)
    parser.add_argument(
        "--times",
        type=parse_times,
        help="flow times of the time courses, as in 0,10,100; default: none are written",
    )
    parser.add_argument("--rows", type=int, default=20, help="modes shown on the screen")


def _add_sweep(parser: argparse.ArgumentParser) -> None:
    add_moments(parser)
    add_loss(parser, many=True)
    for name, kind, default, text in (
        ("--depths", int, "2", "numbers of layers"),
        ("--ranks", int, None, "narrowest widths of the network; default: as wide as the data"),
        ("--weight-decays", float, "0", "weight decays X"),
    ):
        _add_list(parser, name, kind, default, f"{text}, ascending")
    add_branch(parser)
    parser.add_argument(
        "--modes", type=int, default=64, help="values kept of each spectrum, the largest"
    )


def _add_phase(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument(
        "--retentions",
        type=parse_grid,
        default="0.02:1:50",
        metavar="GRID",
        help="how often augmentation keeps the task's feature: a list, or FIRST:LAST:COUNT",
    )
    parser.add_argument(
        "--strengths",
        type=parse_grid,
        default="log:0.05:3.2:50",
        metavar="GRID",
        help="strength of the task's feature; log:FIRST:LAST:COUNT spaces it evenly in logarithm",
    )
    _add_list(parser, "--depths", int, "2", "numbers of layers, the head's included")
    _add_list(parser, "--weight-decays", float, "0", "strengths of weight decay")
    _add_list(parser, "--others", float, "0.2,0.3,1,1.5,2", "strengths of the other features")
    parser.add_argument("--view-noise", type=float, default=0.5, help="noise of a view")
    parser.add_argument("--head-layers", type=int, default=1, help="layers of the head")
    parser.add_argument(
        "--augmentation",
        choices=("resample", "drop"),
        default="resample",
        help="what happens to a feature that is not kept: drawn afresh, or set to zero",
    )
    add_branch(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add_moments(parser)
    parser.add_argument("measured", nargs="+", metavar="MEASURED.npz", help="weights or Grams")
    add_loss(parser)
    add_decay(parser)
    parser.add_argument("--rank", type=int, help="narrowest width; that of the weights without it")
    parser.add_argument("--untrained", metavar="FILE", help="the head before training, a null")
    parser.add_argument("--modes", type=int, help="modes compared; those active in both without it")
    parser.add_argument(
        "--active-threshold", type=float, default=1e-3, help="of the largest embedding variance"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random nulls")


def _add_design(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "policies", nargs="+", metavar="POLICY.npz", help="moments under each policy, two or more"
    )
    parser.add_argument(
        "--direction", required=True, metavar="FILE", help="npz with the direction (d,) to keep"
    )
    parser.add_argument(
        "--maximize", choices=("pre", "post"), default="pre", help="before or after the head"
    )
    parser.add_argument(
        "--quantity",
        choices=("weight", "share"),
        default="weight",
        help="what the layer should have most of: the direction's weight, or its share of variance",
    )
    add_output(parser, required=False)
    add_tolerance(parser)
    add_loss(parser)
    add_decay(parser, branch=False)
    add_depth(parser)
    parser.add_argument("--head-layers", type=int, default=1, help="layers of the head")
    parser.add_argument(
        "--rank", type=int, help="narrowest width of the network; default: as wide as the data"
    )
    parser.add_argument("--points", type=int, default=5, help="rows of the frontier")


def _add_explore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "moments", metavar="MOMENTS.npz", nargs="*", help="second moments to offer beside the toy"
    )
    parser.add_argument("--out", metavar="PAGE.html", required=True, help="the page to write")
    add_tolerance(parser)
    parser.add_argument(
        "--modes", type=int, default=16, help="modes of each file, the most aligned first"
    )


def _add_list(parser: argparse.ArgumentParser, name: str, kind: Any, default: Any, text: str):
    parser.add_argument(name, type=parse_ascending(kind), default=default, metavar="A,B", help=text)


_COMMANDS = {
    "solve": (
        "where training ends: Grams and spectra of every layer at the optimum",
        _SOLVE,
        _add_solve,
    ),
    "flow": ("how training gets there: every layer along gradient flow", _FLOW, _add_flow),
    "modes": (
        "each mode's size, learning time and weight-decay thresholds, in closed form",
        _MODES,
        _add_modes,
    ),
    "sweep": (
        "where training ends for every combination of depths, ranks, weight decays, losses",
        _SWEEP,
        _add_sweep,
    ),
    "phase": (
        "which layer serves a task better, before or after the head, over a grid",
        _PHASE,
        _add_phase,
    ),
    "compare": (
        "measured layers against predicted ones: every metric, every null, one verdict",
        _COMPARE,
        _add_compare,
    ),
    "design": (
        "which mixture of augmentation policies keeps a direction of the features best",
        _DESIGN,
        _add_design,
    ),
    "explore": (
        "one page to move augmentation, depth, decay and time by hand, for a browser",
        _EXPLORE,
        _add_explore,
    ),
}
