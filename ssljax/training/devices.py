"""Devices: the only file that knows how many there are, and how arrays get onto them.

A mesh has an axis of the batch and, for heads too wide for one device, an axis of the model.
Devices of many processes make up one mesh, in the order in which JAX names them.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ssljax.system.arrays import Array, PyTree
from ssljax.system.errors import UsageError

BATCH_AXIS = "batch"
MODEL_AXIS = "model"


def make_mesh(num_devices: int = 0, shape: str = "") -> Mesh:
    """A mesh over the first devices, 0 for all of them; over all where processes are many.

    Args:
      num_devices: Devices used.
      shape: Such as ``data=4,model=2``; empty: every device has a share of the batch.

    Raises:
      UsageError: More devices are asked for than there are, or the shape does not fit them.
    """
    devices = jax.devices()
    if num_devices > len(devices):
        raise UsageError(
            f"{num_devices} devices were asked for, {len(devices)} are there: give --devices"
            f" {len(devices)} or less, or 0 for all"
        )
    if jax.process_count() > 1:
        num_devices = 0  # a process without a device in the mesh could not take part
    data, model = mesh_shape(shape)
    if data * model > 1 and num_devices == 0 and jax.process_count() == 1:
        num_devices = min(data * model, len(devices))
    chosen = np.array(devices[: num_devices or len(devices)])
    if shape and data * model != chosen.size:
        raise UsageError(
            f"mesh {shape} wants {data * model} devices, {chosen.size} are there: give --mesh"
            " data=A,model=B with A times B devices"
        )
    if model == 1:
        return Mesh(chosen, (BATCH_AXIS,), axis_types=(AxisType.Auto,))
    return Mesh(
        chosen.reshape(data, model), (BATCH_AXIS, MODEL_AXIS), axis_types=(AxisType.Auto,) * 2
    )


def mesh_shape(shape: str) -> tuple[int, int]:
    """The devices along the batch and along the model, from ``data=A,model=B``.

    Raises:
      UsageError: It is written otherwise.
    """
    sizes = {"data": 1, "model": 1}
    given = [part.partition("=") for part in shape.split(",")] if shape else []
    for name, _, size in given:
        if (
            name not in sizes
            or not (size.isascii() and size.isdigit())
            or not 0 < int(size) < 2**20
        ):
            raise UsageError(
                f"mesh is {shape!r}: give --mesh data=A,model=B, such as data=4,model=2"
            )
        sizes[name] = int(size)
    if len({name for name, _, _ in given}) < len(given):
        raise UsageError(f"mesh {shape!r} names an axis twice: give --mesh data=A,model=B")
    return sizes["data"], sizes["model"]


def placed(tree: PyTree, sharding: jax.sharding.Sharding | None) -> PyTree:
    """Host arrays on devices, of which every process has its own part or a copy.

    Args:
      tree: The same values in every process.
      sharding: Of the global arrays.

    Returns:
      Global arrays; each process copies only what its own devices hold.
    """
    if sharding is None or sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def place(leaf: Any) -> Array:
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(place, tree)


def local_copy(state: PyTree) -> PyTree:
    """A state whole on this process's first device; where processes are many, all must call it."""
    if jax.process_count() == 1:
        return jax.device_put(state, jax.devices()[0])
    mesh = jax.tree.leaves(state)[0].sharding.mesh
    whole = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))(state)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), whole)


def local_batches(num_devices: int = 0, shape: str = "") -> NamedSharding:
    """How this process's own devices share a batch, for what one process measures alone.

    Args:
      num_devices: Devices used, 0 for all; only where there is one process.
      shape: As for `make_mesh`; where there are many processes their own devices are in a row.
    """
    if jax.process_count() == 1:
        mesh = make_mesh(num_devices, shape)
    else:
        mesh = Mesh(np.array(jax.local_devices()), (BATCH_AXIS,), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


def divided_batch(batch_size: int, sharding: NamedSharding) -> int:
    """The smallest batch of at least this size that the devices can share."""
    shards = sharding.mesh.shape[BATCH_AXIS]
    return -(-batch_size // shards) * shards
