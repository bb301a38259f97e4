"""Descent on the diagonal model of a nonlinear head, from random starts, against its closed form.

Feature i of size φ has a weight w₁ before the head and, in the head, a threshold b and a weight w₂;
its output is h = w₂ (ReLU(w₁φ − b) − ReLU(−w₁φ − b)). Training minimizes Σ −2ρh² + h⁴, where ρ is
the share of the feature that positive pairs keep: 0 where augmentation disrupts it fully.

Disrupted features approach their end like a power of time, so descent is compared with flow at the
time of its end, not with the limit. With u = w₁φ − b, k = 1 + φ² and D = u²/k − w₂², which flow
conserves, q = h² obeys dq/dt = −8kq(q − ρ)R with R = √(D² + 4q/k), and q fixes all three weights.

What remains is the step η of descent. With g = 4h(h² − ρ) one step takes D to (1 − kη²g²)D exactly,
so that over the whole descent D loses the share

    δ = kη ∫g² dt = 2η ∫|q − ρ|/R dq ≤ η√k ∫√q dq = ⅔ η√k (w₂u)³

at ρ = 0, since R ≥ 2√(q/k), with w₂ and u of the start; features that grow to ρ ≤ 1 lose less. To
first order no weight at the end moves by more than δ/2 of itself, w₂ the most: η (√k/3) w₂⁴u³.
Starts have w₂ ≤ 1.2, u ≤ 1.8 and k ≤ 3.25, and η is 0.001 while features move: 0.0073, the bound
of the control. Later steps are larger, but add less than 1e-4.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.integrate import solve_ivp

from experiments.core.measurements import Measurement
from experiments.measure.rows import exact_row
from experiments.measure.subject import Subject
from theory.dynamics.end_states import DiagonalState, activation, diagonal_end

SIZES = (0.5, 1.0, 1.5)
RETENTIONS = (0.0, 0.25, 0.5, 1.0)
STARTS = 3
TIME, SMOKE_TIME = 20_000.0, 100.0
# Fast features move first: small steps keep descent close to flow until they have settled.
EARLY, EARLY_RATE, LATE_RATE = 10.0, 0.001, 0.01


class DiagonalEnds(NamedTuple):
    """Where descent and the closed form end, for every feature.

    Attributes:
      start: w₁, b and w₂ at the start, in rows.
      end: The same after descent.
      predicted: By the closed form, at infinite time.
      flowed: By flow, at the time when descent ends.
      linear: After descent without threshold, for as long.
      sizes: φ.
      retentions: ρ.
      valid: Where the closed form is meant: its threshold leaves one half of the activation shut.
    """

    start: Float[np.ndarray, "3 features"]
    end: Float[np.ndarray, "3 features"]
    predicted: Float[np.ndarray, "3 features"]
    flowed: Float[np.ndarray, "3 features"]
    linear: Float[np.ndarray, "3 features"]
    sizes: Float[np.ndarray, " features"]
    retentions: Float[np.ndarray, " features"]
    valid: Bool[np.ndarray, " features"]


def measure_diagonal(subject: Subject) -> Iterator[Measurement]:
    """Yield what is left of disrupted features before and after a head, and how well it is told.

    Args:
      subject: Its seed draws the starts; its size says how long descent goes on.
    """
    time = TIME if subject.size.judged else SMOKE_TIME
    with jax.enable_x64(True):
        ends = descend_from_random_starts(subject.seed, time)
        gone = ends.valid & (ends.retentions == 0)
        sizes = ends.sizes[gone]
        for weights, settings in ((ends.end, {}), (ends.linear, {"activation": "none"})):
            before = np.abs(weights[0, gone] * sizes)
            after = np.abs(output_amplitudes(weights[:, gone], sizes))
            for layer, amplitudes in (("feature", before), ("embedding", after)):
                key = subject.key("amplitude", layer=layer, **settings)
                yield exact_row(key, float(np.exp(np.log(amplitudes).mean())), len(sizes))
        errors = np.abs(ends.end - ends.flowed)[:, ends.valid]
        yield exact_row(subject.key("identity_error"), float(errors.max()), errors.shape[1])
        measured = np.log(np.abs(ends.end[0, gone]))
        for variant, weights in (("theory", ends.predicted), ("rival:start", ends.start)):
            error = np.sqrt(np.mean((np.log(np.abs(weights[0, gone])) - measured) ** 2))
            key = subject.key("log_error", variant, layer="feature")
            yield exact_row(key, float(error), len(sizes))


def descend_from_random_starts(seed: int, time: float) -> DiagonalEnds:
    """Return where descent ends for every size and retention, from starts that a seed draws.

    Args:
      seed: Draws w₁ in [0.8, 1.2], b in [0, 0.1] and w₂ in [0.2, 1.2].
      time: Steps times rate, at least `EARLY`.
    """
    draw = np.random.default_rng(seed).uniform
    starts = np.stack([draw(0.8, 1.2, STARTS), draw(0.0, 0.1, STARTS), draw(0.2, 1.2, STARTS)])
    start = np.repeat(starts, len(SIZES) * len(RETENTIONS), axis=1)
    sizes, retentions = (
        np.tile(grid.ravel(), STARTS) for grid in np.meshgrid(SIZES, RETENTIONS, indexing="ij")
    )
    without_threshold = start * np.array([[1.0], [0.0], [1.0]])
    end = _descend(start, sizes, retentions, time)
    linear = _descend(without_threshold, sizes, retentions, time, moving=(1.0, 0.0, 1.0))
    predicted = _weights_at(start, sizes, retentions)
    flowed = _weights_at(start, sizes, flow_squares(start, sizes, retentions, time))
    # Beyond, both halves of the activation are at work and the closed form is not meant.
    valid = predicted[1] > -predicted[0] * sizes
    return DiagonalEnds(start, end, predicted, flowed, linear, sizes, retentions, valid)


def flow_squares(
    start: Float[np.ndarray, "3 features"],
    sizes: Float[np.ndarray, " features"],
    retentions: Float[np.ndarray, " features"],
    time: float,
) -> Float[np.ndarray, " features"]:
    """Return h² of every feature after some time of gradient flow.

    Args:
      start: w₁, b and w₂, with w₁φ > b.
      sizes: φ.
      retentions: ρ.
      time: Of flow.
    """
    first, threshold, second = start
    spread, inner = 1 + sizes**2, first * sizes - threshold
    difference = inner**2 / spread - second**2

    def slope(_: float, logs: np.ndarray) -> np.ndarray:
        squares = np.exp(logs)
        sums = np.sqrt(difference**2 + 4 * squares / spread)
        return -8 * spread * (squares - retentions) * sums

    logs = np.log((second * inner) ** 2)
    found = solve_ivp(slope, (0.0, time), logs, method="LSODA", rtol=1e-9, atol=1e-10)
    return np.exp(found.y[:, -1])


def output_amplitudes(
    weights: Float[np.ndarray, "3 features"], sizes: Float[np.ndarray, " features"]
) -> Float[np.ndarray, " features"]:
    """Return h of every feature: what is left of it after the head."""
    state = DiagonalState(*map(jnp.asarray, weights))
    return np.asarray(activation(state, jnp.asarray(sizes)))


def _weights_at(
    start: np.ndarray, sizes: np.ndarray, squares: np.ndarray
) -> Float[np.ndarray, "3 features"]:
    """Return the weights that a start has when h² has come to some value.

    The closed form of the end is that for h² = ρ, and ρ enters in no other way.
    """
    state = DiagonalState(*map(jnp.asarray, start))
    found = diagonal_end(state, jnp.asarray(sizes), jnp.asarray(squares))
    return np.stack([np.asarray(part) for part in found])


def _descend(
    start: np.ndarray,
    sizes: np.ndarray,
    retentions: np.ndarray,
    time: float,
    moving: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Float[np.ndarray, "3 features"]:
    weights, given = jnp.asarray(start), (jnp.asarray(sizes), jnp.asarray(retentions))
    mask = jnp.asarray(moving)[:, None]
    for rate, span in ((EARLY_RATE, EARLY), (LATE_RATE, time - EARLY)):
        weights = _take_steps(weights, *given, mask, rate, round(span / rate))
    return np.asarray(weights)


@jax.jit
def _take_steps(
    weights: Array,
    sizes: Array,
    retentions: Array,
    mask: Array,
    rate: float | Array,
    count: int | Array,
) -> Array:
    def loss(given: Array) -> Array:
        first, threshold, second = given
        inner = first * sizes
        output = second * (jax.nn.relu(inner - threshold) - jax.nn.relu(-inner - threshold))
        return jnp.sum(-2.0 * retentions * output**2 + output**4)

    def step(_: Array, given: Array) -> Array:
        return given - rate * mask * jax.grad(loss)(given)

    return jax.lax.fori_loop(0, count, step, weights)
