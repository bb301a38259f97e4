"""What a network has to be measured for: the rows and curves that experiments read of it."""

from collections.abc import Mapping

from experiments.core.experiment import Experiment
from experiments.core.measurements import Key, Table, curve_name, describe_key
from experiments.core.values import Row


def rows_of(network: str, experiments: Mapping[str, Experiment]) -> tuple[Row, ...]:
    """Return the rows that contrasts and panels read of a network, each once."""
    sources = [
        source
        for experiment in experiments.values()
        for source in (*(c.value for c in experiment.contrasts), *experiment.panels)
    ]
    rows = [row for source in sources for row in source.rows() if row.network == network]
    return tuple(dict.fromkeys(rows))


def curves_of(network: str, experiments: Mapping[str, Experiment]) -> tuple[Row, ...]:
    """Return the keys of the curves that panels read of a network, each once."""
    panels = [panel for experiment in experiments.values() for panel in experiment.panels]
    rows = [row for panel in panels for row in panel.curves() if row.network == network]
    return tuple(dict.fromkeys(rows))


def find_missing(
    network: str, seed: int, table: Table, experiments: Mapping[str, Experiment]
) -> tuple[str, ...]:
    """Return the rows and curves that a table lacks of a network, as words."""
    rows = [key_of(row, seed) for row in rows_of(network, experiments)]
    curves = [key_of(row, seed) for row in curves_of(network, experiments)]
    return (
        *(describe_key(key) for key in rows if key not in table.rows),
        *(f"curve {describe_key(key)}" for key in curves if curve_name(key) not in table.curves),
    )


def key_of(row: Row, seed: int) -> Key:
    """Return the key of a row in the table."""
    return Key(row.network, seed, row.variant, row.layer, row.task, row.quantity, row.level)
