"""Risk of a linear probe on a layer, predicted from the layer's spectrum and the labels."""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from theory.linalg.arrays import Scalar, Spectrum, compiled, require_float64
from theory.linalg.errors import InputError


def effective_ridge(
    variances: Spectrum, num_labels: int, ridge: float | Scalar, *, iterations: int = 100
) -> Scalar:
    r"""Return the κ with :math:`\sum_i \lambda_i / (\lambda_i + \kappa) + \delta/\kappa = n`.

    A mode of variance below κ is not learned from n labels, one above it is.

    Args:
      variances: λ_i of the probed features, >= 0.
      num_labels: n, at least 1.
      ridge: δ > 0 of the probe: it minimizes Σ errors² + δ‖w‖².
      iterations: Bisections of log κ.

    Returns:
      κ, in units of the variances.

    Raises:
      InputError: An argument is not float64, no label, or a ridge that is not positive.

    Accuracy:
      Machine precision.

    Source:
      Self-consistency of kernel ridge regression (the "omniscient" risk estimate); the left side
      falls monotonically.

    Example:
      Without variance only the ridge is left:

      >>> with jax.enable_x64(True):
      ...     round(float(effective_ridge(jnp.zeros(3), 10, 1.0)), 12)
      0.1
    """
    require_float64(variances=variances, ridge=ridge)
    if num_labels < 1:
        raise InputError(f"num_labels is {num_labels}, wanted at least 1")
    if not isinstance(ridge, Tracer) and not float(ridge) > 0:
        raise InputError(f"ridge is {ridge}, wanted a number above 0")
    return _effective_ridge(variances, num_labels, ridge, iterations)


@compiled("num_labels", "iterations")
def _effective_ridge(
    variances: Spectrum, num_labels: int, ridge: float | Scalar, iterations: int
) -> Scalar:
    # At κ = (δ + Σλ)/n the left side is at most n, at κ = δ/n at least n.
    low = jnp.log(ridge / num_labels)
    high = jnp.log((ridge + jnp.sum(variances)) / num_labels)

    def halve(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        ridge_there = jnp.exp(middle)
        count = jnp.sum(variances / (variances + ridge_there)) + ridge / ridge_there
        above = count > num_labels
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    low, high = jax.lax.stop_gradient(jax.lax.fori_loop(0, iterations, halve, (low, high)))
    found = jnp.exp(0.5 * (low + high))
    # One Newton step from the solution carries the derivatives by implicit differentiation.
    residual = jnp.sum(variances / (variances + found)) + ridge / found - num_labels
    slope = -jnp.sum(variances / (variances + found) ** 2) - ridge / found**2
    return found - residual / jax.lax.stop_gradient(slope)


def probe_risk(
    variances: Spectrum,
    squared_targets: Spectrum,
    num_labels: int,
    ridge: float | Scalar,
    noise_variance: float | Scalar = 0.0,
) -> Scalar:
    r"""Return the expected squared error of a ridge probe trained on n labels.

    With κ of `effective_ridge`: :math:`\frac{n}{n - \sum_i (\lambda_i/(\lambda_i+\kappa))^2}
    \left( \sum_i \left(\frac{\kappa}{\lambda_i+\kappa}\right)^2 v_i^2 + s^2 \right)`.

    Args:
      variances: λ_i of the layer along its principal directions.
      squared_targets: v_i², squared weights of the target on the modes scaled to unit variance.
      num_labels: n.
      ridge: δ > 0 of the probe.
      noise_variance: s² of the labels; it is part of the error.

    Returns:
      Mean squared error on new examples, label noise included.

    Raises:
      InputError: As `effective_ridge`.

    Accuracy:
      Asymptotic in n and the number of modes; 1–3 % from simulation with Gaussian features at
      n of some tens.

    Source:
      The "omniscient" risk estimate of kernel ridge regression.

    Example:
      Features of no variance explain nothing:

      >>> with jax.enable_x64(True):
      ...     float(probe_risk(jnp.zeros(2), jnp.array([1.0, 0.5]), 10, 1.0))
      1.5
    """
    require_float64(squared_targets=squared_targets, noise_variance=noise_variance)
    found = effective_ridge(variances, num_labels, ridge)
    learned = variances / (variances + found)
    missed = jnp.sum((1.0 - learned) ** 2 * squared_targets)
    return (missed + noise_variance) * num_labels / (num_labels - jnp.sum(learned**2))
