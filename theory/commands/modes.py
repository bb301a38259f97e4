"""`python -m theory modes`: size, time and threshold of every mode."""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theory.commands.arguments import add_command, add_decay, add_moments, count, positive, times
from theory.commands.inputs import checked_moments, console, results_table, sampled_floor, screen
from theory.dynamics.decayed_courses import decayed_time_courses
from theory.dynamics.mode_table import ModeTable, commutator, mode_scales, mode_table
from theory.dynamics.modes import mode_time_courses
from theory.linalg.whitening import generalized_eigenpairs
from theory.moments.files import write_result

_EXAMPLE = """example:
  python -m theory modes moments.npz --out modes.npz --depth 3 --weight-decay 0.01 --times 0,10,100

OUT.npz gets, one entry a mode of the data, strongest alignment first: alignment, scale (variance in
the data), final (eigenvalue of layer 1's Gram), final_variance (in the embedding), saddle_node and
global_minimum (weight decays that end the mode), half_time and escape_time (without weight decay),
order (0 is learned first), active, learned; with --times also times (t,) and variance (modes, t) of
the embedding. Spectral loss; exact where the moments commute, else `solve` and `flow` are.
"""


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    about = "each mode's size, learning time and weight-decay thresholds, in closed form"
    parser = add_command(commands, "modes", about, _EXAMPLE, _run)
    add_moments(parser)
    add_decay(parser)
    parser.add_argument("--depth", type=count, default=2, help="number of layers")
    parser.add_argument(
        "--init-scale",
        type=positive,
        default=0.1,
        help="every layer starts as this times the identity",
    )
    parser.add_argument("--times", type=times, help="flow times for time courses, e.g. 0,10,100")
    parser.add_argument("--rows", type=count, default=20, help="modes shown on the screen")


def _run(options: argparse.Namespace) -> None:
    started = time.monotonic()
    moments, tolerance, report = checked_moments(options)
    out, depth = screen(options), options.depth
    covariance = jnp.asarray(moments.covariance)
    found = generalized_eigenpairs(covariance, moments.cross_covariance, range_tolerance=tolerance)
    values, scales = found.values[: report.rank], mode_scales(found)[: report.rank]
    initial = jnp.full(report.rank, options.init_scale**2)
    table = mode_table(
        scales, values, initial, depth, weight_decay=options.weight_decay, branch=options.branch
    )
    arrays = {name: np.asarray(column) for name, column in table._asdict().items()}
    arrays["commutator"] = np.asarray(commutator(covariance, moments.cross_covariance))
    if options.times is not None:
        given = (scales, values, initial, depth, jnp.asarray(options.times))
        if options.weight_decay:
            sizes = decayed_time_courses(*given, options.weight_decay)
        else:
            sizes = mode_time_courses(*given)
        arrays["times"] = options.times
        arrays["variance"] = np.asarray(scales[:, None] * sizes**depth)
    write_result(options.out, **arrays)
    _print_table(options, jax.tree.map(np.asarray, table), sampled_floor(moments, report.rank))
    print(
        f"{int(np.sum(table.active))} of {report.rank} modes survive weight decay"
        f" {options.weight_decay:g} along the {options.branch} branch, a start at"
        f" {options.init_scale:g} learns {int(np.sum(table.learned))}",
        file=out,
    )
    if arrays["commutator"] > 1e-6:
        print(
            f"the moments do not commute (relative commutator {arrays['commutator']:.2g}): times"
            " and decayed sizes of single modes are estimates; solve and flow are exact",
            file=out,
        )
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=out)


def _print_table(options: argparse.Namespace, table: ModeTable, floor: float | None) -> None:
    shown = results_table(
        ("mode", "alignment", "scale", "final variance", "order", "half-time", "escape",
         "ends at decay", "active")
    )  # fmt: skip
    size = len(table.alignment)
    for mode in range(min(options.rows, size)):
        below = floor is not None and table.alignment[mode] <= floor
        shown.add_row(
            f"{mode + 1}",
            f"{table.alignment[mode]:.4g}{' (noise)' if below else ''}",
            f"{table.scale[mode]:.4g}",
            f"{table.final_variance[mode]:.4g}",
            f"{table.order[mode] + 1}",
            f"{table.half_time[mode]:.4g}",
            f"{table.escape_time[mode]:.4g}",
            f"{table.saddle_node[mode]:.4g}",
            "yes" if table.active[mode] else "no",
        )
    console(options).print(shown)
    if size > options.rows:
        print(f"  and {size - options.rows} more in {options.out}", file=screen(options))
