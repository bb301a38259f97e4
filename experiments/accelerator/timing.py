"""How long the work of a training run and of a prediction takes on a device."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.accelerator.steps import Request
from experiments.speed.augmentation_tasks import two_views_256
from experiments.speed.gpu_tasks import epoch
from experiments.speed.loss_tasks import embeddings, nt_xent_512
from experiments.speed.task import Task, finished
from experiments.speed.theory_tasks import make_spectra_task
from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.losses import nt_xent_blockwise
from ssljax.measure.moments import layer_moments, pixel_layer

MOST_ROUNDS = 20


class Row(NamedTuple):
    """One thing that is timed.

    Attributes:
      what: Its name; those of `experiments speed` where it is the same work.
      case: Its size, in words.
      unit: Of the cost.
      factor: Units a second.
      make: Returns the task; imports and copies are not timed.
      target: Cost aimed at, in `unit`; None where there is none.
    """

    what: str
    case: str
    unit: str
    factor: float
    make: Callable[[], Task]
    target: float | None = None


def list_rows(*, tiny: bool) -> tuple[Row, ...]:
    """Return what is timed, in order.

    Args:
      tiny: Whether sizes are those of a rehearsal on a CPU.
    """
    if tiny:
        return (
            Row("epoch_gpu", "16 images", "s an epoch", 1.0, lambda: epoch(16, 8, 4, (1,)), 5.0),
            Row("nt_xent_512", "16 pairs", "ms", 1e3, lambda: nt_xent_512(16)),
            Row("nt_xent_blocks", "32 pairs", "ms", 1e3, lambda: make_block_task(32)),
            Row("augment_256", "4 images", "ms", 1e3, lambda: two_views_256(4)),
            Row("moments", "8 images", "µs a view", 1e6, lambda: make_moments_task(8, 4, 2)),
            Row("layer_spectra", "dimension 16", "s", 1.0, lambda: make_spectra_task(16, 2)),
        )
    return (
        Row("epoch_gpu", "CIFAR-10, batch 512", "s an epoch", 1.0, epoch, 5.0),
        Row("nt_xent_512", "512 pairs", "ms", 1e3, nt_xent_512),
        Row("nt_xent_blocks", "32768 pairs", "ms", 1e3, lambda: make_block_task(32_768)),
        Row("augment_256", "256 images, 2 views", "ms", 1e3, two_views_256),
        Row("moments", "3072 pixels", "µs a view", 1e6, lambda: make_moments_task(4096, 32, 8)),
        Row("layer_spectra", "dimension 3072", "s", 1.0, lambda: make_spectra_task(3072, 128), 5.0),
        Row(
            "layer_spectra",
            "dimension 10000",
            "s",
            1.0,
            lambda: make_spectra_task(10_000, 128),
            180.0,
        ),
    )


def time_rows(request: Request) -> Iterator[dict[str, Any]]:
    """Yield the cost of every row; one that breaks does not keep the others from running."""
    rows = list_rows(tiny=request.tiny)
    for row in rows:
        try:
            yield time_row(row, request.seconds / (3 * len(rows)))
        except Exception as error:
            said = (str(error).strip().splitlines() or [""])[0]
            message = f"{type(error).__name__}: {said[:300]}"
            yield {"what": row.what, "case": row.case, "message": message}
        gc.collect()


def time_row(row: Row, seconds: float) -> dict[str, Any]:
    """Return the cost of a row: median, least and most over rounds.

    Args:
      row: What is timed.
      seconds: For its rounds; there is always one.

    Returns:
      ``what``, ``case``, ``unit``, ``ours``, ``low``, ``high``, ``rounds``, ``first_call_seconds``
      (with compilation), ``ratio`` (target over cost, where there is a target) and
      ``most_memory_gib`` (of the device since this process began, where it counts memory).
    """
    task = row.make()
    started = time.perf_counter()
    task.call()
    first = time.perf_counter() - started
    costs: list[float] = []
    while not costs or (len(costs) < MOST_ROUNDS and sum(costs) < seconds):
        started = time.perf_counter()
        task.call()
        costs.append(time.perf_counter() - started)
    scaled = [row.factor * cost / task.units for cost in costs]
    cost = statistics.median(scaled)
    return {
        "what": row.what,
        "case": row.case,
        "unit": row.unit,
        "ours": cost,
        "low": min(scaled),
        "high": max(scaled),
        "rounds": len(scaled),
        "first_call_seconds": first,
        "ratio": row.target / cost if row.target else None,
        "most_memory_gib": _read_most_memory(),
    }


def make_block_task(pairs: int) -> Task:
    """Return NT-Xent in blocks, of embeddings of width 128, and its gradient."""
    views = tuple(map(jax.numpy.asarray, embeddings(pairs)))
    slope = jax.jit(jax.grad(lambda a, b: nt_xent_blockwise(a, b, 0.5), argnums=(0, 1)))
    return Task(finished(lambda: slope(*views)))


def make_moments_task(count: int, side: int, views: int) -> Task:
    """Return the moments of the pixels of images under SimCLR's augmentation; a unit is a view."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    arguments = (images, 1 / 255, jax.random.key(0), SIMCLR_POLICY, 1.0)

    def call() -> None:
        layer_moments(pixel_layer, {}, None, *arguments, views=views, layers=("input",))

    return Task(call, units=count * views)


def _read_most_memory() -> float | None:
    memory = jax.devices()[0].memory_stats() or {}
    most = memory.get("peak_bytes_in_use")
    return None if most is None else round(most / 2**30, 3)
