"""The joint verdict on a measured linear head: every number, and which criteria hold."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from theory.comparison.metrics import (
    Basis,
    active_modes,
    active_subspace,
    layer_exponents,
    log_gains,
    log_identity_r2,
    mode_values,
    riemannian_distance,
    skill,
    subspace_affinity,
)
from theory.comparison.nulls import isotropic_null
from theory.layers.chain import Weights, balance_residuals, chain_layer_grams
from theory.layers.grams import layer_grams
from theory.linalg.arrays import Arr, Grams, Matrix, require_float64
from theory.linalg.errors import InputError

NullGrams = Float[Arr, "layers dim dim"]


class JointVerdict(NamedTuple):
    """Predicted against measured for one linear head of depth L; arrays over layers are NumPy.

    Attributes:
      predicted_count: Active modes of the prediction.
      measured_count: Active modes of the measurement.
      num_modes: k, modes of the compared subspace.
      balance: Balance residual at each boundary, (L - 1,).
      distances: Riemannian distance of predicted and measured Gram of each layer, (L,).
      law_distances: Same between the measured Gram and the layer law of the measured product.
      null_distances: By name, distance of the null and the measurement, (L,); nan where a null
        says nothing about a layer.
      best_null: Smallest null distance of each layer, (L,).
      skill: 1 - distance / best null, (L,).
      exponents: Measured exponents, (L,); theory l/L.
      affinity: Subspace affinity of predicted and measured active subspaces.
      predicted_modes: n of the k modes, predicted, descending.
      measured_modes: n of the k modes, measured, descending.
      log_identity_r2: R² of log n to the identity line.
      median_relative_error: Median of the relative error of n.
      log_spread: Standard deviation of log σ(W) over the modes.
      isotropic_distance: Distance of the end-to-end Gram to the isotropic null, 2 × log_spread.
      balance_holds: Largest balance residual within its bar.
      distance_holds: Every layer within the bar and within the allowed fraction of its best null.
      exponent_holds: Every exponent within the bar of l/L.
      count_holds: Counts differ by at most the bar.
      powerless: The isotropic null is so close that nothing could be told apart.
      holds: All four criteria hold.
      verdict: "inconclusive" where powerless, else "holds" or "fails".
    """

    predicted_count: int
    measured_count: int
    num_modes: int
    balance: np.ndarray
    distances: np.ndarray
    law_distances: np.ndarray
    null_distances: dict[str, np.ndarray]
    best_null: np.ndarray
    skill: np.ndarray
    exponents: np.ndarray
    affinity: float
    predicted_modes: np.ndarray
    measured_modes: np.ndarray
    log_identity_r2: float
    median_relative_error: float
    log_spread: float
    isotropic_distance: float
    balance_holds: bool
    distance_holds: bool
    exponent_holds: bool
    count_holds: bool
    powerless: bool
    holds: bool
    verdict: str


def joint_verdict(
    predicted_grams: Grams,
    weights: Weights,
    covariance: Matrix,
    nulls: Mapping[str, NullGrams],
    *,
    num_modes: int | None = None,
    active_threshold: float = 1e-3,
    balance_bar: float = 0.05,
    distance_bar: float = 0.10,
    null_fraction: float = 0.2,
    exponent_bar: float = 0.05,
    count_bar: int = 1,
    power_bar: float = 0.3,
) -> JointVerdict:
    """Hold a measured linear head against its predicted layer Grams, jointly.

    No criterion is evidence alone: an exponent of l/L arises without balance, a sorted spectrum
    agrees with almost anything. All are evaluated on the predicted active subspace of the k
    strongest modes, k the smaller of both counts. The bars are to be fixed before looking.

    Args:
      predicted_grams: Predicted layer Grams, (L, dim, dim).
      weights: Measured W_1..W_L, (out, in), float64, acting on the features of the covariance.
      covariance: Σ of the features.
      nulls: Grams of null hypotheses by name (`theory.comparison.nulls.prediction_nulls` and
        more), each of layers 1..L or 1..L-1. The isotropic null, matched to the measurement, is
        added.
      num_modes: k, where it is fixed by other means; at most the smaller count.
      active_threshold: Fraction of the largest n that counts as active.
      balance_bar: Largest balance residual allowed.
      distance_bar: Largest Riemannian distance allowed in any layer.
      null_fraction: Largest fraction of the best null's distance allowed in any layer.
      exponent_bar: Largest distance of an exponent from l/L.
      count_bar: Largest difference of the active counts.
      power_bar: Below this isotropic distance, end to end, the test has no power.

    Returns:
      `JointVerdict`. With no mode in common every distance is infinite and the verdict "fails".

    Raises:
      InputError: Numbers of layers differ, or more modes are asked for than are active in both.

    Accuracy:
      Counts and criteria are exact comparisons of numbers whose rounding error is about 1e-12;
      not to be compiled, the subspace's dimension depends on the data.

    Source:
      Derived.

    Example:
      A balanced head that reached its prediction:

      >>> import jax, jax.numpy as jnp
      >>> from theory.comparison.nulls import balanced_weights, prediction_nulls
      >>> with jax.enable_x64(True):
      ...     covariance, gram = jnp.eye(3), jnp.diag(jnp.array([1.0, 0.4, 0.1]))
      ...     grams = layer_grams(gram, 2)
      ...     nulls = prediction_nulls(jax.random.key(0), grams, covariance)
      ...     joint_verdict(grams, balanced_weights(gram, 2), covariance, nulls).verdict
      'holds'
    """
    require_float64(predicted_grams=predicted_grams, covariance=covariance, **nulls)
    depth = len(weights)
    if predicted_grams.shape[0] != depth:
        raise InputError(
            f"{predicted_grams.shape[0]} predicted layers for {depth} measured weights: predict"
            f" with depth {depth}"
        )
    measured = chain_layer_grams(weights)
    predicted_count = int(active_modes(covariance, predicted_grams[-1], active_threshold))
    measured_count = int(active_modes(covariance, measured[-1], active_threshold))
    common = min(predicted_count, measured_count)
    if num_modes is not None and not 1 <= num_modes <= common:
        raise InputError(
            f"{num_modes} modes asked for, {common} are active in both the prediction and the"
            f" measurement: give between 1 and {common}, or none"
        )
    count = common if num_modes is None else num_modes
    balance = np.asarray(balance_residuals(weights))
    nulls = dict(nulls)
    if count:
        agreement = _agreement(predicted_grams, measured, covariance, nulls, count)
    else:
        agreement = _no_agreement(depth, ["isotropic", *nulls])
    # Comparisons with nan are false, so a criterion that cannot be evaluated does not hold.
    distances, best_null = agreement["distances"], agreement["best_null"]
    near = (distances <= distance_bar) & (distances <= null_fraction * best_null)
    exponent_errors = np.abs(agreement["exponents"] - np.arange(1, depth + 1) / depth)
    criteria: dict[str, Any] = {
        "balance_holds": bool(np.all(balance <= balance_bar)),
        "distance_holds": bool(np.all(near)),
        "exponent_holds": bool(np.all(exponent_errors <= exponent_bar)),
        "count_holds": abs(predicted_count - measured_count) <= count_bar,
    }
    powerless = agreement["isotropic_distance"] < power_bar
    holds = all(criteria.values())
    return JointVerdict(
        predicted_count=predicted_count,
        measured_count=measured_count,
        num_modes=count,
        balance=balance,
        **agreement,
        **criteria,
        powerless=powerless,
        holds=holds,
        verdict="inconclusive" if powerless else "holds" if holds else "fails",
    )


def _agreement(
    predicted: Grams, measured: Grams, covariance: Matrix, nulls: dict[str, NullGrams], count: int
) -> dict[str, Any]:
    """Everything that is evaluated on the active subspace of `count` modes."""
    predicted_basis = active_subspace(covariance, predicted[-1], count)
    measured_basis = active_subspace(covariance, measured[-1], count)
    nulls = {"isotropic": isotropic_null(measured, predicted_basis), **nulls}
    distances = _layer_distances(predicted, measured, predicted_basis)
    null_distances = {
        name: _layer_distances(grams, measured, predicted_basis) for name, grams in nulls.items()
    }
    best_null = np.nanmin(np.stack(list(null_distances.values())), axis=0)
    law = layer_grams(measured[-1], measured.shape[0])
    predicted_modes = np.asarray(mode_values(covariance, predicted[-1]))[:count]
    measured_modes = np.asarray(mode_values(covariance, measured[-1]))[:count]
    relative = np.abs(measured_modes - predicted_modes) / predicted_modes
    return {
        "distances": distances,
        "law_distances": _layer_distances(law, measured, measured_basis),
        "null_distances": null_distances,
        "best_null": best_null,
        "skill": np.asarray(skill(distances, best_null)),
        "exponents": np.asarray(layer_exponents(measured, measured_basis)),
        "affinity": float(subspace_affinity(predicted_basis, measured_basis)),
        "predicted_modes": predicted_modes,
        "measured_modes": measured_modes,
        "log_identity_r2": float(log_identity_r2(predicted_modes, measured_modes)),
        "median_relative_error": float(np.median(relative)),
        "log_spread": float(np.std(log_gains(measured, measured_basis)[-1])),
        "isotropic_distance": float(null_distances["isotropic"][-1]),
    }


def _no_agreement(depth: int, null_names: list[str]) -> dict[str, Any]:
    """The same numbers where prediction and measurement share no active mode."""
    unknown, infinite = np.full(depth, np.nan), np.full(depth, np.inf)
    names = ["exponents", "skill", "affinity", "log_identity_r2", "median_relative_error"]
    return {
        **dict.fromkeys(names, np.nan),
        "exponents": unknown,
        "skill": unknown,
        "distances": infinite,
        "law_distances": infinite,
        "null_distances": dict.fromkeys(null_names, infinite),
        "best_null": infinite,
        "predicted_modes": np.zeros(0),
        "measured_modes": np.zeros(0),
        "log_spread": np.nan,
        "isotropic_distance": np.nan,
    }


_compiled_distances = jax.jit(jax.vmap(riemannian_distance, in_axes=(0, 0, None)))


def _layer_distances(grams: NullGrams, measured: Grams, basis: Basis) -> np.ndarray:
    """Distance layer by layer, nan for layers the first argument does not reach."""
    distances = np.full(measured.shape[0], np.nan)
    reached = grams.shape[0]
    if reached:
        distances[:reached] = _compiled_distances(grams, measured[:reached], basis)
    return distances
