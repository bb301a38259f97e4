"""Part B: the linear head of a small ResNet, as joint training leaves it and settled."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.core.measurements import Measurement
from experiments.measure.subject import Curve
from experiments.tools.comparison.heads import RIVALS, HeadOutcome, compare_source
from experiments.tools.comparison.sources import read_run
from experiments.tools.quickstart.linear import distance_rows, law_rows
from experiments.tools.quickstart.settings import (
    HEAD,
    SETTLED_WEIGHT_DECAY,
    Size,
    exact_rows,
    head_config,
    make_key,
)
from ssljax.runs.fit import fit


def measure_head(size: Size, seed: int, runs: Path) -> Iterator[Measurement | Curve]:
    """Yield both heads of a seed held against the prediction from the encoder's moments.

    Args:
      size: How large.
      seed: Of the training.
      runs: Folder in which the run folder is made, and kept.
    """
    run = runs / f"digits_resnet-{seed}"
    fit(head_config(size, seed), run, progress=False)
    source = read_run(run, views=size.head_views, seed=seed)
    settled = compare_source(
        source,
        seed=seed,
        settling_steps=size.settling_steps,
        weight_decay=SETTLED_WEIGHT_DECAY,
    )
    yield from _head_rows(seed, compare_source(source, seed=seed), "unsettled")
    yield from _head_rows(seed, settled, "settled")


def _head_rows(seed: int, outcome: HeadOutcome, head: str) -> Iterator[Measurement | Curve]:
    verdict = outcome.verdict
    yield from law_rows(HEAD, seed, verdict, head=head)
    yield from distance_rows(HEAD, seed, verdict, given="moments", head=head)
    yield from exact_rows(
        make_key(HEAD, seed, "size_error", "theory", head=head), outcome.size_error
    )
    variants = {words: variant for variant, words in RIVALS.items()}
    for name, error in outcome.rival_errors.items():
        yield from exact_rows(make_key(HEAD, seed, "size_error", variants[name], head=head), error)
    for variant, number, sizes in (
        ("theory", verdict.predicted_count, outcome.prediction.modes),
        ("trained", verdict.measured_count, outcome.measured_modes),
    ):
        yield from exact_rows(make_key(HEAD, seed, "modes", variant, head=head), number)
        # Modes that one side has dropped are drawn at the smallest size that counts as alive.
        count = max(verdict.predicted_count, verdict.measured_count)
        shown = np.maximum(sizes[:count], 1e-3 * outcome.prediction.modes[0])
        yield Curve(make_key(HEAD, seed, "sizes", variant, head=head), shown)
