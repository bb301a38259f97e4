"""ReLU projectors, which are piecewise linear: their local map and its rank."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from theory.linalg.arrays import Arr, compiled, require_float64
from theory.linalg.errors import InputError

Layers = tuple[Float[Arr, "..."], ...]
Point = Float[Arr, " dim"]


class LocalMap(NamedTuple):
    """Affine map of the linear region around a point: z = slope h + offset.

    Attributes:
      slope: A, (out, dim).
      offset: b, (out,).
      active_units: Number of active units of each hidden layer.
      rank_bound: Smallest of these, the input and the output dimension; rank A never exceeds it.
    """

    slope: Float[Arr, "out dim"]
    offset: Float[Arr, " out"]
    active_units: Int[Arr, " hidden"]
    rank_bound: Int[Arr, ""]


def relu_projector(kernels: Layers, biases: Layers, point: Point) -> Float[Arr, " out"]:
    """Return the output W_L relu(… relu(W_1 h + b_1) …) + b_L of a ReLU perceptron."""
    hidden = jnp.asarray(point)
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        hidden = jax.nn.relu(jnp.asarray(kernel) @ hidden + bias)
    return jnp.asarray(kernels[-1]) @ hidden + biases[-1]


@compiled()
def relu_local_map(kernels: Layers, biases: Layers, point: Point) -> LocalMap:
    r"""Return the affine map that a ReLU projector is, exactly, around a feature.

    :math:`A = W_L D_{L-1} W_{L-1} \cdots D_1 W_1` with D the 0/1 pattern of active units, so
    :math:`\mathrm{rank} A \le \min_l \mathrm{active}_l`: one narrow layer anywhere bounds the local
    rank. At random He initialization about half the units are active.

    Args:
      kernels: W_1..W_L, each (out, in).
      biases: b_1..b_L.
      point: h; on the boundary of a region a unit at exactly 0 counts as inactive.

    Returns:
      `LocalMap`.

    Raises:
      InputError: The numbers of kernels and biases differ.

    Accuracy:
      Exact inside the region, which has positive radius almost everywhere.

    Source:
      Standard for continuous piecewise affine networks.

    Example:
      A hidden layer of one active unit makes every output a multiple of one feature:

      >>> with jax.enable_x64(True):
      ...     kernels = (jnp.array([[1.0, 1.0], [-1.0, 0.0]]), jnp.ones((3, 2)))
      ...     local = relu_local_map(kernels, (jnp.zeros(2), jnp.zeros(3)), jnp.array([1.0, 1.0]))
      ...     print(local.slope.tolist(), int(local.rank_bound))
      [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]] 1
    """
    require_float64(point=point, **{f"kernel {i + 1}": k for i, k in enumerate(kernels)})
    if len(kernels) != len(biases):
        raise InputError(
            f"{len(kernels)} kernels with {len(biases)} biases: give one bias a layer,"
            " zeros for none"
        )
    slope, offset = jnp.asarray(kernels[0]), jnp.asarray(biases[0])
    counts = []
    for kernel, bias in zip(kernels[1:], biases[1:]):
        active = slope @ point + offset > 0
        counts.append(jnp.sum(active))
        masked = jnp.asarray(kernel) * active[None, :].astype(slope.dtype)
        slope, offset = masked @ slope, masked @ offset + bias
    active_units = jnp.stack(counts) if counts else jnp.zeros(0, int)
    bound = jnp.min(jnp.append(active_units, jnp.array([point.shape[0], slope.shape[0]])))
    return LocalMap(slope, offset, active_units, bound)
