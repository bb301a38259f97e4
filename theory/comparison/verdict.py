"""Verdict on a measured linear head: every metric, every null, and which criteria hold."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from theory.comparison.metrics import (
    Basis,
    active_modes,
    active_subspace,
    layer_exponents,
    log_gains,
    log_identity_r2,
    riemannian_distance,
)
from theory.comparison.nulls import isotropic_null, prediction_nulls
from theory.geometry.subspaces import subspace_overlap
from theory.layers.chain import Weights, balance_residuals, chain_layer_grams
from theory.layers.grams import HasGrams, layer_grams, layer_spectra
from theory.linalg.arrays import Arr, Grams, Matrix, require_float64
from theory.linalg.errors import InputError
from theory.moments.moments import Moments

NullGrams = Float[Arr, "layers dim dim"]
PerLayer = Float[np.ndarray, " depth"]


class Bars(NamedTuple):
    """Limits of the criteria, to be fixed before looking.

    Attributes:
      balance: Largest balance residual allowed.
      distance: Largest Riemannian distance allowed in any layer.
      null_fraction: Largest fraction of the best null's distance allowed in any layer.
      exponent: Largest distance of an exponent from l/L.
      modes: Largest difference of the numbers of active modes.
      power: Spread of the measured modes, as a distance, below which nothing could be told apart.
    """

    balance: float = 0.05
    distance: float = 0.10
    null_fraction: float = 0.2
    exponent: float = 0.05
    modes: int = 1
    power: float = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """Prediction and measurement on the subspace of the k strongest common modes; NumPy.

    Without a common mode distances are infinite and the other numbers NaN.

    Attributes:
      distances: Riemannian distance of predicted and measured Gram of each layer, (L,).
      law_distances: The same between the measured Gram and the layer law of the measured product.
      null_distances: By name, distance of the null and the measurement, (L,); NaN where a null
        says nothing about a layer.
      exponents: Measured exponents, (L,); theory l/L.
      affinity: Overlap of the predicted and the measured subspace, 1 where they are one.
      predicted_modes: n of the k modes, predicted, descending.
      measured_modes: n of the k modes, measured, descending.
      log_identity_r2: R² of log n to the identity line.
      log_spread: Standard deviation of log σ(W) over the modes.
    """

    distances: PerLayer
    law_distances: PerLayer
    null_distances: dict[str, PerLayer]
    exponents: PerLayer
    affinity: float
    predicted_modes: Float[np.ndarray, " modes"]
    measured_modes: Float[np.ndarray, " modes"]
    log_identity_r2: float
    log_spread: float

    @property
    def best_null(self) -> PerLayer:
        """Return the smallest null distance of each layer."""
        return np.nanmin(np.stack(list(self.null_distances.values())), axis=0)

    @property
    def skill(self) -> PerLayer:
        """Return metric m6, 1 − distance / best null: 1 is perfect, 0 as good as the best null."""
        if not self.predicted_modes.size:
            return np.full_like(self.distances, np.nan)
        return 1.0 - self.distances / self.best_null

    @property
    def median_relative_error(self) -> float:
        """Return the median of the relative error of n."""
        if not self.predicted_modes.size:
            return float("nan")
        errors = np.abs(self.measured_modes - self.predicted_modes) / self.predicted_modes
        return float(np.median(errors))

    @property
    def isotropic_distance(self) -> float:
        """Return the distance of the end-to-end Gram to the isotropic null."""
        if not self.predicted_modes.size:
            return float("nan")
        return float(self.null_distances["isotropic"][-1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointVerdict:
    """A measured linear head of depth L against its prediction; NumPy.

    Attributes:
      predicted_count: Active modes of the prediction.
      measured_count: Active modes of the measurement.
      num_modes: k, modes of the compared subspace.
      balance: Balance residual at each boundary, (L − 1,).
      agreement: Distances, exponents and sizes on that subspace.
      criteria: Whether ``balance``, ``distance``, ``exponent`` and ``count`` hold.
      powerless: Whether the isotropic null is so close that nothing could be told apart.
    """

    predicted_count: int
    measured_count: int
    num_modes: int
    balance: Float[np.ndarray, " boundaries"]
    agreement: Agreement
    criteria: dict[str, bool]
    powerless: bool

    @property
    def verdict(self) -> Literal["holds", "fails", "inconclusive"]:
        """Return the joint verdict: inconclusive without power, else whether all criteria hold."""
        if self.powerless:
            return "inconclusive"
        return "holds" if all(self.criteria.values()) else "fails"


def compare(
    prediction: HasGrams,
    weights: Weights,
    moments: Moments,
    *,
    nulls: Mapping[str, NullGrams] | None = None,
    key: Key[Array, ""] | None = None,
    num_modes: int | None = None,
    active_threshold: float = 1e-3,
    bars: Bars | None = None,
) -> JointVerdict:
    """Judge a measured linear head by its prediction and every null that follows from it.

    Args:
      prediction: `theory.solve` of the moments at the head's depth, rank and weight decay.
      weights: Measured W_1..W_L, (out, in), float64, acting on the features of the moments.
      moments: Moments of the features.
      nulls: More layer Grams by name, such as the head before training or the prediction from
        shuffled pairs.
      key: Typed random key of the random nulls; ``jax.random.key(0)`` without one.
      num_modes: As in `judge_head`.
      active_threshold: As in `judge_head`.
      bars: As in `judge_head`.

    Returns:
      `JointVerdict`.

    Raises:
      InputError: As `judge_head`.

    Accuracy:
      As `judge_head`.

    Source:
      Derived.

    Example:
      A network that keeps the sizes but turns the directions fails on distance alone:

      >>> from types import SimpleNamespace
      >>> import jax.numpy as jnp
      >>> with jax.enable_x64(True):
      ...     gram = jnp.diag(jnp.array([1.0, 0.4, 0.1]))
      ...     prediction = SimpleNamespace(grams=layer_grams(gram, 2))
      ...     moments = Moments(jnp.eye(3), gram)
      ...     turned = jnp.sqrt(gram)[::-1, ::-1] ** 0.5
      ...     found = compare(prediction, (turned, turned), moments)
      ...     print(found.verdict, found.criteria)
      fails {'balance': True, 'distance': False, 'exponent': True, 'count': True}
    """
    grams, covariance = prediction.grams, moments.covariance
    known = prediction_nulls(
        jax.random.key(0) if key is None else key,
        grams,
        covariance,
        active_threshold=active_threshold,
    )
    return judge_head(
        grams,
        weights,
        covariance,
        {**known, **(nulls or {})},
        num_modes=num_modes,
        active_threshold=active_threshold,
        bars=bars,
    )


def judge_head(
    predicted_grams: Grams,
    weights: Weights,
    covariance: Matrix,
    nulls: Mapping[str, NullGrams],
    *,
    num_modes: int | None = None,
    active_threshold: float = 1e-3,
    bars: Bars | None = None,
) -> JointVerdict:
    """Judge a measured linear head by its predicted layer Grams and given nulls, jointly.

    No criterion is evidence alone: an exponent of l/L arises without balance, a sorted spectrum
    agrees with almost anything. All are evaluated on the predicted active subspace of the k
    strongest modes, k the smaller of both counts.

    Args:
      predicted_grams: Predicted layer Grams, (L, dim, dim).
      weights: Measured W_1..W_L, (out, in), float64, acting on the features of the covariance.
      covariance: Σ of the features.
      nulls: Grams of null hypotheses by name, each of layers 1..L or 1..L−1. The isotropic null,
        matched to the measurement, is added.
      num_modes: k, where it is fixed by other means; at most the smaller count.
      active_threshold: Fraction of the largest n that counts as active.
      bars: Limits of the criteria; `Bars` without any.

    Returns:
      `JointVerdict`. With no mode in common every distance is infinite and the verdict "fails".

    Raises:
      InputError: Numbers of layers differ, or more modes are asked for than are active in both.

    Accuracy:
      Counts and criteria are exact comparisons of numbers whose rounding error is about 1e-12.
      Not to be compiled: the dimension of the subspace depends on the data.

    Source:
      Derived.

    Example:
      A balanced head that reached its prediction:

      >>> import jax.numpy as jnp
      >>> from theory.comparison.nulls import balanced_weights
      >>> with jax.enable_x64(True):
      ...     covariance, gram = jnp.eye(3), jnp.diag(jnp.array([1.0, 0.4, 0.1]))
      ...     grams = layer_grams(gram, 2)
      ...     nulls = prediction_nulls(jax.random.key(0), grams, covariance)
      ...     judge_head(grams, balanced_weights(gram, 2), covariance, nulls).verdict
      'holds'
    """
    require_float64(predicted_grams=predicted_grams, covariance=covariance, **nulls)
    bars = Bars() if bars is None else bars
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
    agreement = _measure_agreement(predicted_grams, measured, covariance, dict(nulls), count)
    # Comparisons with NaN are false, so a criterion that cannot be evaluated does not hold.
    near = (agreement.distances <= bars.distance) & (
        agreement.distances <= bars.null_fraction * agreement.best_null
    )
    exponent_errors = np.abs(agreement.exponents - np.arange(1, depth + 1) / depth)
    return JointVerdict(
        predicted_count=predicted_count,
        measured_count=measured_count,
        num_modes=count,
        balance=balance,
        agreement=agreement,
        criteria={
            "balance": bool(np.all(balance <= bars.balance)),
            "distance": bool(np.all(near)),
            "exponent": bool(np.all(exponent_errors <= bars.exponent)),
            "count": abs(predicted_count - measured_count) <= bars.modes,
        },
        powerless=agreement.isotropic_distance < bars.power,
    )


def _measure_agreement(
    predicted: Grams, measured: Grams, covariance: Matrix, nulls: dict[str, NullGrams], count: int
) -> Agreement:
    """Return the agreement on the active subspace of ``count`` modes."""
    if count == 0:
        unknown, infinite = (np.full(measured.shape[0], value) for value in (np.nan, np.inf))
        return Agreement(
            distances=infinite,
            law_distances=infinite,
            null_distances=dict.fromkeys(("isotropic", *nulls), infinite),
            exponents=unknown,
            affinity=np.nan,
            predicted_modes=np.zeros(0),
            measured_modes=np.zeros(0),
            log_identity_r2=np.nan,
            log_spread=np.nan,
        )
    predicted_basis = active_subspace(covariance, predicted[-1], count)
    measured_basis = active_subspace(covariance, measured[-1], count)
    nulls = {"isotropic": isotropic_null(measured, predicted_basis), **nulls}
    law = layer_grams(measured[-1], measured.shape[0])
    sizes = [
        np.asarray(layer_spectra(covariance, grams[-1:])[1])[:count]
        for grams in (predicted, measured)
    ]
    return Agreement(
        distances=_layer_distances(predicted, measured, predicted_basis),
        law_distances=_layer_distances(law, measured, measured_basis),
        null_distances={
            name: _layer_distances(grams, measured, predicted_basis)
            for name, grams in nulls.items()
        },
        exponents=np.asarray(layer_exponents(measured, measured_basis)),
        affinity=float(subspace_overlap(predicted_basis, measured_basis)),
        predicted_modes=sizes[0],
        measured_modes=sizes[1],
        log_identity_r2=float(log_identity_r2(*sizes)),
        log_spread=float(np.std(log_gains(measured, measured_basis)[-1])),
    )


_compiled_distances = jax.jit(jax.vmap(riemannian_distance, in_axes=(0, 0, None)))


def _layer_distances(grams: NullGrams, measured: Grams, basis: Basis) -> PerLayer:
    """Return the distance layer by layer, NaN for layers that the first argument lacks."""
    distances = np.full(measured.shape[0], np.nan)
    known = grams.shape[0]
    if known:
        distances[:known] = _compiled_distances(grams, measured[:known], basis)
    return distances
