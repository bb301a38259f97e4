"""Command-line options and JSON of nested frozen dataclasses.

Every leaf of a configuration becomes an option named by its path, `--optimizer.learning-rate`;
nothing is declared twice.
"""

import argparse
import dataclasses
import difflib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, get_args, get_origin

from ssljax.system.errors import UsageError
from ssljax.system.settings import choices_of

ConfigType = TypeVar("ConfigType")


class Setting(NamedTuple):
    """One leaf of a configuration: its path, type, current value and help sentence."""

    path: tuple[str, ...]
    annotation: Any
    value: Any
    help: str
    choices: tuple[Any, ...] = ()

    @property
    def flag(self) -> str:
        """The option that sets it, such as ``--optimizer.learning-rate``."""
        return "--" + ".".join(self.path).replace("_", "-")


def settings(config: Any, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every leaf of a nested dataclass, in the order of declaration."""
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            yield from settings(value, (*path, entry.name))
        else:
            text = entry.metadata.get("help", "")
            yield Setting((*path, entry.name), entry.type, value, text, choices_of(entry))


def value_text(value: Any) -> str:
    """A value as it is written on the command line: ``64,64``, ``true``, ``0.1``."""
    if isinstance(value, tuple | list):
        return ",".join(map(value_text, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    raise argparse.ArgumentTypeError(f"wanted true or false, got {text!r}")


def _number(kind: type) -> Callable[[str], Any]:
    wanted = "an integer" if kind is int else "a number"

    def convert(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"wanted {wanted}, got {text!r}") from None

    return convert


def sequence(item: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """A reader of ``A,B,…`` for argparse."""
    if item in (int, float):
        item = _number(item)  # pyright: ignore[reportArgumentType]
    return lambda text: tuple(item(part.strip()) for part in text.split(",") if part.strip())


def setting_reader(setting: Setting) -> dict[str, Any]:
    """The argparse keywords, ``type`` or ``choices``, that read a value of a setting."""
    return {"choices": setting.choices} if setting.choices else _reader(setting.annotation)


def _reader(annotation: Any) -> dict[str, Any]:
    """The argparse keywords that read a value of this type."""
    if get_origin(annotation) is Literal:
        return {"choices": get_args(annotation)}
    if get_origin(annotation) is tuple:
        item = get_args(annotation)[0]
        return {"type": sequence(_reader(item).get("type", str)), "metavar": "A,B,..."}
    if isinstance(annotation, types.UnionType):
        return _reader(next(arg for arg in get_args(annotation) if arg is not type(None)))
    if annotation is bool:
        return {"type": _boolean, "metavar": "true|false"}
    if annotation in (int, float):
        return {"type": _number(annotation), "metavar": "N" if annotation is int else "X"}
    return {"type": str, "metavar": "TEXT"}


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with near misses named."""

    def __init__(self, **options: Any):
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage of every option."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """As argparse's, but an unknown option names the options it resembles."""
        values, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unknown argument {rest[0]}{close_matches(rest[0], self.option_names())}")
        return values, rest

    def option_names(self) -> list[str]:
        """Every option of this parser."""
        return [name for action in self._actions for name in action.option_strings]


def close_matches(given: str, known: list[str]) -> str:
    """``; did you mean A or B?`` or the empty string."""
    matches = difflib.get_close_matches(given.split("=")[0], known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def add_settings(
    parser: argparse.ArgumentParser,
    config: Any,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """One option for every leaf of a configuration, showing its present value as default.

    Args:
      parser: Receives the options; only those given appear in its namespace, by dotted path.
      config: Frozen dataclass, possibly nested.
      variants: Named values of whole nested dataclasses, such as ``{"policy": {"simclr": …}}``,
        which become options of their own (``--policy simclr``).
    """
    groups: dict[str, Any] = {}
    for name, named in (variants or {}).items():
        parser.add_argument(
            f"--{name}",
            choices=tuple(named),
            default=argparse.SUPPRESS,
            help=f"replaces every --{name}.… below",
        )
    for setting in settings(config):
        section = setting.path[0] if len(setting.path) > 1 else "run"
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        groups[section].add_argument(
            setting.flag,
            dest=".".join(setting.path),
            default=argparse.SUPPRESS,
            help=f"{setting.help} (default: {value_text(setting.value) or 'none'})".replace(
                "%", "%%"
            ).strip(),
            **setting_reader(setting),
        )


def overridden(
    config: ConfigType,
    values: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> ConfigType:
    """The configuration with the given leaves replaced, all checks run on the result.

    Args:
      config: Frozen dataclass, possibly nested.
      values: Dotted path to new value; a path in ``variants`` takes a variant's name.
      variants: As for `add_settings`.

    Returns:
      A configuration of the same type.

    Raises:
      UsageError: A path names no field, or a value is refused by the dataclass.
    """
    paths = {".".join(setting.path) for setting in settings(config)} | set(variants or {})
    for path in values:
        if path not in paths:
            raise UsageError(f"unknown field {path}{close_matches(path, sorted(paths))}")
    return _replaced(config, values, variants or {}, "")


def _replaced(config: Any, values: Mapping[str, Any], variants: Any, prefix: str) -> Any:
    changes = {}
    for entry in dataclasses.fields(config):
        path = prefix + entry.name
        value = getattr(config, entry.name)
        if dataclasses.is_dataclass(value):
            if path in values:
                value = variants[path][values[path]]
            if any(given.startswith(path + ".") for given in values):
                value = _replaced(value, values, variants, path + ".")
            changes[entry.name] = value
        elif path in values:
            changes[entry.name] = values[path]
    return dataclasses.replace(config, **changes)


def config_dict(config: Any) -> dict[str, Any]:
    """A configuration as nested plain dictionaries, ready for JSON."""
    return dataclasses.asdict(config)


def config_from_dict(default: ConfigType, values: Mapping[str, Any]) -> ConfigType:
    """The configuration written by `config_dict`; absent fields keep the default's value.

    Raises:
      UsageError: A field is unknown or a value is refused.
    """
    known = {".".join(setting.path): setting for setting in settings(default)}
    read = {}
    for path, value in _flattened(values):
        if path in known and not _is_of_type(known[path].annotation, value):
            raise UsageError(
                f"{path} is {value!r} in the file, a value such as {known[path].value!r} was"
                " wanted: restore the file"
            )
        read[path] = _from_json(known[path].annotation, value) if path in known else value
    return overridden(default, read)


def _from_json(annotation: Any, value: Any) -> Any:
    """JSON knows no tuples, and writes a round number as an integer where others wrote it."""
    if get_origin(annotation) is tuple:
        return tuple(_from_json(get_args(annotation)[0], part) for part in value)
    return float(value) if annotation is float else value


def _is_of_type(annotation: Any, value: Any) -> bool:
    """Whether a value read from JSON can be one of a field's; nothing is converted by guessing."""
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


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def differences(first: Any, second: Any) -> tuple[str, ...]:
    """Dotted paths of the leaves in which two configurations of one type differ."""
    return tuple(
        ".".join(one.path)
        for one, other in zip(settings(first), settings(second), strict=True)
        if one.value != other.value
    )
