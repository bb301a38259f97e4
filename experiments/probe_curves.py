"""Risk of a linear probe over the depth of a linear head: predicted from moments, and measured."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from experiments.probe_tasks import Targets
from ssljax.measure.probe import regression_probe
from ssljax.system.arrays import Float
from theory.downstream.probe_risk import probe_risk
from theory.linalg.powers import fractional_gram, psd_power

FRACTIONS = np.linspace(0.0, 1.0, 9)
"""Depths t: 0 is the feature, 1 the embedding, 1/2 the middle of a head of two layers."""
PENALTY = 1e-2
"""Of the probe, (mean squared error) + penalty |w|², on features of total variance 1."""

ACTIVE = 1e-3
"""A mode of a smaller share of the largest is dead."""

# Directions below this share of the largest variance are dropped modes, up to rounding.
RANGE_TOLERANCE = 1e-9
Features = Float[np.ndarray, "images width"]
Gram = Float[np.ndarray, "width width"]
Map = Float[np.ndarray, "_ _"]
Layer = Float[np.ndarray, "_ _"]


def fractional_map(gram: Gram, fraction: float) -> Gram:
    """The map from the feature to a fractional depth, (WᵀW)^(t/2), up to a rotation.

    Args:
      gram: WᵀW of the whole head.
      fraction: t in [0, 1]; at 0 the identity.
    """
    if fraction == 0:
        return np.eye(len(gram))
    with jax.enable_x64(True):
        return np.asarray(fractional_gram(jnp.asarray(gram), 0.5 * fraction))


def in_unit(linear: Map, features: Features) -> Map:
    """A map scaled so that what it makes of centered features has total variance 1."""
    return linear / np.sqrt(np.mean(np.sum((features @ linear.T) ** 2, axis=1)))


def active_gram(gram: Gram, covariance: Gram) -> Gram:
    """A Gram without its dead modes, those below `ACTIVE` of the largest in the output.

    A small power of a number that is nearly zero is not: without this, what decay has killed
    would come back at small depths.

    Args:
      gram: WᵀW of a trained head.
      covariance: Of what the head receives.

    Returns:
      The same on the active modes, zero on the others.
    """
    with jax.enable_x64(True):
        root, inverse = (
            np.asarray(psd_power(jnp.asarray(covariance), power, tolerance=1e-6))
            for power in (0.5, -0.5)
        )
    values, vectors = np.linalg.eigh(root @ gram @ root)
    kept = np.where(values > ACTIVE * values[-1], values, 0.0)
    return inverse @ (vectors * kept[None]) @ vectors.T @ inverse


def head_maps(weights: Sequence[Map], covariance: Gram) -> list[Map]:
    """The maps of a trained head of two layers from the feature to `FRACTIONS`.

    Args:
      weights: W_1 and W_2, (out, in).
      covariance: Of the features, in the unit the head was trained in.

    Returns:
      The layers themselves at 0, 1/2 and 1; between them fractional powers of the whole map.
    """
    first, second = (np.asarray(weight, np.float64) for weight in weights)
    whole = second @ first
    gram = active_gram(whole.T @ whole, covariance)
    own = {0.0: np.eye(first.shape[1]), 0.5: first, 1.0: whole}
    return [
        own[fraction] if fraction in own else fractional_map(gram, fraction)
        for fraction in FRACTIONS.tolist()
    ]


def predicted_risks(
    features: Features,
    gram: Gram,
    targets: Mapping[str, Targets],
    counts: Sequence[int],
) -> Float[np.ndarray, "tasks counts fractions"]:
    """Risk of a ridge probe at each depth, from second moments alone.

    The covariance of clean features and their covariance with the targets are moments of the
    population; which directions the head keeps comes with the Gram, which may itself be predicted.

    Args:
      features: Of many clean images, centered.
      gram: WᵀW of the head.
      targets: Of the same images.
      counts: Numbers of labeled images.

    Returns:
      Expected squared error over the target's variance.
    """
    risks = np.zeros((len(targets), len(counts), len(FRACTIONS)))
    for place, fraction in enumerate(FRACTIONS.tolist()):
        layer = features @ in_unit(fractional_map(gram, fraction), features).T
        values, vectors = np.linalg.eigh(layer.T @ layer / len(layer))
        kept = values > RANGE_TOLERANCE * values[-1]
        modes = layer @ vectors[:, kept] / np.sqrt(values[kept])[None]
        for task, target in enumerate(targets.values()):
            centered = target - np.mean(target, axis=0)[None]
            total = np.mean(np.sum(centered**2, axis=1))
            squares = np.sum((modes.T @ centered / len(modes)) ** 2, axis=1) / total
            for number, count in enumerate(counts):
                with jax.enable_x64(True):
                    risk = probe_risk(
                        jnp.asarray(np.where(kept, values, 0.0)),
                        jnp.asarray(_filled(squares, kept)),
                        count - 1,
                        PENALTY * count,
                        max(1.0 - float(np.sum(squares)), 0.0),
                    )
                # The probe fits a mean as well: that takes one label, and the mean has an error.
                risks[task, number, place] = float(risk) * (1.0 + 1.0 / count)
    return risks


def _filled(squares: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Zero for modes that the layer does not have: what they hold counts as noise."""
    filled = np.zeros(len(kept))
    filled[kept] = squares
    return filled


def measured_risks(
    train: Sequence[Layer],
    test: Sequence[Layer],
    train_targets: Mapping[str, Targets],
    test_targets: Mapping[str, Targets],
    counts: Sequence[int],
    *,
    draws: int,
    seed: int,
) -> Float[np.ndarray, "draws tasks counts fractions"]:
    """Risk of ridge probes trained on few labeled images, at each depth.

    All depths see the same draws. All tasks share a probe's images, not its weights.

    Args:
      train: Features at each depth, to draw labeled images from.
      test: Features at each depth of the images tested on.
      train_targets: Of the images to draw from.
      test_targets: Of those tested on.
      counts: Numbers of labeled images.
      draws: Draws of them.
      seed: Of the draws.

    Returns:
      Mean squared error on the test images over the target's variance there.
    """
    generator = np.random.default_rng(seed)
    outputs = np.concatenate(list(train_targets.values()), axis=1)
    wanted = np.concatenate(list(test_targets.values()), axis=1)
    variances = np.var(wanted, axis=0)
    ends = np.cumsum([target.shape[1] for target in train_targets.values()])[:-1]
    risks = np.zeros((draws, len(train_targets), len(counts), len(train)))
    for draw in range(draws):
        order = generator.permutation(len(outputs))
        for number, count in enumerate(counts):
            chosen = order[:count]
            for place, (one, other) in enumerate(zip(train, test)):
                r2 = regression_probe(
                    one[chosen], outputs[chosen], other, wanted, l2=PENALTY, standardize=False
                ).r2
                missed = np.split((1.0 - r2) * variances, ends)
                wholes = np.split(variances, ends)
                risks[draw, :, number, place] = [
                    np.sum(part) / np.sum(whole) for part, whole in zip(missed, wholes)
                ]
    return risks
