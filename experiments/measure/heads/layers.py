"""How far the first layer of a settled head is from a power of the whole map, beside rivals."""

from typing import NamedTuple

import jax
import numpy as np

from experiments.measure.heads.banks import as_float64
from experiments.measure.heads.settle import Weights
from theory.comparison.metrics import Basis, active_modes, active_subspace, riemannian_distance
from theory.comparison.nulls import (
    balanced_weights,
    gauge_null,
    isotropic_null,
    rotation_null,
    wrong_depth_null,
)
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_grams
from theory.linalg.arrays import Grams, Matrix

DRAWS = 5
"""Of rivals that are random; their distances are averaged."""


class _Law(NamedTuple):
    """Layer Grams, measured and by the law, and the directions that the head keeps."""

    measured: Grams
    law: Grams
    basis: Basis

    def distance(self, gram: Matrix) -> float:
        return float(riemannian_distance(self.measured[0], gram, self.basis))


def law_distance(weights: Weights, covariance: Matrix) -> float:
    """Return the distance of the first layer's Gram from G^{1/L}, G that of the whole map.

    It is the root mean square log ratio over the directions that the head keeps. Call inside
    ``jax.enable_x64(True)``.

    Args:
      weights: W_1 ... W_L, at least two.
      covariance: Σ of the features.
    """
    found = _apply_law(weights, covariance)
    return found.distance(found.law[0])


def rival_distances(weights: Weights, covariance: Matrix, seed: int) -> dict[str, float]:
    """Return the distances of the first layer's Gram from what rivals of the law say, by name.

    Rivals have the measured G, too: the law in random directions (`rotation`), layers of the same
    map in a random basis (`gauge`), all directions alike at the measured mean (`isotropic`), and
    the law for one layer less or more. Call inside ``jax.enable_x64(True)``.

    Args:
      weights: As for `law_distance`.
      covariance: Likewise.
      seed: Draws rotations and bases.
    """
    found, depth = _apply_law(weights, covariance), len(weights)
    measured, law, basis = found
    whole, balanced = measured[-1], balanced_weights(measured[-1], depth)
    keys = [jax.random.fold_in(jax.random.key(seed), draw) for draw in range(DRAWS)]
    turned = [found.distance(rotation_null(key, law, basis)[0]) for key in keys]
    gauged = [found.distance(gauge_null(key, balanced)[0]) for key in keys]
    return {
        "rotation": float(np.mean(turned)),
        "gauge": float(np.mean(gauged)),
        "isotropic": found.distance(isotropic_null(measured, basis)[0]),
        "one_less": found.distance(wrong_depth_null(whole, depth, depth - 1)[0]),
        "one_more": found.distance(wrong_depth_null(whole, depth, depth + 1)[0]),
    }


def _apply_law(weights: Weights, covariance: Matrix) -> _Law:
    grams = chain_layer_grams(as_float64(weights))
    whole = grams[-1]
    basis = active_subspace(covariance, whole, int(active_modes(covariance, whole)))
    return _Law(grams, layer_grams(whole, len(weights)), basis)
