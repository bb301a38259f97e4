"""How training gets to its end: every layer along gradient flow, from moments and a start."""

import dataclasses
import functools
import itertools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float

from theory.dynamics.courses import gram_time_courses
from theory.dynamics.layer_flow import network_flow, quadratic_flow
from theory.layers.chain import Weights, chain_layer_grams, check_chain
from theory.layers.grams import layer_grams, layer_spectra, weight_spectra
from theory.linalg.arrays import Arr, Matrix, Scalar, Times
from theory.linalg.checks import (
    is_known,
    require_count,
    require_depth,
    require_number,
    require_weight_decay,
)
from theory.linalg.errors import InputError
from theory.linalg.factors import factor_layer_grams
from theory.linalg.integration import check_flow
from theory.losses.quadratic import QuadraticLoss, quadratic_value
from theory.optimum.quadratic import quadratic_optimum

_LARGEST_BYTES = 4 * 2**30
# Moments whose off-diagonal part in a common frame is below this are taken to commute.
_COMMUTING = 1e-13
# Explicit steps above which systems of at most so many unknowns are solved instead.
_MANY_STEPS, _FEW_UNKNOWNS = 20_000, 400
# In units of the fastest rate: what is not at its end by then moves less than rounding.
_FOREVER = 1e8


class Course(NamedTuple):
    """Every layer along gradient flow; time first, then depth, then modes.

    Attributes:
      times: Flow times, ``(times,)``.
      grams: Layer Grams (W_l…W_1)ᵀ(W_l…W_1), ``(times, depth, dim, dim)``.
      weight_spectra: Their eigenvalues, descending, ``(times, depth, dim)``.
      layer_spectra: Eigenvalues of each layer's covariance, layer 0 the input, descending,
        ``(times, depth + 1, dim)``.
      loss: The loss, with the penalty of weight decay, ``(times,)``.
    """

    times: Times
    grams: Float[Arr, "times depth dim dim"]
    weight_spectra: Float[Arr, "times depth dim"]
    layer_spectra: Float[Arr, "times layers dim"]
    loss: Times


def flow(
    loss: QuadraticLoss,
    times: Times,
    *,
    depth: int = 2,
    init_scale: float | Scalar = 0.1,
    weight_decay: float | Scalar = 0.0,
    init: Weights | None = None,
    covariance: Matrix | None = None,
    solver: Literal["auto", "explicit", "implicit"] = "auto",
    relative_tolerance: float = 1e-10,
    absolute_tolerance: float = 1e-12,
    max_steps: int = 65536,
) -> Course:
    r"""Return every layer of a deep linear network along gradient flow of a quadratic loss.

    :math:`\dot W_l = -\partial\,\text{loss}/\partial W_l - \lambda W_l`. Layers that start balanced
    follow their first factor (`theory.dynamics.layer_flow.quadratic_flow`), others all weights
    together. Where the moments commute with each other and with a balanced start, every mode has
    a closed form (`theory.dynamics.courses`).

    Args:
      loss: A loss of `theory.losses`.
      times: Flow times, ascending, at least 0; ``inf`` for the end. For gradient descent the sum of
        learning rates; divided by 1 − β with momentum β.
      depth: Number of layers L, at least 1; with ``init`` as it has.
      init_scale: Every layer starts as this times the identity.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      init: Initial weights W_1, …, W_L instead, each (out, in).
      covariance: Σ of what the network receives, for the layer spectra; ``None`` for that of the
        loss.
      solver: ``"explicit"``, whose steps grow with the time; ``"implicit"``, for long times and
        few features; ``"auto"`` chooses, and takes the closed form, where values are known, and is
        explicit under a transformation of JAX.
      relative_tolerance: Error allowed per step, relative to the weights.
      absolute_tolerance: Error allowed per step, in units of the weights.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      `Course`.

    Raises:
      InputError: Not float64; times that do not ascend; a depth below 1; layers that do not fit the
        moments or each other; more than 4 GiB of Grams; or a flow that needed more than
        ``max_steps`` (under `jit` or `vmap` unreached times are NaN instead).

    Accuracy:
      About 1e-9 of the weights at the default tolerances, 1e-13 where closed forms apply. At
      infinite time the optimum where that is known to be the end, else the state after 1e8 times
      the fastest relaxation. Derivatives in the loss, the decay, the times and the start are those
      of the steps taken, to the same accuracy, forwards, backwards and repeatedly; spectra have
      them where their values are distinct.

    Source:
      Derived.

    Example:
      Two layers, one feature: it is learned slowly, then all at once, and ends at √(a/s).

      >>> with jax.enable_x64(True):
      ...     loss = QuadraticLoss(jnp.eye(1), 0.25 * jnp.eye(1))
      ...     course = flow(loss, jnp.array([0.0, 30.0, 50.0, jnp.inf]))
      ...     print(course.grams[:, 0, 0, 0].round(3))
      [0.01  0.025 0.419 0.5  ]
    """
    quadratic, linear = jnp.asarray(loss.quadratic), jnp.asarray(loss.linear)
    loss = dataclasses.replace(loss, quadratic=quadratic, linear=linear)
    dim = quadratic.shape[0]
    if init is None:
        require_depth(depth)
        layers = (init_scale * jnp.eye(dim),) * depth
    else:
        layers = tuple(map(jnp.asarray, init))
    covariance = loss.inputs if covariance is None else covariance
    named = {f"W{index + 1}": weight for index, weight in enumerate(layers)}
    check_flow(
        len(layers),
        times,
        quadratic=quadratic,
        linear=linear,
        covariance=covariance,
        init_scale=init_scale,
        weight_decay=weight_decay,
        **named,
    )
    require_weight_decay(weight_decay)
    require_number("init_scale", init_scale, positive=True)
    require_count("max_steps", max_steps)
    _check_sizes(layers, dim, len(times))
    check_chain(layers)
    settings = {
        "relative_tolerance": relative_tolerance,
        "absolute_tolerance": absolute_tolerance,
        "max_steps": max_steps,
    }
    decay = jnp.asarray(weight_decay, float)
    start = _Start(loss, layers, decay)
    grams, norms = _follow(start, jnp.asarray(times), solver, init is None, settings)
    weights, outputs, values = _measure_spectra(loss, covariance, grams)
    return Course(jnp.asarray(times), grams, weights, outputs, values + 0.5 * decay * norms)


class _Start(NamedTuple):
    """What flows: a loss, layers at time 0, and a weight decay."""

    loss: QuadraticLoss
    layers: Weights
    weight_decay: Arr


def _follow(start, times, solver, balanced, settings):
    """Return the layer Grams and the sum of the layers' squared norms at each time."""
    loss, layers, decay = start
    depth = len(layers)
    known = is_known(*jax.tree.leaves((start, times)))
    balanced = balanced or (known and _is_balanced(layers))
    modes = _find_common_modes(loss, layers[0]) if known and balanced and solver == "auto" else None
    if modes is not None:
        return _mode_path(modes, times, decay, depth)
    finite, end = _finite_times(start, times, known and balanced)
    if solver == "auto":
        size = layers[0].size if balanced else sum(layer.size for layer in layers)
        many = known and float(finite[-1] * _fastest_rate(loss, depth)) > 3.3 * _MANY_STEPS
        solver = "implicit" if many and size <= _FEW_UNKNOWNS else "explicit"
    given = {"weight_decay": decay, "solver": solver, **settings}
    if balanced:
        path = quadratic_flow(loss, layers[0], depth, finite, **given)
        grams = jax.vmap(functools.partial(factor_layer_grams, depth=depth))(path)
        norms = depth * jnp.sum(path**2, axis=(1, 2))
    else:
        paths = network_flow(Partial(_map_value, loss), layers, finite, **given)
        grams = jax.vmap(chain_layer_grams)(paths)
        norms = sum(jnp.sum(path**2, axis=(1, 2)) for path in paths)
    if end is not None:
        ended = jnp.isinf(times)
        grams = jnp.where(ended[:, None, None, None], end[None], grams)
        norms = jnp.where(ended, depth * jnp.trace(end[0]), norms)
    return grams, norms


def _finite_times(start, times, certain):
    """Return finite times for all, and the layer Grams at infinite times that are certain."""
    ended = jnp.isinf(times)
    last = jnp.max(jnp.where(ended, 0.0, times))
    depth = len(start.layers)
    if certain and not bool(jnp.any(ended)):
        return times, None
    if certain and _ends_at_optimum(start):
        shift = 0.25 * start.weight_decay if depth == 1 else 0.0
        linear = start.loss.linear - shift * jnp.eye(start.loss.linear.shape[0])
        optimum = quadratic_optimum(dataclasses.replace(start.loss, linear=linear))
        return jnp.where(ended, last, times), layer_grams(optimum.gram, depth)
    decay = start.weight_decay
    slowest = jnp.where(decay > 0.0, 200.0 / jnp.where(decay > 0.0, decay, 1.0), 0.0)
    forever = jnp.maximum(_FOREVER / _fastest_rate(start.loss, depth), slowest)
    return jnp.where(ended, jnp.maximum(forever, last), times), None


def _check_sizes(layers, dim, count):
    if layers[0].shape[1] != dim:
        raise InputError(
            f"W1 takes {layers[0].shape[1]} features but the moments have {dim}: give the weights"
            " of a network on the same features"
        )
    if count * len(layers) * dim**2 * 8 > _LARGEST_BYTES:
        raise InputError(
            f"{count} times of {len(layers)} Grams of size {dim} need more than 4 GiB: give fewer"
            " times"
        )


def _is_balanced(layers):
    for lower, upper in itertools.pairwise(layers):
        wanted = lower @ lower.T
        miss = jnp.max(jnp.abs(upper.T @ upper - wanted))
        if not miss <= 1e-12 * jnp.max(jnp.abs(wanted)):
            return False
    return True


def _find_common_modes(loss, first):
    """Return frame, scale, alignment and start of modes that never mix, or None."""
    quadratic, linear = np.asarray(loss.quadratic), np.asarray(loss.linear)
    matrices = (quadratic, linear, np.asarray(first.T @ first))
    largest = [max(float(np.max(np.abs(matrix))), 1e-300) for matrix in matrices]
    # Weights without a common measure, so that no two different modes have equal sums.
    weights = np.array([1.0, np.sqrt(2.0) / 3.0, np.pi / 9.0]) / largest
    mixture = np.tensordot(weights, np.stack(matrices), axes=1)
    _, vectors = np.linalg.eigh(0.5 * (mixture + mixture.T))
    turned = [vectors.T @ matrix @ vectors for matrix in matrices]
    for matrix, size in zip(turned, largest, strict=True):
        if np.max(np.abs(matrix - np.diag(np.diag(matrix)))) > _COMMUTING * len(matrix) * size:
            return None
    scale, pull, start = (np.diag(matrix) for matrix in turned)
    inside = scale > 1e-14 * largest[0]
    if np.any(np.abs(pull[~inside]) > 1e-14 * largest[1]):
        return None
    scale = np.where(inside, scale, 0.0)
    alignment = np.where(inside, pull / np.where(inside, scale, 1.0), 0.0)
    return vectors, scale, alignment, np.maximum(start, 0.0)


def _mode_path(modes, times, weight_decay, depth):
    vectors, scale, alignment, start = map(jnp.asarray, modes)
    sizes = gram_time_courses(
        scale, alignment, start, times, depth=depth, weight_decay=float(weight_decay)
    )
    powers = sizes[:, None, :] ** jnp.arange(1, depth + 1)[None, :, None]
    grams = jnp.einsum("di,tli,ei->tlde", vectors, powers, vectors)
    return grams, depth * jnp.sum(sizes, axis=1)


def _ends_at_optimum(start):
    """Return whether flow ends at the optimum: full rank, and no decay that can collapse it."""
    first = np.asarray(start.layers[0])
    full = min(first.shape) == start.loss.quadratic.shape[0] and np.linalg.cond(first) < 1e12
    return bool(full and (len(start.layers) == 1 or start.weight_decay == 0.0))


def _fastest_rate(loss, depth):
    """Return an upper estimate of the relaxation rates 8 L s^{1/L} a^{2−1/L} of modes."""
    scale = jnp.linalg.norm(loss.quadratic)
    alignment = jnp.maximum(jnp.linalg.norm(loss.linear) / scale, 1.0)
    rate = 8.0 * depth * scale ** (1.0 / depth) * alignment ** (2.0 - 1.0 / depth)
    return jax.lax.stop_gradient(rate)


def _map_value(loss, end_to_end):
    return quadratic_value(loss, end_to_end.T @ end_to_end)


@jax.jit
def _measure_spectra(loss, covariance, grams):
    return (
        jax.vmap(weight_spectra)(grams),
        jax.vmap(functools.partial(layer_spectra, covariance))(grams),
        jax.vmap(lambda gram: quadratic_value(loss, gram))(grams[:, -1]),
    )
