"""How far the closed form of InfoNCE holds, and how much information it can show."""

import math

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, Spectrum, require_float64
from theory.linalg.errors import InputError


def random_energy_load(
    output_variances: Spectrum, temperature: float | Scalar, negatives: int
) -> Scalar:
    r"""Return how near a batch of K negatives is to freezing.

    :math:`\sum_i (n_i/\tau)^2 / (2 \ln K)`. Below 1 the average over negatives is what
    `theory.losses.family.infonce` takes it for. Above 1 a few extreme negatives carry it, as in the
    random energy model, and the closed form fails.

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
    r"""Return the information that two Gaussian views share, in nats.

    :math:`-\tfrac12 \sum_i \ln(1 - a_i^2)`. InfoNCE with K negatives can show at most ln K of
    it; the modes that a layer keeps carry the sum over them.

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
