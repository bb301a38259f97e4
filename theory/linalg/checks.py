"""Checks of arguments, one for each kind, shared by the library and the command line."""

from theory.linalg.errors import InputError


def require_depth(depth: int) -> None:
    """Refuse a network without layers.

    Args:
      depth: Number of layers.

    Raises:
      InputError: The depth is below 1.
    """
    if depth < 1:
        raise InputError(f"depth is {depth}, a network has at least 1 layer: give depth >= 1")
