"""A linear head against what theory makes of the features it stands on."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.measure.heads.banks import Views, as_float64, measure_moments
from experiments.measure.heads.settle import Weights, settle
from experiments.measure.heads.spectra import RANGE_TOLERANCE, predict_grams
from experiments.tools.comparison.sources import HeadSource
from theory.comparison.nulls import prediction_nulls
from theory.comparison.verdict import JointVerdict, judge_head
from theory.layers.chain import chain_layer_grams, end_to_end_map
from theory.layers.grams import layer_grams, layer_spectra
from theory.linalg.whitening import generalized_eigenpairs
from theory.moments.alignment import noise_floor
from theory.moments.moments import Moments
from theory.optimum.thresholds import decay_thresholds

SETTLING_STEPS = 4000
SETTLING_RATE = 0.01
LARGEST_START = 4.0
RIVALS = {
    "rival:no_decay": "theory without weight decay",
    "rival:feature": "the feature's own variances",
}
"""By variant of `measure.heads.spectra.predict_grams`."""


class HeadPrediction(NamedTuple):
    """What the moments of the features say about a head, as NumPy arrays.

    Attributes:
      grams: Layer Grams, (depth, width, width).
      modes: Predicted sizes n: eigenvalues of the embedding's covariance, descending.
      gap: Size n below which no mode of the weakest kept alignment can last.
      floor: Alignment that sampling alone produces.
      rivals: Sizes by predictions that know less: theory without weight decay, and the feature's
        own variances.
    """

    grams: Float[np.ndarray, "depth width width"]
    modes: Float[np.ndarray, " width"]
    gap: float
    floor: float
    rivals: dict[str, Float[np.ndarray, " width"]]


@dataclasses.dataclass(frozen=True)
class HeadOutcome:
    """One head held against its prediction.

    Attributes:
      prediction: From the moments alone.
      verdict: Every metric and null hypothesis.
      measured_modes: Measured sizes n, descending.
      mean_share: Share of the features' second moment that their mean holds.
    """

    prediction: HeadPrediction
    verdict: JointVerdict
    measured_modes: Float[np.ndarray, " width"]
    mean_share: float

    @property
    def size_error(self) -> float:
        """Median relative error of the predicted sizes of the modes that both sides have."""
        return self.verdict.agreement.median_relative_error

    @property
    def rival_errors(self) -> dict[str, float]:
        """The same error for each rival, over the modes that the head has."""
        count = self.verdict.measured_count
        if not count:
            return {}
        measured = self.measured_modes[:count]
        return {
            name: float(np.median(np.abs(measured - sizes[:count]) / sizes[:count]))
            for name, sizes in self.prediction.rivals.items()
        }

    @property
    def accepted_distances(self) -> Float[np.ndarray, " depth"]:
        """Distance up to which each layer is accepted: 0.1, and a fifth of the best rival's."""
        return np.minimum(0.1, 0.2 * self.verdict.agreement.best_null)


def compare_source(
    source: HeadSource, *, seed: int, weight_decay: float | None = None, settling_steps: int = 0
) -> HeadOutcome:
    """Return the comparison of one source, its head as it is or settled first.

    Args:
      source: Head and features.
      seed: Randomness of settling and of null hypotheses.
      weight_decay: In place of the source's own.
      settling_steps: Steps of settling; 0 takes the head as it is.
    """
    decay = source.weight_decay if weight_decay is None else weight_decay
    views, weights = source.views, source.weights
    if settling_steps:
        # One mean for both banks: the head is settled and predicted on the same centered features.
        center = source.settling_views.mean(axis=(0, 1), keepdims=True)
        views = views - center
        # With decay a dead mode stays dead, so settling starts from weights where all live.
        start = source.weights if source.untrained is None else source.untrained
        start = shrink_start(start, source.settling_views - center)
        weights = settle(
            start,
            source.settling_views - center,
            seed,
            weight_decay=decay,
            steps=settling_steps,
            learning_rate=SETTLING_RATE,
        )
    return compare_head(views, weights, weight_decay=decay, untrained=source.untrained, seed=seed)


def shrink_start(weights: Weights, views: Views) -> Weights:
    """Return weights whose largest mode has size 1, where it is so large that descent diverges.

    Along a mode of size n and variance s the curvature of the loss in a layer of two is about
    12 n^(3/2) s^(1/2). Momentum 0.9 and steps of `SETTLING_RATE` bear 380, so sizes above
    `LARGEST_START` are left out of the start; settling forgets it anyway.

    Args:
      weights: W_1 ... W_L.
      views: Features that the head is trained on.
    """
    flat = views.reshape(-1, views.shape[-1])
    outputs = flat @ np.asarray(end_to_end_map(weights)).T
    largest = float(np.linalg.eigvalsh(outputs.T @ outputs / len(flat))[-1])
    if largest <= LARGEST_START:
        return weights
    return tuple(weight * largest ** (-0.5 / len(weights)) for weight in weights)


def compare_head(
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
      untrained: The head before training, another null hypothesis.
      seed: Randomness of the rotation and gauge nulls.
    """
    with jax.enable_x64(True):
        moments = measure_moments(views)
        chain = as_float64(weights)
        rank = min(weight.shape[0] for weight in weights)
        prediction = predict_head(moments, len(chain), rank, weight_decay)
        nulls = prediction_nulls(
            jax.random.key(seed), jnp.asarray(prediction.grams), moments.covariance
        )
        if untrained is not None:
            nulls["untrained"] = chain_layer_grams(as_float64(untrained))
        verdict = judge_head(jnp.asarray(prediction.grams), chain, moments.covariance, nulls)
        measured = np.asarray(layer_spectra(moments.covariance, chain_layer_grams(chain)[-1:])[1])
        assert moments.mean is not None
        mean_share = float(jnp.sum(moments.mean**2) / jnp.trace(moments.covariance))
    return HeadOutcome(prediction, verdict, measured, mean_share)


def predict_head(moments: Moments, depth: int, rank: int, weight_decay: float) -> HeadPrediction:
    """Return what theory says of a head, from moments alone; call where float64 is enabled.

    Args:
      moments: Of the features, with their numbers of images and views.
      depth: Layers of the head.
      rank: Narrowest width.
      weight_decay: Coefficient X.
    """
    covariance, cross = moments.covariance, moments.cross_covariance
    # The path of `settle`: past the final decay, then back.
    wholes = predict_grams(moments, depth, weight_decay, rank)
    sizes = {
        variant: np.asarray(layer_spectra(covariance, jnp.asarray(gram)[None])[1])
        for variant, gram in wholes.items()
    }
    own = sizes["theory"]
    modes = generalized_eigenpairs(covariance, cross, range_tolerance=RANGE_TOLERANCE)
    kept = int(np.sum(own > 1e-3 * max(own[0], 1e-30)))
    weakest = float(modes.values[max(kept - 1, 0)])
    thresholds = decay_thresholds(jnp.ones(1), jnp.full(1, max(weakest, 1e-6)), depth=depth)
    rivals = {words: sizes[variant] for variant, words in RIVALS.items()}
    if not weight_decay:
        del rivals[RIVALS["rival:no_decay"]]
    assert moments.images is not None
    assert moments.views is not None
    return HeadPrediction(
        grams=np.asarray(layer_grams(wholes["theory"], depth)),
        modes=own,
        gap=float(jnp.ravel(thresholds.gap_fraction)[0]) * weakest,
        floor=noise_floor(covariance.shape[0], int(moments.images), int(moments.views)),
        rivals=rivals,
    )
