"""Modes of linear models without negatives: BYOL and SimSiam, joint-embedding predictors."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, Spectrum, Times, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.integration import check_flow, integrate, require_reached

Number = float | Scalar


class PredictorPath(NamedTuple):
    """Eigenvalues along flow: of the predictor, and of the embedding's correlation matrix."""

    predictor: Float[Arr, "times modes"]
    correlation: Float[Arr, "times modes"]


class PredictorFixedPoints(NamedTuple):
    """Predictor eigenvalues at rest: below `unstable` a mode collapses, above it ends at `stable`.

    Both are NaN where weight decay is so large that only collapse is left.
    """

    unstable: Float[Arr, ""]
    stable: Float[Arr, ""]


def predictor_time_courses(
    predictor: Spectrum,
    correlation: Spectrum,
    times: Times,
    *,
    target_rate: Number = 1.0,
    augmentation_variance: Number = 0.0,
    predictor_rate: Number = 1.0,
    weight_decay: Number = 0.0,
    relative_tolerance: float = 1e-10,
    absolute_tolerance: float = 1e-13,
    max_steps: int = 65536,
) -> PredictorPath:
    r"""Return the modes of linear BYOL (or SimSiam, ``target_rate=1``) on isotropic data.

    .. math:: \dot p = \alpha s (\tau - (1 + \sigma^2) p) - \eta p, \qquad
        \dot s = 2 p s (\tau - (1 + \sigma^2) p) - 2 \eta s

    keeps :math:`(s - p^2/\alpha) e^{2 \eta t}` constant: weight decay aligns predictor and
    embedding.

    Args:
      predictor: p of each mode at time 0.
      correlation: s of each mode at time 0, 0 or more.
      times: Flow times, ascending, at least 0.
      target_rate: τ, ratio of target to online weights, in (0, 1].
      augmentation_variance: σ², noise that augmentation adds to a unit-variance feature.
      predictor_rate: α, learning rate of the predictor over that of the encoder.
      weight_decay: η on both.
      relative_tolerance: Error allowed per step, relative.
      absolute_tolerance: Error allowed per step, added to the relative one.
      max_steps: Solver steps after which the flow is given up.

    Returns:
      `PredictorPath`, each of shape ``(times, modes)``.

    Raises:
      InputError: Not float64, or times that do not ascend.

    Accuracy:
      About 1e-9.

    Source:
      Tian, Chen and Ganguli, Understanding Self-Supervised Learning Dynamics without Contrastive
      Pairs, 2021, from memory of the equations; conservation re-derived.

    Example:
      The same mode collapses or not, by where its predictor starts:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     start = jnp.array([0.05, 0.2])
      ...     path = predictor_time_courses(start, start**2, jnp.array([500.0]), weight_decay=0.1)
      ...     [round(float(p), 3) for p in path.predictor[0]]
      [0.0, 0.887]
    """
    check_flow(1, times, predictor=predictor, correlation=correlation)
    constants = (target_rate, augmentation_variance, predictor_rate, weight_decay)
    start = (jnp.asarray(predictor), jnp.asarray(correlation))
    path, done, _ = integrate(
        _predictor_velocity,
        start,
        times,
        constants,
        relative_tolerance=relative_tolerance,
        absolute_tolerance=absolute_tolerance,
        max_steps=max_steps,
    )
    require_reached(done, max_steps)
    return PredictorPath(*path)


def predictor_fixed_points(
    *,
    target_rate: Number = 1.0,
    augmentation_variance: Number = 0.0,
    weight_decay: Number = 0.0,
) -> PredictorFixedPoints:
    r"""Return the rest points of linear BYOL under weight decay.

    .. math:: p_\pm = \frac{\tau \pm \sqrt{\tau^2 - 4 \eta (1 + \sigma^2)}}{2 (1 + \sigma^2)}

    Args:
      target_rate: τ.
      augmentation_variance: σ².
      weight_decay: η.

    Returns:
      `PredictorFixedPoints`, on the aligned line s = p²/α.

    Raises:
      InputError: Outside the float64 context.

    Accuracy:
      Exact.

    Source:
      Tian, Chen and Ganguli 2021; re-derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     points = predictor_fixed_points(weight_decay=0.1)
      ...     [round(float(p), 3) for p in points]
      [0.113, 0.887]
    """
    require_float64(target_rate=target_rate, weight_decay=weight_decay)
    spread = jnp.asarray(1.0 + jnp.asarray(augmentation_variance))
    inside = jnp.asarray(target_rate) ** 2 - 4.0 * jnp.asarray(weight_decay) * spread
    root = jnp.where(inside >= 0.0, jnp.sqrt(jnp.maximum(inside, 0.0)), jnp.nan)
    return PredictorFixedPoints(
        unstable=(target_rate - root) / (2.0 * spread),
        stable=(target_rate + root) / (2.0 * spread),
    )


def joint_embedding_time(
    weight: Spectrum, initial: Spectrum, strength: Spectrum, regression: Spectrum, depth: int
) -> Spectrum:
    r"""Return the time at which a mode of a deep linear joint-embedding predictor reaches a weight.

    For :math:`\dot w = L \lambda (w^{3-1/L} - w^3/\rho)`, in :math:`x = w^{1/L}`,

    .. math:: t = \frac1\lambda \left[ \rho^{1-2L} \ln\frac{x}{\rho - x}
        - \sum_{n=1}^{2L-1} \frac{1}{n\, x^n \rho^{2L-1-n}} \right]_{w_0}^{w};

    it ends at :math:`w = \rho^L`: depth favors features that predict well over those that vary.

    Args:
      weight: w, between its start and its end.
      initial: w at time 0, > 0.
      strength: λ, covariance of the feature across the pair.
      regression: ρ, regression coefficient of the feature across the pair.
      depth: Number of layers L of the encoder.

    Returns:
      Flow times; from a small start about :math:`\frac1\lambda \sum_n 1/(n\, w_0^{n/L}
      \rho^{2L-1-n})`.

    Raises:
      InputError: Not float64, or a depth below 1.

    Accuracy:
      Exact; relative rounding of the largest term.

    Source:
      Equation of motion from Littwin et al. 2407.03475 (from memory); integral derived.

    Example:
      Of two features of equal strength, the better predictor is learned first:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     rho, one = jnp.array([0.9, 0.6]), jnp.ones(2)
      ...     times = joint_embedding_time(0.5 * rho**2, 0.01 * one, one, rho, 2)
      ...     bool(times[0] < times[1])
      True
    """
    require_float64(weight=weight, initial=initial, strength=strength, regression=regression)
    require_depth(depth)

    def clock(value):
        x = value ** (1.0 / depth)
        total = regression ** (1 - 2 * depth) * jnp.log(x / (regression - x))
        for n in range(1, 2 * depth):
            total = total - 1.0 / (n * x**n * regression ** (2 * depth - 1 - n))
        return total

    return (clock(weight) - clock(initial)) / strength


def closed_predictor_time(variance: Spectrum, initial: Spectrum) -> Spectrum:
    r"""Return the time at which a mode has a variance under a predictor set in closed form.

    With the predictor equal to the embedding's covariance the flow :math:`\dot v = 2 v^2 (1 - v)`
    gives :math:`t = \tfrac12 [\ln\frac{v}{1-v} - \frac1v]` between the two variances. Dividing
    the predictor's eigenvalue out (the isotropic loss) leaves the logistic curve.

    Args:
      variance: v, between its start and 1.
      initial: v at time 0, in (0, 1).

    Returns:
      Flow times.

    Raises:
      InputError: Not float64.

    Accuracy:
      Exact for Euclidean features with an identity kernel.

    Source:
      Derived for the model of Halvagal, Laborieux and Zenke 2023.

    Example:
      Weak modes wait in proportion to 1/v, the collapse-like plateau of this loss:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     start = jnp.array([0.1, 0.01])
      ...     [round(float(t), 1) for t in closed_predictor_time(jnp.full(2, 0.5), start)]
      [5.1, 51.3]
    """
    require_float64(variance=variance, initial=initial)

    def clock(value):
        return 0.5 * (jnp.log(value / (1.0 - value)) - 1.0 / value)

    return clock(variance) - clock(initial)


def _predictor_velocity(state, constants):
    predictor, correlation = state
    target, noise, rate, decay = constants
    error = target - (1.0 + noise) * predictor
    return (
        rate * correlation * error - decay * predictor,
        2.0 * predictor * correlation * error - 2.0 * decay * correlation,
    )
