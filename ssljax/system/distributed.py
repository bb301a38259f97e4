"""Many processes that train one run together: joining, agreeing, and ending.

Discovery, transport and heartbeats are `jax.distributed`'s. Only the first process writes files;
what it decides (which checkpoint, whether the folder may be used) the others are told, so that
all of them do the same thing or none does anything.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np

from ssljax.system.errors import UsageError

EVALUATION_SECONDS = 24 * 3600
"""How long processes that have nothing left to do wait for the first, which still measures."""
EXIT_LOST = 75
"""Temporary failure, in the numbering of sysexits.h."""
_PARTING_SECONDS = 10.0


class Cluster(NamedTuple):
    """How a process finds its peers; what is not given is read from the environment.

    Attributes:
      coordinator: ``HOST:PORT`` on which the first process answers.
      process_id: This process, from 0.
      num_processes: How many there are.
      heartbeat_seconds: Silence after which a process counts as lost and all others end.
    """

    coordinator: str | None = None
    process_id: int | None = None
    num_processes: int | None = None
    heartbeat_seconds: int = 40


def check_cluster(cluster: Cluster) -> None:
    """Refuse addresses and numbers that cannot be meant; touches no network.

    Raises:
      UsageError: A value is malformed, or only part of an explicit address is given.
    """
    coordinator, process_id, num_processes, heartbeat_seconds = cluster
    if heartbeat_seconds < 1:
        raise UsageError(
            f"heartbeat-seconds is {heartbeat_seconds}: give --heartbeat-seconds at least 1"
        )
    given = {
        "--coordinator": coordinator,
        "--process-id": process_id,
        "--num-processes": num_processes,
    }
    missing = [flag for flag, value in given.items() if value is None]
    if 0 < len(missing) < 3:
        raise UsageError(
            f"{' and '.join(missing)} missing: give all of {', '.join(given)}, or only"
            " --distributed where the scheduler says who is who"
        )
    if coordinator is None or process_id is None or num_processes is None:
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"coordinator is {coordinator!r}: give --coordinator HOST:PORT")
    if not 0 <= process_id < num_processes:
        raise UsageError(
            f"process {process_id} of {num_processes}: give --process-id a number from 0 to one"
            " less than --num-processes"
        )


def join(cluster: Cluster) -> None:
    """Become one of the processes of a run; call it before anything that asks for devices.

    With an explicit address the scheduler's variables are not looked at, so that several
    processes can be started inside one task of a scheduler.

    Raises:
      UsageError: The environment names no cluster, or the coordinator does not answer.
    """
    check_cluster(cluster)
    cluster = _read_indexed_job(cluster)
    is_explicit = cluster.coordinator is not None
    try:
        jax.distributed.initialize(
            cluster.coordinator,
            cluster.num_processes,
            cluster.process_id,
            cluster_detection_method="deactivate" if is_explicit else None,
            heartbeat_timeout_seconds=cluster.heartbeat_seconds,
            shutdown_timeout_seconds=EVALUATION_SECONDS,
        )
    except ValueError as error:
        raise UsageError(
            f"no cluster in the environment ({_take_first_line(error)}): start under Slurm,"
            " Open MPI, Kubernetes or on a TPU, or give --coordinator, --process-id and"
            " --num-processes"
        ) from error
    except RuntimeError as error:
        raise UsageError(
            f"the processes did not find each other ({_take_first_line(error)}): check that"
            " --coordinator can be reached from every host and that every process was started"
        ) from error


def _read_indexed_job(cluster: Cluster) -> Cluster:
    """Read an indexed job of Kubernetes from the environment, without asking its server."""
    names = ("JAX_COORDINATOR_ADDRESS", "JOB_COMPLETION_INDEX", "JAX_NUM_PROCESSES")
    address, index, count = (os.environ.get(name) for name in names)
    if cluster.coordinator is not None or address is None or index is None or count is None:
        return cluster
    if not (index.isdigit() and count.isdigit()):
        raise UsageError(f"{names[1]} is {index!r}, {names[2]} is {count!r}: both must be numbers")
    found = cluster._replace(coordinator=address, process_id=int(index), num_processes=int(count))
    check_cluster(found)
    return found


def is_first() -> bool:
    """Return whether this process writes the files."""
    return jax.process_index() == 0


def agree(decide: Callable[[], Any]) -> Any:
    """Return the first process's decision in every process.

    Args:
      decide: Called in the first process only; its answer must survive JSON.

    Returns:
      The answer.

    Raises:
      UsageError: In every process, where the first refused.
    """
    if jax.process_count() == 1:
        return decide()
    answer: dict[str, Any] = {}
    if is_first():
        try:
            answer = {"value": decide()}
        except UsageError as error:
            answer = {"refused": str(error)}
    answer = json.loads(_broadcast(json.dumps(answer).encode()))
    if "refused" in answer:
        raise UsageError(answer["refused"])
    return answer["value"]


def wait_for_all(what: str, seconds: int = 900) -> None:
    """Wait until every process is here.

    Collectives give up on a peer that comes half a minute late, and compiling or reading data can
    take some processes longer than others; this waits as long as reasonable start-up takes.

    Args:
      what: Names the place; shown where a process never comes.
      seconds: How long to wait.
    """
    if jax.process_count() > 1:
        from orbax.checkpoint import multihost  # noqa: PLC0415 (its barrier has a time limit)

        wait = multihost.get_barrier_sync_fn(processes=set(range(jax.process_count())))
        wait(key=f"ssljax {what}", timeout_ms=1000 * seconds)


def _broadcast(message: bytes) -> bytes:
    from jax.experimental import multihost_utils  # noqa: PLC0415 (starts the devices)

    wait_for_all("agreement")
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    padded = np.zeros(size, np.uint8)
    if is_first():
        padded[:] = np.frombuffer(message, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded), np.uint8).tobytes()


def all_agree(holds: bool) -> bool:
    """Return whether the answer is yes in every process."""
    if jax.process_count() == 1:
        return holds
    from jax.experimental import multihost_utils  # noqa: PLC0415

    wait_for_all("vote")
    return bool(np.all(multihost_utils.process_allgather(np.asarray(holds))))


def is_stop_due(call: int) -> bool:
    """Return whether a process was told to stop and all have agreed to stop at this call.

    Every process must ask at every call. JAX listens for SIGTERM once a process has joined.
    """
    if jax.process_count() == 1:
        return False
    from jax.experimental import multihost_utils  # noqa: PLC0415

    try:
        return multihost_utils.reached_preemption_sync_point(call)
    except RuntimeError:  # switched off with JAX_ENABLE_PREEMPTION_SERVICE=0
        return False


def leave() -> None:
    """Wait for the other processes, then part from them; without peers nothing happens."""
    if has_joined():
        jax.distributed.shutdown()


def end(code: int) -> NoReturn:
    """End this process, which failed and may leave others waiting; no exit handler waits for them.

    Peers that failed as well are given a moment to part in order. Others notice the silence.
    """
    parting = threading.Thread(target=jax.distributed.shutdown, daemon=True)
    parting.start()
    parting.join(_PARTING_SECONDS)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def end_where_a_peer_is_lost() -> Iterator[None]:
    """End this process at once, after one line, where a collective fails under it.

    Anything that waits for all processes, such as finishing a checkpoint, would wait in vain.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        print(
            f"ssljax: process {jax.process_index()} lost a peer ({_take_first_line(error)}): what"
            " was saved is intact and the same command, everywhere, resumes",
            file=sys.stderr,
            flush=True,
        )
        os._exit(EXIT_LOST)


def has_joined() -> bool:
    """Return whether `join` succeeded in this process and `leave` has not been called."""
    return jax.distributed.is_initialized()


def _take_first_line(error: Exception) -> str:
    return str(error).split("\n")[0].strip()[:120]
