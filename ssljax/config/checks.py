"""What a field of a configuration may be: declared with its help text, refused by its option."""

import dataclasses
import math
from dataclasses import field
from typing import Any, Literal

from ssljax.system.errors import UsageError


def setting(default: Any, text: str) -> Any:
    """A dataclass field with the sentence that `--help` prints."""
    return field(default=default, metadata={"help": text})


def require(holds: bool, name: str, given: object, wanted: str) -> None:
    """Refuse a value, naming its option."""
    if not holds:
        raise UsageError(f"{name} must be {wanted}, got {given!r}; give --{name} another value")


def require_positive(prefix: str, config: Any, *names: str) -> None:
    """Refuse a field that is not positive and finite."""
    for name in names:
        value = getattr(config, name)
        require(
            math.isfinite(value) and value > 0, flag(prefix, name), value, "positive and finite"
        )


def require_nonnegative(prefix: str, config: Any, *names: str) -> None:
    """Refuse a field that is negative or not finite."""
    for name in names:
        value = getattr(config, name)
        require(math.isfinite(value) and value >= 0, flag(prefix, name), value, "zero or more")


def require_choices(prefix: str, config: Any) -> None:
    """Every field whose type is a Literal holds one of its values."""
    for entry in dataclasses.fields(config):
        choices = getattr(entry.type, "__args__", ())
        if getattr(entry.type, "__origin__", None) is Literal:
            value = getattr(config, entry.name)
            require(
                value in choices,
                flag(prefix, entry.name),
                value,
                "one of " + ", ".join(map(str, choices)),
            )


def flag(prefix: str, name: str) -> str:
    """The option of a field, without its dashes in front."""
    return (f"{prefix}.{name}" if prefix else name).replace("_", "-")


def require_widths(name: str, widths: tuple[int, ...]) -> None:
    """Refuse widths that are not positive."""
    require(all(width > 0 for width in widths), name, widths, "positive widths")
