"""How one step is spread over the devices of a mesh.

The step is written once, for the global batch. Under `jax.jit` over a mesh with automatic axes the
compiler inserts every collective, so batch statistics and negatives are global by construction.
`jax.pmap` compiles the same step for one device's share of the batch: embeddings are gathered
before the loss and gradients averaged after differentiation (averaging the loss *inside* the
differentiated function gives a wrong gradient there, silently).

Where the mesh has an axis of the model, the last dimension of the head's matrices is divided over
it. Every process of many runs the same program on its part of each array.
"""

import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ssljax.system.arrays import PyTree
from ssljax.system.cpu import compiler_options
from ssljax.system.distributed import wait_for_all
from ssljax.system.errors import UsageError
from ssljax.training.devices import BATCH_AXIS, MODEL_AXIS, make_mesh, placed

__all__ = [
    "BATCH_AXIS",
    "GLOBAL",
    "Parallel",
    "Placement",
    "check_batch_size",
    "compiled",
    "make_mesh",
    "make_parallel",
    "repeated",
]

Step = Callable[[Any, Any, Any], tuple[Any, dict[str, Any]]]


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
        """The whole array on every device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def state_shardings(self, state: PyTree) -> PyTree:
        """Where each leaf of a state lies: the head's matrices over the model, the rest whole."""
        model = self.mesh.shape.get(MODEL_AXIS, 1)

        def sharding(path: Any, leaf: Any) -> NamedSharding:
            names = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
            is_divided = model > 1 and "head" in names and leaf.ndim == 2
            if is_divided and leaf.shape[-1] % model == 0:
                return NamedSharding(self.mesh, PartitionSpec(None, MODEL_AXIS))
            return self.replicated

        return jax.tree_util.tree_map_with_path(sharding, state)

    def place_state(self, state: PyTree) -> PyTree:
        """A copy of a state, on every device; under pmap with a leading axis of devices."""
        shardings = self.state_shardings(state)
        if jax.process_count() > 1:
            return jax.jit(lambda tree: jax.tree.map(_copy, tree), out_shardings=shardings)(state)
        if self.mode == "jit":
            return jax.device_put(jax.tree.map(_copy, state), shardings)
        stacked = NamedSharding(self.mesh, PartitionSpec(BATCH_AXIS))
        repeat = jax.jit(
            lambda tree: jax.tree.map(
                lambda leaf: jax.numpy.broadcast_to(leaf, (self.mesh.size, *leaf.shape)), tree
            ),
            out_shardings=stacked,
        )
        return repeat(jax.device_put(state, self.replicated))

    def make_placed(self, make: Callable[[Any], PyTree], seed: int) -> PyTree:
        """The state that ``make`` returns for a seed, on the devices as `place_state` does it."""
        if jax.process_count() == 1:
            return self.place_state(jax.jit(make)(jax.numpy.asarray(seed)))
        shardings = self.state_shardings(jax.eval_shape(make, seed))
        return jax.jit(make, out_shardings=shardings)(np.asarray(seed))

    def single_state(self, state: PyTree) -> PyTree:
        """The inverse of `place_state`: the state once, without the axis of devices."""
        if self.mode == "jit":
            return state
        first = jax.jit(
            lambda tree: jax.tree.map(lambda leaf: leaf[0], tree), out_shardings=self.replicated
        )
        return first(state)

    @property
    def batch_sharding(self) -> NamedSharding:
        """A batch divided over all devices; under pmap along a leading axis of devices."""
        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names))

    def local_rows(self, batch_size: int) -> tuple[int, int]:
        """First and last row (exclusive) of each batch that lie on this process's devices.

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
        """This process's rows of a batch as arrays divided over all devices; does not wait."""
        if self.mode == "pmap":
            batch = jax.tree.map(
                lambda rows: rows.reshape(self.mesh.size, -1, *rows.shape[1:]), batch
            )
        return jax.tree.map(
            lambda rows: jax.make_array_from_process_local_data(self.batch_sharding, rows), batch
        )

    def host_key(self, key: Any) -> Any:
        """A state's key, once, on this process's first device."""
        data = np.asarray(jax.random.key_data(key).addressable_data(0))
        implementation = jax.random.key_impl(key)
        return jax.random.wrap_key_data(data.reshape(-1, data.shape[-1])[0], impl=implementation)

    def place_constant(self, array: Any) -> Any:
        """Arrays that every device reads whole, such as the data set or the strength."""
        return placed(array, self.replicated)


def _copy(leaf: Any) -> Any:
    """A new buffer: a placed state is donated to the step, which must not empty the original."""
    return jax.numpy.copy(leaf)


def make_parallel(mesh: Mesh, mode: Literal["jit", "pmap"], batch_size: int) -> Parallel:
    """How the batch is spread over the mesh.

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


def repeated(step: Step, num_steps: int) -> Step:
    """``num_steps`` steps as one function; metrics are stacked along a leading axis."""
    if num_steps == 1:
        # No loop: XLA runs convolutions inside a loop on CPU without its fast kernels.
        def once(state: Any, data: Any, strength: Any) -> tuple[Any, dict[str, Any]]:
            state, metrics = step(state, data, strength)
            return state, {name: value[None] for name, value in metrics.items()}

        return once

    def many(state: Any, data: Any, strength: Any) -> tuple[Any, dict[str, Any]]:
        return jax.lax.scan(
            lambda carry, _: step(carry, data, strength), state, None, length=num_steps
        )

    return many


def compiled(
    step: Step, parallel: Parallel, state_shardings: PyTree = None, *, divided: bool = False
) -> Step:
    """The step compiled for the mesh; the state passed in is given up (donated).

    Args:
      step: ``(state, data, strength) -> (state, metrics)``, built with ``parallel.placement``.
      parallel: Mesh and mode. The state comes from `Parallel.place_state`, data and strength
        from `Parallel.place_constant`.
      state_shardings: From `Parallel.state_shardings`; whole on every device by default.
      divided: Data are one batch, divided over the devices by `Parallel.place_batch`.

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
        return _compiled_by_all(jitted) if jax.process_count() > 1 else jitted
    return jax.pmap(
        step,
        axis_name=BATCH_AXIS,
        in_axes=(0, 0 if divided else None, None),
        out_axes=(0, None),
        devices=list(parallel.mesh.devices.flat),
        donate_argnums=0,
    )


def _compiled_by_all(jitted: Any) -> Step:
    """The function, first run when every process has compiled it: some take longer than others.

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
