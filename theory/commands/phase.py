"""`python -m theory phase`: which layer wins, over augmentation, strength, depth and decay."""

import argparse
import time
from typing import Any

import jax
import numpy as np

from theory.commands.arguments import (
    BRANCH_HELP,
    add_command,
    add_output,
    ascending,
    count,
    decay,
    grid,
    positive,
)
from theory.commands.inputs import console, results_table, screen
from theory.downstream.phase_map import phase_map
from theory.linalg.errors import InputError
from theory.moments.data_models import dropping_moments, resampling_moments
from theory.moments.files import check_writable, write_result

_EXAMPLE = """example:
  python -m theory phase --out phase.npz --depths 2,3 --weight-decays 0,0.05 \\
      --retentions 0.02:1:50 --strengths log:0.05:3.2:50

OUT.npz gets the axes retention (r,), strength (s,), depth (l,), weight_decay (x,) and, on the grid
(r, s, l, x), advantage: log2 of labels needed after over before the head, positive where the layer
before it wins, NaN where no layer has the feature; best_layer, 0 for the input; active, the number
of features kept; task_active. The task is the sign of one feature; the others are always kept.
"""
_MODELS = {"resample": resampling_moments, "drop": dropping_moments}


def add(commands: Any) -> None:
    """Add the command and its arguments."""
    about = "which layer serves a task better, before or after the head, over a grid"
    parser = add_command(commands, "phase", about, _EXAMPLE, _run)
    add_output(parser)
    parser.add_argument(
        "--retentions",
        type=grid,
        default="0.02:1:50",
        metavar="GRID",
        help="how often augmentation keeps the task's feature: a list, or FIRST:LAST:COUNT",
    )
    parser.add_argument(
        "--strengths",
        type=grid,
        default="log:0.05:3.2:50",
        metavar="GRID",
        help="strength of the task's feature; log:FIRST:LAST:COUNT spaces it evenly in logarithm",
    )
    for name, kind, default, text in (
        ("--depths", count, "2", "numbers of layers, the head's included"),
        ("--weight-decays", decay, "0", "strengths of weight decay"),
        ("--others", positive, "0.2,0.3,1,1.5,2", "strengths of the other features"),
    ):
        parser.add_argument(name, type=ascending(kind), default=default, metavar="A,B", help=text)
    parser.add_argument("--view-noise", type=positive, default=0.5, help="noise of a view")
    parser.add_argument("--head-layers", type=count, default=1, help="layers of the head")
    parser.add_argument(
        "--augmentation",
        choices=tuple(_MODELS),
        default="resample",
        help="what happens to a feature that is not kept: drawn afresh, or set to zero",
    )
    parser.add_argument(
        "--branch", choices=("continued", "global"), default="continued", help=BRANCH_HELP
    )


def _run(options: argparse.Namespace) -> None:
    started = time.monotonic()
    check_writable(options.out)
    if options.retentions[-1] > 1.0:
        raise InputError(
            f"--retentions reach {options.retentions[-1]:g}, wanted at most 1: they are shares"
        )
    decays = np.array(options.weight_decays)
    found = phase_map(
        options.retentions,
        options.strengths,
        options.depths,
        decays,
        np.array(options.others),
        view_noise=options.view_noise,
        head_layers=options.head_layers,
        branch=options.branch,
        moments_of=_MODELS[options.augmentation],
    )
    found = jax.tree.map(np.asarray, found)
    write_result(
        options.out,
        retention=options.retentions,
        strength=options.strengths,
        depth=np.array(options.depths),
        weight_decay=decays,
        **found._asdict(),
    )
    table = results_table(
        ("depth", "weight decay", "before wins", "after wins", "absent", "largest advantage",
         "largest disadvantage", "features kept")
    )  # fmt: skip
    for i, depth in enumerate(options.depths):
        for j, weight_decay in enumerate(decays):
            advantage = found.advantage[:, :, i, j]
            finite = advantage[np.isfinite(advantage)]
            kept = found.active[:, :, i, j]
            table.add_row(
                str(depth),
                f"{weight_decay:g}",
                f"{np.mean(advantage > 0):.0%}",
                f"{np.mean(advantage < 0):.0%}",
                f"{np.mean(~found.task_active[:, :, i, j]):.0%}",
                f"{np.max(finite, initial=0.0):+.2f}",
                f"{np.min(finite, initial=0.0):+.2f}",
                f"{kept.min()} to {kept.max()}",
            )
    console(options).print(table)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=screen(options))
