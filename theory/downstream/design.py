"""Design by gradient: which mixture of augmentation policies keeps a direction of the features.

A pair of views drawn from policy k with probability w_k has the moments Σ = Σ_k w_k Σ_k and
M = Σ_k w_k M_k, so that everything theory predicts of a network is a smooth function of the
mixture. For one augmentation with parameters of its own no special function is needed: `jax.grad`
runs through the moments and `theory.solve` (`theory.downstream.retention`).
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from theory.downstream.retention import effective_ranks, layer_share
from theory.layers.grams import layer_weights
from theory.linalg.arrays import Arr, Vector, require_float64
from theory.linalg.checks import require_count, require_depth
from theory.linalg.errors import InputError
from theory.losses.family import spectral
from theory.losses.quadratic import QuadraticLoss
from theory.moments.moments import Moments, default_range_tolerance
from theory.optimum.solve import solve

Mixture = Float[Arr, " policies"]

_STEPS = 200
# Relative to the value, and of the step: whichever comes first ends the ascent.
_GAP = 1e-10
_SHORTEST = 1e-8
_SMALLEST = 1e-300  # keeps the logarithm of what a network does not learn at all finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tradeoff:
    """What networks trained on given mixtures keep, one row a mixture; NumPy.

    Attributes:
      mixtures: Probability of each policy, (rows, policies).
      weights: Weight of the direction in every layer, (rows, depth).
      shares: Share of each layer's variance that lies along the direction, (rows, depth).
      ranks: Entropy effective rank of every layer spectrum, data first, (rows, depth + 1).
      active: Number of modes kept, (rows,).
    """

    mixtures: Float[np.ndarray, "rows policies"]
    weights: Float[np.ndarray, "rows depth"]
    shares: Float[np.ndarray, "rows depth"]
    ranks: Float[np.ndarray, "rows layers"]
    active: Int[np.ndarray, " rows"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """The mixture of policies that keeps a direction best; NumPy.

    Attributes:
      mixture: Probability of each policy, (policies,).
      value: What was maximized, there: the weight or the share of the direction.
      gradient: Its derivative with respect to every policy's probability, (policies,).
      gap: Largest derivative less the mean one under the mixture, at least 0: zero iff the
        conditions of Karush, Kuhn and Tucker hold, and a bound of what any other mixture could
        gain where the value is concave.
      pure: The policies alone, one row each.
      frontier: From the best for the direction to the best for everything else.
    """

    mixture: Float[np.ndarray, " policies"]
    value: float
    gradient: Float[np.ndarray, " policies"]
    gap: float
    pure: Tradeoff
    frontier: Tradeoff


def mix_moments(policies: Sequence[Moments], mixture: Mixture) -> Moments:
    """Return the moments of pairs that are drawn from policy k with probability w_k.

    Args:
      policies: Moments of each policy over the same images, in the same features.
      mixture: w, at least 0, of sum 1.

    Returns:
      `Moments` with covariance, cross-covariance, and mean where every policy has one.

    Raises:
      InputError: No policy, other numbers of probabilities, or sizes that differ.

    Accuracy:
      Exact; linear in the mixture.

    Source:
      Derived: expectations under a mixture.

    Example:
      >>> with jax.enable_x64(True):
      ...     kept, lost = Moments(jnp.eye(1), jnp.eye(1)), Moments(jnp.eye(1), jnp.zeros((1, 1)))
      ...     mix_moments([kept, lost], jnp.array([0.75, 0.25])).cross_covariance.item()
      0.75
    """
    shapes = sorted({moments.covariance.shape for moments in policies})
    if len(shapes) != 1 or len(policies) != mixture.shape[0]:
        raise InputError(
            f"{len(policies)} policies of shapes {shapes} with {mixture.shape[0]} probabilities:"
            " give at least one policy, all over the same features, and one probability each"
        )
    require_float64(mixture=mixture, covariance=policies[0].covariance)

    def mix(parts):
        return jnp.einsum("k,k...->...", mixture, jnp.stack(list(map(jnp.asarray, parts))))

    means = [moments.mean for moments in policies]
    return Moments(
        mix(moments.covariance for moments in policies),
        mix(moments.cross_covariance for moments in policies),
        None if any(mean is None for mean in means) else mix(means),
    )


def design(
    policies: Sequence[Moments],
    direction: Vector,
    *,
    maximize: str = "pre",
    quantity: str = "weight",
    loss: Callable[[Moments], QuadraticLoss] = spectral,
    depth: int = 2,
    head_layers: int = 1,
    rank: int | None = None,
    weight_decay: float = 0.0,
    points: int = 5,
) -> Design:
    r"""Return the mixture of policies with which training keeps a direction best.

    Maximizes, over probabilities w of the policies, the weight (or the share of the variance) that
    the predicted network gives to a direction before or after its head: projected gradient ascent
    from every policy alone and from all in equal parts, of which the best end counts. The frontier
    maximizes :math:`(1 - t) \log \text{value} + t \log \text{rest}` for t from 0 to 1, where the
    rest is the standard deviation that the same layer keeps of everything orthogonal to the
    direction.

    Args:
      policies: Moments of the same images under each policy, at least two.
      direction: The direction u of the features to keep; any length above 0, used as a unit vector.
      maximize: ``"pre"``, the layer before the head, or ``"post"``, the last layer.
      quantity: ``"weight"`` ‖P_l u‖, or ``"share"`` of the layer's variance, see
        `theory.downstream.retention.layer_share`.
      loss: Makes the loss of moments; a function such as `theory.spectral`.
      depth: Layers of the network, the head's included; at least 2 for ``"pre"``.
      head_layers: Layers of the head.
      rank: Narrowest width; ``None`` for no limit.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖².
      points: Rows of the frontier, at least 2.

    Returns:
      `Design`.

    Raises:
      InputError: Fewer than two policies, sizes that differ, a direction of another size or of
        length 0, a word that is neither of two, or a head that leaves no layer before it.

    Accuracy:
      A gap of 1e-10 of the value where the ascent converges, which the result states. The value
      need not be concave: that no better mixture exists is as sure as the starts, and was checked
      against grids of two and three policies. With a rank below the number of modes the value
      jumps where two modes change places, and the ascent may end at such an edge.

    Source:
      Derived.

    Example:
      Two policies that blur one of two features each; the first feature wants the second policy:

      >>> with jax.enable_x64(True):
      ...     blur_first = Moments(jnp.eye(2), jnp.diag(jnp.array([0.2, 0.9])))
      ...     blur_second = Moments(jnp.eye(2), jnp.diag(jnp.array([0.9, 0.2])))
      ...     found = design([blur_first, blur_second], jnp.array([1.0, 0.0]))
      ...     print(found.mixture, round(found.value, 4), found.gap)
      [0. 1.] 0.974 0.0
    """
    layer = _check_design(policies, direction, maximize, quantity, depth, head_layers, points)
    direction = jnp.asarray(direction) / jnp.linalg.norm(direction)
    network = _Network(
        loss=loss,
        depth=depth,
        rank=rank,
        weight_decay=weight_decay,
        range_tolerance=max(default_range_tolerance(moments) for moments in policies),
        layer=layer,
        quantity=quantity,
    )
    slopes = functools.partial(_slopes, network, tuple(policies), direction)
    starts = np.concatenate(
        [np.full((1, len(policies)), 1.0 / len(policies)), np.eye(len(policies))]
    )
    ends = [_ascend(slopes, starts, balance) for balance in jnp.linspace(0.0, 1.0, points)]
    best, log_value, slope = ends[0]
    value = float(np.exp(log_value))
    mixtures = np.stack([*np.eye(len(policies)), *(end[0] for end in ends)])
    readings = [np.asarray(part) for part in _read(network, tuple(policies), direction, mixtures)]
    pure, frontier = (
        Tradeoff(**dict(zip(("mixtures", "weights", "shares", "ranks", "active"), rows)))
        for rows in zip(*(np.split(part, [len(policies)]) for part in (mixtures, *readings)))
    )
    return Design(
        mixture=best,
        value=value,
        gradient=value * slope,
        gap=value * float(np.max(slope) - best @ slope),
        pure=pure,
        frontier=frontier,
    )


def _check_design(policies, direction, maximize, quantity, depth, head_layers, points) -> int:
    """Refuse what nothing can be designed from; return the index of the layer that counts."""
    require_float64(direction=direction)
    require_depth(depth)
    require_count("head_layers", head_layers)
    require_count("points", points, least=2)
    if len(policies) < 2:
        raise InputError(f"{len(policies)} policies given, wanted at least two to mix")
    dim = policies[0].covariance.shape[0]
    length = float(np.linalg.norm(direction))
    if direction.shape != (dim,) or not np.isfinite(length) or length == 0.0:
        raise InputError(
            f"direction has shape {direction.shape} and length {length:g}, wanted ({dim},) as the"
            " features, finite and not zero"
        )
    for name, word, words in (
        ("maximize", maximize, ("pre", "post")),
        ("quantity", quantity, ("weight", "share")),
    ):
        if word not in words:
            raise InputError(f"{name} is {word!r}, wanted {words[0]!r} or {words[1]!r}")
    if maximize == "pre" and head_layers >= depth:
        raise InputError(
            f"a head of {head_layers} layers in a network of depth {depth} leaves no layer before"
            " it: give a larger depth, or maximize 'post'"
        )
    return depth - 1 - (head_layers if maximize == "pre" else 0)


class _Network(NamedTuple):
    """What is trained, and which number of it is maximized; compiled once for each."""

    loss: Callable[[Moments], QuadraticLoss]
    depth: int
    rank: int | None
    weight_decay: float
    range_tolerance: float
    layer: int
    quantity: str


def _predict(network, policies, mixture):
    moments = mix_moments(policies, mixture)
    loss = dataclasses.replace(network.loss(moments), range_tolerance=network.range_tolerance)
    prediction = solve(
        loss, depth=network.depth, rank=network.rank, weight_decay=network.weight_decay
    )
    return moments.covariance, prediction


def _log_value(mixture, network, policies, direction, balance):
    covariance, prediction = _predict(network, policies, mixture)
    if network.quantity == "weight":
        own = layer_weights(prediction, direction)[network.layer]
    else:
        own = layer_share(prediction, direction, covariance)[network.layer]
    rest = jnp.eye(direction.shape[0]) - jnp.outer(direction, direction)
    across = jnp.sum(prediction.grams[network.layer] * (rest @ covariance @ rest))
    logs = jnp.log(jnp.maximum(own, _SMALLEST)), 0.5 * jnp.log(jnp.maximum(across, _SMALLEST))
    return (1.0 - balance) * logs[0] + balance * logs[1]


@functools.partial(jax.jit, static_argnums=0)
def _slopes(network, policies, direction, mixtures, balance):
    slope = jax.value_and_grad(_log_value)
    return jax.vmap(lambda mixture: slope(mixture, network, policies, direction, balance))(mixtures)


@functools.partial(jax.jit, static_argnums=0)
def _read(network, policies, direction, mixtures):
    def read(mixture):
        covariance, prediction = _predict(network, policies, mixture)
        shares = layer_share(prediction, direction, covariance)
        weights = layer_weights(prediction, direction)
        return weights, shares, effective_ranks(prediction), prediction.active

    return jax.vmap(read)(mixtures)


def _ascend(slopes, starts, balance):
    """Return where projected gradient ascent ends best, of several starts, its value and slope."""
    points, steps = starts, np.full(len(starts), 0.1)
    values, gradients = (np.asarray(part) for part in slopes(points, balance))
    for _ in range(_STEPS):
        gaps = np.max(gradients, axis=1) - np.sum(points * gradients, axis=1)
        if np.all((gaps < _GAP) | (steps < _SHORTEST)):
            break
        trials = _project(points + steps[:, None] * gradients)
        moved = trials - points
        found, slope = (np.asarray(part) for part in slopes(trials, balance))
        # Armijo's condition along the projected arc; the step is halved where it fails.
        better = found >= values + 1e-4 * np.sum(gradients * moved, axis=1)
        bend = -np.sum(moved * (slope - gradients), axis=1)
        secant = np.sum(moved**2, axis=1) / np.where(bend > 0.0, bend, 1.0)
        grown = np.where(bend > 0.0, np.clip(secant, 1e-6, 1e6), 4.0 * steps)
        steps = np.where(better, grown, 0.5 * steps)
        points = np.where(better[:, None], trials, points)
        values = np.where(better, found, values)
        gradients = np.where(better[:, None], slope, gradients)
    best = np.argmax(values)
    return points[best], values[best], gradients[best]


def _project(points: Float[np.ndarray, "rows policies"]) -> Float[np.ndarray, "rows policies"]:
    """Return the nearest points of the simplex: max(x − level, 0), of sum 1."""
    ordered = -np.sort(-points, axis=1)
    levels = (np.cumsum(ordered, axis=1) - 1.0) / np.arange(1, points.shape[1] + 1)
    last = np.sum(ordered > levels, axis=1) - 1
    return np.maximum(points - levels[np.arange(len(points)), last][:, None], 0.0)
