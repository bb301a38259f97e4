"""What `launch`, `runs`, `report` and `sweep` do, and how a process of many ends."""

import argparse
import dataclasses
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from ssljax.config.presets import preset
from ssljax.runs.fit import NonFiniteMetrics, SaveFailed, StopRequested
from ssljax.runs.report import write_report
from ssljax.runs.sweep import run_cells, write_plan, write_results
from ssljax.runs.sweep_plan import parsed_axis, parsed_seeds, sweep_cells, with_settings
from ssljax.runs.table import differing_fields, run_folders, runs_table, summarized
from ssljax.system.distributed import Cluster, end, join, leave
from ssljax.system.errors import EXIT_DISK, UsageError
from ssljax.system.launch import launch as launch_processes

_MOST_FIELDS = 8


EXIT_DIVERGED = 1
EXIT_STOPPED = 143  # 128 + SIGTERM, as shells report a process ended by it


def with_exit_code(action: Callable[[], int]) -> int:
    """Do something; the ways in which training ends early become one line and an exit code."""
    try:
        return action()
    except StopRequested as error:
        return _said(str(error), EXIT_STOPPED)
    except NonFiniteMetrics as error:
        return _said(str(error), EXIT_DIVERGED)
    except SaveFailed as error:
        return _said(str(error), EXIT_DISK)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _said(
            f"{error.strerror or error}{where}: what was saved is intact; make room or mend the"
            " folder, then the same command resumes",
            EXIT_DISK,
        )


def _said(text: str, code: int) -> int:
    print(f"ssljax: {' '.join(text.split())}", file=sys.stderr, flush=True)
    return code


def as_one_of_many(action: Callable[[], int], cluster: Cluster | None) -> int:
    """Do something as a process of a cluster, or alone where there is none.

    A process that fails among many is ended at once: ordinary clean-up waits for peers, which may
    wait for this one.
    """
    if cluster is None:
        return action()
    join(cluster)
    try:
        code = action()
    except UsageError as error:
        code = _said(str(error), 2)
    except KeyboardInterrupt:
        code = 130
    except Exception:
        traceback.print_exc()
        code = 1
    if code:
        end(code)
    leave()
    return 0


def launch(values: argparse.Namespace) -> int:
    """Run a command as several processes of this machine."""
    command = values.command[1:] if values.command[:1] == ["--"] else values.command
    return launch_processes(
        command, values.processes, devices_per_process=values.devices_per_process
    )


def report(values: argparse.Namespace) -> int:
    """Write a run's page."""
    print(write_report(Path(values.run)))
    return 0


def runs(values: argparse.Namespace) -> int:
    """Print the table of runs."""
    folder = Path(values.folder)
    places = run_folders(folder)
    if not places:
        raise UsageError(f"no runs in {folder}: give the folder that --workdir named, or one above")
    found = [summarized(place, str(place.relative_to(folder))) for place in places]
    if values.json:
        print(json.dumps([run._asdict() for run in found], indent=2))
        return 0
    differing = differing_fields(found)
    fields = differing[:_MOST_FIELDS]
    if values.fields is not None:
        known = {path for run in found for path in run.config}
        fields = [name.strip() for name in values.fields.split(",") if name.strip()]
        for name in fields:
            if name not in known:
                raise UsageError(f"no field {name} in these runs: they differ in {differing}")
    head, rows = runs_table(found, fields)
    print_table(head, rows)
    if values.fields is None and len(differing) > _MOST_FIELDS:
        print(f"they differ in {len(differing) - _MOST_FIELDS} more fields: see --fields, --json")
    return 0


def sweep(values: argparse.Namespace) -> int:
    """Train a preset with every combination of some values."""
    config = with_settings(preset(values.preset), values.set)
    axes = [parsed_axis(config, text) for text in values.grid]
    cells = sweep_cells(config, axes, parsed_seeds(values.seeds))
    workdir = Path(values.workdir or f"runs/sweep-{values.preset}")
    if values.index is not None and not 0 <= values.index < len(cells):
        raise UsageError(f"--index {values.index}: there are {len(cells)} runs, numbered from 0")
    if values.dry_run:
        for number, cell in enumerate(cells):
            print(f"{number:5}  {workdir / cell.name}")
        return 0
    write_plan(workdir, values.preset, dataclasses.replace(config, seed=0), cells)
    chosen = cells if values.index is None else [cells[values.index]]

    def run() -> int:
        run_cells(chosen, workdir, together=not values.one_by_one)
        return 0

    code = with_exit_code(run)
    means = write_results(cells, workdir, f"Sweep of {values.preset}")
    print_table(means[0], means[1:])
    print(f"results in {workdir}")
    return code


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns of text, as wide as they need."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


RUN_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "launch": launch,
    "report": report,
    "runs": runs,
    "sweep": sweep,
}
