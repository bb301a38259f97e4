"""Contenders timed in turn: ours, a peer, ours, a peer, so that a busy moment hits all of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

from experiments.errors import InputError

Clock = Literal["wall", "processor"]
_SECONDS_A_TURN = 0.3
_MOST_CALLS = 300


class Missing(NamedTuple):
    """A contender that cannot run here, and why."""

    reason: str


class Contender(NamedTuple):
    """A task ready in a process of its own.

    Attributes:
      check: See `experiments.speed.task.Task`.
      seconds: Of one call, compiled.
      measured: Whether the task says its cost itself.
      turn: ``turn(calls)`` runs it and returns the cost of a unit by either clock.
    """

    check: float | None
    seconds: float
    measured: bool
    turn: Callable[[int], dict[str, float]]


def thread_settings(threads: int) -> dict[str, str]:
    """Variables of the environment that hold a process to so many threads.

    Args:
      threads: At least 1.

    Returns:
      What OpenMP, MKL, OpenBLAS and XLA read.
    """
    count = str(threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    settings: dict[str, str] = {name: count for name in names}
    if threads == 1:
        settings["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return settings


@contextmanager
def contender(task: str, threads: int) -> Iterator[Contender | Missing]:
    """A task in a process of its own, on the first cores of those this process may use.

    Args:
      task: ``module:function``.
      threads: Threads and cores; 0: all cores.

    Yields:
      The contender, or why it is missing.

    Raises:
      InputError: It broke once it was ready; the last line that it said is part of the message.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    count = threads or len(cores) or os.cpu_count() or 1
    pinned = ",".join(map(str, cores[-count:]))
    command = [sys.executable, "-m", "experiments.speed.worker", task, pinned]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            env=os.environ | thread_settings(count),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def answer() -> dict[str, Any]:
            line = process.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess]
            if line:
                return json.loads(line)
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines() or ["nothing"]
            raise InputError(f"{task} broke and said last: {said[-1][:300]}")

        def turn(calls: int) -> dict[str, float]:
            process.stdin.write(f"{calls}\n")  # pyright: ignore[reportOptionalMemberAccess]
            process.stdin.flush()  # pyright: ignore[reportOptionalMemberAccess]
            return answer()

        try:
            ready: dict[str, Any]
            try:
                ready = answer()
            except InputError as error:
                ready = {"missing": str(error)}
            if "missing" in ready:
                yield Missing(ready["missing"])
            else:
                yield Contender(ready["check"], ready["seconds"], ready["measured"], turn)
        finally:
            process.stdin.close()
            process.stdout.close()
            process.kill()
            process.wait()


def costs_in_turn(
    tasks: Sequence[str], threads: int, rounds: int, clock: Clock
) -> list[list[float] | Missing]:
    """Costs of contenders over rounds in which each has one turn.

    Args:
      tasks: ``module:function`` of each, ours first.
      threads: Of each; 0: all cores.
      rounds: At least 1.
      clock: ``wall``, or ``processor`` for one thread on a machine that others use.

    Returns:
      For each task its cost a round, in seconds a unit, or why it is missing.

    Raises:
      InputError: A contender broke, or two disagree in what they compute.
    """
    with ExitStack() as running:
        contenders = [running.enter_context(contender(task, threads)) for task in tasks]
        present = [one for one in contenders if isinstance(one, Contender)]
        agree([one.check for one in present], tasks)
        costs: list[list[float] | Missing] = [
            one if isinstance(one, Missing) else [] for one in contenders
        ]
        for _ in range(rounds):
            for one, found in zip(contenders, costs, strict=True):
                if isinstance(one, Contender) and isinstance(found, list):
                    found.append(one.turn(calls_a_turn(one))[clock])
        return costs


def calls_a_turn(one: Contender) -> int:
    """How often a task is called in a turn: for about a third of a second, at least once."""
    if one.measured:
        return 1
    return max(1, min(_MOST_CALLS, round(_SECONDS_A_TURN / max(one.seconds, 1e-9))))


def agree(checks: Sequence[float | None], tasks: Sequence[str]) -> None:
    """Refuse to compare tasks that do not compute the same.

    Args:
      checks: A number of each task; None is not compared.
      tasks: Their names, for the message.

    Raises:
      InputError: Two numbers differ by more than 1e-4 of the first.
    """
    given = [check for check in checks if check is not None]
    if given and any(abs(check - given[0]) > 1e-4 * abs(given[0]) for check in given):
        raise InputError(
            f"{', '.join(tasks)} compute different things ({', '.join(map(str, given))}): use the"
            " versions of the peers that `pip install -e '.[bench]'` installs"
        )
