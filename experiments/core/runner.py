"""Trains and measures what a folder lacks, network by network.

A finished network is never measured again; a stop in between loses the network that was being
trained. Networks run side by side, each in a process of its own with cores of its own.
"""

import dataclasses
import datetime
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.core.measurements import (
    Measurement,
    Run,
    Table,
    collect_parts,
    make_table,
    read_part,
    split_table,
    write_part,
    write_table,
)
from experiments.core.progress import experiment_progress
from experiments.core.provenance import COMMITTED, describe_versions, read_checkout
from experiments.errors import InputError


class Measured(NamedTuple):
    """Everything that is kept of one network of one seed.

    Attributes:
      run: Where it came from.
      rows: The numbers.
      curves: Arrays that only figures need, by `measurements.curve_name`.
    """

    run: Run
    rows: tuple[Measurement, ...]
    curves: Mapping[str, np.ndarray]


MeasureNetwork = Callable[[str, int, str], Measured]
"""Trains (or loads) a network and measures it, from its name, seed and tier."""


class NetworksFailedError(RuntimeError):
    """Some networks could not be trained or measured; the others are kept."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One network of one seed.

    Attributes:
      network: A name of the table of trainings.
      seed: Of the training.
      tier: Its size.
      config: Digest of its configuration; a part with another digest is measured anew.
      rules: Digests of the contrasts that will judge it.
      after: Networks of the same seed that have to be there first.
      cost: Expected work, in any unit.
    """

    network: str
    seed: int
    tier: str
    config: str
    rules: str = ""
    after: tuple[str, ...] = ()
    cost: float = 1.0

    @property
    def name(self) -> str:
        """The network and its seed, in words."""
        return f"{self.network}, seed {self.seed}"


def run_jobs(
    jobs: Sequence[Job], folder: Path, measure: MeasureNetwork, *, workers: int = 1
) -> Table:
    """Train and measure what is missing, then write the tables of all that is complete.

    Args:
      jobs: What is wanted, in the order of preference.
      folder: Of results.
      measure: Trains and measures one network; importable by its name where `workers` > 1.
      workers: Processes side by side; 1 runs in this process.

    Returns:
      The table of everything that the folder holds.

    Raises:
      InputError: The folder is for committed results and the checkout is modified, or it holds
        another tier.
      NetworksFailedError: Some networks failed; the others are kept.
    """
    commit, dirty = read_checkout()
    refuse_modified(folder, dirty)
    split_table(folder)
    waiting = [job for job in jobs if not _is_complete(job, folder)]
    failed: dict[str, list[str]] = {}
    start, total, done = time.monotonic(), sum(job.cost for job in waiting), 0.0

    def keep(job: Job, measured: Measured, seconds: float) -> None:
        run = dataclasses.replace(
            measured.run,
            network=job.network,
            seed=job.seed,
            tier=job.tier,
            config=job.config,
            rules=job.rules,
            commit=commit,
            dirty=dirty,
            versions=measured.run.versions or describe_versions(),
            seconds=round(seconds, 1),
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        table = make_table(measured.rows, [run], measured.curves)
        write_part(table, folder, job.network, job.seed)

    if waiting:
        with (
            experiment_progress(total, waiting[0].name) as advance,
            _executor(workers) as submit,
        ):
            for job, outcome in _finish(waiting, submit, measure, workers):
                if isinstance(outcome, BaseException):
                    message = f"{type(outcome).__name__}: {outcome}"
                    failed.setdefault(message, []).append(job.name)
                else:
                    keep(job, *outcome)
                done += job.cost
                left = (time.monotonic() - start) * (total - done) / done / 60
                advance(f"{job.name} {_ended(outcome)}, {left:.0f} min left", job.cost)
    table = collect_parts(folder)
    write_table(table, folder)
    if failed:
        causes = "; ".join(f"{_names(names)}: {cause}" for cause, names in failed.items())
        count = sum(map(len, failed.values()))
        raise NetworksFailedError(
            f"{count} of {len(jobs)} networks failed; the others are kept, the same command tries"
            f" these again: {causes}"
        )
    return table


def refuse_modified(folder: Path, dirty: bool) -> None:
    """Refuse to write committed results from a modified checkout.

    Raises:
      InputError: The folder lies in `experiments/results` and tracked files differ from the commit.
    """
    if dirty and f"{COMMITTED}/" in f"{folder.resolve().as_posix()}/":
        raise InputError(
            f"{folder} holds committed results and the checkout is modified; commit first, or write"
            " elsewhere with --out"
        )


def _ended(outcome: "_Outcome") -> str:
    return "failed" if isinstance(outcome, BaseException) else "done"


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _is_complete(job: Job, folder: Path) -> bool:
    part = read_part(folder, job.network, job.seed)
    if part is None:
        return False
    if part.tier() != job.tier:
        raise InputError(
            f"{folder} holds {job.name} of the tier {part.tier()}, not {job.tier}; name another"
            " folder with --out"
        )
    return part.runs[job.network, job.seed].config == job.config


_Outcome = tuple[Measured, float] | BaseException
_Submit = Callable[[MeasureNetwork, Job], Future[tuple[Measured, float]]]


def _finish(
    jobs: Sequence[Job], submit: _Submit, measure: MeasureNetwork, workers: int
) -> Iterator[tuple[Job, _Outcome]]:
    """Yield jobs as they finish; each starts once those it comes after are done."""
    waiting: list[Job] = list(jobs)
    running: dict[Future[tuple[Measured, float]], Job] = {}
    lost: set[tuple[str, int]] = set()
    while waiting or running:
        unfinished = {(job.network, job.seed) for job in (*waiting, *running.values())}
        ready = [job for job in waiting if not _needs(job) & unfinished]
        for job in ready[: workers - len(running)]:
            waiting.remove(job)
            if _needs(job) & lost:
                lost.add((job.network, job.seed))
                yield job, RuntimeError("a network that it needs failed")
            else:
                running[submit(measure, job)] = job
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            job, error = running.pop(future), future.exception()
            if error is not None:
                lost.add((job.network, job.seed))
            yield job, future.result() if error is None else error


def _needs(job: Job) -> set[tuple[str, int]]:
    return {(network, job.seed) for network in job.after}


@contextmanager
def _executor(workers: int) -> Iterator[_Submit]:
    if workers == 1:

        def submit(measure: MeasureNetwork, job: Job) -> Future[tuple[Measured, float]]:
            future: Future[tuple[Measured, float]] = Future()
            try:
                future.set_result(_timed(measure, job))
            except Exception as error:  # kept for the summary; other networks go on
                future.set_exception(error)
            return future

        yield submit
        return
    context = multiprocessing.get_context("spawn")
    cores = context.Queue()
    for number in range(workers):
        cores.put(number)
    pool = ProcessPoolExecutor(workers, context, _take_cores, (cores, workers))
    try:
        yield lambda measure, job: pool.submit(_timed, measure, job)
    finally:
        pool.shutdown(cancel_futures=True)


def _take_cores(cores: "multiprocessing.Queue[int]", workers: int) -> None:
    """Pin a worker to its share of the cores, before JAX starts its threads."""
    number = cores.get()
    if hasattr(os, "sched_setaffinity"):
        available = sorted(os.sched_getaffinity(0))
        share = available[number::workers]
        os.sched_setaffinity(0, share or available)
        if len(share) == 1:
            flags = os.environ.get("XLA_FLAGS", "")
            os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()


def _timed(measure: MeasureNetwork, job: Job) -> tuple[Measured, float]:
    start = time.perf_counter()
    measured = measure(job.network, job.seed, job.tier)
    return measured, time.perf_counter() - start


def order_jobs(jobs: Mapping[tuple[str, int], Job]) -> tuple[Job, ...]:
    """Return jobs seed by seed, so that an early stop leaves every network with some seeds."""
    return tuple(job for _, job in sorted(jobs.items(), key=lambda item: item[0][1]))


def count_workers() -> int:
    """Return how many networks run at once: an accelerator takes one, cores one each up to four."""
    if any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/dev").glob("accel[0-9]*")):
        return 1
    has_affinity = hasattr(os, "sched_getaffinity")
    return min(4, len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1)
