"""`python -m theory sweep`: where training ends, over lists of settings."""

import argparse
import itertools
import time
from typing import Any

import numpy as np

from theory.commands.arguments import (
    BRANCH_HELP,
    add_command,
    add_loss,
    add_moments,
    ascending,
    count,
    decay,
)
from theory.commands.inputs import (
    check_loss_options,
    checked_moments,
    chosen_loss,
    console,
    progress,
    require_finite,
    require_rank,
    results_table,
    screen,
)
from theory.commands.predictions import Solution
from theory.commands.solve import effective_rank, solved
from theory.moments.files import write_result

_EXAMPLE = """example:
  python -m theory sweep moments.npz --out sweep.npz --depths 1,2,3 --ranks 16,64 \\
      --weight-decays 0,0.01,0.1 --losses spectral,barlow

One file with the axes losses, depths, ranks, weight_decays, in this order: loss, active and
effective_rank (of the embedding) on the grid; spectrum (…, largest depth, k) and layer_spectrum
(…, largest depth + 1, k) with the k = --modes largest values of each layer and NaN where a network
has no such layer; the data's alignment (d,). Grams of one setting are for solve.
"""


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    about = "where training ends for every combination of depths, ranks, weight decays, losses"
    parser = add_command(commands, "sweep", about, _EXAMPLE, _run)
    add_moments(parser)
    add_loss(parser, many=True)
    for name, kind, default, text in (
        ("--depths", count, "2", "numbers of layers"),
        ("--ranks", count, None, "narrowest widths; as wide as the data without it"),
        ("--weight-decays", decay, "0", "strengths"),
    ):
        parser.add_argument(
            name, type=ascending(kind), default=default, metavar="A,B", help=f"{text}, ascending"
        )
    parser.add_argument(
        "--branch", choices=("continued", "global"), default="continued", help=BRANCH_HELP
    )
    parser.add_argument(
        "--modes", type=count, default=64, help="values kept of each spectrum, the largest"
    )


def _run(options: argparse.Namespace) -> None:
    started = time.monotonic()
    moments, tolerance, report = checked_moments(options)
    dim, out = moments.covariance.shape[0], screen(options)
    ranks = options.ranks or (dim,)
    require_rank(max(ranks), dim)
    check_loss_options(options, options.losses)
    losses = [(name, chosen_loss(name, options, moments, tolerance)) for name in options.losses]
    kept, deepest = min(options.modes, dim), max(options.depths)
    # Weight decay varies fastest: what compiled for a depth and rank serves all of its decays.
    grid: list[Any] = list(itertools.product(losses, options.depths, ranks, options.weight_decays))
    shape = (len(losses), len(options.depths), len(ranks), len(options.weight_decays))
    rows: list[tuple[Any, ...]] = []
    for index, ((name, loss), depth, rank, weight_decay) in enumerate(grid):
        progress(
            f"{index + 1} of {len(grid)}: {name}, depth {depth}, rank {rank},"
            f" weight decay {weight_decay:g}"
        )
        found, _ = solved(loss, depth, rank, weight_decay, options.branch)
        rows.append(_row(found, kept, deepest))
    columns = [np.stack(column) for column in zip(*rows)]
    loss, active, rank, spectrum, layer_spectrum = (
        np.reshape(column, (*shape, *column.shape[1:])) for column in columns
    )
    alignment = np.zeros(dim)
    alignment[: report.rank] = report.alignment
    require_finite({"loss": loss})
    write_result(
        options.out,
        losses=np.array(options.losses),
        depths=np.array(options.depths),
        ranks=np.array(ranks),
        weight_decays=np.array(options.weight_decays),
        loss=loss,
        active=active,
        effective_rank=rank,
        spectrum=spectrum,
        layer_spectrum=layer_spectrum,
        alignment=alignment,
    )
    _print_table(options, grid, rows)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=out)


def _row(found: Solution, kept: int, deepest: int) -> tuple:
    spectrum = np.full((deepest, kept), np.nan)
    values = np.asarray(found.values)[:, :kept]
    spectrum[: len(values)] = 0.0
    spectrum[: len(values), : values.shape[1]] = values
    layers = np.full((deepest + 1, kept), np.nan)
    layers[: len(found.layer_spectrum)] = found.layer_spectrum[:, :kept]
    embedding = effective_rank(np.asarray(found.layer_spectrum)[-1])
    return np.float64(found.loss), np.int64(found.active), embedding, spectrum, layers


def _print_table(options: argparse.Namespace, grid: list, rows: list) -> None:
    table = results_table(
        ("loss function", "depth", "rank", "weight decay", "active", "loss", "embedding rank")
    )
    for ((name, _), depth, rank, weight_decay), row in zip(grid, rows):
        table.add_row(
            name, str(depth), str(rank), f"{weight_decay:g}", str(row[1]),
            f"{row[0]:.6g}", f"{row[2]:.2f}",
        )  # fmt: skip
    console(options).print(table)
