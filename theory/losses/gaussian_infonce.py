"""InfoNCE of Gaussian data in closed form, how far it holds, and the information it can show."""

import math

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, Scalar, Spectrum, require_float64
from theory.linalg.errors import InputError
from theory.losses.quadratic import QuadraticLoss


def gaussian_infonce_loss(
    covariance: Matrix, cross_covariance: Matrix, temperature: float | Scalar
) -> QuadraticLoss:
    r"""InfoNCE of dot products for Gaussian data and infinitely many negatives.

    :math:`-\operatorname{tr}(GM)/\tau + \operatorname{tr}(\Sigma G \Sigma G)/(2\tau^2)`, the loss
    less the logarithm of the number of negatives: half the spectral loss of G/τ, in its own units
    of time. Its modes end at τ times the alignment.

    Args:
      covariance: Σ over views.
      cross_covariance: M over positive pairs.
      temperature: τ > 0.

    Returns:
      `QuadraticLoss`.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact in the limit. With K negatives it holds while `random_energy_load` is below 1.

    Source:
      Derived: E exp(zᵀz'/τ) of a Gaussian z' is exp(zᵀCz/2τ²).

    Example:
      >>> import jax
      >>> from theory.losses.quadratic import quadratic_optimum
      >>> with jax.enable_x64(True):
      ...     optimum = quadratic_optimum(gaussian_infonce_loss(jnp.eye(1), 0.8 * jnp.eye(1), 0.5))
      ...     round(float(optimum.gram[0, 0]), 12)
      0.4
    """
    require_float64(
        covariance=covariance, cross_covariance=cross_covariance, temperature=temperature
    )
    return QuadraticLoss(
        covariance / (math.sqrt(2.0) * temperature), cross_covariance / (2.0 * temperature)
    )


def random_energy_load(
    output_variances: Spectrum, temperature: float | Scalar, negatives: int
) -> Scalar:
    r"""How near :math:`\sum_i (n_i/\tau)^2 / (2 \ln K)` a batch of K negatives is to freezing.

    Below 1 the average over negatives is what `gaussian_infonce_loss` takes it for. Above 1 a few
    extreme negatives carry it, as in the random energy model, and the closed form fails.

    Args:
      output_variances: n_i, variances of the embedding along its principal directions.
      temperature: τ > 0.
      negatives: K, at least 2.

    Returns:
      The load; valid below 1.

    Raises:
      InputError: An argument is not float64, or fewer than 2 negatives.

    Accuracy:
      The edge is sharp as K grows; at K = 4095 the loss is off by 1 % at a load of about 0.5 and
      by 8 % at 1.

    Source:
      Derived; Derrida's random energy model.

    Example:
      Alignments of 0.9 in three modes are within reach of 4096 negatives, in thirty they are not:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     loads = [random_energy_load(jnp.full(k, 0.9), 1.0, 4096) for k in (3, 30)]
      ...     [round(float(load), 3) for load in loads]
      [0.146, 1.461]
    """
    require_float64(output_variances=output_variances, temperature=temperature)
    if negatives < 2:
        raise InputError(f"negatives are {negatives}, wanted at least 2")
    return jnp.sum((output_variances / temperature) ** 2) / (2.0 * math.log(negatives))


def gaussian_mutual_information(alignments: Float[Arr, " modes"]) -> Scalar:
    r"""Information :math:`-\tfrac12 \sum_i \ln(1 - a_i^2)` that two Gaussian views share, in nats.

    InfoNCE with K negatives can show at most ln K of it; the modes that a layer keeps carry the
    sum over them.

    Args:
      alignments: a_i of the modes kept, −1 < a < 1.

    Returns:
      Nats, at least 0.

    Raises:
      InputError: The argument is not float64.

    Accuracy:
      Exact for Gaussian views.

    Source:
      Canonical correlations of Gaussian variables are their alignments.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     round(float(gaussian_mutual_information(jnp.array([0.6, 0.0]))), 6)
      0.223144
    """
    require_float64(alignments=alignments)
    return -0.5 * jnp.sum(jnp.log1p(-(alignments**2)))
