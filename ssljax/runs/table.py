"""The table of the runs in a folder: progress, accuracies and the settings that differ."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssljax.runs.checkpoint import list_saved_steps
from ssljax.runs.folder import CONFIG_FILE, is_held
from ssljax.runs.metrics import read_metrics
from ssljax.system.errors import UsageError
from ssljax.system.files import read_json

_DEPTH = 3
_NOT_RUNS = ("checkpoints", "damaged", "moments", "events")


class RunSummary(NamedTuple):
    """One run, as a line of a table.

    Attributes:
      name: Folder, relative to the one listed.
      state: ``finished``, ``running``, ``stopped``, ``new`` (nothing saved yet) or ``unreadable``.
      step: Newest checkpoint or line of metrics.
      num_steps: Steps wanted.
      config: Leaves of the configuration by dotted path.
      last: The last line of metrics.
      accuracies: By ``LAYER NAME``, such as ``feature probe_accuracy``.
      commit: Source revision, with ``+`` where it had changes.
    """

    name: str
    state: str
    step: int
    num_steps: int
    config: dict[str, Any]
    last: dict[str, Any]
    accuracies: dict[str, float]
    commit: str


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of runs at or below a folder, in alphabetical order.

    Raises:
      UsageError: There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}: give a folder that holds runs, such as runs")
    found: list[Path] = []

    def look(place: Path, depth: int) -> None:
        if (place / CONFIG_FILE).is_file():
            found.append(place)
        elif depth < _DEPTH:
            for child in sorted(place.iterdir()):
                if child.is_dir() and child.name not in _NOT_RUNS and not child.is_symlink():
                    look(child, depth + 1)

    look(folder, 0)
    return found


def summarize_run(workdir: Path, name: str) -> RunSummary:
    """Return what a run folder says of itself; one that cannot be read has a line too."""
    try:
        config = dict(flat(read_json(workdir / CONFIG_FILE)))
        metrics = read_metrics(workdir)
        accuracies = _accuracies(workdir)
        environment = _environment(workdir)
        wanted = int(config.get("num_steps", 0))
        steps = list_saved_steps(workdir)
        last = dict(metrics[-1]) if metrics else {}
        last_step = int(last.get("step", 0))
    except (UsageError, OSError, TypeError, ValueError):
        return RunSummary(name, "unreadable", 0, 0, {}, {}, {}, "")
    saved = steps[-1] if steps else 0
    state = "finished" if saved >= wanted else "stopped" if saved else "new"
    if is_held(workdir):
        state = "running"
    commit = str(environment.get("git_commit", ""))[:8]
    changed = "+" if environment.get("git_dirty") else ""
    step = max(saved, last_step)
    return RunSummary(name, state, step, wanted, config, last, accuracies, commit + changed)


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of nested dictionaries by dotted path."""
    leaves: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            leaves += flat(value, f"{prefix}{name}.")
        else:
            leaves.append((prefix + name, value))
    return leaves


def differing_fields(runs: Sequence[RunSummary]) -> list[str]:
    """Return the dotted paths in which readable runs differ, in the order of the configuration."""
    readable = [run for run in runs if run.state != "unreadable"]
    paths = dict.fromkeys(path for run in readable for path in run.config)
    return [
        path for path in paths if len({json.dumps(run.config.get(path)) for run in readable}) > 1
    ]


def tabulate_runs(
    runs: Sequence[RunSummary], fields: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table that compares runs.

    Args:
      runs: Summaries.
      fields: Dotted paths of the configuration, one column each.

    Returns:
      Column names and the texts of each row.
    """
    measured = list(dict.fromkeys(name for run in runs for name in run.accuracies))
    head = ["RUN", "STATE", "STEP", "LOSS", *map(_shorten, measured), "COMMIT", *fields]
    rows = []
    for run in runs:
        loss = run.last.get("loss")
        rows.append(
            [
                run.name,
                run.state,
                f"{run.step}/{run.num_steps}",
                f"{loss:.5g}" if isinstance(loss, int | float) else "",
                *(_accuracy(run.accuracies.get(name)) for name in measured),
                run.commit,
                *(_text(run.config.get(path)) for path in fields),
            ]
        )
    return head, rows


def _accuracies(workdir: Path) -> dict[str, float]:
    path = workdir / "evaluation.json"
    if not path.exists():
        return {}
    return {
        f"{layer} {name}": value
        for layer, row in read_json(path).items()
        if isinstance(row, dict)
        for name, value in row.items()
        if name in ("probe_accuracy", "knn_accuracy") and isinstance(value, int | float)
    }


def _environment(workdir: Path) -> dict[str, Any]:
    path = workdir / "environment.json"
    return read_json(path) if path.exists() else {}


def _shorten(name: str) -> str:
    return name.replace("probe_accuracy", "PROBE").replace("knn_accuracy", "K-NN")


def _accuracy(value: float | int | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return "" if value is None else str(value)
