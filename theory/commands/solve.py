"""`python -m theory solve`: where training ends."""

import argparse
import time
from typing import Any

import numpy as np

from theory.commands.arguments import add_command, add_decay, add_loss, add_moments, count
from theory.commands.inputs import (
    check_loss_options,
    checked_moments,
    chosen_loss,
    progress,
    require_finite,
    require_rank,
    screen,
)
from theory.commands.predictions import Solution, solution, solution_arrays
from theory.geometry.ranks import variance_effective_rank
from theory.losses.quadratic import QuadraticLoss
from theory.moments.files import write_result
from theory.optimum.quadratic import valley_dimension

_EXAMPLE = """example:
  python -m theory solve moments.npz --out solution.npz --depth 3 --rank 64 --weight-decay 0.01

MOMENTS.npz holds covariance and cross_covariance (d, d) of two augmented views. OUT.npz gets gram
(depth, d, d), spectrum (depth, d), layer_spectrum (depth + 1, d), loss, active and alignment (d,).
Loss: -2 tr(FM) + tr(F Sigma F Sigma) with F = W'W; weight decay X adds (X/2) ||W_l||^2 a layer.
"""


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    about = "where training ends: Grams and spectra of every layer at the optimum"
    parser = add_command(commands, "solve", about, _EXAMPLE, _run)
    add_moments(parser)
    add_loss(parser)
    add_decay(parser)
    parser.add_argument("--depth", type=count, default=2, help="number of layers")
    parser.add_argument(
        "--rank", type=count, help="narrowest width; as wide as the data without it"
    )
    parser.add_argument(
        "--factors",
        action="store_true",
        help="write vectors (d, k) and values (depth, k), no gram; always so above d = 4000",
    )


def _run(options: argparse.Namespace) -> None:
    started = time.monotonic()
    moments, tolerance, report = checked_moments(options)
    dim, out = moments.covariance.shape[0], screen(options)
    require_rank(options.rank, dim)
    check_loss_options(options, (options.loss,))
    progress("solving for the optimum")
    found, valley = solved(
        chosen_loss(options.loss, options, moments, tolerance),
        options.depth,
        options.rank,
        options.weight_decay,
        options.branch,
    )
    alignment = np.zeros(dim)
    alignment[: report.rank] = report.alignment
    arrays = solution_arrays(found, alignment, factors=options.factors or None)
    require_finite(arrays)
    write_result(options.out, **arrays)
    limit = dim if options.rank is None else options.rank
    print(
        f"optimum: depth {options.depth}, {found.active} of {min(limit, report.rank)} possible"
        f" modes active, loss {found.loss:.6g}",
        file=out,
    )
    if valley:
        print(
            f"  one minimum of a valley of {valley} dimensions, that of a vanishing start;"
            " weight decay makes it unique",
            file=out,
        )
    if options.loss == "infonce":
        load = float(np.sum(arrays["layer_spectrum"][-1] ** 2)) / options.temperature**2
        print(f"  holds for many more than exp({load / 2:.3g}) negatives", file=out)
    _print_layers(arrays["layer_spectrum"], arrays["spectrum"], out)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=out)


def solved(
    loss: QuadraticLoss, depth: int, rank: int | None, weight_decay: float, branch: Any
) -> tuple[Solution, int]:
    """Return the solution of a loss, and the dimension of the valley of minima it lies in."""
    found = solution(loss, loss.inputs, depth, rank=rank, weight_decay=weight_decay, branch=branch)
    return found, 0 if weight_decay else int(valley_dimension(loss, rank=rank))


def _print_layers(layer_spectra: np.ndarray, weight_spectra: np.ndarray, out: Any) -> None:
    print(
        f"{'layer':>6}  {'largest variance':>16}  effective rank: layer spectrum  weight spectrum",
        file=out,
    )
    for layer, spectrum in enumerate(layer_spectra):
        name = "data" if layer == 0 else str(layer)
        weight = f"{effective_rank(weight_spectra[layer - 1]):15.2f}" if layer else f"{'-':>15}"
        rank = effective_rank(spectrum)
        print(f"{name:>6}  {spectrum[0]:16.6g}  {'':>15} {rank:14.2f}  {weight}", file=out)


def effective_rank(variances: np.ndarray) -> float:
    """Effective rank of a layer spectrum; 0 where nothing is left."""
    kept = np.maximum(variances, 0.0)
    return float(variance_effective_rank(kept)) if np.any(kept > 0) else 0.0
