"""``list`` and ``show``: what the presets are."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssljax.cli.options import read_settings, required_field
from ssljax.cli.tables import print_table
from ssljax.system.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ListOptions(Settings):
    """Print the table of presets: loss, steps, the figure reached elsewhere and its source."""


@dataclass(frozen=True, kw_only=True)
class ShowOptions(Settings):
    """Print every field of a preset, and what the preset is for."""

    preset: str = required_field("see `python -m ssljax list`", positional=True)


def run_list(arguments: Sequence[str]) -> int:
    """Print the table of presets, with the sources of the figures below."""
    read_settings("list", ListOptions, arguments, "python -m ssljax list")
    # Heavy, as settings stand beside networks, and not needed for the help.
    from ssljax.config.presets import PRESETS  # noqa: PLC0415
    from ssljax.config.presets.entry import NOT_MEASURED  # noqa: PLC0415

    sources = list(dict.fromkeys(entry.source for entry in PRESETS.values() if entry.source))
    rows = []
    for name, entry in PRESETS.items():
        mark = f" [{sources.index(entry.source) + 1}]" if entry.source else ""
        cost = "-" if entry.cost == NOT_MEASURED else f"takes {entry.cost.partition(' (')[0]}"
        figure = entry.expected + mark if entry.expected else cost
        rows.append((name, entry.config.loss.name, str(entry.config.num_steps), figure))
    print_table(("PRESET", "LOSS", "STEPS", "REACHED ELSEWHERE, OR COST"), rows)
    print()
    for number, source in enumerate(sources, start=1):
        print(f"[{number}] {source}")
    print("\nwhat one is for: python -m ssljax show PRESET; to train it: ssljax train PRESET")
    return 0


def run_show(arguments: Sequence[str]) -> int:
    """Print a preset's purpose, cost, figure and every field."""
    options = read_settings("show", ShowOptions, arguments, "python -m ssljax show digits_linear")
    from ssljax.config.fields import format_value, list_leaves  # noqa: PLC0415
    from ssljax.config.presets import PRESETS, find_preset  # noqa: PLC0415

    config, entry = find_preset(options.preset), PRESETS[options.preset]
    print(f"{entry.summary} {entry.details}".rstrip())
    print()
    print(f"{'command':36} {entry.command}")
    print(f"{'cost':36} {entry.cost}")
    if entry.expected:
        print(f"{'expected':36} {entry.expected} ({entry.source})")
    print()
    for leaf in list_leaves(config):
        print(f"{leaf.flag:36} {format_value(leaf.value) or '(empty)'}")
    return 0
