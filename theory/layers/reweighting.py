"""Fixed head that divides coordinate i by κ^(i−1), in place of a trained head."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, require_float64
from theory.linalg.errors import InputError

Coordinates = Float[Arr, " coordinates"]


def reweighting_scales(coordinates: int, ratio: float) -> Coordinates:
    """Return the head's diagonal κ^-(i−1), i = 1..coordinates, refused where float32 would lose it.

    Args:
      coordinates: Width of the representation.
      ratio: κ, at least 1.

    Returns:
      Scales, descending from 1.

    Raises:
      InputError: κ below 1, or so many coordinates that the last is zero in float32.

    Accuracy:
      Machine precision; by exponentials, since κ^i itself overflows.

    Source:
      Xue et al., *Investigating the Benefits of Projection Head for Representation Learning*, ICLR
      2024, for the head.

    Example:
      >>> reweighting_scales(3, 2.0).tolist()
      [1.0, 0.5, 0.25]
    """
    _require_ratio(ratio)
    if coordinates > last_coordinate(ratio):
        raise InputError(
            f"{coordinates} coordinates at a ratio of {ratio} reach below what float32 can hold"
            f" after {last_coordinate(ratio):.0f}: use fewer coordinates or a ratio nearer 1"
        )
    return np.exp(-math.log(ratio) * np.arange(coordinates))


def last_coordinate(ratio: float) -> float:
    """Return the number of coordinates after which κ^-(i−1) is zero in float32: about 104/ln κ.

    Devices that flush subnormal numbers to zero lose the coordinates from 87/ln κ on.

    Args:
      ratio: κ, at least 1.

    Returns:
      A whole number, or infinity at κ = 1.

    Raises:
      InputError: κ below 1.

    Example:
      >>> last_coordinate(1.1), last_coordinate(1.0)
      (1091.0, inf)
    """
    _require_ratio(ratio)
    smallest = math.log(float(np.finfo(np.float32).smallest_subnormal))
    # Rounding to nearest keeps what is above half of the smallest number.
    edge = math.log(2.0) - smallest
    return math.inf if ratio == 1.0 else float(math.ceil(edge / math.log(ratio)))


def reweighted_weights(weights: Coordinates, ratio: float | Scalar) -> Float[Arr, "two modes"]:
    r"""Return the weights of the features before and after the fixed head, at minimum norm.

    With f = diag(κ^−(i−1)) W x the end-to-end optimum does not change, and of all W that reach it
    the one of least norm gives coordinate i the i-th strongest feature: after the head
    :math:`s_{(i)}`, before it :math:`s_{(i)} \kappa^{i-1}`. Weak features are raised geometrically.

    Args:
      weights: s_i, singular values of the end-to-end optimum, in any order, >= 0.
      ratio: κ, at least 1.

    Returns:
      ``(2, modes)``: before the head, and after it, strongest after the head first.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact at minimum norm. Gradient descent from a start of 1e-3 reaches it to three digits at
      κ = 1.2 to 1.5; nearer 1 coordinates mix, at 2 and above the last ones are never learned.

    Source:
      Derived: rearrangement inequality for Σ_i κ^{2(i−1)} Σ_j s_j² U_ij² over rotations U.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     before, after = reweighted_weights(jnp.array([0.5, 1.0]), 1.5)
      ...     before.tolist(), after.tolist()
      ([1.0, 0.75], [1.0, 0.5])
    """
    require_float64(weights=weights, ratio=ratio)
    after = jnp.sort(weights)[::-1]
    kept = after > 0.0
    # In logarithms: κ^(i−1) alone overflows long before its product with a weight of zero does.
    logs = jnp.log(jnp.where(kept, after, 1.0)) + jnp.log(ratio) * jnp.arange(after.shape[0])
    before = jnp.where(kept, jnp.exp(jnp.where(kept, logs, 0.0)), 0.0)
    return jnp.stack([before, after])


def _require_ratio(ratio: float) -> None:
    if not ratio >= 1.0:
        raise InputError(f"ratio is {ratio}, wanted at least 1: coordinate i is divided by ratio^i")
