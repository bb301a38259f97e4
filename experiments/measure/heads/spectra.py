"""Sizes of a settled head's modes along the directions that moments and weight decay predict."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.measure.heads.banks import RANGE_TOLERANCE, as_float64
from experiments.measure.heads.settle import OVERSHOOT, Weights
from theory.layers.chain import chain_layer_grams
from theory.linalg.arrays import Matrix
from theory.linalg.powers import psd_power
from theory.losses.quadratic import spectral_loss
from theory.moments.moments import Moments
from theory.optimum.decay import decayed_optimum
from theory.optimum.quadratic import quadratic_optimum

Sizes = Float[np.ndarray, " modes"]
Output = Float[np.ndarray, "width width"]

ALIVE = 1e-3
"""A mode is alive above this share of the largest alignment, which is its size without decay."""


class Axes(NamedTuple):
    """What turns Grams of heads into sizes of modes.

    Attributes:
      root: Σ^½.
      alignment: Σ^-½ M Σ^-½; its eigenvalues are sizes without decay.
      least: Size of a mode that counts as alive.
    """

    root: Output
    alignment: Output
    least: float


class Along(NamedTuple):
    """Sizes along predicted directions, strongest prediction first.

    Attributes:
      predicted: n of each mode.
      measured: What the head makes of the same directions.
      counted: Modes that the head keeps, along directions of its own.
    """

    predicted: Sizes
    measured: Sizes
    counted: int


def make_axes(moments: Moments) -> Axes:
    """Return the axes of given moments; call inside ``jax.enable_x64(True)``."""
    root, inverse = (
        np.asarray(psd_power(moments.covariance, power, tolerance=RANGE_TOLERANCE))
        for power in (0.5, -0.5)
    )
    alignment = inverse @ np.asarray(moments.cross_covariance) @ inverse
    alignment = 0.5 * (alignment + alignment.T)
    return Axes(root, alignment, ALIVE * float(np.linalg.eigvalsh(alignment)[-1]))


def predict_grams(
    moments: Moments, depth: int, weight_decay: float, rank: int
) -> dict[str, Matrix]:
    """Return the Gram of the whole head by theory and by rivals, by variant.

    The head went through decays up to `OVERSHOOT` times the final one, and so does theory. Rivals
    are theory without decay, and the feature as it is, whose sizes are its variances.

    Args:
      moments: Of the features.
      depth: Layers.
      weight_decay: Final one.
      rank: Narrowest width.
    """
    loss = spectral_loss(moments.covariance, moments.cross_covariance)
    decayed = decayed_optimum(
        loss,
        weight_decay=weight_decay,
        depth=depth,
        rank=rank,
        path=(0.0, OVERSHOOT * weight_decay, weight_decay),
        range_tolerance=RANGE_TOLERANCE,
    )
    free = quadratic_optimum(loss, rank=rank, range_tolerance=RANGE_TOLERANCE)
    width = moments.covariance.shape[0]
    return {
        "theory": decayed.gram,
        "rival:no_decay": free.gram,
        "rival:feature": jnp.eye(width),
    }


def output_of(weights: Weights, axes: Axes) -> Output:
    """Return Σ^½ WᵀW Σ^½ of a head, whose eigenvalues are the sizes of its modes."""
    gram = np.asarray(chain_layer_grams(as_float64(weights))[-1])
    return axes.root @ gram @ axes.root


def read_along(predicted: Matrix, measured: Output, axes: Axes) -> Along:
    """Return what a head makes of the modes of a predicted Gram; nothing is sorted or matched.

    Directions that are predicted to be dropped have no mode of their own: among them, those are
    read that the head has.

    Args:
      predicted: Gram of the whole head.
      measured: `output_of` the head.
      axes: Of the features.
    """
    sizes, directions = np.linalg.eigh(axes.root @ np.asarray(predicted) @ axes.root)
    dropped = directions[:, sizes <= axes.least]
    own = np.linalg.eigh(dropped.T @ measured @ dropped)[1]
    directions[:, sizes <= axes.least] = dropped @ own
    along = np.sum(directions * (measured @ directions), axis=0)
    counted = np.sum(np.linalg.eigvalsh(measured) > axes.least)
    return Along(sizes[::-1], along[::-1], int(counted))


def keep_alive(found: Along, least: float) -> tuple[Sizes, Sizes]:
    """Return predicted and measured sizes of the modes that are alive on either side.

    A mode that one side has dropped counts there as the smallest that is alive.
    """
    count = max(int(np.sum(found.predicted > least)), found.counted)
    predicted, measured = (np.maximum(sizes[:count], least) for sizes in found[:2])
    return predicted, measured


def spectrum_error(found: Sequence[Along], least: float) -> float:
    """Return the root mean square of log predicted/measured, over heads and modes alive."""
    pairs = [keep_alive(one, least) for one in found]
    predicted, measured = (np.concatenate(sizes) for sizes in zip(*pairs, strict=True))
    return float(np.sqrt(np.mean(np.log(predicted / measured) ** 2)))


def count_error(found: Sequence[Along], least: float) -> float:
    """Return the mean over heads of |log| of predicted over measured number of modes.

    None counts as 1.
    """
    errors = [
        abs(np.log(max(np.sum(one.predicted > least), 1) / max(one.counted, 1))) for one in found
    ]
    return float(np.mean(errors))


def gap_share(outputs: Sequence[Output], axes: Axes, depth: int) -> float:
    """Return the share of kept modes whose n/a lies in the gap (0, (L−1)/(2L−1)) of some depth.

    A head of L layers keeps no mode there: a is the alignment of the mode's own direction.

    Args:
      outputs: `output_of` heads.
      axes: Of the features.
      depth: L of the gap, which need not be that of the heads.
    """
    inside, kept = 0, 0
    for output in outputs:
        sizes, modes = np.linalg.eigh(output)
        alignments = np.sum(modes * (axes.alignment @ modes), axis=0)
        alive = sizes > axes.least
        kept += np.sum(alive)
        inside += np.sum(alive & (sizes < (depth - 1) / (2 * depth - 1) * alignments))
    return float(inside / max(kept, 1))
