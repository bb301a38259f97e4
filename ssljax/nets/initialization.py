"""How kernels start: He or LeCun normal numbers, random frames, or matrices that are given."""

import math
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ssljax.nets.network import Network
from ssljax.system.arrays import Array, Float, PRNGKeyArray, PyTree
from ssljax.system.errors import UsageError


def standard_normal(
    key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Float[Array, "*shape"]:
    """Draw ``jax.random.normal`` flat and reshape it.

    The numbers are the same, but a draw of three or more dimensions takes XLA about eight times
    longer to compile (jax 0.10, CPU), seconds for each kernel of a network.
    """
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def random_frame(
    key: PRNGKeyArray, dim: int, rank: int, dtype: DTypeLike = jnp.float32
) -> Float[Array, "dim rank"]:
    """Draw uniformly distributed orthonormal columns: rank of them in dim dimensions."""
    frame, triangle = jnp.linalg.qr(standard_normal(key, (dim, rank), dtype))
    # The sign makes the distribution uniform: QR alone fixes it by convention.
    return frame * jnp.where(jnp.diagonal(triangle) < 0, -1, 1).astype(dtype)[None, :]


def _scaled_normal(
    key, shape, dtype: DTypeLike = jnp.float32, out_sharding=None, *, gain, by_fan_out
):
    del out_sharding
    area = math.prod(shape[:-2])
    fan = area * (shape[-1] if by_fan_out else shape[-2])
    return standard_normal(key, shape, dtype) * math.sqrt(gain / fan)


def scaled_normal(gain: float, *, by_fan_out: bool = False) -> Callable[..., Array]:
    """Return an initializer of kernels (..., in, out): normal with variance gain / fan.

    The fan is the kernel's area times its inputs or, ``by_fan_out``, its outputs. Gain 2 is
    He's, for layers before a ReLU; gain 1 is LeCun's.
    """
    return partial(_scaled_normal, gain=gain, by_fan_out=by_fan_out)


def read_head_weights(path: str | Path) -> tuple[np.ndarray, ...]:
    """Read matrices W1, …, WL of a linear head, each (out, in), from an .npz file.

    Args:
      path: The file, such as the ``moments/head_weights.npz`` of a run.

    Returns:
      The matrices in order.

    Raises:
      UsageError: The file cannot be read, or holds something else.
    """
    wanted = "wanted an .npz file of matrices W1, W2, … (out, in): give --head.weights such a file"
    try:
        # Opened here: np.load leaves a file open that turns out not to be its own.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (
        OSError,
        ValueError,
        EOFError,
        AttributeError,
        TypeError,
        RuntimeError,  # encrypted, or packed by a method that zipfile does not know
        MemoryError,  # a damaged shape
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UsageError(f"{path} cannot be read; {wanted}") from error
    names = [f"W{number}" for number in range(1, len(arrays) + 1)]
    if not arrays or set(arrays) != set(names):
        raise UsageError(f"{path} holds {', '.join(arrays) or 'nothing'}; {wanted}")
    matrices = tuple(arrays[name] for name in names)
    for name, matrix in zip(names, matrices, strict=True):
        if matrix.ndim != 2 or matrix.dtype.kind != "f" or not np.isfinite(matrix).all():
            raise UsageError(f"{name} in {path} is no finite matrix of floats; {wanted}")
    return matrices


def start_network_at(network: Network, matrices: tuple[np.ndarray, ...]) -> Network:
    """Return the network whose linear head starts at given matrices, everything else as drawn.

    Args:
      network: Its head is linear.
      matrices: One (out, in) for each layer.

    Returns:
      The network; initializing it refuses matrices that do not fit.
    """

    def init(key: Array) -> tuple[PyTree, PyTree]:
        params, statistics = network.init(key)
        drawn = [layer["kernel"] for _, layer in sorted(_number_layers(params["head"]))]
        wanted = tuple(kernel.shape[::-1] for kernel in drawn)
        given = tuple(matrix.shape for matrix in matrices)
        if given != wanted:
            raise UsageError(
                f"initial matrices of shapes {given} given for a head of {wanted}: give"
                " --head.weights a file that fits, or other --head.widths"
            )
        head = {
            f"layer{number}": {"kernel": jnp.asarray(matrix.T, kernel.dtype)}
            for number, (matrix, kernel) in enumerate(zip(matrices, drawn, strict=True), start=1)
        }
        return {**params, "head": head}, statistics

    return network._replace(init=init)


def _number_layers(head):
    return [(int(name.removeprefix("layer")), layer) for name, layer in head.items()]
