"""Settings: frozen dataclasses whose fields carry help and bounds, and one class made of many.

A loss, a head or an encoder declares its own settings beside itself, as a subclass of `Settings`.
A table names them (`ssljax.losses.table`, `ssljax.nets.table`); `merge_settings` makes one flat
class of a table, so that ``--loss.temperature`` is one option whichever loss is named.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import (
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    get_args,
    get_origin,
    runtime_checkable,
)

from ssljax.system.errors import UsageError


class Wanted(NamedTuple):
    """What a value must be: in words, and as a test."""

    words: str
    holds: Callable[[Any], bool]


POSITIVE = Wanted("positive and finite", lambda value: math.isfinite(value) and value > 0)
NONNEGATIVE = Wanted("zero or more", lambda value: math.isfinite(value) and value >= 0)
FRACTION = Wanted("between 0 and 1", lambda value: 0 <= value <= 1)
BELOW_ONE = Wanted("at least 0 and below 1", lambda value: 0 <= value < 1)
WIDTHS = Wanted("positive widths", lambda value: all(width > 0 for width in value))
SOME_WIDTHS = Wanted(
    "at least one width, all positive", lambda value: bool(value) and WIDTHS.holds(value)
)


def setting(
    default: Any,
    text: str,
    wanted: Wanted | None = None,
    *,
    exclusive: bool = False,
    **command_line: Any,
) -> Any:
    """Declare a field of a settings class.

    Args:
      default: Its value where none is given.
      text: What `--help` prints.
      wanted: What a value must be.
      exclusive: Refuse another value than the default where the kind that is named has no such
        field; by default a field of another kind is ignored.
      command_line: How its option departs from the others; see `ssljax.cli.options`.

    Returns:
      The field of a dataclass.
    """
    metadata = {"help": text, "wanted": wanted, "exclusive": exclusive, **command_line}
    return field(default=default, metadata=metadata)


def require(holds: bool, name: str, given: object, wanted: str) -> None:
    """Refuse a value, naming its option.

    Raises:
      UsageError: Where ``holds`` is false.
    """
    if not holds:
        raise UsageError(f"{name} must be {wanted}, got {given!r}; give --{name} another value")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings; checks what its fields declare. Alone: no settings at all.

    Attributes:
      prefix: What stands before the names of its options, such as ``loss``.
    """

    prefix: ClassVar[str] = ""

    def __post_init__(self):
        for entry in fields(self):
            check_field(self, entry)


def check_field(config: Any, entry: Any, declared: Any = None) -> None:
    """Refuse a value that its field does not allow.

    Args:
      config: An instance of a settings class.
      entry: Which of its fields.
      declared: The field that says what is wanted; by default ``entry``.

    Raises:
      UsageError: The value is none of the choices or not what was wanted.
    """
    declared = entry if declared is None else declared
    value, name = getattr(config, entry.name), option_name(config.prefix, entry.name)
    choices = list_choices(declared)
    if choices:
        require(value in choices, name, value, "one of " + ", ".join(map(str, choices)))
    wanted = declared.metadata.get("wanted")
    if wanted is not None:
        require(wanted.holds(value), name, value, wanted.words)


def list_choices(entry: Any) -> tuple[Any, ...]:
    """Return the values that a field may have where they are listed; empty where they are not."""
    return get_args(entry.type) if get_origin(entry.type) is Literal else ()


def option_name(prefix: str, name: str) -> str:
    """Return the option of a field, without the dashes in front."""
    return (f"{prefix}.{name}" if prefix else name).replace("_", "-")


@runtime_checkable
class Kind(Protocol):
    """An entry of a table: whatever else it holds, the class of its settings."""

    @property
    def settings(self) -> type[Settings]:
        """Return the settings that the entry reads."""
        ...


def merge_settings(
    table: Mapping[str, Kind], prefix: str, selector: str, default: str, text: str
) -> Any:
    """Return a base class with the settings of every entry of a table side by side.

    Entries may share a field; it has one default then, and each may want its own of the value.

    Args:
      table: Name to entry.
      prefix: What stands before the names of the options.
      selector: Name of the field that names the entry, such as ``kind``.
      default: The entry named by default.
      text: Help of that field.

    Returns:
      A frozen dataclass whose ``selected()`` gives the settings of the entry that is named. It is
      typed as Any: its fields are not known before the table is.

    Raises:
      TypeError: Two entries declare a field with different types or defaults.
    """
    merged: dict[str, list[tuple[str, Any]]] = {}
    for name, kind in table.items():
        for entry in fields(kind.settings):
            merged.setdefault(entry.name, []).append((name, entry))
    columns: list[tuple[str, Any, Any]] = [
        (selector, Literal[tuple(table)], setting(default, text))
    ]
    for name, owners in merged.items():
        first = owners[0][1]
        for owner, entry in owners:
            if (entry.type, entry.default) != (first.type, first.default):
                raise TypeError(
                    f"{owner} and {owners[0][0]} declare {prefix}.{name} with different types or"
                    " defaults: give both the same, or one another name"
                )
        metadata = {**first.metadata, "help": _merge_help(owners)}
        columns.append((name, first.type, field(default=first.default, metadata=metadata)))

    def check(self: Any) -> None:
        check_field(self, next(entry for entry in fields(self) if entry.name == selector))
        named = getattr(self, selector)
        own = {entry.name: entry for entry in fields(table[named].settings)}
        for entry in fields(self):
            check_field(self, entry, own.get(entry.name))
            if entry.name in merged and entry.name not in own and entry.metadata.get("exclusive"):
                require(
                    getattr(self, entry.name) == entry.default,
                    option_name(prefix, entry.name),
                    getattr(self, entry.name),
                    f"{entry.default!r} for the {prefix} {named}",
                )

    def selected(self: Any) -> Settings:
        """Return the settings of the entry that is named, and no others."""
        settings = table[getattr(self, selector)].settings
        return settings(**{entry.name: getattr(self, entry.name) for entry in fields(settings)})

    namespace = {"prefix": prefix, "__post_init__": check, "selected": selected}
    return dataclasses.make_dataclass(
        f"{prefix.capitalize()}Settings",
        columns,
        bases=(Settings,),
        namespace=namespace,
        frozen=True,
        kw_only=True,
    )


def _merge_help(owners: list[tuple[str, Any]]) -> str:
    """Return the texts of a field, each after the entries that declare it so."""
    by_text: dict[str, list[str]] = {}
    for owner, entry in owners:
        by_text.setdefault(entry.metadata["help"], []).append(owner)
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in by_text.items())
