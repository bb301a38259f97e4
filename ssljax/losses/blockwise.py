"""NT-Xent and SupCon in memory linear in the batch, on one device or passed around a ring.

The only quadratic object in either loss is the matrix of similarities, and only the logarithm
of its rows' normalizers is needed. Those are summed block by block, and the backward pass,
written here by hand, recomputes the blocks instead of storing them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from ssljax.losses.contrastive import SoftmaxSettings, multi_view_nt_xent
from ssljax.losses.embeddings import (
    at_least_float32,
    check_temperature,
    check_views,
    inner_products,
    unit_rows,
)
from ssljax.losses.multiview import (
    agreement_with_other_views,
    check_stack,
    mean_not_below_zero,
    stack_pair,
)
from ssljax.losses.objective import LossContext, Objective
from ssljax.losses.supervised import (
    check_labeled_stack,
    check_labels,
    class_agreement,
    mean_over_anchors,
    multi_view_supervised_contrastive,
)
from ssljax.system.arrays import Array, Float, Int
from ssljax.system.errors import UsageError
from ssljax.system.settings import NONNEGATIVE, setting


@dataclass(frozen=True, kw_only=True)
class BlockwiseSettings(SoftmaxSettings):
    """Settings of the losses that are also computed block by block."""

    block_size: int = setting(
        0,
        "rows of similarities in memory at once, recomputed in the backward pass; 0: all at once",
        NONNEGATIVE,
        exclusive=True,
    )


def nt_xent_objective(settings: BlockwiseSettings, context: LossContext) -> Objective:
    """Return NT-Xent as an objective, in blocks where a block size is given."""
    loss = multi_view_nt_xent_blockwise if settings.block_size else multi_view_nt_xent
    options = _options(settings, context)
    return Objective(lambda layers, labels: loss(layers["embedding"], **options))


def supervised_contrastive_objective(
    settings: BlockwiseSettings, context: LossContext
) -> Objective:
    """Return SupCon as an objective, in blocks where a block size is given."""
    loss = multi_view_supervised_contrastive
    if settings.block_size:
        loss = multi_view_supervised_contrastive_blockwise
    options = _options(settings, context)
    return Objective(lambda layers, labels: loss(layers["embedding"], labels, **options))


def _options(settings: BlockwiseSettings, context: LossContext) -> dict[str, Any]:
    options: dict[str, Any] = {"temperature": settings.temperature}
    if settings.block_size:
        options |= {"block_size": settings.block_size, "mesh": context.mesh}
    return options


def nt_xent_blockwise(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    temperature: float | Float[Array, ""],
    *,
    block_size: int = 256,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Return `ssljax.losses.nt_xent` in memory proportional to 2N (dim + block_size).

    Args:
      first: Embeddings of one view of N images; need not be normalized.
      second: Embeddings of the other view, row i from the same image.
      temperature: T > 0; may be differentiated.
      block_size: Rows whose similarities to all others are in memory at once.
      mesh: Where the batch is sharded over the one axis of a mesh, that mesh: blocks then travel
        from device to device and no device ever holds all embeddings.

    Returns:
      The loss over the global batch, in at least float32.

    Raises:
      UsageError: If the shapes differ, the temperature or block size is not positive, or the
        rows do not divide over the devices.

    Accuracy:
      Differs from the dense loss and its gradient by rounding. Reverse mode only.

    Source:
      Loss as in `nt_xent`; the backward pass is derived: with s_ab the logits, symmetric, and
      ℓ_a the normalizers, Σ_a g_a ∂ℓ_a/∂x_a = Σ_b (g_a e^{s_ab - ℓ_a} + g_b e^{s_ab - ℓ_b}) x_b.
    """
    check_views(first, second)
    views = stack_pair(first, second)
    return multi_view_nt_xent_blockwise(views, temperature, block_size=block_size, mesh=mesh)


def multi_view_nt_xent_blockwise(
    views: Float[Array, "batch views dim"],
    temperature: float | Float[Array, ""],
    *,
    block_size: int = 256,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Return `ssljax.losses.multi_view_nt_xent` in blocks; arguments as for `nt_xent_blockwise`."""
    check_stack(views, least=2)
    rows = _scale_rows(views, temperature)
    _check_blocks(rows.shape[0], block_size, mesh)
    positives = agreement_with_other_views(rows, views.shape[1])
    normalizers = jnp.asarray(_log_normalizers(rows, block_size, mesh))
    return mean_not_below_zero(normalizers, positives)


def supervised_contrastive_blockwise(
    first: Float[Array, "batch dim"],
    second: Float[Array, "batch dim"],
    labels: Int[Array, "batch"],
    temperature: float | Float[Array, ""],
    *,
    block_size: int = 256,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Return `ssljax.losses.supervised_contrastive` in memory linear in the batch.

    Args:
      first: Embeddings of one view of N images; need not be normalized.
      second: Embeddings of the other view, row i from the same image.
      labels: Class of each image; any integers.
      temperature: T > 0; may be differentiated.
      block_size: As in `nt_xent_blockwise`.
      mesh: As in `nt_xent_blockwise`.

    Returns:
      The loss over the global batch, in at least float32.

    Raises:
      UsageError: As `nt_xent_blockwise`, or if the labels do not match the images.

    Accuracy:
      Differs from the dense loss and its gradient by rounding. Reverse mode only.

    Source:
      Loss as in `supervised_contrastive`; positives through the sums of the classes.
    """
    check_labels(first, second, labels)
    return multi_view_supervised_contrastive_blockwise(
        stack_pair(first, second), labels, temperature, block_size=block_size, mesh=mesh
    )


def multi_view_supervised_contrastive_blockwise(
    views: Float[Array, "batch views dim"],
    labels: Int[Array, "batch"],
    temperature: float | Float[Array, ""],
    *,
    block_size: int = 256,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Return `ssljax.losses.multi_view_supervised_contrastive` in blocks of rows."""
    check_labeled_stack(views, labels)
    rows = _scale_rows(views, temperature)
    _check_blocks(rows.shape[0], block_size, mesh)
    agreement, is_anchor = class_agreement(rows, labels, views.shape[1])
    normalizers = jnp.asarray(_log_normalizers(rows, block_size, mesh))
    return mean_over_anchors(normalizers, agreement, is_anchor)


def _scale_rows(views, temperature):
    # Logits are inner products of rows over √T, so T is differentiated with the rows.
    check_temperature(temperature)
    rows = unit_rows(at_least_float32(views.reshape(-1, views.shape[-1])))
    return rows / jnp.sqrt(jnp.asarray(temperature, rows.dtype))


def _check_blocks(count: int, block_size: int, mesh: Mesh | None) -> None:
    if block_size < 1:
        raise UsageError(f"block size {block_size} given; it must be at least 1")
    if mesh is None:
        return
    if len(mesh.axis_names) != 1:
        raise UsageError(f"a mesh with axes {mesh.axis_names} given; one axis is wanted")
    if count % mesh.size:
        raise UsageError(
            f"{count} views given for {mesh.size} devices; use a batch size that divides over them"
        )


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _log_normalizers(rows, block_size, mesh):
    """Return log Σ_{b≠a} exp(row_a · row_b) for each row a, block by block."""
    return _normalizers_forward(rows, block_size, mesh)[0]


def _normalizers_forward(rows, block_size, mesh):
    if mesh is None:
        index = jnp.arange(rows.shape[0])
        logs = _block_normalizers(rows, index, rows, index, block_size)
    else:
        spec = PartitionSpec(mesh.axis_names[0])
        ring = partial(_ring_normalizers, block_size=block_size, mesh=mesh)
        logs = jax.shard_map(ring, mesh=mesh, in_specs=spec, out_specs=spec)(rows)
    return logs, (rows, logs)


def _normalizers_backward(block_size, mesh, saved, cotangent):
    rows, logs = saved
    if mesh is None:
        side = (rows, logs, cotangent, jnp.arange(rows.shape[0]))
        return (_block_gradient(side, side, block_size),)
    spec = PartitionSpec(mesh.axis_names[0])
    ring = partial(_ring_gradient, block_size=block_size, mesh=mesh)
    gradient = jax.shard_map(ring, mesh=mesh, in_specs=spec, out_specs=spec)
    return (gradient(rows, logs, cotangent),)


_log_normalizers.defvjp(_normalizers_forward, _normalizers_backward)


def _blocks(arrays, block_size):
    """Cut arrays along rows into equal blocks; the last is filled up with zeros."""
    count = arrays[0].shape[0]
    size = min(block_size, count)
    short = -count % size
    filled = [jnp.pad(x, ((0, short), *((0, 0),) * (x.ndim - 1))) for x in arrays]
    return tuple(x.reshape(-1, size, *x.shape[1:]) for x in filled)


def _block_normalizers(rows, index, keys, key_index, block_size):
    """Return log Σ exp(row · key) of each row over the keys with another index."""

    def one(block):
        x, i = block
        logits = jnp.where(i[:, None] == key_index[None, :], -jnp.inf, inner_products(x, keys))
        return jax.nn.logsumexp(logits, axis=1)

    return jax.lax.map(one, _blocks((rows, index), block_size)).reshape(-1)[: rows.shape[0]]


def _block_gradient(side, other, block_size):
    """Return the gradient of one side's rows from their logits with the other side."""
    keys, key_logs, key_cotangent, key_index = other

    def one(block):
        x, logs, cotangent, i = block
        logits = jnp.where(i[:, None] == key_index[None, :], -jnp.inf, inner_products(x, keys))
        weights = cotangent[:, None] * jnp.exp(logits - logs[:, None])
        weights += key_cotangent[None, :] * jnp.exp(logits - key_logs[None, :])
        return jnp.matmul(weights, keys, precision="highest")

    count, dim = side[0].shape
    return jax.lax.map(one, _blocks(side, block_size)).reshape(-1, dim)[:count]


def _pass_on(arrays, mesh):
    """Return the arrays that the previous device of the ring held."""
    shift = [(i, (i + 1) % mesh.size) for i in range(mesh.size)]
    return tuple(jax.lax.ppermute(x, mesh.axis_names[0], shift) for x in arrays)


def _index_own_rows(rows, mesh):
    count = rows.shape[0]
    return jax.lax.axis_index(mesh.axis_names[0]) * count + jnp.arange(count)


def _ring_normalizers(rows, block_size, mesh):
    index = _index_own_rows(rows, mesh)
    logs = _block_normalizers(rows, index, rows, index, block_size)

    def turn(_, state):
        keys, key_index, logs = state
        keys, key_index = _pass_on((keys, key_index), mesh)
        found = _block_normalizers(rows, index, keys, key_index, block_size)
        return keys, key_index, jnp.logaddexp(logs, found)

    return jax.lax.fori_loop(1, mesh.size, turn, (rows, index, logs))[2]


def _ring_gradient(rows, logs, cotangent, block_size, mesh):
    side = (rows, logs, cotangent, _index_own_rows(rows, mesh))

    def turn(_, state):
        other, gradient = state
        other = _pass_on(other, mesh)
        return other, gradient + _block_gradient(side, other, block_size)

    first = _block_gradient(side, side, block_size)
    return jax.lax.fori_loop(1, mesh.size, turn, (side, first))[1]
