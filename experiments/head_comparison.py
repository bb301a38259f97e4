"""A linear head against what theory makes of the features it stands on."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ssljax.losses import spectral_contrastive
from ssljax.measure.settle import PairLoss, settle_head, settling_path
from theory.comparison.nulls import prediction_nulls
from theory.comparison.verdict import JointVerdict, judge_head
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_grams, layer_spectra
from theory.linalg.whitening import generalized_eigenpairs
from theory.losses.quadratic import spectral_loss
from theory.moments.alignment import noise_floor
from theory.moments.moments import Moments, moments_from_views
from theory.optimum.decay import decayed_optimum
from theory.optimum.quadratic import quadratic_optimum
from theory.optimum.thresholds import decay_thresholds

Weights = tuple[Float[np.ndarray, "_ _"], ...]
Views = Float[np.ndarray, "images views width"]

OVERSHOOT = 1.25
# Features are float32: directions below this share of the largest variance are rounding.
RANGE_TOLERANCE = 1e-6


class HeadPrediction(NamedTuple):
    """What the moments of the features say about a head, as NumPy arrays.

    Attributes:
      grams: Layer Grams, (depth, width, width).
      modes: Predicted eigenvalues n of the embedding's covariance, descending.
      alignments: Alignments of the features' moments, descending.
      gap: Eigenvalue n below which no mode of the weakest kept alignment can last.
      floor: Alignment that sampling alone produces.
      undecayed_modes: n without weight decay.
    """

    grams: Float[np.ndarray, "depth width width"]
    modes: Float[np.ndarray, " width"]
    alignments: Float[np.ndarray, " width"]
    gap: float
    floor: float
    undecayed_modes: Float[np.ndarray, " width"]


class HeadOutcome(NamedTuple):
    """One head held against its prediction.

    Attributes:
      prediction: From the moments alone.
      verdict: Every metric and null.
      measured_modes: Measured eigenvalues n of the embedding's covariance, descending.
      undecayed_error: Median relative error of n predicted without weight decay, on the modes
        that are active in the measurement.
    """

    prediction: HeadPrediction
    verdict: JointVerdict
    measured_modes: Float[np.ndarray, " width"]
    undecayed_error: float


def settled_weights(
    weights: Weights,
    views: Views,
    seed: int,
    *,
    weight_decay: float,
    num_steps: int = 4000,
    learning_rate: float = 0.01,
    loss: PairLoss = spectral_contrastive,
    adaptive: bool = False,
) -> Weights:
    """The head after training on with the encoder frozen.

    Args:
      weights: W_1 ... W_L to start from, (out, in).
      views: Features of several views of each image, centered.
      seed: Randomness of the batches.
      weight_decay: Final coefficient X; the path to it is `ssljax.measure.settle.settling_path`'s.
      num_steps: Steps.
      learning_rate: Step size before it falls.
      loss: Of the embeddings of two views.
      adaptive: AdamW in place of momentum descent, to see the law fail.

    Returns:
      The settled weights.
    """
    path = settling_path(
        num_steps,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        overshoot=OVERSHOOT,
    )
    settled = settle_head(
        tuple(jnp.asarray(weight, jnp.float32) for weight in weights),
        jnp.asarray(views, jnp.float32),
        jax.random.key(seed),
        path,
        loss=loss,
        adaptive=adaptive,
    )
    return tuple(np.asarray(weight) for weight in settled)


def compared_head(
    views: Views,
    weights: Weights,
    *,
    weight_decay: float,
    untrained: Weights | None = None,
    seed: int = 0,
) -> HeadOutcome:
    """Predict a head's layers from the moments of its features and hold the weights against it.

    Opens the precision context: everything inside is float64.

    Args:
      views: Features exactly as the head receives them, several views of each image; other views
        than the head was settled on.
      weights: W_1 ... W_L, (out, in).
      weight_decay: Coefficient X of the penalty (X/2) sum ||W_l||².
      untrained: The head before training, another null.
      seed: Randomness of the rotation and gauge nulls.

    Returns:
      Prediction, metrics, nulls.
    """
    return compared_on_moments(
        head_moments(views), weights, weight_decay=weight_decay, untrained=untrained, seed=seed
    )


def head_moments(views: Views) -> Moments:
    """Second moments of features in float64, as NumPy arrays; opens the precision context."""
    with jax.enable_x64(True):
        moments = moments_from_views(jnp.asarray(views, jnp.float64))
        return jax.tree.map(np.asarray, moments)


def compared_on_moments(
    moments: Moments,
    weights: Weights,
    *,
    weight_decay: float,
    untrained: Weights | None = None,
    seed: int = 0,
) -> HeadOutcome:
    """`compared_head` where the moments are known: many heads can stand on the same features.

    Args:
      moments: `head_moments` of the features.
      weights: As for `compared_head`, and the rest too.
      weight_decay: Coefficient X.
      untrained: The head before training.
      seed: Randomness of the nulls.

    Returns:
      Prediction, metrics, nulls.
    """
    with jax.enable_x64(True):
        chain = tuple(jnp.asarray(weight, jnp.float64) for weight in weights)
        moments = jax.tree.map(lambda array: jnp.asarray(array, jnp.float64), moments)
        rank = min(weight.shape[0] for weight in weights)
        prediction = _predicted(moments, len(chain), rank, weight_decay)
        nulls = prediction_nulls(
            jax.random.key(seed), jnp.asarray(prediction.grams), moments.covariance
        )
        if untrained is not None:
            nulls["untrained"] = chain_layer_grams(
                tuple(jnp.asarray(weight, jnp.float64) for weight in untrained)
            )
        verdict = judge_head(jnp.asarray(prediction.grams), chain, moments.covariance, nulls)
        measured = np.asarray(layer_spectra(moments.covariance, chain_layer_grams(chain)[-1:])[1])
    count = verdict.measured_count
    undecayed = prediction.undecayed_modes[:count]
    error = np.median(np.abs(measured[:count] - undecayed) / undecayed) if count else np.inf
    return HeadOutcome(prediction, verdict, measured, float(error))


def _predicted(moments: Moments, depth: int, rank: int, weight_decay: float) -> HeadPrediction:
    covariance, cross = moments.covariance, moments.cross_covariance
    loss = spectral_loss(covariance, cross)
    # The path of `settled_weights`: up to the overshoot, then back.
    path = (0.0, OVERSHOOT * weight_decay, weight_decay)
    optimum = decayed_optimum(
        loss,
        weight_decay=weight_decay,
        depth=depth,
        rank=rank,
        path=path,
        range_tolerance=RANGE_TOLERANCE,
    )
    undecayed = quadratic_optimum(loss, rank=rank, range_tolerance=RANGE_TOLERANCE)
    modes = generalized_eigenpairs(covariance, cross, range_tolerance=RANGE_TOLERANCE)
    sizes = np.asarray(layer_spectra(covariance, optimum.gram[None])[1])
    kept = int(np.sum(sizes > 1e-3 * max(sizes[0], 1e-30)))
    weakest = float(modes.values[max(kept - 1, 0)])
    thresholds = decay_thresholds(jnp.ones(1), jnp.full(1, max(weakest, 1e-6)), depth=depth)
    images, views = moments.images, moments.views
    assert images is not None
    assert views is not None
    return HeadPrediction(
        grams=np.asarray(layer_grams(optimum.gram, depth)),
        modes=sizes,
        alignments=np.asarray(modes.values),
        gap=float(jnp.ravel(thresholds.gap_fraction)[0]) * weakest,
        floor=noise_floor(covariance.shape[0], int(images), int(views)),
        undecayed_modes=np.asarray(layer_spectra(covariance, undecayed.gram[None])[1]),
    )
