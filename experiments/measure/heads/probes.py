"""Risk of a probe with few labels over the depth of a settled head: predicted, and measured."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from experiments.measure.heads.banks import RANGE_TOLERANCE
from experiments.measure.heads.ridge import (
    PENALTY,
    Sums,
    add_up,
    fit_ridge,
    leave_out,
    squared_errors,
    target_variances,
)
from experiments.measure.heads.settle import Weights
from experiments.measure.heads.spectra import ALIVE
from experiments.measure.heads.targets import Targets
from theory.downstream.probe_risk import probe_risk
from theory.linalg.powers import fractional_gram, psd_power

Matrix = Float[np.ndarray, "_ _"]
Features = Float[np.ndarray, "images width"]
Curves = Float[np.ndarray, "tasks counts depths"]

FRACTIONS = np.linspace(0.0, 1.0, 9)
"""Depths t: 0 is the feature, 1 the embedding, 1/2 the middle of a head of two layers."""

FOLDS = 5

# Directions below this share of the largest variance are dropped modes, up to rounding.
DROPPED = 1e-9


class Examples(NamedTuple):
    """Clean features of images, centered, with what probes are asked about them."""

    features: Features
    targets: Targets


class MeasuredRisks(NamedTuple):
    """Risk over the targets' variance.

    Attributes:
      mean: Over draws of the labeled images.
      error: Standard error of the mean.
      crossvalidated: Mean risk at the depth that cross-validation chose in each draw.
    """

    mean: Curves
    error: Curves
    crossvalidated: Float[np.ndarray, "tasks counts"]


def keep_active(gram: Matrix, covariance: Matrix) -> Matrix:
    """Return the Gram of a head without the modes that it has dropped.

    A small power of a number that is nearly zero is not: without this, what decay has taken would
    come back at small depths.

    Args:
      gram: WᵀW of the whole head.
      covariance: Of what it receives.
    """
    with jax.enable_x64(True):
        root, inverse = (
            np.asarray(psd_power(jnp.asarray(covariance), power, tolerance=RANGE_TOLERANCE))
            for power in (0.5, -0.5)
        )
    values, vectors = np.linalg.eigh(root @ gram @ root)
    kept = np.where(values > ALIVE * values[-1], values, 0.0)
    return inverse @ (vectors * kept) @ vectors.T @ inverse


def fractional_maps(gram: Matrix) -> list[Matrix]:
    """Return (WᵀW)^(t/2), the map from the feature to each depth up to a rotation."""
    with jax.enable_x64(True):
        powers = [np.asarray(fractional_gram(jnp.asarray(gram), 0.5 * t)) for t in FRACTIONS[1:]]
    return [np.eye(len(gram)), *powers]


def head_maps(weights: Weights, covariance: Matrix) -> list[Matrix]:
    """Return the maps of a trained head of two layers from the feature to each depth.

    The layers themselves are at 0, 1/2 and 1; between them stand powers of the whole map. Rows of
    zeros make all maps square.

    Args:
      weights: W_1 and W_2.
      covariance: Of the features.
    """
    first, second = (np.asarray(weight, np.float64) for weight in weights)
    whole = second @ first
    maps = fractional_maps(keep_active(whole.T @ whole, covariance))
    maps[len(maps) // 2] = first
    maps[-1] = np.pad(whole, ((0, whole.shape[1] - len(whole)), (0, 0)))
    return maps


def scale_to_unit(linear: Matrix, features: Features) -> Matrix:
    """Return a map scaled so that what it makes of centered features has total variance 1.

    A head that keeps nothing stays as it is.
    """
    variance = np.mean(np.sum((features @ linear.T) ** 2, axis=1))
    return linear / np.sqrt(variance) if variance > 0 else linear


def predict_risks(examples: Examples, maps: Sequence[Matrix], counts: Sequence[int]) -> Curves:
    """Return the risk of probes at each depth from second moments, over the targets' variance.

    Args:
      examples: Of the population; only covariances of features and targets are used.
      maps: `fractional_maps` of the Gram of a head, which may itself be predicted.
      counts: Numbers of labeled images.
    """
    features, targets = examples
    risks = np.zeros((len(targets), len(counts), len(maps)))
    for place, linear in enumerate(maps):
        layer = features @ scale_to_unit(linear, features).T
        values, vectors = np.linalg.eigh(layer.T @ layer / len(layer))
        kept = values > DROPPED * values[-1]
        scaled = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
        modes = layer @ vectors * scaled
        for task, target in enumerate(targets.values()):
            centered = target - np.mean(target, axis=0)
            total = np.mean(np.sum(centered**2, axis=1))
            squares = np.sum((modes.T @ centered / len(modes)) ** 2, axis=1) / total
            for number, count in enumerate(counts):
                with jax.enable_x64(True):
                    risk = probe_risk(
                        jnp.asarray(np.where(kept, values, 0.0)),
                        jnp.asarray(squares),
                        count - 1,
                        PENALTY * count,
                        max(1.0 - float(np.sum(squares)), 0.0),
                    )
                # The probe fits a mean as well: that takes one label, and the mean has an error.
                risks[task, number, place] = float(risk) * (1.0 + 1.0 / count)
    return risks


def measure_risks(
    train: Examples,
    test: Examples,
    maps: Sequence[Matrix],
    counts: Sequence[int],
    *,
    draws: int,
    seed: int,
) -> MeasuredRisks:
    """Return the risk of ridge probes trained on few labeled images, at each depth.

    All depths and tasks see the same draws.

    Args:
      train: Images that labeled ones are drawn from.
      test: Images that probes are tested on.
      maps: `head_maps` of a trained head.
      counts: Numbers of labeled images.
      draws: Of them.
      seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    outputs = np.concatenate(list(train.targets.values()), axis=1)
    unit = np.stack([scale_to_unit(linear, train.features) for linear in maps])
    wanted = add_up(
        test.features @ np.swapaxes(unit, 1, 2), np.concatenate(list(test.targets.values()), axis=1)
    )
    ends = np.cumsum([target.shape[1] for target in train.targets.values()])[:-1]

    def by_task(errors: Float[np.ndarray, "depths outputs"]) -> Float[np.ndarray, "tasks depths"]:
        parts = zip(
            np.split(errors, ends, axis=1), np.split(target_variances(wanted), ends), strict=True
        )
        return np.stack([part.sum(axis=1) / whole.sum() for part, whole in parts])

    shape = (draws, len(train.targets), len(counts))
    risks, chosen = np.zeros((*shape, len(maps))), np.zeros(shape, int)
    for draw in range(draws):
        order = generator.permutation(len(outputs))
        for number, count in enumerate(counts):
            images = order[:count]
            layers = train.features[images] @ np.swapaxes(unit, 1, 2)
            probe = fit_ridge(add_up(layers, outputs[images]))
            risks[draw, :, number] = by_task(squared_errors(probe, wanted))
            crossed = by_task(crossvalidate(layers, outputs[images]))
            chosen[draw, :, number] = np.argmin(crossed, axis=1)
    taken = np.take_along_axis(risks, chosen[..., None], axis=-1)[..., 0]
    error = np.std(risks, axis=0, ddof=1) / np.sqrt(draws)
    return MeasuredRisks(risks.mean(axis=0), error, taken.mean(axis=0))


def crossvalidate(
    layers: Float[np.ndarray, "depths images width"], targets: Float[np.ndarray, "images outputs"]
) -> Float[np.ndarray, "depths outputs"]:
    """Return squared errors on each fold of probes that are fitted on the others, summed."""
    whole = add_up(layers, targets)
    total = np.zeros((len(layers), targets.shape[1]))
    for fold in np.array_split(np.arange(len(targets)), FOLDS):
        part: Sums = add_up(layers[:, fold], targets[fold])
        total += part.examples * squared_errors(fit_ridge(leave_out(whole, part)), part)
    return total


def regrets(
    measured: MeasuredRisks, choice: Int[np.ndarray, "tasks counts"] | int
) -> Float[np.ndarray, "tasks counts"]:
    """Return how far the risk at the chosen depth is above the lowest, as a share of the spread."""
    places = np.broadcast_to(choice, measured.mean.shape[:-1])[..., None]
    return share_of_spread(measured, np.take_along_axis(measured.mean, places, axis=-1)[..., 0])


def share_of_spread(
    measured: MeasuredRisks, risks: Float[np.ndarray, "tasks counts"]
) -> Float[np.ndarray, "tasks counts"]:
    """Return risks on a scale of 0 at the best depth and 1 at the worst."""
    return (risks - measured.mean.min(axis=-1)) / np.ptp(measured.mean, axis=-1)
