"""`python -m theory sweep`: where training ends, over lists of settings."""

import argparse
import itertools
import time
from typing import Any

import numpy as np

import theory
from theory.commands.inputs import check_moments_file, make_loss_of, require_finite
from theory.commands.screen import effective_rank, find_stream, print_progress, print_table
from theory.linalg.checks import require_count, require_rank
from theory.linalg.errors import InputError
from theory.moments.files import write_result
from theory.optimum.solve import Prediction

_OWNERS = {"invariance_weight": "vicreg", "temperature": "infonce"}


def run(options: argparse.Namespace) -> None:
    """Solve every combination of settings, write one file and print one table."""
    started = time.monotonic()
    for parameter, owner in _OWNERS.items():
        if getattr(options, parameter) is not None and owner not in options.losses:
            raise InputError(
                f"losses {','.join(options.losses)} do not take {parameter}, which belongs to"
                f" {owner}"
            )
    require_count("modes", options.modes)
    checked = check_moments_file(options, options.moments)
    ranks = options.ranks or (checked.dim,)
    require_rank(max(ranks), checked.dim)
    losses = [
        make_loss_of(options, checked.moments, checked.tolerance, name=name)
        for name in options.losses
    ]
    kept, deepest = min(options.modes, checked.dim), max(options.depths)
    # Weight decay varies fastest: what compiled for a depth and rank serves all of its decays.
    grid: list[Any] = list(itertools.product(losses, options.depths, ranks, options.weight_decays))
    shape = (len(losses), len(options.depths), len(ranks), len(options.weight_decays))
    rows: list[tuple[Any, ...]] = []
    for index, (loss, depth, rank, weight_decay) in enumerate(grid):
        print_progress(
            f"{index + 1} of {len(grid)}: {loss.name}, depth {depth}, rank {rank},"
            f" weight decay {weight_decay:g}"
        )
        prediction = theory.solve(
            loss, depth=depth, rank=rank, weight_decay=weight_decay, branch=options.branch
        )
        rows.append(_read_row(prediction, kept, deepest))
    columns = [np.stack(column) for column in zip(*rows)]
    loss, active, rank, spectrum, layer_spectrum = (
        np.reshape(column, (*shape, *column.shape[1:])) for column in columns
    )
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
        alignment=checked.alignment,
    )
    columns = ("loss function", "depth", "rank", "weight decay", "active", "loss", "embedding rank")
    print_table(
        options,
        columns,
        (
            (loss.name, depth, rank, f"{decay:g}", row[1], f"{row[0]:.6g}", f"{row[2]:.2f}")
            for (loss, depth, rank, decay), row in zip(grid, rows)
        ),
    )
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=find_stream(options))


def _read_row(prediction: Prediction, kept: int, deepest: int) -> tuple:
    """Return loss, active modes, embedding rank and both spectra, padded to the deepest network."""
    weights, layers = (
        np.pad(
            np.asarray(spectra)[:, :kept],
            ((0, rows - len(spectra)), (0, 0)),
            constant_values=np.nan,
        )
        for spectra, rows in (
            (prediction.weight_spectra, deepest),
            (prediction.layer_spectra, deepest + 1),
        )
    )
    rank = effective_rank(np.asarray(prediction.layer_spectra)[-1])
    return np.float64(prediction.loss), np.int64(prediction.active), rank, weights, layers
