"""What a sweep consists of: every combination of the values given, once for each seed."""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ssljax.config.config import NAMED_POLICIES, Config, change_config
from ssljax.config.fields import format_value, list_leaves, read_value, suggest
from ssljax.system.errors import UsageError

_MOST_CELLS = 100_000
_VARIANTS = {"policy": NAMED_POLICIES}


class Axis(NamedTuple):
    """A field and the values it takes, as texts and as the configuration holds them."""

    field: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]


class Cell(NamedTuple):
    """One run of a sweep.

    Attributes:
      name: Its folder's name, such as ``strength=0.2,seed=0``.
      values: Text of each field of the grid.
      config: What is trained.
    """

    name: str
    values: dict[str, str]
    config: Config


def set_fields(config: Config, texts: Sequence[str]) -> Config:
    """Return the configuration with one value for each ``field=VALUE``.

    Raises:
      UsageError: There is no such field, or a value cannot be read or is refused.
    """
    values = {}
    for text in texts:
        axis = _axis(config, text, "--set", one=True)
        values[axis.field] = axis.values[0]
    return change_config(config, values)


def parse_axis(config: Config, text: str) -> Axis:
    """Parse an axis ``field=A,B,…``; values that are lists themselves are separated by ``/``.

    Args:
      config: Whose fields are meant.
      text: Such as ``strength=0.2,0.5`` or ``head.widths=64,32/128,64``.

    Raises:
      UsageError: There is no such field, or a value cannot be read.
    """
    return _axis(config, text, "--grid", one=False)


def _axis(config: Config, text: str, option: str, *, one: bool) -> Axis:
    name, equals, given = text.partition("=")
    field = name.strip().removeprefix("--").replace("-", "_")
    known = {leaf.path: leaf for leaf in list_leaves(config)}
    if not equals or not (given.strip() or one):
        raise UsageError(f"{option} {text!r} has no value: write {option} strength=0.2")
    if field == "seed" and not one:
        raise UsageError("seeds have an option of their own: write --seeds 0,1,2")
    if field in _VARIANTS:
        texts = (given,) if one else _parts(given, ",")
        for value in texts:
            if value not in _VARIANTS[field]:
                names = ", ".join(_VARIANTS[field])
                raise UsageError(f"{option} {text!r}: {value!r} is none of {names}")
        return Axis(field, texts, texts)
    if field not in known:
        raise UsageError(
            f"{option} {text!r}: no field {field}{suggest(field, known)};"
            " `python -m ssljax show PRESET` lists them"
        )
    is_list = isinstance(known[field].value, tuple)
    texts = (given,) if one else _parts(given, "/" if is_list else ",")
    values = []
    for value in texts:
        try:
            values.append(read_value(known[field].annotation, value))
        except UsageError as error:
            raise UsageError(f"{option} {text!r}: {error}") from error
    return Axis(field, texts, tuple(values))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse seeds from ``0,1,2``.

    Raises:
      UsageError: They are no integers of at least 0, or one comes twice.
    """
    parts = _parts(text, ",")
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"--seeds {text!r}: give integers of at least 0, such as --seeds 0,1,2")
    seeds = tuple(map(int, parts))
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text!r}: a seed comes twice")
    return seeds


def sweep_cells(config: Config, axes: Sequence[Axis], seeds: Sequence[int]) -> list[Cell]:
    """Return every run of a sweep in a fixed order: seeds change fastest, then the last axis.

    Args:
      config: Values of all other fields.
      axes: Fields that vary.
      seeds: Each combination is trained with each.

    Returns:
      The runs; the position in the list is the index of an array job.

    Raises:
      UsageError: A combination is refused, an axis comes twice, or there are too many.
    """
    fields = [axis.field for axis in axes]
    if len(set(fields)) < len(fields):
        raise UsageError(f"--grid names a field twice: {', '.join(fields)}")
    for axis in axes:
        if len(set(axis.texts)) < len(axis.texts):
            raise UsageError(f"--grid {axis.field}: a value comes twice")
    count = len(seeds)
    for axis in axes:
        count *= len(axis.values)
    if count > _MOST_CELLS:
        raise UsageError(f"{count} runs: give fewer values, at most {_MOST_CELLS} in all")
    cells = []
    for chosen in itertools.product(*(range(len(axis.values)) for axis in axes)):
        values = {axis.field: axis.values[at] for axis, at in zip(axes, chosen)}
        texts = {axis.field: axis.texts[at] for axis, at in zip(axes, chosen)}
        varied = change_config(config, values)
        for seed in seeds:
            parts = [*(f"{field}={text}" for field, text in texts.items()), f"seed={seed}"]
            name = _shorten(",".join(_folder_text(part) for part in parts))
            cells.append(Cell(name, texts, dataclasses.replace(varied, seed=seed)))
    names = {cell.name for cell in cells}
    if len(names) < len(cells):
        raise UsageError("two combinations have the same folder name: give values that differ more")
    return cells


def describe_config(config: Config) -> dict[str, str]:
    """Return every field as the command line writes it: the plan of a sweep is known by them."""
    return {leaf.path: format_value(leaf.value) for leaf in list_leaves(config)}


def _parts(text: str, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(separator) if part.strip())


def _shorten(name: str) -> str:
    """Return a name that file systems take; a digest distinguishes names that were cut."""
    if len(name) <= 200:
        return name
    return f"{name[:180]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _folder_text(text: str) -> str:
    """Return a text that is safe in a folder's name: no separators, nothing hidden."""
    return re.sub(r"[^A-Za-z0-9=._+-]", "-", text).lstrip(".")[:120]
