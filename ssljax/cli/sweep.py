"""``sweep``: a preset with every combination of some values."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ssljax.cli.options import read_settings, repeated_field, required_field
from ssljax.cli.tables import print_table
from ssljax.config.presets import find_preset
from ssljax.runs.sweep_plan import parse_axis, parse_seeds, set_fields, sweep_cells
from ssljax.system.errors import UsageError
from ssljax.system.settings import Settings, setting

_EXAMPLE = """python -m ssljax sweep digits_mlp --grid strength=0.2,0.5 --seeds 0,1,2
  python -m ssljax sweep digits_mlp --grid head.widths=64,32/128,64 --dry-run
  python -m ssljax sweep digits_mlp --grid strength=0.2,0.5 --index 1"""


@dataclass(frozen=True, kw_only=True)
class SweepOptions(Settings):
    """Train a preset with every combination of some values, for each seed.

    The same command resumes; with --index it does one run, as a task of an array job.
    """

    preset: str = required_field("see `python -m ssljax list`", positional=True)
    grid: list[str] = repeated_field(
        "FIELD=A,B,… values of a field, for lists separated by /; may be given several times"
    )
    seeds: str = setting("0", "A,B,… seeds of every combination")
    set: list[str] = repeated_field(
        "FIELD=VALUE, one value for all runs; may be given several times"
    )
    workdir: str = setting("", "folder of the sweep", shown="runs/sweep-PRESET")
    index: int | None = setting(None, "only the run with this number, from 0", shown="all")
    one_by_one: bool = setting(
        False,
        "never train runs side by side in one program, as small networks are by default",
        bare="true",
    )
    dry_run: bool = setting(False, "print the runs and their numbers, train nothing", bare="true")


def run_sweep(arguments: Sequence[str]) -> int:
    """Train every run of a sweep, or one of them, and write the table of means."""
    options = read_settings("sweep", SweepOptions, arguments, _EXAMPLE)
    config = set_fields(find_preset(options.preset), options.set)
    axes = [parse_axis(config, text) for text in options.grid]
    cells = sweep_cells(config, axes, parse_seeds(options.seeds))
    workdir = Path(options.workdir or f"runs/sweep-{options.preset}")
    index = options.index
    if index is not None and not 0 <= index < len(cells):
        raise UsageError(f"--index {index}: there are {len(cells)} runs, numbered from 0")
    if options.dry_run:
        for number, cell in enumerate(cells):
            print(f"{number:5}  {workdir / cell.name}")
        return 0
    from ssljax.cli.endings import run_with_exit_code  # noqa: PLC0415
    from ssljax.runs.sweep import run_cells, write_plan, write_results  # noqa: PLC0415

    write_plan(workdir, options.preset, dataclasses.replace(config, seed=0), cells)
    chosen = cells if index is None else [cells[index]]

    def run() -> int:
        run_cells(chosen, workdir, together=not options.one_by_one)
        return 0

    code = run_with_exit_code(run)
    means = write_results(cells, workdir, f"Sweep of {options.preset}")
    print_table(means[0], means[1:])
    print(f"results in {workdir}")
    return code
