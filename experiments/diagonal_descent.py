"""Gradient descent on the diagonal model of a nonlinear head, against its closed-form end."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from theory.dynamics.end_states import DiagonalState, activation, diagonal_end

# Starts (w₁, b, w₂): the identity, a small head, a large head with a threshold.
STARTS = ((1.0, 0.0, 1.0), (1.0, 0.0, 0.2), (0.8, 0.1, 1.2))
SIZES = (0.5, 1.0, 1.5)
RETENTIONS = (0.0, 0.25, 0.5, 1.0)
# Fast features move first: small steps keep descent close to flow until they have settled.
EARLY, EARLY_RATE, LATE_RATE = 10.0, 0.001, 0.01
Weights = Float[Array, "parts modes"]


class Courses(NamedTuple):
    """Features along descent: weights, and what is left of them in each layer.

    Attributes:
      times: Sum of the rates of all steps so far.
      weights: w₁, b and w₂ of each feature.
      before: Amplitude w₁φ before the head.
      after: Amplitude after it.
    """

    times: Float[np.ndarray, " times"]
    weights: Float[np.ndarray, "times parts modes"]
    before: Float[np.ndarray, "times modes"]
    after: Float[np.ndarray, "times modes"]


class DiagonalCheck(NamedTuple):
    """Every start, size and retention whose closed form is valid, and the linear network.

    Attributes:
      errors: Largest error of a weight at the end, for each feature.
      moved: How far the start was from the end, likewise.
      disrupted_after: Amplitude after the head of the fully disrupted features.
      disrupted_before: Amplitude before the head, the same features.
      predicted_before: As the closed form has it.
      identity: Course of a fully disrupted feature of size 1 from the identity.
      linear: The same without threshold.
      retentions: Retentions of the features below, all of size 1 from the identity.
      ends: Their amplitudes before and after the head.
      predicted_ends: By the closed form.
    """

    errors: Float[np.ndarray, " modes"]
    moved: Float[np.ndarray, " modes"]
    disrupted_after: Float[np.ndarray, " disrupted"]
    disrupted_before: Float[np.ndarray, " disrupted"]
    predicted_before: Float[np.ndarray, " disrupted"]
    identity: Courses
    linear: Courses
    retentions: Float[np.ndarray, " kept"]
    ends: Float[np.ndarray, "layers kept"]
    predicted_ends: Float[np.ndarray, "layers kept"]


def symmetrized_amplitude(weights: Weights, size: Float[Array, " modes"]) -> Array:
    """w₂ (ReLU(w₁φ − b) − ReLU(−w₁φ − b)), the output at the positive data point."""
    first, bias, second = weights
    inner = first * size
    return second * (jax.nn.relu(inner - bias) - jax.nn.relu(-inner - bias))


def diagonal_courses(
    start: Weights,
    size: Float[Array, " modes"],
    retention: Float[Array, " modes"],
    times: Float[np.ndarray, " times"],
    linear: Bool[np.ndarray, " modes"],
) -> Courses:
    """Descent on the spectral loss −2ρh² + h⁴ of every feature, by automatic differentiation.

    Args:
      start: w₁, b, w₂ in rows.
      size: φ of each feature.
      retention: ρ of each feature.
      times: When to look, ascending, > 0; `EARLY` among them where any is later.
      linear: Features whose threshold does not move: from 0 their network is linear.

    Returns:
      The courses.
    """
    mask = jnp.stack([jnp.ones(len(linear)), jnp.asarray(1.0 - linear), jnp.ones(len(linear))])
    path, now = [], 0.0
    weights = start
    for then in times:
        rate = EARLY_RATE if then <= EARLY else LATE_RATE
        weights = _descended(weights, size, retention, mask, rate, round((then - now) / rate))
        path.append(weights)
        now = float(then)
    found = jnp.stack(path)
    return Courses(
        times,
        np.asarray(found),
        np.asarray(found[:, 0] * size[None]),
        np.asarray(jax.vmap(symmetrized_amplitude, in_axes=(0, None))(found, size)),
    )


@jax.jit
def _descended(weights, size, retention, mask, rate, count):
    def loss(given):
        output = symmetrized_amplitude(given, size)
        return jnp.sum(-2.0 * retention * output**2 + output**4)

    def step(_, given):
        return given - rate * mask * jax.grad(loss)(given)

    return jax.lax.fori_loop(0, count, step, weights)


def diagonal_check(time: float) -> DiagonalCheck:
    """Descend from every start, with every size and retention.

    Args:
      time: Of descent, above `EARLY`.

    Returns:
      The check.
    """
    grid = [(s, p, r) for s in STARTS for p in SIZES for r in RETENTIONS]
    # The last one is the linear network, of size 1 from the identity, fully disrupted.
    grid.append((STARTS[0], 1.0, 0.0))
    start = jnp.array([s for s, _, _ in grid]).T
    size = jnp.array([p for _, p, _ in grid])
    retention = jnp.array([r for _, _, r in grid])
    linear = np.arange(len(grid)) == len(grid) - 1
    times = np.concatenate([np.geomspace(0.1, EARLY, 21), np.geomspace(EARLY, time, 61)[1:]])
    courses = diagonal_courses(start, size, retention, times, linear)

    end = diagonal_end(DiagonalState(*start), size, retention)
    expected = np.stack([np.asarray(part) for part in end])
    before, after = expected[0] * np.asarray(size), np.asarray(activation(end, size))
    last = courses.weights[-1]
    # Beyond, both halves of the activation are at work and the closed form is not meant.
    valid = ~linear & (expected[1] > -before)
    gone = valid & (np.asarray(retention) == 0.0)
    same = [n for n, (s, p, _) in enumerate(grid[:-1]) if s == STARTS[0] and p == 1.0]
    return DiagonalCheck(
        errors=np.max(np.abs(last - expected), axis=0)[valid],
        moved=np.max(np.abs(np.asarray(start) - expected), axis=0)[valid],
        disrupted_after=courses.after[-1][gone],
        disrupted_before=courses.before[-1][gone],
        predicted_before=before[gone],
        identity=_one(courses, same[0]),
        linear=_one(courses, len(grid) - 1),
        retentions=np.array(RETENTIONS),
        ends=np.stack([courses.before[-1][same], courses.after[-1][same]]),
        predicted_ends=np.stack([before[same], after[same]]),
    )


def _one(courses: Courses, place: int) -> Courses:
    """The course of one feature."""
    return Courses(
        courses.times,
        courses.weights[..., place : place + 1],
        courses.before[:, place : place + 1],
        courses.after[:, place : place + 1],
    )
