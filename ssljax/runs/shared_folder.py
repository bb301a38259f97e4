"""A run folder held by all processes of a run: the first claims it, every one sees it."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from ssljax.system.distributed import agreed, all_agree
from ssljax.system.errors import UsageError
from ssljax.runs.lease import OWNER_FILE, claimed
from ssljax.system.progress import notice

_VISIBLE_SECONDS = 20.0


@contextlib.contextmanager
def claimed_together(workdir: Path) -> Iterator[None]:
    """Hold the folder for one run, of however many processes.

    Raises:
      UsageError: In every process: another run writes there, the folder cannot be written, or not
        all hosts see the same folder and each would restore something else.
    """
    with contextlib.ExitStack() as stack:
        agreed(lambda: stack.enter_context(claimed(workdir, say=notice)))
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while not (workdir / OWNER_FILE).exists() and time.monotonic() < deadline:
            time.sleep(0.1)  # network file systems show new files after a while
        if not all_agree((workdir / OWNER_FILE).exists()):
            raise UsageError(
                f"run folder {workdir} is not the same on every host: give --workdir a folder on a"
                " file system that all of them share"
            )
        yield
