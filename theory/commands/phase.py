"""`python -m theory phase`: which layer wins, over augmentation, strength, depth and decay."""

import argparse
import time

import jax
import numpy as np

from theory.commands.screen import find_stream, print_table
from theory.downstream.phase_map import phase_map
from theory.moments.data_models import dropping_moments, resampling_moments
from theory.moments.files import check_result_path, write_result

_MODELS = {"resample": resampling_moments, "drop": dropping_moments}


def run(options: argparse.Namespace) -> None:
    """Map which layer wins, write the map and print how often each does."""
    started = time.monotonic()
    check_result_path(options.out)
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
    rows = []
    for i, depth in enumerate(options.depths):
        for j, weight_decay in enumerate(decays):
            advantage = found.advantage[:, :, i, j]
            finite = advantage[np.isfinite(advantage)]
            kept = found.active[:, :, i, j]
            rows.append(
                (
                    depth,
                    f"{weight_decay:g}",
                    f"{np.mean(advantage > 0):.0%}",
                    f"{np.mean(advantage < 0):.0%}",
                    f"{np.mean(~found.task_active[:, :, i, j]):.0%}",
                    f"{np.max(finite, initial=0.0):+.2f}",
                    f"{np.min(finite, initial=0.0):+.2f}",
                    f"{kept.min()} to {kept.max()}",
                )
            )
    columns = ("depth", "weight decay", "before wins", "after wins", "absent",
               "largest advantage", "largest disadvantage", "features kept")  # fmt: skip
    print_table(options, columns, rows)
    print(f"wrote {options.out} in {time.monotonic() - started:.1f} s", file=find_stream(options))
