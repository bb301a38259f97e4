"""When a linear head learns each mode and how large it gets, forecast before it trains."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from experiments.measure.heads.banks import RANGE_TOLERANCE, Banks, as_float64, measure_moments
from experiments.measure.heads.settle import Descent, Weights, descend
from ssljax.losses import spectral_contrastive
from ssljax.nets.linear import linear_weights
from theory.comparison.nulls import shuffled_pairs_null
from theory.dynamics.courses import escape_times, gram_time_courses
from theory.dynamics.layer_flow import quadratic_flow
from theory.dynamics.modes import mode_scales
from theory.dynamics.universal_curve import universal_fraction, universal_time
from theory.layers.chain import chain_layer_grams
from theory.linalg.arrays import Matrix
from theory.linalg.factors import factor_layer_grams
from theory.linalg.whitening import generalized_eigenpairs
from theory.losses.quadratic import QuadraticLoss, spectral_loss
from theory.moments.alignment import noise_floor

Courses = Float[np.ndarray, "times modes"]

DEPTH = 2
START = 0.25
"""Eigenvalue of every layer's Gram at the start: all that the forecast knows of it."""

LEAST_ALIGNMENT = 0.1
"""Weaker modes, and those that sampling alone would show, are not forecast."""

EXACT = 1e-12
"""Errors below count as this: their logarithm is read."""


class Forecast(NamedTuple):
    """Courses of the modes of a head, forecast and measured.

    Attributes:
      times: Sum of learning rates.
      courses: n(t) by `theory` and `rival:NAME`.
      measured: n(t) of the trained head along the same directions.
      scales: Variance s of each mode.
      alignments: Alignment a, descending: where n ends.
      inverse_rates: 1/(s a) in units of time, as for small starts and independent modes.
    """

    times: Float[np.ndarray, " times"]
    courses: dict[str, Courses]
    measured: Courses
    scales: Float[np.ndarray, " modes"]
    alignments: Float[np.ndarray, " modes"]
    inverse_rates: Float[np.ndarray, " modes"]


def forecast_head(banks: Banks, seed: int, descent: Descent, looks: int, steps: int) -> Forecast:
    """Return a forecast from one bank and what training on the other did.

    Rivals are a head of one layer less (`one_less`), modes that learn independently
    (`independent`), pairs that share nothing (`shuffled`) and one course for all modes, in units of
    their ends (`one_curve`).

    Args:
      banks: Features.
      seed: Of the start and of the batches.
      descent: Of the training; no decay.
      looks: At the head, after the start.
      steps: Between looks.
    """
    images, views, width = banks.prediction.shape
    times = descent.learning_rate * steps * np.arange(looks + 1)
    with jax.enable_x64(True):
        moments = measure_moments(banks.prediction)
        covariance, cross = moments.covariance, moments.cross_covariance
        modes = generalized_eigenpairs(covariance, cross, range_tolerance=RANGE_TOLERANCE)
        floor = noise_floor(width, images, views)
        count = max(int(jnp.sum(modes.values > max(LEAST_ALIGNMENT, floor))), 1)
        # A mode is read along its own direction, so that nothing has to be sorted or matched.
        readers = jnp.asarray(covariance @ modes.vectors[:, :count])
        scales = jnp.asarray(mode_scales(modes))[:count]
        ends = jnp.asarray(modes.values)[:count]
        loss = spectral_loss(covariance, cross)
        unrelated = spectral_loss(covariance, shuffled_pairs_null(covariance, noise_floor=floor))
        start = jnp.full(count, START)
        independent = gram_time_courses(scales, ends, start, jnp.asarray(times), depth=DEPTH)
        courses = {
            "theory": _follow(loss, DEPTH, times, readers),
            "rival:one_less": _follow(loss, DEPTH - 1, times, readers),
            "rival:shuffled": _follow(unrelated, DEPTH, times, readers),
            "rival:independent": np.asarray(scales[None] * independent**DEPTH),
            "rival:one_curve": np.asarray(ends[None] * _common_curve(scales, ends, times)[:, None]),
        }
        waits = escape_times(scales, ends, depth=DEPTH, init_scale=float(np.sqrt(START)))
    weights = linear_weights(
        jax.random.key(seed), (width,) * (DEPTH + 1), init="balanced", scale=START
    )
    heads = descend(
        tuple(map(np.asarray, weights)),
        banks.training,
        seed,
        descent,
        loss=spectral_contrastive,
        looks=looks,
        steps=steps,
    )
    with jax.enable_x64(True):
        measured = np.stack([_read(_whole(head), readers) for head in heads])
    return Forecast(
        times, courses, measured, np.asarray(scales), np.asarray(ends), np.asarray(waits)
    )


def course_error(predicted: Courses, measured: Courses) -> float:
    """Return the median |log| of predicted over measured, over modes and times after the start."""
    return _median_log(predicted[1:], measured[1:])


def size_error(predicted: Courses, measured: Courses) -> float:
    """Return the median |log| of predicted over measured at the end, over modes."""
    return _median_log(predicted[-1], measured[-1])


class HalfTimes(NamedTuple):
    """Half-times of the modes that have one: predicted or measured, one falls into the training.

    Attributes:
      known: Which modes these are.
      predicted: By theory.
      measured: Of the trained head.
    """

    known: Bool[np.ndarray, " modes"]
    predicted: Float[np.ndarray, " known"]
    measured: Float[np.ndarray, " known"]


def compare_half_times(found: Forecast) -> HalfTimes:
    """Return predicted and measured half-times; the end of training where there is none at all."""
    predicted, measured = (
        half_times(found.times, courses, found.alignments)
        for courses in (found.courses["theory"], found.measured)
    )
    last = found.times[-1]
    known = np.isfinite(predicted + measured) & (np.minimum(predicted, measured) < last)
    if not known.any():
        return HalfTimes(~known, np.full(known.shape, last), np.full(known.shape, last))
    return HalfTimes(known, predicted[known], measured[known])


def time_errors(found: Forecast) -> dict[str, float]:
    """Return the median |log| of predicted over measured half-times, by variant.

    `rival:order` takes half-times in proportion to 1/s alone, with the constant that fits best;
    `rival:inverse_rate` those of independent modes and small starts, in proportion to 1/(s a).
    """
    known, predicted, measured = compare_half_times(found)
    scales = found.scales[known]
    constant = np.exp(np.median(np.log(measured * scales)))
    rivals = {
        "theory": predicted,
        "rival:order": constant / scales,
        "rival:inverse_rate": found.inverse_rates[known],
    }
    return {name: _median_log(times, measured) for name, times in rivals.items()}


def half_times(
    times: Float[np.ndarray, " times"], courses: Courses, ends: Float[np.ndarray, " modes"]
) -> Float[np.ndarray, " modes"]:
    """Return when each mode first has half of its end, linear between looks.

    The last time stands for modes that never do, NaN for those that start above a quarter.
    """
    found = np.full(courses.shape[1], times[-1])
    for mode, height in enumerate(0.5 * ends):
        above = np.flatnonzero(courses[:, mode] >= height)
        if courses[0, mode] > 0.5 * height:
            found[mode] = np.nan
        elif above.size:
            after = above[0]
            low, high = courses[after - 1 : after + 1, mode]
            share = (height - low) / (high - low)
            found[mode] = times[after - 1] + share * (times[after] - times[after - 1])
    return found


def _median_log(predicted: np.ndarray, measured: np.ndarray) -> float:
    return max(float(np.median(np.abs(np.log(predicted / measured)))), EXACT)


def _whole(head: Weights) -> Matrix:
    return chain_layer_grams(as_float64(head))[-1]


def _read(gram: Matrix, readers: jax.Array) -> np.ndarray:
    """Return the size of each mode: what a Gram makes of its direction."""
    return np.asarray(jnp.sum(readers * (gram @ readers), axis=0))


def _follow(loss: QuadraticLoss, depth: int, times: np.ndarray, readers: jax.Array) -> Courses:
    factor = np.sqrt(START) * jnp.eye(readers.shape[0])
    path = quadratic_flow(loss, factor, depth, jnp.asarray(times))
    grams = jax.lax.map(lambda factor: factor_layer_grams(factor, depth)[-1], path)
    return np.asarray(jnp.einsum("im,tij,jm->tm", readers, grams, readers))


def _common_curve(scales: jax.Array, ends: jax.Array, times: np.ndarray) -> jax.Array:
    """Return n/a at each time as it is for the median mode, were modes independent."""
    begun = universal_time(START / (ends / scales) ** (1.0 / DEPTH), DEPTH)
    rates = 8.0 * scales ** (1.0 / DEPTH) * ends ** (2.0 - 1.0 / DEPTH)
    clocks = jnp.asarray(begun)[None] + jnp.asarray(times)[:, None] * rates[None]
    return jnp.median(universal_fraction(clocks, DEPTH), axis=1) ** DEPTH
