"""Many runs of one preset: resumable, in one process or as an array job, with one table."""

import csv
import dataclasses
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ssljax.config.config import Config
from ssljax.data.run_data import read_training_data
from ssljax.runs.fit import fit
from ssljax.runs.report import Curve, draw_curves, figure, page, table
from ssljax.runs.sweep_plan import Cell, describe_config
from ssljax.runs.table import RunSummary, summarize_run
from ssljax.system.errors import UsageError
from ssljax.system.files import read_json, write_json, write_text
from ssljax.system.progress import notice, open_loading_counter
from ssljax.training.build import build_reading
from ssljax.training.training import input_normalization, make_training

PLAN_FILE = "sweep.json"
TABLE_FILE = "sweep.csv"
REPORT_FILE = "report.html"


def write_plan(workdir: Path, preset: str, config: Config, cells: Sequence[Cell]) -> None:
    """Keep what the sweep consists of; refuse a folder that holds another one.

    Raises:
      UsageError: The folder holds another sweep, or cannot be written.
    """
    plan = {
        "preset": preset,
        "settings": describe_config(config),
        "runs": [{"folder": cell.name, "values": cell.values} for cell in cells],
    }
    path = workdir / PLAN_FILE
    if path.exists():
        found = read_json(path).get("plan", {})
        if found != plan:
            changed = [name for name in plan if found.get(name) != plan[name]]
            raise UsageError(
                f"{workdir} holds another sweep, with other {' and '.join(changed)}: give the same"
                " values to resume it, or another --workdir"
            )
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(path, {"plan": plan})
    except OSError as error:
        raise UsageError(
            f"sweep folder {workdir} cannot be written ({error.strerror}): give --workdir a folder"
            " that can"
        ) from error


def run_cells(cells: Sequence[Cell], workdir: Path, *, together: bool = True) -> None:
    """Train what is not finished yet.

    Runs that differ only in seed and strength, of a network without convolutions, are compiled as
    one program and trained side by side; their numbers differ from runs of their own by rounding.

    Args:
      cells: Runs to do.
      workdir: Folder of the sweep; each run has a folder in it.
      together: Train side by side where that can be.
    """
    left = [cell for cell in cells if _summary(workdir, cell).state != "finished"]
    if len(left) < len(cells):
        notice(f"{len(cells) - len(left)} of {len(cells)} runs are finished already")
    groups: dict[Any, list[Cell]] = {}
    for cell in left:
        own = cell.config
        is_alone = not together or not _can_train_together(own) or (workdir / cell.name).exists()
        shared = dataclasses.replace(own, seed=0, strength=1.0)
        groups.setdefault(cell.name if is_alone else shared, []).append(cell)
    done = len(cells) - len(left)
    for group in groups.values():
        names = group[0].name if len(group) == 1 else f"{len(group)} runs side by side"
        notice(f"run {done + 1} of {len(cells)}: {names}")
        if len(group) == 1:
            fit(group[0].config, workdir / group[0].name)
        else:
            _train_together(group, workdir)
        done += len(group)


def _can_train_together(config: Config) -> bool:
    """Return whether one program can train several: convolutions are slow in a map."""
    depends = config.mean_image == "views" or config.input_scale == 0  # on the strength
    is_scheduled = config.moments.every or config.evaluation.every  # on states along the way
    return (
        config.encoder.kind in ("linear", "mlp")
        and config.parallel == "jit"
        and not config.mesh
        and not config.start_from
        and not depends
        and not is_scheduled
    )


def _train_together(group: Sequence[Cell], workdir: Path) -> None:
    config = group[0].config
    with open_loading_counter(config.data) as report:
        dataset, source = read_training_data(build_reading(config), config.split, report)
    if source is not None:  # read while training: one after the other
        for cell in group:
            fit(cell.config, workdir / cell.name)
        return
    normalization = input_normalization(config, dataset)
    training = make_training(config, dataset, normalization=normalization)
    seeds = np.array([cell.config.seed for cell in group])
    strengths = np.array([cell.config.strength for cell in group], np.float32)
    states, metrics = training.sweep(seeds, strengths, config.num_steps)
    metrics = jax.device_get(metrics)
    for index, cell in enumerate(group):
        state = jax.tree.map(lambda leaf, at=index: leaf[at], states)
        own = {name: value[index] for name, value in metrics.items()}
        fit(
            cell.config,
            workdir / cell.name,
            progress=False,
            dataset=dataset,
            training=training,
            trained=(state, own),
        )


def write_results(cells: Sequence[Cell], workdir: Path, title: str) -> list[list[str]]:
    """Write the table of all runs, done or not, as CSV and JSON, and the page with the figure.

    Args:
      cells: All runs of the sweep.
      workdir: Its folder.
      title: Of the page.

    Returns:
      The table, one line a combination with means over seeds; the first line is the header.
    """
    summaries = [_summary(workdir, cell) for cell in cells]
    fields = list(cells[0].values) if cells else []
    measured = list(dict.fromkeys(name for run in summaries for name in _read_numbers(run)))
    head = ["folder", *fields, "seed", "state", "step", *measured]
    rows = [
        [
            cell.name,
            *cell.values.values(),
            str(cell.config.seed),
            run.state,
            str(run.step),
            *(_exact(_read_numbers(run).get(name)) for name in measured),
        ]
        for cell, run in zip(cells, summaries)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    write_text(workdir / TABLE_FILE, text.getvalue())
    plan = read_json(workdir / PLAN_FILE)
    results = [
        {"folder": cell.name, "values": cell.values, "seed": cell.config.seed}
        | {"state": run.state, "step": run.step, "measured": _read_numbers(run)}
        for cell, run in zip(cells, summaries)
    ]
    write_json(workdir / PLAN_FILE, plan | {"results": results})
    means = _means(cells, summaries, fields, measured)
    parts = [table(means[0], means[1:]), *_figures(cells, summaries, fields, measured)]
    parts += ["<h2>Runs</h2>", table(head, rows)]
    write_text(workdir / REPORT_FILE, page(title, parts))
    return means


def _summary(workdir: Path, cell: Cell) -> RunSummary:
    folder = workdir / cell.name
    if not (folder / "config.json").exists():
        return RunSummary(cell.name, "new", 0, cell.config.num_steps, {}, {}, {}, "")
    return summarize_run(folder, cell.name)


def _read_numbers(run: RunSummary) -> dict[str, float]:
    """Return the numbers of a finished run."""
    if run.state != "finished":
        return {}
    loss = run.last.get("loss")
    return ({"loss": float(loss)} if isinstance(loss, int | float) else {}) | run.accuracies


def _means(
    cells: Sequence[Cell],
    summaries: Sequence[RunSummary],
    fields: Sequence[str],
    measured: Sequence[str],
) -> list[list[str]]:
    """Return one line for each combination: seeds that are done, mean and standard deviation."""
    lines = [[*fields, "finished", *measured]]
    for values, runs in _combinations(cells, summaries).items():
        finished = sum(run.state == "finished" for run in runs)
        line = [*values, f"{finished}/{len(runs)}"]
        for name in measured:
            numbers = [_read_numbers(run)[name] for run in runs if name in _read_numbers(run)]
            line.append(_mean_text(numbers))
        lines.append(line)
    return lines


def _combinations(
    cells: Sequence[Cell], summaries: Sequence[RunSummary]
) -> dict[tuple[str, ...], list[RunSummary]]:
    found: dict[tuple[str, ...], list[RunSummary]] = {}
    for cell, run in zip(cells, summaries):
        found.setdefault(tuple(cell.values.values()), []).append(run)
    return found


def _mean_text(numbers: Sequence[float]) -> str:
    if not numbers:
        return ""
    if len(numbers) == 1:
        return f"{numbers[0]:.5g}"
    return f"{statistics.fmean(numbers):.5g} ± {statistics.stdev(numbers):.2g}"


def _figures(
    cells: Sequence[Cell],
    summaries: Sequence[RunSummary],
    fields: Sequence[str],
    measured: Sequence[str],
) -> list[str]:
    """Draw each measured number over the first numeric field, a curve for each combination."""
    combinations = _combinations(cells, summaries)
    numeric = [
        at for at in range(len(fields)) if all(_is_number(values[at]) for values in combinations)
    ]
    if not numeric:
        return []
    at, figures = numeric[0], []
    for name in measured:
        curves: dict[str, list[tuple[float, float]]] = {}
        for values, runs in combinations.items():
            numbers = [_read_numbers(run)[name] for run in runs if name in _read_numbers(run)]
            if numbers:
                rest = [f"{f}={v}" for f, v in zip(fields, values) if f != fields[at]]
                point = (float(values[at]), statistics.fmean(numbers))
                curves.setdefault(", ".join(rest) or name, []).append(point)
        drawn = [Curve(label, *map(list, zip(*sorted(points)))) for label, points in curves.items()]
        figures.append(figure(draw_curves(drawn, fields[at], name), f"{name}, mean over seeds"))
    return figures


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _exact(value: float | int | None) -> str:
    return "" if value is None else repr(value)
