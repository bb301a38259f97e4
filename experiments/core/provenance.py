"""Where numbers come from: the checkout, the versions, the rules at the time of a run."""

import datetime
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from experiments.core.contrasts import rules_digest
from experiments.core.experiment import Experiment

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "diffrax")


COMMITTED = "experiments/results"
"""Folder of committed results, below the root of a checkout."""


def read_checkout(path: Path | None = None) -> tuple[str, bool]:
    """Return the commit of the checkout that a file lies in, and whether tracked files differ.

    Committed results may differ: a run that goes on where it stopped has written some itself, and
    nothing that is computed depends on them.

    Args:
      path: A tracked file; by default this one. Asking about a file keeps an installation inside
        another repository from reporting that one's commit.

    Returns:
      An empty commit outside a checkout.
    """
    here = (path or Path(__file__)).resolve()
    if ask_git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return "", False
    commit = ask_git(here.parent, "rev-parse", "HEAD") or ""
    others = (":/", f":(top,exclude){COMMITTED}")
    changes = ask_git(here.parent, "status", "--porcelain", "--untracked-files=no", "--", *others)
    return commit, bool(changes)


def describe_versions() -> str:
    """Return the versions of Python and the packages as `name=version`, blank between them."""
    found = [f"python={sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"]
    for name in PACKAGES:
        try:
            found.append(f"{name}={version(name)}")
        except PackageNotFoundError:
            continue
    return " ".join(found)


def rules_of(network: str, experiments: Mapping[str, Experiment]) -> str:
    """Return the digests of the rules of every claim that reads a network, as `claim:digest`."""
    rules = {
        claim.id: rules_digest(contrasts)
        for experiment in experiments.values()
        for claim in experiment.claims
        for contrasts in [experiment.contrasts_of(claim.id)]
        if any(row.network == network for c in contrasts for row in c.value.rows())
    }
    return " ".join(f"{claim}:{digest}" for claim, digest in sorted(rules.items()))


def describe_run() -> tuple[tuple[str, str], ...]:
    """Return where numbers of this process come from, as names and words for a page."""
    commit, dirty = read_checkout()
    return (
        ("command", describe_command(sys.argv)),
        ("commit", (commit or "none") + (", modified" if dirty else "")),
        ("versions", ", ".join(describe_versions().split())),
        ("date", datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")),
    )


def describe_command(arguments: list[str]) -> str:
    """Return the command a user would type again.

    Example:
      >>> describe_command(["/x/experiments/__main__.py", "quickstart", "--out", "my runs"])
      "python -m experiments quickstart --out 'my runs'"
    """
    program = Path(arguments[0])
    if program.name == "__main__.py":
        return f"python -m {shlex.join([program.parent.name, *arguments[1:]])}"
    return shlex.join([program.name, *arguments[1:]])


def ask_git(folder: Path, *arguments: str) -> str | None:
    """Return what git answers about a folder; None where it cannot be asked, or refuses.

    Args:
      folder: Where it is asked.
      arguments: Of git.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
