"""Checks of arguments, one for each kind, shared by the library and the command line.

Values are checked where they are known. Inside `jit`, `vmap` and `grad` they are not: there an
impossible value gives NaN, as the functions say.
"""

import math
import numbers
from typing import Any

import numpy as np
from jax.core import Tracer

from theory.linalg.errors import InputError

BRANCHES = ("continued", "global")


def is_known(*values: Any) -> bool:
    """Tell whether values are numbers at hand and not placeholders of a transformation."""
    return not any(isinstance(value, Tracer) for value in values)


def require_count(name: str, value: Any, *, least: int = 1, hint: str = "") -> None:
    """Refuse what is not a whole number of at least ``least``.

    Args:
      name: What the user calls it.
      value: What was given.
      least: The smallest number allowed.
      hint: What to do, added to the message.

    Raises:
      InputError: The value is no whole number, or below ``least``.
    """
    whole = isinstance(value, numbers.Integral | np.integer) and not isinstance(value, bool)
    if not whole or int(value) < least:
        raise InputError(f"{name} is {value!r}, wanted a whole number of at least {least}{hint}")


def require_depth(depth: int) -> None:
    """Refuse a network without layers.

    Args:
      depth: Number of layers.

    Raises:
      InputError: The depth is no whole number, or below 1.
    """
    require_count("depth", depth, hint=": a network has at least one layer")


def require_rank(rank: int | None, dim: int | None = None) -> None:
    """Refuse a width that is no whole number, below 1, or above the number of features.

    Args:
      rank: Narrowest width of the network; ``None`` for no limit.
      dim: Number of features; ``None`` where a wider network is allowed.

    Raises:
      InputError: The rank is out of range.
    """
    if rank is None:
        return
    require_count("rank", rank)
    if dim is not None and rank > dim:
        raise InputError(f"rank is {rank}, wanted at most the {dim} features of the data")


def require_number(name: str, value: Any, *, positive: bool = False) -> None:
    """Refuse a known number that is not finite, or negative, or where asked not above 0.

    Args:
      name: What the user calls it.
      value: What was given; a traced value passes.
      positive: Whether 0 is refused as well.

    Raises:
      InputError: The number is out of range.
    """
    if not is_known(value):
        return
    given = np.asarray(value, float)
    if not np.all(np.isfinite(given)) or np.any(given < 0.0) or (positive and np.any(given == 0)):
        wanted = "a finite number above 0" if positive else "a finite number of at least 0"
        worst = float(np.min(np.where(np.isfinite(given), given, -math.inf)))
        shown = float(given) if given.ndim == 0 else worst
        raise InputError(f"{name} is {shown:g}, wanted {wanted}")


def require_weight_decay(weight_decay: Any) -> None:
    """Refuse a known weight decay that is negative or not finite."""
    require_number("weight_decay", weight_decay)


def require_branch(branch: str) -> None:
    """Refuse a branch of the optimum that does not exist."""
    if branch not in BRANCHES:
        raise InputError(f"branch is {branch!r}, wanted one of {', '.join(BRANCHES)}")
