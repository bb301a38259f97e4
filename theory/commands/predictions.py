"""The arrays that `python -m theory solve` and `flow` write, from moments to every layer."""

import dataclasses
import functools
import itertools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from theory.dynamics.flow import factor_layer_grams, network_flow, quadratic_flow
from theory.layers.chain import check_chain
from theory.layers.grams import layer_spectra, weight_spectra
from theory.linalg.arrays import Arr, Factor, Matrix, Times, Vector
from theory.linalg.errors import InputError
from theory.linalg.spectral import factor_modes
from theory.losses.quadratic import QuadraticLoss, quadratic_value
from theory.optimum.low_rank import low_rank_layer_spectra
from theory.optimum.quadratic import Optimum
from theory.optimum.solve import find_optimum

# Above this many features d × d Grams of every layer are not formed unless asked for.
LARGEST_DENSE = 4000
_LARGEST_FLOW_BYTES = 4 * 2**30


class Solution(NamedTuple):
    """What every layer of a trained network keeps, by the modes of its end-to-end Gram.

    Attributes:
      values: Eigenvalues of the Gram of each layer, descending, ``(depth, rank)``.
      vectors: Their eigenvectors, the same in every layer, in columns ``(dim, rank)``.
      layer_spectrum: Layer spectra of layers 0..depth, ``(depth + 1, dim)``.
      loss: Value of the loss, penalty included.
      active: Number of modes alive.
    """

    values: Float[Arr, "depth rank"]
    vectors: Float[Arr, "dim rank"]
    layer_spectrum: Float[Arr, "layers dim"]
    loss: float
    active: int


def solution(
    loss: QuadraticLoss,
    covariance: Matrix,
    depth: int,
    *,
    rank: int | None = None,
    weight_decay: float = 0.0,
    branch: Literal["continued", "global"] = "continued",
    range_tolerance: float | None = None,
) -> Solution:
    """Optimum of a quadratic loss and what it makes of each layer of a balanced network.

    Args:
      loss: Quadratic loss of the end-to-end Gram.
      covariance: Σ over views of what the network receives.
      depth: Number of layers L, at least 1.
      rank: Narrowest width; ``None`` for no limit.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖², at least 0.
      branch: ``"continued"`` from zero decay, or ``"global"`` for the global minimum.
      range_tolerance: Eigenvalues of Q at or below this fraction of the largest are outside the
        data; ``None`` for that of the loss.

    Returns:
      `Solution`.

    Raises:
      InputError: As `theory.optimum.solve.find_optimum`.

    Accuracy:
      That of the optimum; layers to machine precision from there.

    Source:
      Derived: layer Grams are powers of the end-to-end Gram.

    Example:
      >>> with jax.enable_x64(True):
      ...     found = solution(QuadraticLoss(jnp.eye(2), jnp.diag(jnp.array([0.25, 0.0]))),
      ...                      jnp.eye(2), 2)
      ...     found.values.tolist(), found.active
      ([[0.5, 0.0], [0.25, 0.0]], 1)
    """
    if range_tolerance is not None:
        loss = dataclasses.replace(loss, range_tolerance=range_tolerance)
    optimum = find_optimum(loss, depth=depth, rank=rank, weight_decay=weight_decay, branch=branch)
    return layered_solution(optimum, loss, covariance, depth, weight_decay=weight_decay)


def layered_solution(
    optimum: Optimum,
    loss: QuadraticLoss,
    covariance: Matrix,
    depth: int,
    *,
    weight_decay: float = 0.0,
) -> Solution:
    """What an end-to-end optimum makes of each layer of a balanced network.

    Args:
      optimum: Its factor F, with the Gram FᵀF.
      loss: Quadratic loss of the end-to-end Gram.
      covariance: Σ over views of what the network receives.
      depth: Number of layers L, at least 1.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖², which the loss of the solution includes.

    Returns:
      `Solution`.

    Raises:
      InputError: The depth is below 1.

    Accuracy:
      Machine precision.

    Source:
      Derived: layer Grams are powers of the end-to-end Gram.

    Example:
      >>> with jax.enable_x64(True):
      ...     loss = QuadraticLoss(jnp.eye(1), 0.25 * jnp.eye(1))
      ...     found = layered_solution(find_optimum(loss), loss, jnp.eye(1), 2)
      ...     print(found.layer_spectrum.round(12).ravel())
      [1.   0.5  0.25]
    """
    dim = covariance.shape[0]
    factor = jnp.asarray(optimum.factor)
    modes = factor_modes(factor)
    values = np.asarray(modes.values)[None, :] ** (np.arange(1, depth + 1) / depth)[:, None]
    outputs = np.asarray(low_rank_layer_spectra(covariance, factor, depth=depth))
    padding = np.zeros((depth, dim - outputs.shape[1]))
    data = np.linalg.eigvalsh(covariance)[None, ::-1]
    penalty = 0.5 * weight_decay * depth * float(np.sum(values[0]))
    return Solution(
        values=values,
        vectors=modes.vectors,
        layer_spectrum=np.concatenate([data, np.hstack([outputs, padding])]),
        loss=float(_factored_value(loss, factor)) + penalty,
        active=int(optimum.active),
    )


@jax.jit
def _factored_value(loss: QuadraticLoss, factor: Factor) -> Arr:
    """Loss at FᵀF without forming it."""
    inner = factor @ loss.quadratic @ factor.T
    return jnp.sum(inner * inner.T) - 2.0 * jnp.sum((factor @ loss.linear) * factor)


def solution_arrays(
    found: Solution, alignment: Vector, *, factors: bool | None = None
) -> dict[str, np.ndarray]:
    """The file of `solve`: gram (or vectors and values), spectra, loss, active, alignment.

    Args:
      found: The solution.
      alignment: Alignments, in any order.
      factors: Whether to keep modes instead of Grams; ``None``: above 4000 features.

    Returns:
      Arrays by name.
    """
    dim, rank = found.vectors.shape
    depth = found.values.shape[0]
    values, vectors = np.asarray(found.values), np.asarray(found.vectors)
    arrays = {
        "spectrum": np.hstack([values, np.zeros((depth, dim - rank))]),
        "layer_spectrum": np.asarray(found.layer_spectrum),
        "loss": np.asarray(found.loss, np.float64),
        "active": np.asarray(found.active, np.int64),
        "alignment": np.sort(np.asarray(alignment))[::-1],
    }
    if factors or (factors is None and dim > LARGEST_DENSE):
        return {"vectors": vectors, "values": values, **arrays}
    return {"gram": np.stack([(vectors * row[None, :]) @ vectors.T for row in values]), **arrays}


def flow_arrays(
    loss: QuadraticLoss,
    covariance: Matrix,
    layers: tuple[Float[Arr, "out in"], ...],
    times: Times,
    *,
    weight_decay: float = 0.0,
) -> dict[str, np.ndarray]:
    """The file of `flow`: Grams and spectra of every layer along gradient flow.

    Balanced layers follow the flow of their first factor, others that of all weights.

    Args:
      loss: Quadratic loss of the end-to-end Gram.
      covariance: Σ over views of what the network receives.
      layers: Initial weights W_1..W_L.
      times: Flow times, ascending, at least 0.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².

    Returns:
      times, gram, spectrum, layer_spectrum and loss, by name.

    Raises:
      InputError: As `theory.dynamics.flow`; layers that do not fit the moments; more than 4 GiB of
      Grams.
    """
    dim, depth = covariance.shape[0], len(layers)
    if layers[0].shape[1] != dim:
        raise InputError(
            f"W1 takes {layers[0].shape[1]} features but the moments have {dim}: give the weights"
            " of a network on the same features"
        )
    if len(times) * depth * dim**2 * 8 > _LARGEST_FLOW_BYTES:
        raise InputError(
            f"{len(times)} times of {depth} Grams of size {dim} need more than 4 GiB: give fewer"
            " times"
        )
    check_chain(layers)
    if all(_balanced(lower, upper) for lower, upper in itertools.pairwise(layers)):
        path = quadratic_flow(loss, layers[0], depth, times, weight_decay=weight_decay)
        grams = _path_grams(path, depth)
        norms = depth * jnp.sum(path**2, axis=(1, 2))
    else:
        value = Partial(_map_value, loss)
        paths = network_flow(value, layers, times, weight_decay=weight_decay)
        grams = _network_grams(paths)
        norms = sum(jnp.sum(path**2, axis=(1, 2)) for path in paths)
    readings = _readings(loss, covariance, grams)
    arrays = {
        "times": times,
        "gram": grams,
        "spectrum": readings[0],
        "layer_spectrum": readings[1],
        "loss": readings[2] + 0.5 * weight_decay * norms,
    }
    return {name: np.asarray(array) for name, array in arrays.items()}


@jax.jit
def _readings(loss: QuadraticLoss, covariance: Matrix, grams: Arr) -> tuple[Arr, Arr, Arr]:
    return (
        jax.vmap(weight_spectra)(grams),
        jax.vmap(lambda each: layer_spectra(covariance, each))(grams),
        jax.vmap(lambda gram: quadratic_value(loss, gram))(grams[:, -1]),
    )


def _balanced(lower: Float[Arr, "width in"], upper: Float[Arr, "out width"]) -> bool:
    wanted = lower @ lower.T
    difference = jnp.max(jnp.abs(upper.T @ upper - wanted))
    return bool(difference <= 1e-12 * jnp.max(jnp.abs(wanted)))


def _map_value(loss: QuadraticLoss, end_to_end: Float[Arr, "out dim"]) -> Arr:
    return quadratic_value(loss, end_to_end.T @ end_to_end)


@functools.partial(jax.jit, static_argnames=("depth",))
def _path_grams(path: Arr, depth: int) -> Arr:
    return jax.vmap(lambda factor: factor_layer_grams(factor, depth))(path)


def _product_grams(layers: tuple[Float[Arr, "out in"], ...]) -> Float[Arr, "depth dim dim"]:
    product, grams = layers[0], [layers[0].T @ layers[0]]
    for layer in layers[1:]:
        product = layer @ product
        grams.append(product.T @ product)
    return jnp.stack(grams)


_network_grams = jax.jit(jax.vmap(_product_grams))
