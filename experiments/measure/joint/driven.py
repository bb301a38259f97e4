"""A linear head trained with its encoder, beside the head that the encoder's moments drive.

From the weights at the start, the learning rates and moments along the training, theory descends
in float64 with the rule of the training. The drive is measured and contains the encoder's reaction
to the head: errors say how well the head follows the moments, not where the moments go.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.core.measurements import Measurement
from experiments.measure.joint.drives import (
    Features,
    average_end,
    average_moments,
    average_operators,
    average_time,
    exchange_batches,
    keep_moments,
    read_features,
    replay_batches,
    shuffle_time,
)
from experiments.measure.rows import exact_row
from experiments.measure.subject import Curve, Subject
from experiments.networks.settings import MOMENT_WINDOWS
from theory.dynamics.driven import Windows, driven_descent
from theory.layers.chain import chain_layer_grams
from theory.linalg.powers import psd_power

ALIVE = 0.1
"""A mode is counted above this size, of at most 1."""
DIVERGED = 1e6
"""Error of a head that is no number any more."""
DRAWS = 3
"""Shuffles of time, of which the best is the rival."""
EXCHANGES = 2
"""Replays with other batches."""

Weights = tuple[Float[Array, "_ _"], ...]


class Course(NamedTuple):
    """A training, as far as a prediction may know it, and where it ended.

    Attributes:
      start: W_1 … W_L before the first step; float64.
      end: After the last.
      rates: Learning rate of every step.
      momentum: Heavy-ball β.
      weight_decay: Of the head, coupled.
    """

    start: Weights
    end: Weights
    rates: Float[Array, " steps"]
    momentum: float
    weight_decay: float


def measure_driven(subject: Subject) -> Iterator[Measurement | Curve]:
    """Yield errors of the predicted Grams, number and sizes of modes, by theory and by rivals.

    Args:
      subject: Trained with the observer `features`.
    """
    features = read_features(subject)
    depth = len(subject.training.widths)
    with jax.enable_x64(True):
        course = read_course(subject)
        predictions = predict_heads(course, features, subject.seed)
        for variant, layers in predictions.items():
            key = subject.key("gram_error", variant, depth=depth)
            yield exact_row(key, gram_error(layers, course.end))
        yield exact_row(
            subject.key("floor", depth=depth), exchange_error(course, features, subject.seed)
        )
        yield from _compare_modes(subject, course, features, predictions)


def measure_window_lengths(subject: Subject) -> Iterator[Measurement]:
    """Yield the error with coarser windows, and with every step's own batch.

    Args:
      subject: Trained with the observer `features`.
    """
    features = read_features(subject)
    depth = len(subject.training.widths)
    with jax.enable_x64(True):
        course = read_course(subject)
        for steps in MOMENT_WINDOWS:
            layers = descend_driven(course, average_moments(features, steps))
            key = subject.key("gram_error", "theory", depth=depth, window=steps)
            yield exact_row(key, gram_error(layers, course.end))
        layers = descend_driven(course, replay_batches(features))
        key = subject.key("gram_error", "theory", depth=depth, moments="batch")
        yield exact_row(key, gram_error(layers, course.end))


def measure_operators(subject: Subject) -> Iterator[Measurement]:
    """Yield the error with plain moments and with the mean operator of the batches.

    Args:
      subject: Trained with the observer `features`.
    """
    features = read_features(subject)
    depth = len(subject.training.widths)
    with jax.enable_x64(True):
        course = read_course(subject)
        for settings, windows in (
            ({}, average_moments(features)),
            ({"moments": "operator"}, average_operators(features)),
        ):
            key = subject.key("gram_error", "theory", depth=depth, **settings)
            yield exact_row(key, gram_error(descend_driven(course, windows), course.end))


def read_course(subject: Subject) -> Course:
    """Return a training as a prediction may know it; call inside ``jax.enable_x64(True)``."""
    start, end = (
        tuple(jnp.asarray(weight, float) for weight in subject.variants[name].head_weights())
        for name in ("untrained", "trained")
    )
    training = subject.training
    rates = jnp.asarray(subject.observed["learning_rate"], float)
    return Course(start, end, rates, training.momentum, training.head_weight_decay)


def predict_heads(course: Course, features: Features, seed: int) -> dict[str, Weights]:
    """Return the head at the end by theory and by its rivals, by variant.

    Of the shuffles of time the one that comes closest to the end counts.

    Args:
      course: Start, rates, momentum and decay.
      features: Of every step.
      seed: Draws the shuffles.
    """
    windows = average_moments(features)
    last = len(windows.centers) - 1
    drives = {
        "theory": windows,
        "rival:final": keep_moments(windows, jnp.array([last])),
        "rival:initial": keep_moments(windows, jnp.array([0])),
        "rival:time_mean": average_time(windows),
        "rival:reversed": keep_moments(windows, jnp.arange(last, -1, -1)),
    }
    heads = {name: descend_driven(course, drive) for name, drive in drives.items()}
    shuffled = [
        descend_driven(course, shuffle_time(features, DRAWS * seed + draw)) for draw in range(DRAWS)
    ]
    heads["rival:shuffled"] = min(shuffled, key=lambda layers: gram_error(layers, course.end))
    heads["rival:no_decay"] = descend_driven(course._replace(weight_decay=0.0), windows)
    if course.momentum > 0:
        heads["rival:no_momentum"] = descend_driven(course._replace(momentum=0.0), windows)
    heads["rival:not_moved"] = course.start
    return heads


def descend_driven(course: Course, windows: Windows) -> Weights:
    """Return the layers after descent on given windows, by the rule of the training."""
    paths = driven_descent(
        course.rates, course.momentum, windows, course.start, course.weight_decay
    )
    return tuple(path[-1] for path in paths)


def exchange_error(course: Course, features: Features, seed: int) -> float:
    """Return how far the exact operator lands with other batches: what no prediction can know.

    Args:
      course: Start, rates, momentum and decay.
      features: Of every step.
      seed: Draws the other batches; the mean of `EXCHANGES` draws is returned.
    """
    errors = [
        gram_error(
            descend_driven(course, exchange_batches(features, EXCHANGES * seed + draw)), course.end
        )
        for draw in range(EXCHANGES)
    ]
    return float(np.mean(errors))


def gram_error(predicted: Weights, measured: Weights) -> float:
    """Return the largest relative Frobenius error of a layer's Gram, at most `DIVERGED`."""
    pairs = zip(chain_layer_grams(predicted), chain_layer_grams(measured), strict=True)
    errors = [float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b)) for a, b in pairs]
    return min(max(errors), DIVERGED) if np.all(np.isfinite(errors)) else DIVERGED


def _compare_modes(
    subject: Subject, course: Course, features: Features, predictions: dict[str, Weights]
) -> Iterator[Measurement | Curve]:
    """Yield errors of the number of modes and of their sizes, and the sizes themselves.

    Sizes are read along the directions of the trained head; a mode's error is |log ratio|. Heads
    that have diverged have no modes.
    """
    depth = len(course.start)
    root = np.asarray(psd_power(average_end(features).covariance, 0.5))
    measured = _output(course.end, root)
    sizes, directions = np.linalg.eigh(measured)
    alive = max(int(np.sum(sizes > ALIVE)), 1)
    sizes, directions = sizes[::-1][:alive], directions[:, ::-1][:, :alive]
    for variant in ("theory", "rival:final"):
        found = np.linalg.eigvalsh(_output(predictions[variant], root))
        count = max(int(np.sum(found > ALIVE)), 1)
        key = subject.key("count_error", variant, depth=depth)
        yield exact_row(key, abs(float(np.log(count / alive))), alive)
    for variant in ("theory", "rival:initial", "rival:not_moved"):
        along = np.sum(directions * (_output(predictions[variant], root) @ directions), axis=0)
        along = np.clip(along, sizes / DIVERGED, sizes * DIVERGED)
        error = float(np.median(np.abs(np.log(along / sizes))))
        yield exact_row(subject.key("size_error", variant, depth=depth), error, alive)
        if variant == "theory":
            yield Curve(subject.key("sizes", variant, depth=depth), along)
            yield Curve(subject.key("sizes", depth=depth), sizes)


def _output(layers: Weights, root: np.ndarray) -> Float[np.ndarray, "width width"]:
    """Return Σ^½ WᵀW Σ^½, whose eigenvalues are the sizes of modes; 0 of heads that diverged."""
    output = root @ np.asarray(chain_layer_grams(layers)[-1]) @ root
    return output if np.all(np.isfinite(output)) else np.zeros_like(output)
