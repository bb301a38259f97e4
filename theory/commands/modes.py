"""`python -m theory modes`: size, time and threshold of every mode."""

import argparse
import time

import numpy as np

import theory
from theory.commands.inputs import Checked, check_moments_file
from theory.commands.screen import find_stream, print_table
from theory.dynamics.courses import mode_time_courses
from theory.dynamics.modes import commutator
from theory.linalg.checks import require_count
from theory.moments.files import write_result

# Columns whose names in the file are older than those of the table.
_FILE_NAMES = {"gram": "final", "size": "final_variance"}


def run(options: argparse.Namespace) -> None:
    """Write the table of modes, with their courses where times are given, and print it."""
    started = time.monotonic()
    require_count("rows", options.rows)
    checked = check_moments_file(options, options.moments)
    out, rank = find_stream(options), checked.report.rank
    settings = {name: getattr(options, name) for name in ("depth", "init_scale", "weight_decay")}
    table = theory.modes(
        checked.moments, branch=options.branch, range_tolerance=checked.tolerance, **settings
    )
    arrays = {
        _FILE_NAMES.get(name, name): np.asarray(column)[:rank]
        for name, column in table._asdict().items()
    }
    moments = checked.moments
    arrays["commutator"] = np.asarray(commutator(moments.covariance, moments.cross_covariance))
    if options.times is not None:
        sizes = mode_time_courses(arrays["scale"], arrays["alignment"], options.times, **settings)
        arrays["times"] = options.times
        arrays["variance"] = np.asarray(sizes).T
    write_result(options.out, **arrays)
    _print_modes(options, arrays, checked)
    print(
        f"{int(np.sum(arrays['active']))} of {rank} modes survive weight decay"
        f" {options.weight_decay:g} along the {options.branch} branch, a start at"
        f" {options.init_scale:g} learns {int(np.sum(arrays['learned']))}",
        file=out,
    )
    if arrays["commutator"] > 1e-6:
        print(
            f"the moments do not commute (relative commutator {arrays['commutator']:.2g}): times"
            " and decayed sizes of single modes are estimates; solve and flow are exact",
            file=out,
        )
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=out)


def _print_modes(
    options: argparse.Namespace, arrays: dict[str, np.ndarray], checked: Checked
) -> None:
    size = len(arrays["alignment"])
    rows = []
    for mode in range(min(options.rows, size)):
        below = checked.floor is not None and arrays["alignment"][mode] <= checked.floor
        rows.append(
            (
                mode + 1,
                f"{arrays['alignment'][mode]:.4g}{' (noise)' if below else ''}",
                f"{arrays['scale'][mode]:.4g}",
                f"{arrays['final_variance'][mode]:.4g}",
                arrays["order"][mode] + 1,
                f"{arrays['half_time'][mode]:.4g}",
                f"{arrays['escape_time'][mode]:.4g}",
                f"{arrays['saddle_node'][mode]:.4g}",
                "yes" if arrays["active"][mode] else "no",
            )
        )
    columns = ("mode", "alignment", "scale", "final variance", "order", "half-time", "escape",
               "ends at decay", "active")  # fmt: skip
    print_table(options, columns, rows)
    if size > options.rows:
        print(f"  and {size - options.rows} more in {options.out}", file=find_stream(options))
