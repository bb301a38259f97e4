"""How one step is spread over devices: the only file that knows how many there are.

A mesh has an axis of the batch and, for heads too wide for one device, an axis of the model, over
which the last dimension of the head's matrices is divided. Devices of many processes make up one
mesh, in the order in which JAX names them; every process runs the same program on its part of each
array.

The step is written once, for the global batch. Under `jax.jit` over a mesh with automatic axes the
compiler inserts every collective, so batch statistics and negatives are global by construction.
`jax.pmap` compiles the same step for one device's share of the batch: embeddings are gathered
before the loss and gradients averaged after differentiation (averaging the loss *inside* the
differentiated function gives a wrong gradient there, silently).
"""

import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ssljax.system.arrays import Array, PyTree
from ssljax.system.cpu import compiler_options
from ssljax.system.distributed import wait_for_all
from ssljax.system.errors import UsageError

BATCH_AXIS = "batch"
MODEL_AXIS = "model"


def make_mesh(num_devices: int = 0, shape: str = "") -> Mesh:
    """Make a mesh over the first devices; 0, or many processes, mean all of them.

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
    data, model = parse_mesh_shape(shape)
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


def parse_mesh_shape(shape: str) -> tuple[int, int]:
    """Parse the devices along the batch and along the model from ``data=A,model=B``.

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


def place_tree(tree: PyTree, sharding: jax.sharding.Sharding | None) -> PyTree:
    """Place host arrays on devices; every process holds its own part or a copy.

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


def copy_locally(state: PyTree) -> PyTree:
    """Return a state, whole, on this process's first device; every process must call it."""
    if jax.process_count() == 1:
        return jax.device_put(state, jax.devices()[0])
    mesh = jax.tree.leaves(state)[0].sharding.mesh
    whole = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))(state)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), whole)


def make_local_sharding(num_devices: int = 0, shape: str = "") -> NamedSharding:
    """Return how this process's own devices share a batch, for what each process measures alone.

    Args:
      num_devices: Devices used, 0 for all; only where there is one process.
      shape: As for `make_mesh`; where there are many processes their own devices are in a row.
    """
    if jax.process_count() == 1:
        return make_batch_sharding(num_devices, shape)
    mesh = Mesh(np.array(jax.local_devices()), (BATCH_AXIS,), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


def make_batch_sharding(num_devices: int = 0, shape: str = "") -> NamedSharding:
    """Return how the devices of all processes share a batch, for what they measure together.

    Args:
      num_devices: Devices used, 0 for all; only where there is one process.
      shape: As for `make_mesh`.
    """
    return NamedSharding(make_mesh(num_devices, shape), PartitionSpec(BATCH_AXIS))


def gather_outputs(outputs: PyTree) -> PyTree:
    """Return outputs that several processes computed, whole in each; others as they are."""
    if jax.process_count() == 1:
        return outputs
    mesh = jax.tree.leaves(outputs)[0].sharding.mesh
    if len({device.process_index for device in mesh.devices.flat}) == 1:
        return outputs
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))(outputs)


def round_up_batch(batch_size: int, sharding: NamedSharding) -> int:
    """Return the smallest batch of at least this size that the devices can share."""
    shards = sharding.mesh.shape[BATCH_AXIS]
    return -(-batch_size // shards) * shards


class Placement(NamedTuple):
    """What a step does with arrays when several devices share the batch.

    Attributes:
      shard: Global batch to the part (or the view) that this program works on.
      gather: Local outputs to those of the global batch.
      average: Mean over devices of a tree of gradients and losses.
      axis_name: Axis that batch statistics are averaged over; none where arrays are global.
    """

    shard: Callable[[Any], Any] = lambda batch: batch
    gather: Callable[[Any], Any] = lambda outputs: outputs
    average: Callable[[Any], Any] = lambda tree: tree
    axis_name: str | None = None


GLOBAL = Placement()
"""Arrays are global: one device, or a compiler that sees to the rest."""


def check_batch_size(batch_size: int, num_devices: int) -> None:
    """Refuse a batch that does not divide over the devices, naming the nearest that do.

    Raises:
      UsageError: The batch does not divide.
    """
    if batch_size % num_devices:
        below = batch_size // num_devices * num_devices
        nearest = f"{below + num_devices}" if below == 0 else f"{below} or {below + num_devices}"
        raise UsageError(
            f"batch-size {batch_size} does not divide over {num_devices} devices: use {nearest}, or"
            " fewer --devices"
        )


class Parallel(NamedTuple):
    """One way to spread a step over the devices of a mesh.

    Attributes:
      mesh: The devices.
      mode: ``jit`` or ``pmap``.
      placement: Goes into the step.
    """

    mesh: Mesh
    mode: Literal["jit", "pmap"]
    placement: Placement

    @property
    def replicated(self) -> NamedSharding:
        """Return the sharding that keeps the whole array on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def state_shardings(self, state: PyTree) -> PyTree:
        """Return each leaf's sharding: the head's matrices over the model, the rest whole."""
        model = self.mesh.shape.get(MODEL_AXIS, 1)

        def sharding(path: Any, leaf: Any) -> NamedSharding:
            names = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
            is_divided = model > 1 and "head" in names and leaf.ndim == 2
            if is_divided and leaf.shape[-1] % model == 0:
                return NamedSharding(self.mesh, PartitionSpec(None, MODEL_AXIS))
            return self.replicated

        return jax.tree_util.tree_map_with_path(sharding, state)

    def place_state(self, state: PyTree) -> PyTree:
        """Copy a state to every device; under pmap with a leading axis of devices."""
        shardings = self.state_shardings(state)
        if jax.process_count() > 1:
            return jax.jit(lambda tree: jax.tree.map(_copy, tree), out_shardings=shardings)(state)
        if self.mode == "jit":
            return jax.device_put(jax.tree.map(_copy, state), shardings)
        stacked = NamedSharding(self.mesh, PartitionSpec(BATCH_AXIS))
        repeat = jax.jit(
            lambda tree: jax.tree.map(
                lambda leaf: jnp.broadcast_to(leaf, (self.mesh.size, *leaf.shape)), tree
            ),
            out_shardings=stacked,
        )
        return repeat(jax.device_put(state, self.replicated))

    def make_placed(self, make: Callable[[Any], PyTree], seed: int) -> PyTree:
        """Make the state of a seed on the devices, placed as by `place_state`."""
        if jax.process_count() == 1:
            return self.place_state(jax.jit(make)(jnp.asarray(seed)))
        shardings = self.state_shardings(jax.eval_shape(make, seed))
        return jax.jit(make, out_shardings=shardings)(np.asarray(seed))

    def single_state(self, state: PyTree) -> PyTree:
        """Undo `place_state`: return the state once, without the axis of devices."""
        if self.mode == "jit":
            return state
        first = jax.jit(
            lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), out_shardings=self.replicated
        )
        return first(state)

    @property
    def batch_sharding(self) -> NamedSharding:
        """Return the sharding of a batch over all devices; under pmap along a leading axis."""
        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names))

    def local_rows(self, batch_size: int) -> tuple[int, int]:
        """Return first and last row (exclusive) of each batch that lie on this process's devices.

        Raises:
          UsageError: They are not consecutive, so that this process would read what others do.
        """
        parts = self.batch_sharding.addressable_devices_indices_map((batch_size,)).values()
        spans = sorted({index[0].indices(batch_size)[:2] for index in parts if index is not None})
        if any(first[1] != second[0] for first, second in itertools.pairwise(spans)):
            raise UsageError(
                "the devices of a process hold rows of the batch that are not consecutive: give"
                " another --mesh, or --stream never"
            )
        return spans[0][0], spans[-1][1]

    def place_batch(self, batch: PyTree) -> PyTree:
        """Place this process's rows of a batch as arrays over all devices; does not wait."""
        if self.mode == "pmap":
            batch = jax.tree.map(
                lambda rows: rows.reshape(self.mesh.size, -1, *rows.shape[1:]), batch
            )
        return jax.tree.map(
            lambda rows: jax.make_array_from_process_local_data(self.batch_sharding, rows), batch
        )

    def host_key(self, key: Any) -> Any:
        """Return a state's key, once, on this process's first device."""
        data = np.asarray(jax.random.key_data(key).addressable_data(0))
        implementation = jax.random.key_impl(key)
        return jax.random.wrap_key_data(data.reshape(-1, data.shape[-1])[0], impl=implementation)

    def place_constant(self, array: Any) -> Any:
        """Place arrays that every device reads whole, such as the data set or the strength."""
        return place_tree(array, self.replicated)


def _copy(leaf: Any) -> Any:
    """Copy to a new buffer: a placed state is donated to the step, which empties it."""
    return jnp.copy(leaf)


def make_parallel(mesh: Mesh, mode: Literal["jit", "pmap"], batch_size: int) -> Parallel:
    """Return how batch and state are spread over the mesh.

    Raises:
      UsageError: The batch does not divide over the devices.
    """
    check_batch_size(batch_size, mesh.size)
    if mode == "pmap" and (jax.process_count() > 1 or MODEL_AXIS in mesh.axis_names):
        raise UsageError(
            "pmap spreads the batch over the devices of one process and nothing else: give"
            " --parallel jit for many processes or a model axis"
        )
    if mode == "jit":
        sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        return Parallel(
            mesh,
            mode,
            Placement(shard=lambda batch: jax.lax.with_sharding_constraint(batch, sharding)),
        )
    local = batch_size // mesh.size
    return Parallel(
        mesh,
        mode,
        Placement(
            shard=lambda batch: jax.lax.dynamic_slice_in_dim(
                batch, jax.lax.axis_index(BATCH_AXIS) * local, local
            ),
            gather=lambda outputs: jax.lax.all_gather(outputs, BATCH_AXIS, tiled=True),
            average=lambda tree: jax.lax.pmean(tree, BATCH_AXIS),
            axis_name=BATCH_AXIS,
        ),
    )


def compile_step(
    step: Callable[..., tuple[Any, dict[str, Any]]],
    parallel: Parallel,
    state_shardings: PyTree = None,
    *,
    divided: bool = False,
    num_constants: int = 1,
) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Return the step compiled for the mesh; the state passed in is given up (donated).

    Args:
      step: ``(state, data, strength, …) -> (state, metrics)``, built with ``parallel.placement``.
      parallel: Mesh and mode. The state comes from `Parallel.place_state`, data and constants
        from `Parallel.place_constant`.
      state_shardings: From `Parallel.state_shardings`; whole on every device by default.
      divided: Data are one batch, divided over the devices by `Parallel.place_batch`.
      num_constants: Arguments after the data.

    Returns:
      The same function; it traces once and copies nothing from the host.
    """
    if parallel.mode == "jit":
        # Metrics are whole everywhere, so that every process can read them.
        where = (state_shardings or parallel.replicated, parallel.replicated)
        jitted = jax.jit(
            step,
            donate_argnums=0,
            out_shardings=where,
            compiler_options=compiler_options(),
        )
        return _compile_together(jitted) if jax.process_count() > 1 else jitted
    return jax.pmap(
        step,
        axis_name=BATCH_AXIS,
        in_axes=(0, 0 if divided else None, *(None,) * num_constants),
        out_axes=(0, None),
        devices=list(parallel.mesh.devices.flat),
        donate_argnums=0,
    )


def _compile_together(jitted: Any) -> Callable[..., Any]:
    """Return the function, first run when all have compiled it: some take longer than others.

    Simulated devices wait for each other in threads of one pool, which several programs in flight
    can use up: there each call is waited for.
    """
    programs: list[Any] = []
    is_simulated = jax.default_backend() == "cpu"

    def call(*arguments: Any) -> Any:
        if not programs:
            programs.append(jitted.lower(*arguments).compile())
            wait_for_all("compiled")
        answer = programs[0](*arguments)
        return jax.block_until_ready(answer) if is_simulated else answer

    return call
