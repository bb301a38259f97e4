"""One writer for each run folder, also where hosts share a file system without locks.

Between processes of one machine the lock of the operating system decides; it is let go of by
itself when its process dies. Between machines such locks are not to be relied on, so the writer
also signs a file and counts up in it. Whoever finds another machine's signature watches whether
the count still moves, which no clock takes part in: a dead writer's stands still.
"""

import contextlib
import fcntl
import json
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ssljax.system.errors import UsageError
from ssljax.system.files import write_text

LOCK_FILE = ".lock"
OWNER_FILE = ".owner.json"
BEAT_SECONDS = 5.0
"""Between two counts of a writer; one is watched for four of these."""
EXIT_TAKEN = 75
"""Temporary failure, in the numbering of sysexits.h."""


class FolderTaken(UsageError):
    """Another process is training in the folder; when it is done, the same call succeeds."""


@contextlib.contextmanager
def claimed(
    workdir: Path,
    *,
    machine: str | None = None,
    beat_seconds: float = BEAT_SECONDS,
    say: Callable[[str], None] = lambda text: None,
    end: Callable[[int], None] = os._exit,
) -> Iterator[None]:
    """Make the folder and hold it for one writer; a killed process lets go of it by itself.

    Args:
      workdir: Run folder.
      machine: What tells this machine from others; read from the operating system by default.
      beat_seconds: Between two signs of life.
      say: Shown a line when it takes time to find out whether another machine is still writing.
      end: Called with an exit code where another machine took the folder over, because this
        process was silent (stopped, or cut off from the file system) for so long.

    Raises:
      FolderTaken: Another process is training in the folder.
      UsageError: It cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = (workdir / LOCK_FILE).open("w")
    except OSError as error:
        raise UsageError(
            f"run folder {workdir} cannot be written ({error.strerror}): give --workdir a folder"
            " that can"
        ) from error
    with lock:
        if not _locked(lock):
            raise FolderTaken(
                f"another process is training in {workdir}: wait for it or stop it, or give"
                " --workdir another folder"
            )
        machine = machine or this_machine()
        owner = workdir / OWNER_FILE
        silent = _silent_owner(owner, machine, beat_seconds, say)
        signature = {"machine": machine, "host": platform.node(), "id": uuid.uuid4().hex}
        _take_over(owner, silent, signature)
        with _beating(owner, signature, beat_seconds, end):
            yield


def is_claimed(workdir: Path) -> bool:
    """Whether a process of this machine, or lately one of another, writes to the folder.

    Another machine's is known by the age of its last sign of life, as this machine's clock and
    the file system see it: good for a table, never used to decide who may write.
    """
    path = workdir / LOCK_FILE
    try:
        # Opened for reading: a look must not disturb, and the folder may be another user's.
        with path.open("rb") as lock:
            if not _locked(lock):
                return True
    except OSError:
        return False
    owner = _read(workdir / OWNER_FILE)
    if owner is None or owner.get("machine") == this_machine():
        return False
    age = time.time() - (workdir / OWNER_FILE).stat().st_mtime
    return age < 4 * BEAT_SECONDS


def this_machine() -> str:
    """The running system, the same for all containers on it; the host's name elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _locked(lock: Any) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(owner: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(owner.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _silent_owner(
    owner: Path, machine: str, beat_seconds: float, say: Callable[[str], None]
) -> dict[str, Any] | None:
    """The signature found, once its writer is known to be dead; none where there is none.

    Raises:
      FolderTaken: Another machine is writing.
    """
    found = _read(owner)
    if found is None or found.get("machine") == machine:
        return found  # of this machine, whose lock is ours: its writer is dead
    host = str(found.get("host"))
    say(f"{host} was training in {owner.parent}: watching {4 * beat_seconds:g} s whether it is")
    deadline = time.monotonic() + 4 * beat_seconds
    while time.monotonic() < deadline:
        time.sleep(beat_seconds / 4)
        now = _read(owner)
        if now is not None and now != found:
            raise _taken(owner, now)
    return found


def _taken(owner: Path, found: dict[str, Any]) -> FolderTaken:
    return FolderTaken(
        f"host {found.get('host')} is training in {owner.parent}: wait for it or stop it, or give"
        " --workdir another folder"
    )


def _take_over(owner: Path, silent: dict[str, Any] | None, signature: dict[str, Any]) -> None:
    """Sign, so that of two machines that come at once one is refused.

    Raises:
      FolderTaken: Another machine signed first.
    """
    if silent is not None or owner.exists():
        aside = owner.with_name(f"{owner.name}.{signature['id']}")
        try:
            os.rename(owner, aside)
        except FileNotFoundError:
            pass  # another machine moved it away at this moment, and signs
        else:
            moved = _read(aside)
            os.unlink(aside)
            if moved is not None and silent is not None and moved.get("id") != silent.get("id"):
                raise _taken(owner, moved)
    partial = owner.with_name(f"{owner.name}.{signature['id']}")
    partial.write_text(json.dumps(signature | {"count": 0}) + "\n")
    try:
        os.link(partial, owner)  # fails where there is one, on every file system that has links
    except FileExistsError:
        raise _taken(owner, _read(owner) or {}) from None
    except OSError:
        os.replace(partial, owner)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


@contextlib.contextmanager
def _beating(
    owner: Path, signature: dict[str, Any], beat_seconds: float, end: Callable[[int], None]
) -> Iterator[None]:
    """Count up while open; at the end the signature goes, unless it is another's by now."""
    closed = threading.Event()

    def beat() -> None:
        count = 0
        while not closed.wait(beat_seconds):
            count += 1
            found = _read(owner)
            if found is not None and found.get("id") != signature["id"]:
                print(f"ssljax: {_taken(owner, found)}", file=sys.stderr, flush=True)
                end(EXIT_TAKEN)
                return
            # A full or unreachable disk is reported by whatever the run itself writes there.
            with contextlib.suppress(OSError):
                write_text(owner, json.dumps(signature | {"count": count}) + "\n")

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        closed.set()
        thread.join()
        found = _read(owner)
        if found is not None and found.get("id") == signature["id"]:
            with contextlib.suppress(OSError):
                os.unlink(owner)
