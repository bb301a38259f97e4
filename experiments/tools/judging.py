"""Judges the tables of a folder; needs NumPy and SciPy only."""

import json
from collections.abc import Sequence
from pathlib import Path

from experiments.core.experiment import Experiment
from experiments.core.verdicts import VERDICTS, Verdict, write_verdicts
from experiments.errors import InputError
from experiments.pages.sentences import sentence, verdict_words
from experiments.tools.registry import EXPERIMENTS


def judge(folder: Path) -> tuple[Verdict, ...]:
    """Write `verdicts.json` from the tables of a folder."""
    return write_verdicts(shown_experiments(folder) or EXPERIMENTS, folder)


def shown_experiments(folder: Path) -> dict[str, Experiment]:
    """Return the experiments whose claims the `verdicts.json` of a folder has; none without one.

    Raises:
      InputError: The file is damaged.
    """
    path = folder / VERDICTS
    if not path.is_file():
        return {}
    try:
        claims = {claim["id"] for claim in json.loads(path.read_bytes())["claims"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it and judge anew") from error
    return {
        name: experiment
        for name, experiment in EXPERIMENTS.items()
        if not experiment.claims or claims & {claim.id for claim in experiment.claims}
    }


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print a line for each claim."""
    for verdict in verdicts:
        primary = verdict.primary
        effect = sentence(primary) if primary.is_measured else verdict.reason
        print(f"{verdict.claim.id:3d}  {verdict_words(verdict):18s} {effect}")
