"""Results of a device against float64 on the CPU, and the bound that they have to keep.

The bound calibrates itself: rounding of float32 is what the same computation loses on the CPU. TF32
keeps 10 bits of the mantissa and bfloat16 7, in place of 23, so that they lose 2^13 and 2^16 times
as much. The bound is 2^6 times what the CPU loses: in the middle, on a scale of logarithms, between
a float32 that sums in another order and TF32.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

ALLOWED = 2.0**6
ROUNDOFF = 2.0**-24
"""Half the distance from 1 to the next float32."""


def compute_on_cpu(function: Callable[..., Any], arguments: Any, dtype: Any) -> Any:
    """Return what a function of arrays gives on the CPU, in float32 or float64, as NumPy arrays.

    Args:
      function: Pure, of arrays, differentiated or not.
      arguments: Its arguments: a tuple of pytrees of floating-point NumPy arrays.
      dtype: Type that the arguments are given in.
    """
    with jax.enable_x64(dtype == np.float64), jax.default_device(jax.devices("cpu")[0]):
        placed = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, dtype), arguments)
        return jax.device_get(jax.jit(function)(*placed))


def compute_on_device(function: Callable[..., Any], arguments: Any, precision: str) -> Any:
    """Return what a function of float32 arrays gives on the device, as NumPy arrays.

    Args:
      function: As for `compute_on_cpu`.
      arguments: As for `compute_on_cpu`.
      precision: Of products that name none themselves: "default" or "highest".
    """
    with jax.default_matmul_precision(precision):
        placed = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, np.float32), arguments)
        return jax.device_get(jax.jit(function)(*placed))


def relative_error(found: Any, exact: Any) -> float:
    """Return the norm of the difference of two pytrees over the norm of the second.

    Example:
      >>> relative_error({"a": np.array([3.0, 4.5])}, {"a": np.array([3.0, 4.0])})
      0.1
    """
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True)
    squares = [
        (np.sum(np.abs(np.asarray(a, np.float64) - b) ** 2), np.sum(np.abs(b) ** 2))
        for a, b in ((a, np.asarray(b, np.float64)) for a, b in pairs)
    ]
    difference, size = np.sum(squares, axis=0)
    return float(np.sqrt(difference / size))


def name_precision(error: float) -> str:
    """Return the format whose rounding explains the error of a product of random matrices.

    Rounding both factors to a format of unit roundoff u changes such a product by about .6 u of
    its norm, whatever its size: 3e-4 for TF32 (u = 2^-11) and 2e-3 for bfloat16 (u = 2^-8). Sums of
    float32 lose less than 2^-16.

    Example:
      >>> name_precision(2.8e-4)
      'TF32 or float16'
    """
    if error < 2.0**-40:
        return "float64"
    if error < 2.0**-16:
        return "float32"
    return "TF32 or float16" if error < 2.0**-10 else "bfloat16"


def judge_precision(
    what: str,
    function: Callable[..., Any],
    arguments: Any,
    *,
    reference: Callable[..., Any] | None = None,
    guards_itself: bool = False,
    noted: Mapping[str, Callable[..., Any]] | None = None,
) -> dict[str, Any]:
    """Return how far a device is from float64, and whether that is no more than float32 explains.

    Args:
      what: Name of the quantity.
      function: Of float32 arrays.
      arguments: A tuple of pytrees of NumPy arrays.
      reference: The same in the type of its arguments, where `function` is built for float32.
      guards_itself: Whether the function names the precision of its products: then the default of
        the device must not matter. Otherwise it is judged under "highest", and the error under the
        default is noted.
      noted: Other ways to compute the same, whose errors are only noted.

    Returns:
      ``what``, ``error``, ``bound``, ``passed``, ``cpu_float32`` (error of float32 on the CPU) and,
      where it was not judged, ``at_default`` (error under the device's default); then `noted`.
    """
    reference = reference or function
    exact = compute_on_cpu(reference, arguments, np.float64)
    single = relative_error(compute_on_cpu(reference, arguments, np.float32), exact)
    at_default = relative_error(compute_on_device(function, arguments, "default"), exact)
    if guards_itself:
        error, errors = at_default, {}
    else:
        error = relative_error(compute_on_device(function, arguments, "highest"), exact)
        errors = {"at_default": at_default}
    for name, other in (noted or {}).items():
        errors[name] = relative_error(compute_on_device(other, arguments, "default"), exact)
    bound = ALLOWED * max(single, ROUNDOFF)
    return judge(what, error, bound) | {"cpu_float32": single} | errors


def judge(what: str, error: float, bound: float) -> dict[str, Any]:
    """Return an error beside its bound."""
    return {"what": what, "error": error, "bound": bound, "passed": bool(error <= bound)}
