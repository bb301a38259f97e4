"""Following the minimum of a quadratic loss with weight decay while the decay changes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Int

from theory.linalg.arrays import Arr, Matrix, Scalar, Vector
from theory.linalg.spectral import symmetric_eigenpairs
from theory.linalg.whitening import WhiteningFrame, whitening_frame
from theory.losses.quadratic import QuadraticLoss

# Below this fraction of the largest a Gram's eigenvalue is a mode that has been dropped.
ALIVE = 1e-12


class Modes(NamedTuple):
    """Eigenpairs of an end-to-end Gram: values descending, zero where dropped; columns."""

    values: Vector
    vectors: Matrix


class _State(NamedTuple):
    modes: Modes
    value: Arr
    caution: Arr
    change: Arr
    steps: Arr


def follow_minimum(
    modes: Modes,
    loss: QuadraticLoss,
    weight_decay: Scalar,
    depth: int,
    rank: int,
    max_steps: int | Int[Arr, ""],
    range_tolerance: float | Scalar,
) -> Modes:
    r"""Follow the minimum of φ(G) + (λL/2) tr G^{1/L} down from a Gram, by closed-form steps.

    The penalty is concave in G, so its tangent at the current Gram lies above it, and the loss
    with the tangent is again quadratic: its minimum is known (`quadratic_optimum`) and lowers
    the loss. In one mode this is :math:`n \leftarrow (a - \tfrac{\lambda}{4s} (n/s)^{1/L-1})_+`,
    which increases with n: from above it falls to the largest solution and never past it. On the
    kernel of the Gram, where the tangent is vertical, the present pull plus a margin takes its
    place: dropped modes stay dropped while the range is free to turn.

    Args:
      modes: Where to start, above the minimum wanted.
      loss: Quadratic and linear part of φ.
      weight_decay: λ >= 0.
      depth: Number of layers L, at least 2.
      rank: Narrowest width.
      max_steps: Steps after which the descent is given up.
      range_tolerance: Directions of Q at or below this fraction of its largest eigenvalue are
        outside the data.

    Returns:
      The modes reached.

    Accuracy:
      Linear convergence to a change of 1e-10; `theory.linalg.newton` polishes it.

    Source:
      Derived: majorization by the tangent of a concave penalty.
    """
    frame = whitening_frame(loss.quadratic, range_tolerance)

    def unfinished(state):
        return (state.change > 1e-10) & (state.steps < max_steps) & (state.caution < 1e6)

    def step(state):
        modes = _step(state.modes, loss, frame, weight_decay, depth, rank, state.caution)
        value = decayed_value(modes, loss, weight_decay, depth)
        better = value <= state.value + 1e-13 * jnp.abs(state.value)
        change = jnp.linalg.norm(_gram(modes) - _gram(state.modes))
        change = change / (jnp.linalg.norm(modes.values) + 1e-300)
        return _State(
            modes=jax.tree.map(lambda new, old: jnp.where(better, new, old), modes, state.modes),
            value=jnp.where(better, value, state.value),
            caution=jnp.where(better, state.caution, 4.0 * state.caution),
            change=jnp.where(better, change, state.change),
            steps=state.steps + 1,
        )

    value = decayed_value(modes, loss, weight_decay, depth)
    first = _State(modes, value, jnp.array(0.6), jnp.array(jnp.inf), jnp.array(0))
    return jax.lax.while_loop(unfinished, step, first).modes


def decayed_value(modes: Modes, loss: QuadraticLoss, weight_decay: Scalar, depth: int) -> Scalar:
    """Return loss and penalty of a balanced network with the given end-to-end modes."""
    product = modes.vectors.T @ loss.quadratic @ modes.vectors
    pulls = jnp.sum(modes.vectors * (loss.linear @ modes.vectors), axis=0)
    value = jnp.einsum("i,ij,j,ji->", modes.values, product, modes.values, product)
    value = value - 2.0 * jnp.sum(modes.values * pulls)
    return value + 0.5 * depth * weight_decay * jnp.sum(modes.values ** (1.0 / depth))


def take_modes(gram: Matrix, rank: int) -> Modes:
    """Return the leading eigenpairs of a Gram; values at rounding level become zero."""
    values, vectors = symmetric_eigenpairs(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    alive = (values > ALIVE * values[0]) & (jnp.arange(values.shape[0]) < rank)
    return Modes(jnp.where(alive, values, 0.0), vectors)


def _gram(modes):
    return (modes.vectors * modes.values[None, :]) @ modes.vectors.T


def _step(
    modes: Modes,
    loss: QuadraticLoss,
    frame: WhiteningFrame,
    weight_decay: Scalar,
    depth: int,
    rank: int,
    caution: Arr,
) -> Modes:
    values, vectors = modes
    alive = values > 0.0
    weights = 0.25 * weight_decay * jnp.where(alive, values, 1.0) ** (1.0 / depth - 1.0)
    weights = jnp.where(alive, weights, 0.0)
    pull = loss.linear - loss.quadratic @ _gram(modes) @ loss.quadratic
    inner = vectors.T @ pull @ vectors + caution * jnp.max(weights) * jnp.eye(values.shape[0])
    outside = (~alive).astype(values.dtype)
    tangent = outside[:, None] * inner * outside[None, :] + jnp.diag(weights)
    turned = frame.columns.T @ vectors
    target = frame.columns.T @ loss.linear @ frame.columns - turned @ tangent @ turned.T
    sizes, directions = symmetric_eigenpairs(0.5 * (target + target.T))
    kept = jnp.where(jnp.arange(sizes.shape[0]) >= sizes.shape[0] - rank, sizes, 0.0)
    columns = (frame.columns @ directions) * jnp.sqrt(jnp.maximum(kept, 0.0))[None, :]
    return take_modes(columns @ columns.T, rank)
