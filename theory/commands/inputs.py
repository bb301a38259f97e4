"""What commands do alike: read and check moments, choose the loss, say what happens."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from theory.linalg.errors import InputError
from theory.losses.family import make_loss
from theory.losses.quadratic import QuadraticLoss
from theory.moments.alignment import noise_floor
from theory.moments.check import MomentsReport, check_moments
from theory.moments.files import check_writable, read_moments
from theory.moments.moments import Moments, default_range_tolerance


def checked_moments(options: argparse.Namespace) -> tuple[Moments, float, MomentsReport]:
    """Moments that the options name, the tolerance of their range, and what the check found."""
    check_writable(options.out)
    moments = read_moments(options.moments)
    progress(f"checking {options.moments}")
    tolerance = options.range_tolerance or default_range_tolerance(moments)
    report = check_moments(moments, range_tolerance=tolerance)
    dim, out = moments.covariance.shape[0], screen(options)
    print(
        f"moments: {dim} features, {report.rank} of them inside the data (tolerance {tolerance:g})",
        file=out,
    )
    if report.negative:
        print(
            f"  {report.negative} alignments are negative, down to {report.most_negative:.3g}:"
            " sampling noise, counted as 0",
            file=out,
        )
    floor = sampled_floor(moments, report.rank)
    if floor is not None:
        above = int(np.sum(report.alignment > floor))
        print(f"  noise floor of the alignments {floor:.3g}: {above} modes lie above it", file=out)
    return moments, tolerance, report


def sampled_floor(moments: Moments, rank: int) -> float | None:
    """Alignment that sampling alone produces; None for moments that do not say how many views."""
    if moments.images is None or moments.views is None:
        return None
    return float(noise_floor(rank, int(moments.images), int(moments.views)))


def chosen_loss(
    name: str, options: argparse.Namespace, moments: Moments, tolerance: float
) -> QuadraticLoss:
    """Return the quadratic loss of a name, with the parameters of the options."""
    return make_loss(
        name,
        moments,
        invariance_weight=options.invariance_weight if name == "vicreg" else None,
        temperature=options.temperature if name == "infonce" else None,
        range_tolerance=tolerance,
    )


def check_loss_options(options: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Refuse a loss without its parameter, and a parameter without its loss."""
    for name, value, owner in (
        ("--invariance-weight", options.invariance_weight, "vicreg"),
        ("--temperature", options.temperature, "infonce"),
    ):
        if (value is None) == (owner in names):
            given = f"--loss {','.join(names)}"
            verb = "needs" if value is None else "does not take"
            raise InputError(f"{given} {verb} {name}, which belongs to {owner}")


def require_rank(rank: int | None, dim: int) -> None:
    """Refuse a network wider than its data."""
    if rank is not None and rank > dim:
        raise InputError(f"--rank is {rank}, wanted at most the {dim} features of the data")


def require_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse to write what overflowed."""
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise InputError(
                f"{name} of the result is not finite: the moments span too many orders of magnitude"
                " for float64; rescale the data or raise --range-tolerance"
            )


def screen(options: argparse.Namespace) -> Any:
    """Where words and tables go: not among the JSON that ``--out -`` prints."""
    return sys.stderr if options.out == "-" else sys.stdout


def console(options: argparse.Namespace) -> Console:
    """For tables, as wide as they are where nobody looks at a terminal."""
    stream = screen(options)
    return Console(file=stream, width=None if stream.isatty() else 120, highlight=False)


def results_table(columns: tuple[str, ...]) -> Table:
    """An empty table of right-aligned columns."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def progress(what: str) -> None:
    """Say on standard error what takes its time."""
    print(f"{what} ...", file=sys.stderr, flush=True)
