"""What is measured for progressive weighting: layers' powers, algorithms, real images, tasks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.linear_training import (
    LinearData,
    adam_descended,
    balanced_start,
    descended,
    feature_model,
    gram_errors,
    minibatch_descended,
    moments_loss,
    random_start,
    unbalanced,
)
from ssljax.augment.policies import Policy
from ssljax.data.sources import Dataset
from ssljax.measure.moments import layer_moments, mean_image, pixel_layer
from theory.comparison.metrics import layer_exponents
from theory.dynamics.descent import critical_learning_rate
from theory.dynamics.layer_flow import network_flow
from theory.geometry.ranks import variance_effective_rank
from theory.layers.chain import balance_residuals, chain_layer_grams
from theory.layers.grams import layer_grams, layer_spectra, weight_spectra
from theory.losses.quadratic import spectral_loss
from theory.moments.data_models import resampling_moments
from theory.moments.moments import Moments
from theory.optimum.quadratic import quadratic_optimum

START = 0.8
REAL_DEPTH = 4
SMALL_START = 0.1
BALANCED_SCALE = 0.5
ALGORITHMS = ("gradient flow", "descent", "momentum", "minibatches", "Adam")


class PowerCell(NamedTuple):
    """One data model, depth and start; descent from balanced layers.

    Attributes:
      errors: Largest relative error of a layer's Gram against the power, at a rate and at half.
      unbalanced_error: The same from layers that compute the same map out of balance.
      exponents: Slope of each layer's log weights on the last layer's, theory l/L.
      weights: Of each feature in each layer, first layer first.
      expected_weights: As the powers have them.
      ranks: Effective rank of the weight spectrum of layers 0 (the data) to L.
    """

    errors: Float[np.ndarray, "2"]
    unbalanced_error: float
    exponents: Float[np.ndarray, " depth"]
    weights: Float[np.ndarray, "depth features"]
    expected_weights: Float[np.ndarray, "depth features"]
    ranks: Float[np.ndarray, " layers"]


def power_cell(data: LinearData, depth: int, key: jax.Array, rate: float, time: float) -> PowerCell:
    """Descend from a balanced start and hold the end against powers of the optimum.

    Args:
      data: Features and moments.
      depth: Layers.
      key: Draws the start.
      rate: Larger learning rate; the smaller is half of it.
      time: Steps times rate.

    Returns:
      The cell.
    """
    dim = data.features.shape[0]
    loss = spectral_loss(data.moments.covariance, data.moments.cross_covariance)
    expected = jnp.asarray(layer_grams(quadratic_optimum(loss).gram, depth))
    start = balanced_start(key, dim, depth, START)
    steps = round(time / rate)
    coarse = descended(data.moments, start, rate, steps)
    fine = descended(data.moments, start, rate / 2, 2 * steps)
    lopsided = descended(data.moments, unbalanced(start, 2.0), rate / 2, 2 * steps)
    grams = jnp.asarray(chain_layer_grams(fine))

    def weights(grams: jax.Array) -> np.ndarray:
        squares = jnp.einsum("df,lde,ef->lf", data.features, grams, data.features)
        return np.asarray(jnp.sqrt(squares))

    return PowerCell(
        errors=np.array([np.max(gram_errors(end, expected)) for end in (coarse, fine)]),
        unbalanced_error=float(np.max(gram_errors(lopsided, expected))),
        exponents=np.asarray(layer_exponents(grams, jnp.eye(dim))),
        weights=weights(grams),
        expected_weights=weights(expected),
        ranks=effective_ranks(np.asarray(weight_spectra(grams)), float(dim)),
    )


def effective_ranks(spectra: Float[np.ndarray, "layers dim"], *below: float) -> np.ndarray:
    """Effective rank of each row, after those already known of the layers below."""
    kept = [variance_effective_rank(jnp.maximum(jnp.asarray(row), 0.0)) for row in spectra]
    return np.array([*below, *map(float, kept)])


class AlgorithmCell(NamedTuple):
    """Two layers trained from one small random start by each of `ALGORITHMS`.

    Attributes:
      errors: Relative error of the Gram before and after the head.
      residuals: Relative violation of balance.
      drifts: The residual that SGD leaves from a perfectly balanced start, for each setting.
    """

    errors: Float[np.ndarray, "algorithms layers"]
    residuals: Float[np.ndarray, " algorithms"]
    drifts: Float[np.ndarray, " settings"]


class Noise(NamedTuple):
    """Minibatch descent: pairs a step, learning rate, steps."""

    batch: int
    rate: float
    steps: int

    @property
    def dose(self) -> float:
        """Rate² × steps / batch, what imbalance should be proportional to."""
        return self.rate**2 * self.steps / self.batch


def algorithm_cell(
    key: jax.Array, rate: float, time: float, noises: tuple[Noise, ...], noisy_time: float
) -> AlgorithmCell:
    """Train by every algorithm, and by SGD at several settings.

    Args:
      key: Draws the start and the batches.
      rate: Of full-batch descent; Adam starts at a fifth of it.
      time: Flow time of the full-batch algorithms; as many steps of Adam as of descent.
      noises: Settings of SGD; the first also from the random start.
      noisy_time: Steps times rate of that run.

    Returns:
      The cell.
    """
    model = feature_model()
    moments = resampling_moments(model)
    dim = model.strength.shape[0]
    loss = spectral_loss(moments.covariance, moments.cross_covariance)
    expected = jnp.asarray(layer_grams(quadratic_optimum(loss).gram, 2))
    start_key, batch_key = jax.random.split(key)
    start = random_start(start_key, dim, 2, SMALL_START)
    steps = round(time / rate)
    flow = network_flow(moments_loss(moments), start, jnp.array([float(time)]))
    sgd = noises[0]
    noisy_steps = round(noisy_time / sgd.rate)
    ends = (
        tuple(jnp.asarray(layer[-1]) for layer in flow),
        descended(moments, start, rate, steps),
        descended(moments, start, 0.1 * rate, steps, momentum=0.9),
        minibatch_descended(batch_key, model, start, sgd.rate, sgd.batch, noisy_steps),
        adam_descended(moments, start, 0.2 * rate, steps),
    )
    balanced = balanced_start(start_key, dim, 2, BALANCED_SCALE)
    drifts = []
    for number, noise in enumerate(noises):
        own = jax.random.fold_in(batch_key, number)
        end = minibatch_descended(own, model, balanced, noise.rate, noise.batch, noise.steps)
        drifts.append(float(balance_residuals(end)[0]))
    return AlgorithmCell(
        errors=np.stack([gram_errors(end, expected) for end in ends]),
        residuals=np.array([float(balance_residuals(end)[0]) for end in ends]),
        drifts=np.array(drifts),
    )


class RealCell(NamedTuple):
    """Deep linear network on moments of real images.

    Attributes:
      weight_ranks: Effective rank of the weight spectrum of layers 0 to L.
      layer_ranks: Effective rank of the layer spectrum of layers 0 to L.
      predicted_weight_ranks: By the powers of the optimum.
      predicted_layer_ranks: Likewise.
      error: Largest relative error of a layer's Gram.
    """

    weight_ranks: Float[np.ndarray, " layers"]
    layer_ranks: Float[np.ndarray, " layers"]
    predicted_weight_ranks: Float[np.ndarray, " layers"]
    predicted_layer_ranks: Float[np.ndarray, " layers"]
    error: float


def pixel_moments(
    dataset: Dataset, key: jax.Array, policy: Policy, strength: float, views: int
) -> dict[str, np.ndarray]:
    """Moments of augmented views, the mean image subtracted."""
    found = layer_moments(
        pixel_layer,
        None,
        mean_image(dataset.images, dataset.pixel_scale),
        dataset.images,
        dataset.pixel_scale,
        key,
        policy,
        strength,
        views=views,
        layers=("input",),
    )
    return found["input"]


def leading_moments(arrays: dict[str, np.ndarray], directions: int) -> Moments:
    """Moments in the directions that positive pairs share most of, at mean variance 1."""
    _, vectors = np.linalg.eigh(arrays["cross_covariance"])
    basis = vectors[:, ::-1][:, :directions]
    covariance, shared = (
        basis.T @ arrays[name] @ basis for name in ("covariance", "cross_covariance")
    )
    unit = np.trace(covariance) / directions
    return Moments(jnp.asarray(covariance / unit), jnp.asarray(shared / unit))


def real_cell(moments: Moments, key: jax.Array, steps: int) -> RealCell:
    """Descend on the moments of images and look at both kinds of spectra, layer by layer.

    Args:
      moments: In the coordinates that the network sees.
      key: Draws the start.
      steps: At a quarter of the critical learning rate.

    Returns:
      The cell.
    """
    dim = moments.covariance.shape[0]
    loss = spectral_loss(moments.covariance, moments.cross_covariance)
    expected = jnp.asarray(layer_grams(quadratic_optimum(loss).gram, REAL_DEPTH))
    variances, shared = jnp.diagonal(moments.covariance), jnp.diagonal(moments.cross_covariance)
    rate = 0.25 * float(critical_learning_rate(variances, shared / variances, depth=REAL_DEPTH))
    start = balanced_start(key, dim, REAL_DEPTH, START)
    end = descended(moments, start, rate, steps)
    grams = jnp.asarray(chain_layer_grams(end))
    return RealCell(
        weight_ranks=effective_ranks(np.asarray(weight_spectra(grams)), float(dim)),
        layer_ranks=effective_ranks(np.asarray(layer_spectra(moments.covariance, grams))),
        predicted_weight_ranks=effective_ranks(np.asarray(weight_spectra(expected)), float(dim)),
        predicted_layer_ranks=effective_ranks(
            np.asarray(layer_spectra(moments.covariance, expected))
        ),
        error=float(np.max(gram_errors(end, expected))),
    )
