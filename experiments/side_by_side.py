"""Several experiments at once, each in a process of its own."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from experiments.errors import InputError


def run_side_by_side(
    folders: Mapping[str, Path],
    scale: str,
    jobs: int,
    done: Callable[[str, str], None],
) -> None:
    """Run experiments as ``python -m experiments NAME`` does, some at a time, in the order given.

    They share trained networks and compiled programs through the user's cache: one that needs what
    another is training waits for it.

    Args:
      folders: Folder of the results by name of the experiment.
      scale: "smoke", "laptop" or "paper".
      jobs: How many run at a time, at least 1. An accelerator has room for one.
      done: Told the name and what was printed, whenever one has ended well.

    Raises:
      InputError: Some failed; the others have their results.
    """
    failed = {}
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(_run, name, out, scale): name for name, out in folders.items()}
        try:
            for future in as_completed(running):
                answer = future.result()
                if answer.returncode:
                    lines = answer.stderr.strip().splitlines()
                    failed[running[future]] = lines[-1] if lines else f"exit {answer.returncode}"
                else:
                    done(running[future], answer.stdout)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise InputError(f"{len(failed)} of {len(folders)} experiments failed ({reasons})")


def _run(name: str, out: Path, scale: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments", name, "--scale", scale, "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
