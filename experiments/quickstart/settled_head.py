"""Part B: a small ResNet with a linear head, trained jointly, then the head settled."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.compare import HeadSource, compared_source, head_of_run
from experiments.head_comparison import HeadOutcome
from experiments.core.progress import Advance
from experiments.quickstart.scales import SETTLED_WEIGHT_DECAY, Scale, head_config
from ssljax.runs.fit import fit


class SettledOutcome(NamedTuple):
    """Both heads of each seed, held against the prediction from the encoder's moments.

    Attributes:
      unsettled: The head as joint training left it, predicted at its own weight decay.
      settled: The head trained on with the encoder frozen.
      sources: Where each came from.
    """

    unsettled: tuple[HeadOutcome, ...]
    settled: tuple[HeadOutcome, ...]
    sources: tuple[HeadSource, ...]


def settled_head(scale: Scale, out: Path, advance: Advance) -> SettledOutcome:
    """Train jointly in run folders, settle, compare.

    Args:
      scale: How large.
      out: Folder in which the run folders are made.
      advance: Told after each piece of work.

    Returns:
      Everything the report shows of part B.
    """
    unsettled, settled, sources = [], [], []
    for seed in scale.seeds:
        run = out / f"digits_resnet-{seed}"
        fit(head_config(scale, seed), run, progress=False)
        advance(f"B  head: settling, seed {seed}", 2.0)
        source = head_of_run(run, views=scale.head_views, seed=seed)
        unsettled.append(compared_source(source, seed=seed))
        settled.append(
            compared_source(
                source,
                seed=seed,
                settling_steps=scale.settling_steps,
                weight_decay=SETTLED_WEIGHT_DECAY,
            )
        )
        sources.append(source)
        advance(f"B  head: seed {seed} compared", 2.0)
    return SettledOutcome(tuple(unsettled), tuple(settled), tuple(sources))


def padded(outcomes: tuple[HeadOutcome, ...], what: str) -> np.ndarray:
    """Modes of each seed, (seeds, width)."""
    if what == "predicted":
        return np.array([outcome.prediction.modes for outcome in outcomes])
    return np.array([outcome.measured_modes for outcome in outcomes])
