"""`python -m theory design`: which mixture of augmentation policies keeps a direction best."""

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np

import theory
from theory.commands.inputs import check_moments_file, make_loss_of
from theory.commands.screen import find_stream, print_progress, print_table
from theory.downstream.design import Design
from theory.linalg.errors import InputError
from theory.moments.files import read_arrays, write_result


def run(options: argparse.Namespace) -> None:
    """Find the mixture, write it with its trade-off, and print both."""
    started = time.monotonic()
    direction = _read_direction(options.direction)
    checked = [check_moments_file(options, path) for path in options.policies]
    tolerance = max(each.tolerance for each in checked)
    print_progress(f"mixing {len(checked)} policies")
    found = theory.design(
        [each.moments for each in checked],
        direction,
        maximize=options.maximize,
        quantity=options.quantity,
        loss=lambda moments: make_loss_of(options, moments, tolerance),
        depth=options.depth,
        head_layers=options.head_layers,
        rank=options.rank,
        weight_decay=options.weight_decay,
        points=options.points,
    )
    if options.out is not None:
        arrays = {
            name: np.asarray(getattr(found, name))
            for name in ("mixture", "value", "gradient", "gap")
        }
        for kind in ("pure", "frontier"):
            rows = dataclasses.asdict(getattr(found, kind))
            arrays |= {f"{kind}_{name}": array for name, array in rows.items()}
        write_result(options.out, policies=np.array(options.policies), **arrays)
    _print_design(options, found)
    where = f"wrote {options.out}" if options.out is not None else "done"
    print(f"{where} in {time.monotonic() - started:.1f} s", file=find_stream(options))


def _read_direction(path: str) -> np.ndarray:
    arrays = read_arrays(path)
    if "direction" not in arrays:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(f"{path} holds {found}, wanted the direction (d,) to keep as direction")
    direction = arrays["direction"]
    if direction.ndim != 1 or direction.dtype.kind not in "fiu":
        raise InputError(
            f"direction in {path} has shape {direction.shape} and type {direction.dtype}, wanted"
            " real numbers of shape (d,)"
        )
    return direction.astype(np.float64)


def _print_design(options: argparse.Namespace, found: Design) -> None:
    out, names = find_stream(options), [Path(path).stem for path in options.policies]
    before = options.depth - 1 - options.head_layers
    shown = [("before", before)] * (before >= 0) + [("after", options.depth - 1)]
    readings = [f"{quantity} {place}" for quantity in ("weight", "share") for place, _ in shown]
    columns = ["", *names, *readings, "rank data", "rank after", "active"]
    labels = [f"only {name}" for name in names]
    steps = np.linspace(0.0, 1.0, len(found.frontier.active))
    labels += ["best" if t == 0 else "best for the rest" if t == 1 else f"{t:.2f}" for t in steps]
    rows = []
    for tradeoff in (found.pure, found.frontier):
        for k in range(len(tradeoff.active)):
            values = [tradeoff.weights[k, layer] for _, layer in shown]
            values += [tradeoff.shares[k, layer] for _, layer in shown]
            ranks = (tradeoff.ranks[k, 0], tradeoff.ranks[k, -1])
            rows.append(
                (
                    labels[len(rows)],
                    *(f"{share:.1%}" for share in tradeoff.mixtures[k]),
                    *(f"{value:.4g}" for value in values),
                    *(f"{rank:.2f}" for rank in ranks),
                    tradeoff.active[k],
                )
            )
    print_table(options, columns, rows)
    mixture = ", ".join(f"{share:.1%} {name}" for name, share in zip(names, found.mixture))
    print(
        f"{options.quantity} {options.maximize}-projection is largest, {found.value:.6g}, with"
        f" {mixture}; gap {found.gap:.1e}",
        file=out,
    )
    slopes = ", ".join(f"{slope:+.3g} {name}" for name, slope in zip(names, found.gradient))
    print(f"derivative by the share of each policy: {slopes}", file=out)
