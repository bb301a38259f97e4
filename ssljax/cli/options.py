"""Options of a command from the fields of a dataclass, by tyro.

tyro makes the options and the help. What this file adds is what it cannot be told: values written
as ``64,32`` and ``true``, options whose value may be left out (``--json``), whole policies by name,
refusals that are one line, and the names that a mistyped option resembles.

A field declared with `ssljax.system.settings.setting` may say how its option departs from the
others: ``positional``, ``aliases`` (other spellings), ``bare`` (the value of the option alone) and
``shown`` (what stands in the help as its default).
"""

import contextlib
import dataclasses
import inspect
import io
import re
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from ssljax.config.fields import format_value, read_value, suggest
from ssljax.system.errors import UsageError
from ssljax.system.settings import Settings

SettingsType = TypeVar("SettingsType", bound=Settings)
_REGISTRY = ConstructorRegistry()


def required_field(text: str, **command_line: Any) -> Any:
    """Declare a field of a command that must be given."""
    return dataclasses.field(metadata={"help": text, **command_line})


def repeated_field(text: str) -> Any:
    """Declare a field of a command whose option may be given several times."""
    return dataclasses.field(default_factory=list, metadata={"help": text, "repeated": True})


def read_options(
    program: str, defaults: Settings | type[Settings], arguments: Sequence[str], example: str = ""
) -> dict[str, Any]:
    """Return what a command line says, field by field.

    Args:
      program: What stands before the arguments, such as ``train digits_smoke``.
      defaults: An instance, whose values are the defaults, or a class.
      arguments: The rest of the command line.
      example: Printed under the help.

    Returns:
      Path of each field, such as ``optimizer.learning_rate``, to its value; fields of the
      defaults that were not given keep theirs.

    Raises:
      UsageError: An option is unknown, or its value cannot be read or is missing.
      SystemExit: The help was asked for and has been printed.
    """
    kind = defaults if isinstance(defaults, type) else type(defaults)
    entries = {option: entry for entry in _list_entries(kind) for option in entry[0]}
    arguments = _complete(arguments, entries)
    for word in arguments:
        name = word.partition("=")[0]
        known = name in ("--help", *entries) or name.replace("_", "-") in entries
        if word.startswith("--") and not known:
            _refuse(f"unknown argument {name}{suggest(name, entries)}", program)
    output, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            nested, unknown = tyro.cli(
                kind,
                default=tyro.MISSING if isinstance(defaults, type) else defaults,
                prog=f"python -m ssljax {program}",
                description=inspect.cleandoc(kind.__doc__ or ""),
                args=arguments,
                registry=_REGISTRY,
                return_unknown_args=True,
                config=(tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands),
            )
    except SystemExit as ended:
        if ended.code:
            _refuse(errors.getvalue(), program)
        print(output.getvalue().rstrip())
        if example:
            print(
                f"\nexample:\n  {example}" if "\n" not in example else f"\nexamples:\n  {example}"
            )
        raise
    if unknown:
        _refuse(f"unknown argument {unknown[0]}", program)
    return dict(_flatten(nested))


def read_settings(
    program: str, kind: type[SettingsType], arguments: Sequence[str], example: str = ""
) -> SettingsType:
    """Return the options of a command as an instance of its class; see `read_options`."""
    return kind(**read_options(program, kind, arguments, example))


def take_option(arguments: Sequence[str], option: str) -> tuple[list[str], list[str]]:
    """Return every value that an option is given, and the arguments without it.

    For options that decide what the other options are, such as ``--policy NAME``, and for those
    that may be given several times.

    Raises:
      UsageError: The option stands last, without a value.
    """
    values, rest, words = [], [], iter(arguments)
    for word in words:
        if word == option:
            values.append(next(words, None))
        elif word.startswith(f"{option}="):
            values.append(word.removeprefix(f"{option}="))
        else:
            rest.append(word)
    if None in values:
        raise UsageError(f"{option} has no value: write {option} VALUE")
    return values, rest


def _list_entries(kind: type, prefix: str = "") -> list[tuple[list[str], Any]]:
    """Return the spellings of every option, and the field behind each."""
    entries = []
    for entry in dataclasses.fields(kind):
        if isinstance(entry.type, type) and issubclass(entry.type, Settings):
            entries += _list_entries(entry.type, f"{prefix}{entry.name}.")
        elif not entry.metadata.get("positional"):
            name = "--" + (prefix + entry.name).replace("_", "-")
            entries.append(([name, *entry.metadata.get("aliases", ())], entry))
    return entries


def _complete(arguments: Sequence[str], entries: dict[str, Any]) -> list[str]:
    """Return the arguments with the values that may be left out written behind their options."""
    completed = []
    for name in [name for name, entry in entries.items() if entry[1].metadata.get("repeated")]:
        values, arguments = take_option(arguments, name)
        completed += [name, "\n".join(values)] if values else []
    for position, word in enumerate(arguments):
        completed.append(word)
        bare = entries[word][1].metadata.get("bare") if word in entries else None
        if bare is None:
            continue
        following = arguments[position + 1 : position + 2]
        try:
            read_value(entries[word][1].type, following[0])
        except (IndexError, UsageError):
            completed.append(bare)
    return completed


def _refuse(text: str, program: str) -> NoReturn:
    """Raise what tyro has said in a box, as one line."""
    plain = " ".join(re.sub(r"[─━│┃╭╮╰╯]|-{3,}", " ", text).split())
    plain = re.split(r" (?:Argument helptext:|For full helptext)", plain)[0]
    plain = re.sub(r"^(Value error|Parsing error|Missing argument|Required options)s? ", "", plain)
    raise UsageError(f"{plain.rstrip('. ')}; see python -m ssljax {program} --help")


def _flatten(nested: Any, prefix: str = "") -> list[tuple[str, Any]]:
    leaves = []
    for name, value in nested.items():
        inner = isinstance(value, dict)
        leaves += _flatten(value, f"{prefix}{name}.") if inner else [(prefix + name, value)]
    return leaves


@_REGISTRY.struct_rule
def _specify_settings(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Tell tyro to read settings as dictionaries: they are checked when everything is read."""
    if not (isinstance(info.type, type) and issubclass(info.type, Settings)):
        return None
    fields = []
    for entry in dataclasses.fields(info.type):
        default = entry.default
        if isinstance(info.default, Settings):
            default = getattr(info.default, entry.name)
        if entry.default_factory is not dataclasses.MISSING:
            default = entry.default_factory()
        elif default is dataclasses.MISSING:
            default = tyro.MISSING
        fields.append(StructFieldSpec(entry.name, _annotate(entry), default, _find_help(entry)))
    return StructConstructorSpec(instantiate=dict, fields=tuple(fields))


def _annotate(entry: Any) -> Any:
    """Return the type of a field with what tyro needs to know besides."""
    options, extras = entry.metadata, []
    if options.get("positional"):
        extras.append(tyro.conf.Positional)
    argument = {}
    if options.get("positional"):
        argument["metavar"] = entry.name.upper()
    if "bare" in options:
        argument["metavar"] = f"[{_find_metavar(entry.type)}]"
    if "aliases" in options:
        argument["aliases"] = options["aliases"]
    if "shown" in options:
        argument["help_behavior_hint"] = f"(default: {options['shown']})"
    if argument:
        extras.append(tyro.conf.arg(**argument))
    return Annotated[(entry.type, *extras)] if extras else entry.type


def _find_help(entry: Any) -> str:
    return entry.metadata.get("help", "")


@_REGISTRY.primitive_rule
def _specify_value(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Tell tyro to read values by `read_value`, as everywhere else in this package."""
    annotation = info.type
    metavar = _find_metavar(annotation)
    if metavar is None:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda texts: read_value(annotation, texts[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [format_value(value) or "none"],
    )


def _find_metavar(annotation: Any) -> str | None:
    """Return what stands for a value in the help; None for a type that is not read here."""
    if get_origin(annotation) is Literal:
        return "{" + ",".join(get_args(annotation)) + "}"
    if get_origin(annotation) is tuple:
        return "A,B,..."
    if get_origin(annotation) is list:
        return "TEXT"
    if get_origin(annotation) in (Union, types.UnionType):
        return _find_metavar(get_args(annotation)[0])
    return {bool: "true|false", int: "N", float: "X", str: "TEXT"}.get(annotation)
