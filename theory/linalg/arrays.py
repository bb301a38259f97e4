"""Array types of the package, and the one check of their precision."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.linalg.errors import InputError

Arr = jax.Array | np.ndarray

Matrix = Float[Arr, "dim dim"]
Vector = Float[Arr, " dim"]
Spectrum = Float[Arr, " modes"]
Times = Float[Arr, " times"]
Factor = Float[Arr, "rank dim"]
Grams = Float[Arr, "depth dim dim"]
Scalar = Float[Arr, ""]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(*constants: str) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function of arrays once for each shape.

    Args:
      *constants: Arguments that are not arrays; each of their values is compiled for itself.

    Returns:
      The decorator; what it returns has the signature that it was given.
    """

    def decorated(function: Function) -> Function:
        return cast(Function, jax.jit(function, static_argnames=constants))

    return decorated


def require_float64(**arrays: Arr | float | None) -> None:
    """Refuse anything that JAX would not compute in float64.

    Args:
      **arrays: Arrays by the name the user knows them by; ``None`` is skipped.

    Raises:
      InputError: An array is not float64, or the precision context is not open, which would
        turn it into float32 silently.
    """
    for name, array in arrays.items():
        if array is None:
            continue
        given = getattr(array, "dtype", np.dtype(float))
        if given != np.float64 or jnp.result_type(float) != np.float64:
            raise InputError(
                f"{name} would be computed in {given if given != np.float64 else 'float32'}, theory"
                " computes in float64: pass float64 arrays inside `with jax.enable_x64(True):`"
            )
