"""What drives a linear head that trains with its encoder: moments of the features, along training.

Every function returns one of theory's windows, from the features that the loss saw at every step;
call them inside ``jax.enable_x64(True)``.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from experiments.measure.subject import Subject
from theory.dynamics.driven import BatchWindows, MomentWindows, window_moments
from theory.moments.moments import Moments

WINDOW = 20
"""Steps over which moments are averaged."""
LAST_STEPS = 50
"""Steps whose moments turn Grams at the end into sizes of modes."""
BLOCK = 10
"""Steps that stay together where time is shuffled."""
NEAR = 10
"""Steps between a batch and the one that stands for it, at most."""


class Features(NamedTuple):
    """What the loss saw at every step: the centered features of both views.

    Attributes:
      first: Of the first view.
      second: Of the second.
    """

    first: Float32[np.ndarray, "steps batch width"]
    second: Float32[np.ndarray, "steps batch width"]


def read_features(subject: Subject) -> Features:
    """Return the features that the observer `features` recorded."""
    first, second = (np.asarray(subject.observed[f"features/{name}"]) for name in Features._fields)
    return Features(first, second)


def average_moments(features: Features, length: int = WINDOW) -> MomentWindows:
    """Return the mean moments of windows of steps; steps left over at the end are dropped.

    Args:
      features: Of every step.
      length: Steps in a window; a training that is shorter is one window.
    """
    length = min(length, len(features.first))
    first, second = _as_float64(features)
    return window_moments(first, second, length)


def average_end(features: Features) -> Moments:
    """Return the mean moments of the last `LAST_STEPS`."""
    last = average_moments(Features(*(part[-LAST_STEPS:] for part in features)), LAST_STEPS)
    return Moments(last.covariances[0], last.cross_covariances[0])


def keep_moments(windows: MomentWindows, chosen: Array) -> MomentWindows:
    """Return windows of the same times with the moments of others.

    Args:
      windows: As they were.
      chosen: Which window's moments stand in each place; one index for constant moments.
    """
    centers = windows.centers[: len(chosen)]
    return MomentWindows(centers, windows.covariances[chosen], windows.cross_covariances[chosen])


def average_time(windows: MomentWindows) -> MomentWindows:
    """Return the mean over the whole training, constant."""
    means = (
        jnp.mean(part, axis=0, keepdims=True)
        for part in (windows.covariances, windows.cross_covariances)
    )
    return MomentWindows(windows.centers[:1], *means)


def shuffle_time(features: Features, seed: int) -> MomentWindows:
    """Return the moments of blocks of `BLOCK` steps in a random order."""
    windows = average_moments(features, BLOCK)
    order = np.random.default_rng(seed).permutation(len(windows.centers))
    return keep_moments(windows, jnp.asarray(order))


def replay_batches(features: Features) -> BatchWindows:
    """Return every step's own batch: with it theory repeats the training exactly."""
    centers = jnp.arange(float(len(features.first)))
    return BatchWindows(centers, *(part[:, None] for part in _as_float64(features)))


def exchange_batches(features: Features, seed: int) -> BatchWindows:
    """Return for every step the batch of another step within `NEAR`: equally good, but not its own.

    Args:
      features: Of every step.
      seed: Draws the other steps.
    """
    steps = len(features.first)
    draw = np.random.default_rng(seed)
    away = draw.integers(1, NEAR + 1, steps) * draw.choice((-1, 1), steps)
    other = np.arange(steps) + away
    # Beyond either end, the step at the same distance on the other side.
    other = np.where((other < 0) | (other >= steps), np.arange(steps) - away, other)
    return replay_batches(Features(*(part[other.clip(0, steps - 1)] for part in features)))


def average_operators(features: Features, length: int = WINDOW) -> BatchWindows:
    """Return the batches of windows of steps, whose mean operator knows what normalization does.

    Args:
      features: Of every step.
      length: Steps in a window; steps left over at the end are dropped.
    """
    length = min(length, len(features.first))
    windows = len(features.first) // length
    first, second = (
        part[: windows * length].reshape(windows, length, *part.shape[1:])
        for part in _as_float64(features)
    )
    centers = length * jnp.arange(windows) + 0.5 * (length - 1)
    return BatchWindows(centers, first, second)


def _as_float64(features: Features) -> tuple[Float[Array, "steps batch width"], ...]:
    return tuple(jnp.asarray(part, float) for part in features)
