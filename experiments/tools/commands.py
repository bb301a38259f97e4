"""The commands that run, judge and show experiments."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.core.experiment import Experiment
from experiments.core.measurements import read_table
from experiments.core.provenance import rules_of
from experiments.core.runner import Job, MeasureNetwork, count_workers, order_jobs, run_jobs
from experiments.core.verdicts import Verdict, write_verdicts
from experiments.errors import InputError
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from experiments.pages.publish import write_pages
from experiments.pages.readme import readme_table, update_readme
from experiments.tools.judging import shown_experiments
from experiments.tools.registry import EXPERIMENTS


def run(
    names: Sequence[str],
    folder: Path,
    tier: str,
    measure: MeasureNetwork,
    *,
    seeds: Sequence[int] = (),
    workers: int = 0,
) -> tuple[Verdict, ...]:
    """Train and measure what experiments lack in a folder, judge, draw and write its pages.

    Args:
      names: Experiments; empty for all.
      folder: Of results.
      tier: A name of `SIZES`.
      measure: Trains and measures one network.
      seeds: Instead of those of the tier.
      workers: Networks side by side; 0 for one a core, at most four, and one on an accelerator.

    Raises:
      InputError: A name is unknown, or what `run_jobs` refuses.
    """
    chosen = choose(names)
    jobs = plan_jobs(chosen, tier, seeds or SIZES[tier].seeds)
    run_jobs(jobs, folder, measure, workers=workers or count_workers())
    shown = chosen if not names else {**shown_experiments(folder), **chosen}
    # Pages of contrasts that belong to no claim are written wherever they have a number.
    ordered = {n: e for n, e in EXPERIMENTS.items() if n in shown or not e.claims}
    write_verdicts(ordered, folder)
    return write_pages(ordered, folder)


def choose(names: Sequence[str]) -> Mapping[str, Experiment]:
    """Return experiments by name; all where none is named.

    Raises:
      InputError: A name is unknown.
    """
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise InputError(f"no experiment '{unknown[0]}'; there are {', '.join(EXPERIMENTS)}")
    return {name: EXPERIMENTS[name] for name in names} if names else EXPERIMENTS


def plan_jobs(
    experiments: Mapping[str, Experiment], tier: str, seeds: Sequence[int]
) -> tuple[Job, ...]:
    """Return the networks that experiments read, and those that these come after."""
    wanted = dict.fromkeys(n for experiment in experiments.values() for n in experiment.networks)
    for network in tuple(wanted):
        wanted |= dict.fromkeys(TRAININGS[network].after)
    jobs = {
        (network, seed): Job(
            network,
            seed,
            tier,
            config_digest(network, tier),
            rules_of(network, EXPERIMENTS),
            TRAININGS[network].after,
            _cost(network),
        )
        for network in wanted
        for seed in seeds
    }
    return order_jobs(jobs)


def config_digest(network: str, tier: str) -> str:
    """Return twelve characters that change with anything that decides what is trained."""
    training = dataclasses.replace(TRAININGS[network], what="")
    size = dataclasses.replace(SIZES[tier], seeds=())
    text = repr((training, size, *(TRAININGS[name] for name in training.after)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def pages(folder: Path) -> tuple[Verdict, ...]:
    """Write figures and pages from the tables of a folder."""
    return write_pages(shown_experiments(folder) or EXPERIMENTS, folder)


def renew_readme(readme: Path, folder: Path, verdicts: Sequence[Verdict]) -> bool:
    """Write the table of claims into a README; return whether that changed it."""
    results = os.path.relpath(folder, readme.parent)
    return update_readme(readme, readme_table(verdicts, read_table(folder), results))


def _cost(network: str) -> float:
    training = TRAININGS[network]
    return (
        120.0 if training.kind != "encoder" else 40.0 + training.steps * training.batch_size / 900
    )
