"""How far the first layer of a settled head is from a power of the whole map, beside rivals."""

import jax
import numpy as np

from experiments.measure.heads.banks import as_float64
from experiments.measure.heads.settle import Weights
from theory.comparison.metrics import active_modes, active_subspace, riemannian_distance
from theory.comparison.nulls import (
    balanced_weights,
    gauge_null,
    isotropic_null,
    rotation_null,
    wrong_depth_null,
)
from theory.layers.chain import chain_layer_grams
from theory.layers.grams import layer_grams
from theory.linalg.arrays import Matrix

DRAWS = 5
"""Of rivals that are random; their distances are averaged."""


def compare_first_layer(weights: Weights, covariance: Matrix, seed: int) -> dict[str, float]:
    """Return the distance of the first layer's Gram from that of the law and of each rival.

    The law says G₁ = G^{1/L} for the Gram G of the whole map. All have the measured G; rivals are
    the law in random directions (`rotation`), layers of the same map in a random basis (`gauge`),
    all directions alike at the measured mean (`isotropic`), and the law for one layer less or more.
    Distances are root mean square log ratios over the directions that the head keeps.

    Call inside ``jax.enable_x64(True)``.

    Args:
      weights: W_1 ... W_L, at least two.
      covariance: Σ of the features.
      seed: Draws rotations and bases.

    Returns:
      By variant: `theory`, `rival:NAME`.
    """
    depth = len(weights)
    grams = chain_layer_grams(as_float64(weights))
    whole = grams[-1]
    basis = active_subspace(covariance, whole, int(active_modes(covariance, whole)))

    def distance(gram: Matrix) -> float:
        return float(riemannian_distance(grams[0], gram, basis))

    law, balanced = layer_grams(whole, depth), balanced_weights(whole, depth)
    keys = [jax.random.fold_in(jax.random.key(seed), draw) for draw in range(DRAWS)]
    return {
        "theory": distance(law[0]),
        "rival:rotation": float(
            np.mean([distance(rotation_null(key, law, basis)[0]) for key in keys])
        ),
        "rival:gauge": float(np.mean([distance(gauge_null(key, balanced)[0]) for key in keys])),
        "rival:isotropic": distance(isotropic_null(grams, basis)[0]),
        "rival:one_less": distance(wrong_depth_null(whole, depth, depth - 1)[0]),
        "rival:one_more": distance(wrong_depth_null(whole, depth, depth + 1)[0]),
    }
