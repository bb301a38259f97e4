"""Subspaces: angles between them, their random baseline, and the energy they capture."""

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, compiled, require_float64
from theory.linalg.spectral import factor_modes

FirstBasis = Float[Arr, "dim first"]
SecondBasis = Float[Arr, "dim second"]
Displacements = Float[Arr, "dim displacements"]


@compiled("rank")
def row_subspace(local_map: Float[Arr, "out dim"], rank: int) -> Float[Arr, "dim rank"]:
    """Return the projector subspace: orthonormal top right singular vectors of a local map."""
    require_float64(local_map=local_map)
    return factor_modes(jnp.asarray(local_map)).vectors[:, :rank]


@compiled()
def subspace_overlap(first: FirstBasis, second: SecondBasis) -> Scalar:
    r"""Return the mean squared cosine :math:`\lVert Q_1^\top Q_2\rVert_F^2/\min r` of subspaces.

    Args:
      first: Orthonormal columns Q_1.
      second: Orthonormal columns Q_2, possibly of another number.

    Returns:
      1 where one subspace holds the other, 0 where they are orthogonal, by chance
      `random_overlap`.

    Accuracy:
      Exact to rounding.

    Source:
      Standard.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     basis = jnp.eye(4)
      ...     print(float(subspace_overlap(basis[:, :2], basis[:, 1:4])))
      0.5
    """
    require_float64(first=first, second=second)
    shared = jnp.sum((jnp.asarray(first).T @ second) ** 2)
    return shared / min(first.shape[1], second.shape[1])


def random_overlap(first_rank: int, second_rank: int, dim: int) -> float:
    """Return the expected `subspace_overlap` of independent random subspaces: max(r1, r2) / dim."""
    return max(first_rank, second_rank) / dim


@compiled()
def captured_energy(basis: FirstBasis, displacements: Displacements) -> Scalar:
    r"""Return the share of displacements' energy inside a subspace.

    :math:`\lVert Q^\top D\rVert_F^2 / \lVert D\rVert_F^2`.

    Args:
      basis: Orthonormal columns Q, say of the projector subspace.
      displacements: Columns D: differences of features, or an augmentation tangent.

    Returns:
      A share in [0, 1]; rank / dim for a random subspace. What is not captured is in the
      kernel of the projector.

    Accuracy:
      Exact; nan when every displacement is zero.

    Source:
      Standard.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     print(float(captured_energy(jnp.eye(2)[:, :1], jnp.array([[3.0], [4.0]]))))
      0.36
    """
    require_float64(basis=basis, displacements=displacements)
    displacements = jnp.asarray(displacements)
    return jnp.sum((jnp.asarray(basis).T @ displacements) ** 2) / jnp.sum(displacements**2)


@compiled("dim", "num_samples")
def tangent_cosine_squared(
    tangent_variance: float | Scalar,
    noise_variance: float | Scalar,
    dim: int,
    num_samples: int,
) -> Scalar:
    r"""Return the squared cosine between a sampled and the true tangent direction (high dimension).

    Local principal component analysis of n augmented samples: with
    :math:`x = \ell/\nu` and :math:`\gamma = D/n` the direction is lost where
    :math:`x \le \sqrt\gamma`, else :math:`\cos^2 = (1 - \gamma/x^2)/(1 + \gamma/x)`. An exact
    Jacobian-vector product has no such error (but is the limit of strength 0).

    Args:
      tangent_variance: ℓ, variance of the displacement along the tangent.
      noise_variance: ν, variance of everything else per coordinate.
      dim: D of the features.
      num_samples: n of the augmented samples.

    Returns:
      cos² in [0, 1), shape ().

    Accuracy:
      The limit of large D and n at fixed ratio; at D = 64 sin is right to about .015 away from
      the threshold. Orbits are taken as straight.

    Source:
      Baik, Ben Arous and Péché, 2005 (transition); Paul, 2007, and Benaych-Georges and Nadakuditi,
      2011 (angle), for a spiked covariance.

    Example:
      Sixteen samples in 64 dimensions say nothing about a tangent that 256 find well:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     print([round(float(tangent_cosine_squared(4.0, 3.0, 64, n)), 2) for n in (16, 256)])
      [0.0, 0.72]
    """
    require_float64(tangent_variance=tangent_variance, noise_variance=noise_variance)
    ratio = jnp.asarray(tangent_variance) / noise_variance
    aspect = dim / num_samples
    found = ratio > jnp.sqrt(aspect)
    safe = jnp.where(found, ratio, 2.0 * jnp.sqrt(aspect))
    return jnp.where(found, (1.0 - aspect / safe**2) / (1.0 + aspect / safe), 0.0)
