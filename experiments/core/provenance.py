"""Where numbers come from: the checkout, the versions, the rules at the time of a run."""

import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from experiments.core.contrasts import rules_digest
from experiments.core.experiment import Experiment
from experiments.revision import ask_git

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
