"""The table that measuring writes and judging reads: one number a row, per seed.

A folder of results holds `measurements.csv` (the numbers), `runs.csv` (where each network came
from) and `curves.npz` (arrays that only figures need). Files are sorted and written in one step, so
that the same numbers give the same bytes. While networks are being measured, each keeps its own
part under `networks/NAME-SEED/`; `collect_parts` joins them.
"""

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.core.blocks import counted_accuracy
from experiments.core.names import check_names
from experiments.errors import InputError
from experiments.files import write_bytes

MEASUREMENTS, RUNS, CURVES = "measurements.csv", "runs.csv", "curves.npz"
PARTS = "networks"


class Key(NamedTuple):
    """What a number is of; no two rows of a table share it."""

    network: str
    seed: int
    variant: str
    layer: str
    task: str
    quantity: str
    level: str


class Measurement(NamedTuple):
    """One row: a number, what it is of, and its sampling information.

    Attributes:
      network: A name of the table of trainings.
      seed: Of the training; draws made at measuring are keyed on it too.
      quantity: A name of `names.QUANTITIES`.
      value: In the unit of the quantity: accuracies are fractions, logarithms are not taken.
      variant: `trained`, `untrained`, `random_head`, `step:K`, `theory`, `rival:NAME`, ….
      layer: Empty for a number of the whole head.
      task: Empty for a number that is of no task.
      level: What varies at measuring, made by `names.level`.
      n: Test images, modes or folds behind the number; 0 where that means nothing.
      blocks: A cell of `blocks`; empty for exact numbers.
    """

    network: str
    seed: int
    quantity: str
    value: float
    variant: str = "trained"
    layer: str = ""
    task: str = ""
    level: str = ""
    n: int = 0
    blocks: str = ""

    @property
    def key(self) -> Key:
        """What the number is of."""
        return Key(
            self.network,
            self.seed,
            self.variant,
            self.layer,
            self.task,
            self.quantity,
            self.level,
        )


@dataclasses.dataclass(frozen=True)
class Run:
    """Where one network came from: a row of `runs.csv`.

    Attributes:
      network: A name of the table of trainings.
      seed: Of the training.
      tier: Its size: smoke, laptop, workstation, paper.
      config: Digest of the configuration.
      data: Fingerprint of the images.
      steps: Training steps.
      final_loss: Of the last step; NaN where nothing was trained.
      commit: Of the checkout; empty outside one.
      dirty: Whether tracked files differed from the commit.
      rules: Digests of the contrasts at that time, as `claim:digest`, blank between them.
      versions: Of Python and the packages, as `name=version`, blank between them.
      device: Kind of the device.
      seconds: Wall time of training and measuring.
      date: UTC, ISO 8601.
    """

    network: str
    seed: int
    tier: str
    config: str = ""
    data: str = ""
    steps: int = 0
    final_loss: float = math.nan
    commit: str = ""
    dirty: bool = False
    rules: str = ""
    versions: str = ""
    device: str = ""
    seconds: float = 0.0
    date: str = ""


_RUN_COLUMNS = tuple(field.name for field in dataclasses.fields(Run))
_COLUMNS = (*Key._fields, "value", "n", "blocks")


@dataclasses.dataclass(frozen=True)
class Table:
    """All measurements of a tier.

    Attributes:
      rows: By key.
      runs: By network and seed.
      curves: By `network/seed/variant/layer/task/quantity/level`.
    """

    rows: Mapping[Key, Measurement]
    runs: Mapping[tuple[str, int], Run]
    curves: Mapping[str, np.ndarray]

    def seeds(self, network: str) -> tuple[int, ...]:
        """Return the seeds of a network that were run, ascending."""
        return tuple(sorted(seed for name, seed in self.runs if name == network))

    def tier(self) -> str:
        """Return the size that all networks of the table have; empty for an empty table.

        Raises:
          InputError: The table mixes sizes.
        """
        tiers = sorted({run.tier for run in self.runs.values()})
        if len(tiers) > 1:
            raise InputError(f"the runs are of several tiers ({', '.join(tiers)}); keep them apart")
        return tiers[0] if tiers else ""


def make_table(
    rows: Iterable[Measurement],
    runs: Iterable[Run] = (),
    curves: Mapping[str, np.ndarray] | None = None,
) -> Table:
    """Return a table of rows whose names, values and keys have been checked.

    Raises:
      InputError: Two rows share a key, a name is unknown, a value is not finite, or the blocks of
        an accuracy do not add up to it.
    """
    by_key: dict[Key, Measurement] = {}
    for row in rows:
        check_measurement(row)
        if row.key in by_key:
            raise InputError(f"two rows of {describe_key(row.key)}; remove one")
        by_key[row.key] = row
    by_run: dict[tuple[str, int], Run] = {}
    for run in runs:
        if (run.network, run.seed) in by_run:
            raise InputError(f"two runs of {run.network}, seed {run.seed}; remove one")
        by_run[run.network, run.seed] = run
    return Table(by_key, by_run, dict(curves or {}))


def check_measurement(row: Measurement) -> None:
    """Refuse a row that the table cannot hold.

    Raises:
      InputError: A name is unknown, the value is not finite, or the blocks do not fit it.
    """
    check_names(row.variant, row.layer, row.task, row.quantity, row.level)
    if not math.isfinite(row.value):
        raise InputError(
            f"{describe_key(row.key)} is {row.value}, which no contrast can use; measure it anew"
        )
    counted = counted_accuracy(row.blocks, row.n)
    if counted is not None and abs(counted - row.value) > 1e-9:
        raise InputError(
            f"the blocks of {describe_key(row.key)} add up to {counted}, not its value"
        )


def describe_key(key: Key) -> str:
    """Return a key as words for a message."""
    words = [key.network, f"seed {key.seed}", key.variant, key.layer, key.task, key.quantity]
    return ", ".join(word for word in (*words, key.level) if word)


def write_table(table: Table, folder: Path) -> None:
    """Write the three files of a table, sorted, each in one step.

    Raises:
      InputError: The folder cannot be written.
    """
    rows = (
        (*row.key, repr(float(row.value)), row.n or "", row.blocks)
        for _, row in sorted(table.rows.items())
    )
    runs = (
        tuple(_run_cell(getattr(run, name)) for name in _RUN_COLUMNS)
        for _, run in sorted(table.runs.items())
    )
    write_bytes(folder / MEASUREMENTS, _csv(_COLUMNS, rows))
    write_bytes(folder / RUNS, _csv(_RUN_COLUMNS, runs))
    if table.curves:
        archive = io.BytesIO()
        # NumPy dates every member 1980, so the same arrays give the same bytes.
        np.savez_compressed(archive, **dict(sorted(table.curves.items())))  # pyright: ignore[reportArgumentType]
        write_bytes(folder / CURVES, archive.getvalue())


def read_table(folder: Path) -> Table:
    """Return the table of a folder.

    Raises:
      InputError: There is none, a file is damaged, or a row is refused by `make_table`.
    """
    if not (folder / MEASUREMENTS).is_file():
        raise InputError(
            f"{folder} holds no {MEASUREMENTS}; run `python -m experiments all --out {folder}`"
        )
    rows = [_read_measurement(folder, cells) for cells in _read_csv(folder / MEASUREMENTS)]
    runs = [_read_run(folder, cells) for cells in _read_csv(folder / RUNS)]
    return make_table(rows, runs, _read_curves(folder / CURVES))


def write_part(table: Table, folder: Path, network: str, seed: int) -> None:
    """Write what was measured on one network; a part with its `runs.csv` is complete."""
    part = part_folder(folder, network, seed)
    # The runs file goes last: it marks the part as complete.
    (part / RUNS).unlink(missing_ok=True)
    write_table(dataclasses.replace(table, runs={}), part)
    write_table(table, part)


def part_folder(folder: Path, network: str, seed: int) -> Path:
    """Return where the measurements of one network lie until they are joined."""
    return folder / PARTS / f"{network}-{seed}"


def read_part(folder: Path, network: str, seed: int) -> Table | None:
    """Return the measurements of one network, or None where they are not complete."""
    part = part_folder(folder, network, seed)
    if not (part / RUNS).is_file():
        return None
    table = read_table(part)
    return table if table.runs else None


def collect_parts(folder: Path) -> Table:
    """Return one table of all complete parts of a folder."""
    tables = [read_table(path.parent) for path in sorted((folder / PARTS).glob(f"*/{RUNS}"))]
    return join_tables(table for table in tables if table.runs)


def split_table(folder: Path) -> None:
    """Write the part of every network that the table of a folder holds and its parts lack.

    Committed results are tables without parts; with them a run goes on where the tables end.
    """
    if not (folder / MEASUREMENTS).is_file():
        return
    table = read_table(folder)
    for (network, seed), run in table.runs.items():
        if not (part_folder(folder, network, seed) / RUNS).is_file():
            rows = [
                row for row in table.rows.values() if (row.network, row.seed) == (network, seed)
            ]
            start = f"{network}/{seed}/"
            curves = {name: c for name, c in table.curves.items() if name.startswith(start)}
            write_part(make_table(rows, [run], curves), folder, network, seed)


def join_tables(tables: Iterable[Table]) -> Table:
    """Return one table of several whose keys differ.

    Raises:
      InputError: Two of them hold the same row, run or curve.
    """
    tables = tuple(tables)
    names = [name for table in tables for name in table.curves]
    if len(set(names)) < len(names):
        raise InputError(f"two curves are called {sorted(names)[0]}")
    return make_table(
        (row for table in tables for row in table.rows.values()),
        (run for table in tables for run in table.runs.values()),
        {name: curve for table in tables for name, curve in table.curves.items()},
    )


def curve_name(key: Key) -> str:
    """Return the name of a curve in `curves.npz`."""
    return "/".join(str(part) for part in key)


def _csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def _run_cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value) if isinstance(value, float) else value


def _read_csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error})") from error


def _read_measurement(folder: Path, cells: dict[str, str]) -> Measurement:
    try:
        return Measurement(
            network=cells["network"],
            seed=int(cells["seed"]),
            quantity=cells["quantity"],
            value=float(cells["value"]),
            variant=cells["variant"],
            layer=cells["layer"],
            task=cells["task"],
            level=cells["level"],
            n=int(cells["n"] or 0),
            blocks=cells["blocks"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"a row of {folder / MEASUREMENTS} cannot be read: {cells}") from error


def _read_run(folder: Path, cells: dict[str, str]) -> Run:
    kinds = {field.name: field.type for field in dataclasses.fields(Run)}
    read = {int: int, float: float, str: str, bool: lambda text: text == "yes"}
    try:
        return Run(**{name: read[kind](cells[name]) for name, kind in kinds.items()})  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"a row of {folder / RUNS} cannot be read: {cells}") from error


def _read_curves(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
