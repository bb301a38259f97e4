"""Forecast and measurement of a linear head that learns on frozen features."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.cosine_cells import Noise, plain_descent
from experiments.feature_banks import Banks
from experiments.head_comparison import RANGE_TOLERANCE, head_moments
from ssljax.losses import spectral_contrastive
from ssljax.nets.linear import linear_weights
from theory.comparison.nulls import shuffled_pairs_null
from theory.dynamics.courses import gram_time_courses
from theory.dynamics.layer_flow import quadratic_flow
from theory.dynamics.modes import commutator, mode_scales
from theory.dynamics.universal_curve import universal_fraction, universal_time
from theory.layers.chain import balance_residuals, chain_layer_grams
from theory.linalg.factors import factor_layer_grams
from theory.linalg.whitening import generalized_eigenpairs
from theory.losses.quadratic import QuadraticLoss, spectral_loss
from theory.moments.alignment import noise_floor

MODE_FLOOR = 0.1
Courses = Float[np.ndarray, "times modes"]


class Forecast(NamedTuple):
    """What moments taken before training say of every mode, and what training did.

    Attributes:
      scales: Variance s of each mode.
      alignments: Alignment a, descending.
      commutator: Relative commutator of the two moments; 0 where modes learn independently.
      times: Sum of learning rates.
      predicted: n(t) of each mode by the matrix flow.
      commuting: n(t) by the closed form of independent modes.
      shallow: n(t) of a head of one layer less.
      shuffled: n(t) where pairs share nothing.
      measured: n(t) of the trained head, along the same directions.
      halves: When the trained head reached half of a; NaN where it starts above a quarter or never
        does.
      clocks: Universal time of each mode, F_L(ρ₀) + 8 s^{1/L} a^{2−1/L} t.
      curve: The universal curve ρ there.
      balance: Balance residual at the end.
    """

    scales: Float[np.ndarray, " modes"]
    alignments: Float[np.ndarray, " modes"]
    commutator: float
    times: Float[np.ndarray, " times"]
    predicted: Courses
    commuting: Courses
    shallow: Courses
    shuffled: Courses
    measured: Courses
    halves: Float[np.ndarray, " modes"]
    clocks: Courses
    curve: Courses
    balance: float


def forecast_head(
    banks: Banks,
    seed: int,
    noise: Noise,
    *,
    depth: int,
    start: float,
    parts: int,
    steps: int,
) -> Forecast:
    """Forecast from the one bank, then train on the other.

    Args:
      banks: Unit features.
      seed: Of the start and of the batches.
      noise: Step size and batch size; no decay.
      depth: Number of layers L >= 2, all as wide as the feature.
      start: Eigenvalue r₀ of every layer's Gram at the start, all that the forecast knows of it.
      parts: Moments of training that are looked at.
      steps: Between them.

    Returns:
      Both.
    """
    width = banks.settling.shape[-1]
    sampled = head_moments(banks.prediction)
    times = noise.learning_rate * steps * np.arange(parts + 1)
    with jax.enable_x64(True):
        covariance = jnp.asarray(sampled.covariance, jnp.float64)
        cross = jnp.asarray(sampled.cross_covariance, jnp.float64)
        modes = generalized_eigenpairs(covariance, cross, range_tolerance=RANGE_TOLERANCE)
        images, views = banks.prediction.shape[:2]
        floor = noise_floor(width, images, views)
        count = int(jnp.sum(modes.values > max(MODE_FLOOR, floor)))
        # A mode is read along its own direction, so that nothing has to be sorted or matched.
        readers = covariance @ modes.vectors[:, :count]
        scales = jnp.asarray(mode_scales(modes))[:count]
        kept = jnp.asarray(modes.values)[:count]
        loss = spectral_loss(covariance, cross)
        shuffled = spectral_loss(covariance, shuffled_pairs_null(covariance, noise_floor=floor))
        predicted, shallow, unrelated = (
            _courses(each, layers, start, times, readers)
            for each, layers in ((loss, depth), (loss, depth - 1), (shuffled, depth))
        )
        initial = jnp.full(count, start)
        squares = gram_time_courses(scales, kept, initial, jnp.asarray(times), depth=depth)
        commuting = np.asarray(scales[None, :] * squares**depth)
        rates = 8.0 * scales ** (1.0 / depth) * kept ** (2.0 - 1.0 / depth)
        begun = universal_time(start / (kept / scales) ** (1.0 / depth), depth)
        clocks = jnp.asarray(begun)[None, :] + jnp.asarray(times)[:, None] * rates[None, :]
        curve = np.asarray(universal_fraction(clocks, depth))
        apart = float(commutator(covariance, cross))
    weights = linear_weights(
        jax.random.key(seed), (width,) * (depth + 1), init="balanced", scale=start
    )
    looks = plain_descent(
        tuple(map(np.asarray, weights)),
        banks.settling,
        seed,
        noise,
        loss=spectral_contrastive,
        parts=parts,
        steps=steps,
    )
    with jax.enable_x64(True):
        chains = [tuple(jnp.asarray(w, jnp.float64) for w in look) for look in looks]
        measured = [_sizes(chain_layer_grams(chain)[-1], readers) for chain in chains]
        balance = float(jnp.max(balance_residuals(chains[-1])))
    return Forecast(
        scales=np.asarray(scales),
        alignments=np.asarray(kept),
        commutator=apart,
        times=times,
        predicted=predicted,
        commuting=commuting,
        shallow=shallow,
        shuffled=unrelated,
        measured=np.stack(measured),
        halves=half_times(times, np.stack(measured), 0.5 * np.asarray(kept)),
        clocks=np.asarray(clocks),
        curve=curve,
        balance=balance,
    )


def half_times(times: np.ndarray, sizes: np.ndarray, height: np.ndarray) -> np.ndarray:
    """First time each mode reaches a height, linear between looks; NaN where it never does.

    Modes that start above half the height have no half-time to speak of: NaN too.
    """
    found = np.full(sizes.shape[1], np.nan)
    for mode, target in enumerate(height):
        above = np.flatnonzero(sizes[:, mode] >= target)
        if above.size == 0 or sizes[0, mode] > 0.5 * target:
            continue
        after = above[0]
        low, high = sizes[after - 1, mode], sizes[after, mode]
        share = (target - low) / (high - low)
        found[mode] = times[after - 1] + share * (times[after] - times[after - 1])
    return found


def _sizes(gram: jax.Array, readers: jax.Array) -> np.ndarray:
    """Size n of each mode: what a Gram makes of its direction."""
    return np.asarray(jnp.sum(readers * (gram @ readers), axis=0))


def _courses(
    loss: QuadraticLoss, depth: int, start: float, times: np.ndarray, readers: jax.Array
) -> np.ndarray:
    """n(t) of each mode along the balanced flow from layers of Gram `start` times the identity."""
    factor = np.sqrt(start) * jnp.eye(readers.shape[0])
    path = quadratic_flow(loss, factor, depth, jnp.asarray(times))
    return np.stack([_sizes(factor_layer_grams(each, depth)[-1], readers) for each in path])
