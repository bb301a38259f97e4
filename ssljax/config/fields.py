"""The fields of a configuration: listed, read from text and JSON, replaced, compared.

A field is named by its path, ``optimizer.learning_rate``; its option is
``--optimizer.learning-rate``. Nothing is declared twice: type, default and help are those of the
dataclass.
"""

import dataclasses
import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from ssljax.system.errors import UsageError

ConfigType = TypeVar("ConfigType")
Variants = Mapping[str, Mapping[str, Any]]
"""Named values of whole nested dataclasses, such as ``{"policy": {"simclr": …}}``."""


class Leaf(NamedTuple):
    """One field of a configuration that is no configuration itself."""

    path: str
    annotation: Any
    value: Any

    @property
    def flag(self) -> str:
        """Return the option that sets the field, such as ``--optimizer.learning-rate``."""
        return "--" + self.path.replace("_", "-")


def list_leaves(config: Any, prefix: str = "") -> Iterator[Leaf]:
    """Yield every leaf of a nested dataclass, in the order of declaration."""
    for entry in dataclasses.fields(config):
        value, path = getattr(config, entry.name), prefix + entry.name
        if dataclasses.is_dataclass(value):
            yield from list_leaves(value, path + ".")
        else:
            yield Leaf(path, entry.type, value)


def format_value(value: Any) -> str:
    """Return a value as it is written on the command line: ``64,64``, ``true``, ``0.1``."""
    if isinstance(value, tuple | list):
        return ",".join(map(format_value, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def read_value(annotation: Any, text: str) -> Any:
    """Return the value that a text means to a field of some type.

    Args:
      annotation: Type of the field.
      text: Such as ``64,32`` for a tuple, ``true`` for a boolean.

    Raises:
      UsageError: The text is no such value.
    """
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        if text not in choices:
            raise UsageError(f"invalid choice: {text!r}; wanted one of {', '.join(choices)}")
        return text
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        return tuple(read_value(item, part.strip()) for part in text.split(",") if part.strip())
    if get_origin(annotation) is list:
        return text.splitlines()
    if get_origin(annotation) in (Union, types.UnionType):
        inner = next(part for part in get_args(annotation) if part is not types.NoneType)
        return read_value(inner, text)
    if annotation is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"wanted true or false, got {text!r}")
        return text.lower() == "true"
    if annotation in (int, float):
        try:
            return annotation(text)
        except ValueError:
            wanted = "an integer" if annotation is int else "a number"
            raise UsageError(f"wanted {wanted}, got {text!r}") from None
    return text


def suggest(given: str, known: Iterable[str]) -> str:
    """Return ``; did you mean A or B?``, or the empty string where nothing is similar."""
    matches = difflib.get_close_matches(given.split("=")[0], list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def replace_leaves(
    config: ConfigType, values: Mapping[str, Any], variants: Variants | None = None
) -> ConfigType:
    """Return the configuration with the given leaves replaced, all checks run on the result.

    Args:
      config: Frozen dataclass, possibly nested.
      values: Path to new value; a path in ``variants`` takes a variant's name.
      variants: Named values of whole nested dataclasses.

    Raises:
      UsageError: A path names no field, or a value is refused by the dataclass.
    """
    paths = {leaf.path for leaf in list_leaves(config)} | set(variants or {})
    for path in values:
        if path not in paths:
            raise UsageError(f"unknown field {path}{suggest(path, sorted(paths))}")
    return _replace(config, values, variants or {}, "")


def _replace(config: Any, values: Mapping[str, Any], variants: Variants, prefix: str) -> Any:
    changes = {}
    for entry in dataclasses.fields(config):
        path = prefix + entry.name
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            if path in values:
                value = variants[path][values[path]]
            if any(given.startswith(path + ".") for given in values):
                value = _replace(value, values, variants, path + ".")
            changes[entry.name] = value
        elif path in values:
            changes[entry.name] = values[path]
    return dataclasses.replace(config, **changes)


def config_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as nested plain dictionaries, ready for JSON."""
    return dataclasses.asdict(config)


def config_from_dict(default: ConfigType, values: Mapping[str, Any]) -> ConfigType:
    """Return the configuration written by `config_dict`.

    Args:
      default: Gives the values of fields that are absent, as in files of older versions.
      values: What the file holds.

    Raises:
      UsageError: A field is unknown or a value is refused.
    """
    known = {leaf.path: leaf for leaf in list_leaves(default)}
    read = {}
    for path, value in _flatten(values):
        if path in known and not _is_of_type(known[path].annotation, value):
            raise UsageError(
                f"{path} is {value!r} in the file, a value such as {known[path].value!r} was"
                " wanted: restore the file"
            )
        read[path] = _from_json(known[path].annotation, value) if path in known else value
    return replace_leaves(default, read)


def _from_json(annotation: Any, value: Any) -> Any:
    """Convert a JSON value: it knows no tuples, and writes round numbers as integers."""
    if get_origin(annotation) is tuple:
        return tuple(_from_json(get_args(annotation)[0], part) for part in value)
    return float(value) if annotation is float else value


def _is_of_type(annotation: Any, value: Any) -> bool:
    """Return whether a value read from JSON can be a field's; nothing is converted by guessing."""
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        return isinstance(value, list | tuple) and all(_is_of_type(item, part) for part in value)
    if annotation is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(value) < 2**1000 if isinstance(value, int) else is_number
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(annotation, type) or isinstance(value, annotation)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def differences(first: Any, second: Any) -> tuple[str, ...]:
    """Return the paths of the leaves in which two configurations of one type differ."""
    return tuple(
        one.path
        for one, other in zip(list_leaves(first), list_leaves(second), strict=True)
        if one.value != other.value
    )
