"""``runs``, ``report`` and ``export``: what run folders hold, for people and for other programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssljax.cli.options import read_settings, required_field
from ssljax.cli.tables import print_table
from ssljax.system.errors import UsageError
from ssljax.system.settings import Settings, setting

_MOST_FIELDS = 8


@dataclass(frozen=True, kw_only=True)
class RunsOptions(Settings):
    """Print the table of the runs below a folder and of the fields in which they differ."""

    folder: str = setting("runs", "folder looked through", positional=True)
    fields: str | None = setting(
        None, "A,B,… fields shown as columns", shown="up to eight that differ"
    )
    json: bool = setting(False, "print everything, for scripts", bare="true")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Settings):
    """Write report.html of a run from what its folder holds, finished or not."""

    run: str = required_field("run folder", positional=True)


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Settings):
    """Write a run's weights as one file.

    FILE.npz holds all weights and running statistics, FILE.safetensors the encoder under
    torchvision's names (see ssljax.runs.export).
    """

    run: str = required_field("run folder", positional=True)
    out: str = required_field("file to write: FILE.npz or FILE.safetensors")


def run_runs(arguments: Sequence[str]) -> int:
    """Print the table of runs, or all of it as JSON."""
    options = read_settings(
        "runs",
        RunsOptions,
        arguments,
        "python -m ssljax runs\n  python -m ssljax runs runs/sweep --fields strength,seed\n"
        "  python -m ssljax runs --json",
    )
    # Heavy, and not needed for the help.
    from ssljax.runs.table import (  # noqa: PLC0415
        differing_fields,
        find_runs,
        summarize_run,
        tabulate_runs,
    )

    folder = Path(options.folder)
    places = find_runs(folder)
    if not places:
        raise UsageError(f"no runs in {folder}: give the folder that --workdir named, or one above")
    found = [summarize_run(place, str(place.relative_to(folder))) for place in places]
    if options.json:
        print(json.dumps([run._asdict() for run in found], indent=2))
        return 0
    differing = differing_fields(found)
    fields = differing[:_MOST_FIELDS]
    if options.fields is not None:
        known = {path for run in found for path in run.config}
        fields = [name.strip() for name in options.fields.split(",") if name.strip()]
        for name in fields:
            if name not in known:
                raise UsageError(f"no field {name} in these runs: they differ in {differing}")
    head, rows = tabulate_runs(found, fields)
    print_table(head, rows)
    if options.fields is None and len(differing) > _MOST_FIELDS:
        print(f"they differ in {len(differing) - _MOST_FIELDS} more fields: see --fields, --json")
    return 0


def run_report(arguments: Sequence[str]) -> int:
    """Write a run's page."""
    options = read_settings(
        "report", ReportOptions, arguments, "python -m ssljax report runs/digits_smoke"
    )
    from ssljax.runs.report import write_report  # noqa: PLC0415

    print(write_report(Path(options.run)))
    return 0


def run_export(arguments: Sequence[str]) -> int:
    """Write a run's weights."""
    options = read_settings(
        "export",
        ExportOptions,
        arguments,
        "python -m ssljax export runs/digits_smoke --out weights.npz\n"
        "  python -m ssljax export runs/digits_smoke --out encoder.safetensors",
    )
    out = check_output(options.out, ".npz", ".safetensors")
    # Heavy, and not needed to refuse a name.
    import jax  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    from ssljax.measure.moments import write_moments  # noqa: PLC0415
    from ssljax.runs.export import export_safetensors  # noqa: PLC0415
    from ssljax.runs.saved_run import load_run  # noqa: PLC0415

    run = load_run(options.run)
    if out.suffix == ".safetensors":
        arrays = export_safetensors(run, out)
        print(f"{len(arrays)} arrays of the encoder of step {int(run.state.step)}: {out}")
        return 0
    arrays = {}
    for group in ("params", "statistics"):
        tree = jax.device_get(getattr(run.state, group))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            arrays[f"{group}/{name}"] = np.asarray(leaf)
    write_moments(out, arrays)
    print(f"{len(arrays)} arrays of step {int(run.state.step)}: {out}")
    return 0


def check_output(out: str, *suffixes: str) -> Path:
    """Return the path of a file to write.

    Raises:
      UsageError: It has another ending, or its folder does not exist.
    """
    path = Path(out)
    if path.suffix not in suffixes:
        raise UsageError(
            f"--out {out} must end in {' or '.join(suffixes)}: give --out FILE{suffixes[0]}"
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"--out {out} is in a folder that does not exist: make {path.absolute().parent} first"
        )
    return path
