"""The self-supervised losses that are quadratic in the Gram of a linear network.

Each is made from `theory.moments.moments.Moments` and says to `theory.optimum.solve` and
`theory.dynamics.flow` all that they need: which loss, what the network receives, and which
directions are data.
"""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from theory.linalg.arrays import Scalar, require_float64
from theory.linalg.checks import require_number
from theory.linalg.errors import InputError
from theory.losses.quadratic import QuadraticLoss
from theory.moments.moments import Moments, default_range_tolerance

LOSSES = ("spectral", "vicreg", "barlow", "infonce")


def spectral(moments: Moments, *, range_tolerance: float | Scalar | None = None) -> QuadraticLoss:
    """Return the spectral contrastive loss −2 E f(x)ᵀf(x⁺) + E(f(x)ᵀf(x'))² of a linear f.

    Q = Σ, B = M: a mode of alignment a ends at variance a.

    Args:
      moments: Covariance Σ over views and cross-covariance M over positive pairs.
      range_tolerance: Fraction of the largest covariance eigenvalue that is outside the data;
        ``None`` for the moments' default, 1e-10, or 1e-6 where they were sampled.

    Returns:
      `QuadraticLoss`.

    Raises:
      InputError: The moments are not float64.

    Accuracy:
      Exact.

    Source:
      HaoChen, Wei, Gaidon and Ma, *Provable guarantees for self-supervised deep learning with
      spectral contrastive loss*, 2021, for the loss.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     loss = spectral(Moments(jnp.eye(2), jnp.diag(jnp.array([0.9, 0.6]))))
      ...     loss.name, loss.linear[0, 0].item()
      ('spectral', 0.9)
    """
    return _make("spectral", moments, range_tolerance)


def vicreg(
    moments: Moments,
    invariance_weight: float | Scalar,
    *,
    range_tolerance: float | Scalar | None = None,
) -> QuadraticLoss:
    """Return the covariance form of VICReg, ‖C − I‖² + κ E‖f(x) − f(x⁺)‖² less the constant ‖I‖².

    Q = Σ, B = Σ − κ(Σ − M): a mode of alignment a ends at variance 1 − κ(1 − a), and is dropped
    iff a < 1 − 1/κ. κ = 1 is the spectral contrastive loss. The hinge on standard deviations of the
    usual VICReg depends on the basis of the embedding and is not covered.

    Args:
      moments: Covariance Σ over views and cross-covariance M over positive pairs.
      invariance_weight: κ > 0; a traced value that is not gives NaN.
      range_tolerance: As in `spectral`.

    Returns:
      `QuadraticLoss`.

    Raises:
      InputError: An argument is not float64, or a known κ is not above 0.

    Accuracy:
      Exact.

    Source:
      Derived: E‖f(x) − f(x⁺)‖² = 2 tr G(Σ − M).

    Example:
      >>> import jax
      >>> from theory.optimum.quadratic import quadratic_optimum
      >>> with jax.enable_x64(True):
      ...     moments = Moments(jnp.eye(3), jnp.diag(jnp.array([0.9, 0.6, 0.4])))
      ...     print(jnp.diagonal(quadratic_optimum(vicreg(moments, 2.0)).gram).round(12))
      [0.8 0.2 0. ]
    """
    weight = _positive("invariance_weight", invariance_weight)
    return _make("vicreg", moments, range_tolerance, weight)


def barlow(moments: Moments, *, range_tolerance: float | Scalar | None = None) -> QuadraticLoss:
    """Return Barlow Twins without normalization, ‖WMWᵀ − I‖² less ‖I‖².

    Q = B = M, on M's positive part: every kept mode ends at the same height. With fewer outputs
    than the rank of M the minimum is a flat valley (`theory.optimum.quadratic.valley_dimension`),
    in which `theory.optimum.solve` chooses what a vanishing start reaches.

    Args:
      moments: Covariance Σ over views and cross-covariance M over positive pairs.
      range_tolerance: As in `spectral`, of the eigenvalues of M.

    Returns:
      `QuadraticLoss`.

    Raises:
      InputError: The moments are not float64.

    Accuracy:
      Exact.

    Source:
      Simon et al., *On the Stepwise Nature of Self-Supervised Learning*, ICML 2023, for the loss.

    Example:
      >>> import jax
      >>> from theory.losses.quadratic import quadratic_value
      >>> with jax.enable_x64(True):
      ...     loss = barlow(Moments(jnp.eye(2), 0.5 * jnp.eye(2)))
      ...     float(quadratic_value(loss, 2.0 * jnp.eye(2)))
      -2.0
    """
    return _make("barlow", moments, range_tolerance)


def infonce(
    moments: Moments,
    temperature: float | Scalar,
    *,
    range_tolerance: float | Scalar | None = None,
) -> QuadraticLoss:
    r"""Return InfoNCE of dot products for Gaussian data and infinitely many negatives.

    :math:`-\operatorname{tr}(GM)/\tau + \operatorname{tr}(\Sigma G \Sigma G)/(2\tau^2)`, the loss
    less the logarithm of the number of negatives: half the spectral loss of G/τ, in its own units
    of time. Its modes end at τ times the alignment.

    Args:
      moments: Covariance Σ over views and cross-covariance M over positive pairs.
      temperature: τ > 0; a traced value that is not gives NaN.
      range_tolerance: As in `spectral`.

    Returns:
      `QuadraticLoss`.

    Raises:
      InputError: An argument is not float64, or a known τ is not above 0.

    Accuracy:
      Exact in the limit. With K negatives and embedding variances n_i it holds while the load
      Σ (n_i/τ)² / (2 ln K) is below 1 (0.5: off by 1 %, 1: by 8 % at K = 4095); above, a few
      extreme negatives carry the average.

    Source:
      Derived: E exp(zᵀz'/τ) of a Gaussian z' is exp(zᵀCz/2τ²). The load is that of Derrida's random
      energy model.

    Example:
      >>> import jax
      >>> from theory.optimum.quadratic import quadratic_optimum
      >>> with jax.enable_x64(True):
      ...     loss = infonce(Moments(jnp.eye(1), 0.8 * jnp.eye(1)), 0.5)
      ...     round(float(quadratic_optimum(loss).gram[0, 0]), 12)
      0.4
    """
    return _make("infonce", moments, range_tolerance, _positive("temperature", temperature))


def make_loss(
    name: str,
    moments: Moments,
    *,
    invariance_weight: float | Scalar | None = None,
    temperature: float | Scalar | None = None,
    range_tolerance: float | Scalar | None = None,
) -> QuadraticLoss:
    """Return the loss of a name, with the parameter that it needs and no other.

    Args:
      name: One of `LOSSES`.
      moments: Covariance and cross-covariance.
      invariance_weight: κ of VICReg.
      temperature: τ of InfoNCE.
      range_tolerance: As in `spectral`.

    Returns:
      `QuadraticLoss`.

    Raises:
      InputError: No such loss; a parameter that is missing, or belongs to another loss.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     make_loss("vicreg", Moments(jnp.eye(1), jnp.eye(1)), invariance_weight=2.0).name
      'vicreg'
    """
    if name not in LOSSES:
        raise InputError(f"loss is {name!r}, wanted one of {', '.join(LOSSES)}")
    parameters = {"invariance_weight": invariance_weight, "temperature": temperature}
    owners = {"invariance_weight": "vicreg", "temperature": "infonce"}
    for parameter, value in parameters.items():
        if (value is None) == (owners[parameter] == name):
            verb = "needs" if value is None else "does not take"
            raise InputError(
                f"loss {name} {verb} {parameter}, which belongs to {owners[parameter]}"
            )
    if invariance_weight is not None:
        return vicreg(moments, invariance_weight, range_tolerance=range_tolerance)
    if temperature is not None:
        return infonce(moments, temperature, range_tolerance=range_tolerance)
    plain: dict[str, Callable[..., QuadraticLoss]] = {"spectral": spectral, "barlow": barlow}
    return plain[name](moments, range_tolerance=range_tolerance)


def _make(name, moments, range_tolerance, parameter: Any = 1.0):
    covariance, cross = moments.covariance, moments.cross_covariance
    require_float64(covariance=covariance, cross_covariance=cross)
    covariance, cross = jnp.asarray(covariance), jnp.asarray(cross)
    if name == "barlow":
        parts = cross, cross
    elif name == "infonce":
        parts = covariance / (math.sqrt(2.0) * parameter), cross / (2.0 * parameter)
    elif name == "vicreg":
        parts = covariance, covariance - parameter * (covariance - cross)
    else:
        parts = covariance, cross
    tolerance = default_range_tolerance(moments) if range_tolerance is None else range_tolerance
    return QuadraticLoss(*parts, covariance, tolerance, name)


def _positive(name, value):
    require_number(name, value, positive=True)
    require_float64(**{name: value})
    value = jnp.asarray(value, float)
    return jnp.where(value > 0.0, value, jnp.nan)
