"""Linear heads settled on the frozen features of one encoder, at several depths and decays."""

import io
import itertools
import zipfile
import zlib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.feature_banks import Banks
from experiments.files import write_bytes
from experiments.head_comparison import (
    RANGE_TOLERANCE,
    HeadOutcome,
    Weights,
    compared_on_moments,
    head_moments,
    settled_weights,
)
from experiments.trained import cache_folder
from ssljax.nets.linear import linear_weights
from theory.comparison.metrics import active_subspace, log_gains
from theory.layers.chain import chain_layer_grams
from theory.linalg.powers import psd_power
from theory.moments.moments import Moments

Report = Callable[[str], None]


class SettledCell(NamedTuple):
    """One settled head.

    Attributes:
      outcome: Held against the prediction from the other bank's moments.
      fractions: n/a of the modes it kept: variance of the embedding along each of its modes over
        the alignment of that very direction.
      scales: Eigenvalues of the features' covariance, descending: a null for the sizes.
      gains: Logarithms of every layer's gain along the modes of the whole head (`head_gains`).
    """

    outcome: HeadOutcome
    fractions: Float[np.ndarray, " modes"]
    scales: Float[np.ndarray, " width"]
    gains: Float[np.ndarray, "layers modes"]


def fresh_head(seed: int, width: int, depth: int) -> Weights:
    """A Gaussian head, unbalanced: hidden layers as wide as the feature, the embedding half."""
    dims = (*(width,) * depth, width // 2)
    return tuple(map(np.asarray, linear_weights(jax.random.key(seed), dims, init="gaussian")))


def settled_grid(
    banks: Banks,
    seed: int,
    *,
    depths: Mapping[int, float],
    decays: tuple[float, ...],
    num_steps: int,
    report: Report,
) -> dict[tuple[int, float], SettledCell]:
    """Settle a fresh head at every depth and decay, and hold each against its prediction.

    Args:
      banks: Features, centered.
      seed: Of the start and of the batches.
      depths: Learning rate of each depth.
      decays: Final weight decays.
      num_steps: Steps of each.
      report: Told after each head.

    Returns:
      The cells by (depth, decay).
    """
    moments = head_moments(banks.prediction)
    name = features_name(banks)
    width = banks.settling.shape[-1]
    cells = {}
    for (depth, rate), decay in itertools.product(depths.items(), decays):
        start = fresh_head(seed, width, depth)
        weights = kept_weights(
            f"{name}-seed{seed}-depth{depth}-{decay:g}-{rate:g}-{num_steps}",
            lambda start=start, decay=decay, rate=rate: settled_weights(
                start,
                banks.settling,
                seed,
                weight_decay=decay,
                num_steps=num_steps,
                learning_rate=rate,
            ),
        )
        outcome = compared_on_moments(
            moments, weights, weight_decay=decay, untrained=start, seed=seed
        )
        fractions = kept_fractions(moments, weights)
        scales = np.linalg.eigvalsh(np.asarray(moments.covariance))[::-1]
        gains = head_gains(moments, weights, len(fractions))
        cells[depth, decay] = SettledCell(outcome, fractions, scales, gains)
        report(f"settled at depth {depth}, decay {decay:g}")
    return cells


def features_name(banks: Banks) -> str:
    """Eight characters that change with what heads are settled on, and the library's version."""
    code = zlib.crc32(np.ascontiguousarray(banks.settling).tobytes())
    return f"{zlib.crc32(version('jax').encode(), code):08x}"


def kept_weights(name: str, settle: Callable[[], Weights]) -> Weights:
    """A settled head from the cache, or settled now: a run that was stopped goes on where it was.

    Args:
      name: Of everything that decides the head.
      settle: Makes it.

    Returns:
      W_1 ... W_L.
    """
    file = cache_folder().parent / "heads" / f"{name}.npz"
    try:
        with np.load(file) as kept:
            return tuple(kept[f"W{layer}"] for layer in range(1, 1 + len(kept.files)))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # not there yet, or damaged
        pass
    weights = settle()
    packed = io.BytesIO()
    np.savez(
        packed,
        allow_pickle=False,
        **{f"W{layer}": weight for layer, weight in enumerate(weights, start=1)},
    )
    write_bytes(file, packed.getvalue())
    return weights


def kept_fractions(
    moments: Moments, weights: Weights, threshold: float = 1e-3
) -> Float[np.ndarray, " modes"]:
    """n/a of every mode that a head keeps, each along its own direction.

    Modes are eigenvectors y of N = Σ^½ WᵀW Σ^½ with eigenvalue n above a fraction of the largest;
    a = yᵀ Σ^-½ M Σ^-½ y. Without decay every n/a is 1; nothing is sorted or matched.

    Args:
      moments: Of the features.
      weights: W_1 ... W_L, (out, in).
      threshold: Fraction of the largest n that counts as kept.

    Returns:
      One number a mode, strongest first.
    """
    with jax.enable_x64(True):
        covariance = jnp.asarray(moments.covariance, jnp.float64)
        root, inverse = (
            psd_power(covariance, power, tolerance=RANGE_TOLERANCE) for power in (0.5, -0.5)
        )
        gram = chain_layer_grams(tuple(jnp.asarray(weight, jnp.float64) for weight in weights))[-1]
        sizes, modes = jnp.linalg.eigh(root @ gram @ root)
        whitened = inverse @ jnp.asarray(moments.cross_covariance, jnp.float64) @ inverse
        alignments = jnp.sum(modes * (whitened @ modes), axis=0)
        sizes, alignments = np.asarray(sizes)[::-1], np.asarray(alignments)[::-1]
    kept = sizes > threshold * sizes[0]
    return sizes[kept] / alignments[kept]


def head_gains(moments: Moments, weights: Weights, count: int) -> Float[np.ndarray, "layers modes"]:
    """Logarithms of each layer's gain along the strongest modes of the whole head.

    Args:
      moments: Of the features.
      weights: W_1 ... W_L.
      count: Modes, at least 1.

    Returns:
      One row a layer; by the layer law row l is l/L times the last.
    """
    with jax.enable_x64(True):
        covariance = jnp.asarray(moments.covariance, jnp.float64)
        grams = chain_layer_grams(tuple(jnp.asarray(weight, jnp.float64) for weight in weights))
        return np.asarray(log_gains(grams, active_subspace(covariance, grams[-1], count)))
