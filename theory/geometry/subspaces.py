"""Subspaces: angles between them, their random baseline, and the energy they capture."""

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, compiled, require_float64

FirstBasis = Float[Arr, "dim first"]
SecondBasis = Float[Arr, "dim second"]
Displacements = Float[Arr, "dim displacements"]


@compiled("rank")
def row_subspace(local_map: Float[Arr, "out dim"], rank: int) -> Float[Arr, "dim rank"]:
    """Projector subspace: orthonormal top right singular vectors of a (local) linear map."""
    require_float64(local_map=local_map)
    _, _, rows = jnp.linalg.svd(jnp.asarray(local_map), full_matrices=False)
    return rows[:rank].T


@compiled()
def principal_cosines(first: FirstBasis, second: SecondBasis) -> Float[Arr, " angles"]:
    """Cosines of the principal angles between two orthonormal bases, descending."""
    require_float64(first=first, second=second)
    # Round-off puts the cosine of a shared direction at 1 + 1e-16.
    return jnp.minimum(jnp.linalg.svd(jnp.asarray(first).T @ second, compute_uv=False), 1.0)


@compiled()
def subspace_overlap(first: FirstBasis, second: SecondBasis) -> Scalar:
    r"""Mean squared cosine of the principal angles, :math:`\lVert Q_1^\top Q_2\rVert_F^2/\min r`.

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
    """Expected `subspace_overlap` of independent random subspaces: max(r1, r2) / dim."""
    return max(first_rank, second_rank) / dim


@compiled()
def chordal_distance(first: FirstBasis, second: SecondBasis) -> Scalar:
    """Chordal distance √(r - ‖Q_1ᵀQ_2‖²_F), r the smaller rank; no derivative at 0."""
    rank = min(first.shape[1], second.shape[1])
    return jnp.sqrt(rank * jnp.maximum(1.0 - subspace_overlap(first, second), 0.0))


@compiled()
def captured_energy(basis: FirstBasis, displacements: Displacements) -> Scalar:
    r"""Share of displacements' energy inside a subspace.

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


@compiled()
def captured_energy_ratio(
    basis: FirstBasis, data: Float[Arr, "dim pairs"], augmentation: Displacements
) -> Scalar:
    r"""Data energy over augmentation energy captured by a subspace.

    Above 1 the projector keeps what distinguishes images rather than what augmentation moves.
    This ratio, and not the overlap with either plane, is what rises with the strength of
    training: the overlap with the augmentation tangent can be above chance throughout.

    Args:
      basis: Orthonormal columns of the projector subspace.
      data: Columns, differences of features of different images.
      augmentation: Columns, displacements by augmentation of one image.

    Returns:
      The ratio, shape (); 1 for a subspace blind to the difference.

    Accuracy:
      Exact; unbounded where no augmentation energy is captured.

    Source:
      Derived.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     kept = jnp.eye(2)[:, :1]
      ...     data, moved = jnp.array([[2.0], [1.0]]), jnp.array([[1.0], [2.0]])
      ...     print(round(float(captured_energy_ratio(kept, data, moved)), 9))
      4.0
    """
    return captured_energy(basis, data) / captured_energy(basis, augmentation)


@compiled()
def selectivity(
    local_map: Float[Arr, "out dim"], data: Float[Arr, "dim pairs"], augmentation: Displacements
) -> Scalar:
    """Gain ‖AD‖²/‖D‖² of a map on data differences over its gain on augmentation displacements."""
    require_float64(local_map=local_map, data=data, augmentation=augmentation)

    def gain(displacements):
        moved = jnp.asarray(local_map) @ displacements
        return jnp.sum(moved**2) / jnp.sum(jnp.asarray(displacements) ** 2)

    return gain(data) / gain(augmentation)


def orbit_curvature_share(
    curvature: float | Scalar,
    strength: float | Scalar,
    square_variance: float = 2.0,
) -> Scalar:
    r"""Variance that the bend of an orbit adds across its tangent, over that along it.

    Displacements of an orbit of curvature κ at strength σ are
    :math:`\theta t + \tfrac12 \kappa \theta^2 n` (t tangent, n normal, both unit vectors) with
    :math:`\theta = \sigma\epsilon`: variance :math:`\sigma^2` along t,
    :math:`\tfrac14 \kappa^2 \sigma^4 \operatorname{Var} \epsilon^2` along n. For symmetric ε the
    two do not mix, so the leading sampled direction is the tangent while the share is below 1 and
    the normal above: sampling no longer finds the tangent, whatever the number of samples. Exact
    tangents have no such limit. Displacements on one side (ε not symmetric) turn by
    :math:`O(\kappa\sigma)` at once.

    Args:
      curvature: κ of the orbit, per unit of arc length at unit speed.
      strength: σ, standard deviation of the parameter.
      square_variance: Var ε² of the unit-variance parameter: 2 for normal, 4/5 for uniform.

    Returns:
      Share :math:`\tfrac14\operatorname{Var}(\epsilon^2)\,\kappa^2\sigma^2`, at least 0.

    Raises:
      InputError: Not float64.

    Accuracy:
      Second order in the strength; higher derivatives of the orbit are left out.

    Source:
      Derived.

    Example:
      Curvature one half hides the tangent from normal parameters beyond strength 2.8:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     print([round(float(orbit_curvature_share(0.5, s)), 3) for s in (1.0, 2.0, 3.0)])
      [0.125, 0.5, 1.125]
    """
    require_float64(curvature=curvature, strength=strength)
    return 0.25 * square_variance * (jnp.asarray(curvature, float) * strength) ** 2


@compiled("dim", "num_samples")
def tangent_cosine_squared(
    tangent_variance: float | Scalar,
    noise_variance: float | Scalar,
    dim: int,
    num_samples: int,
) -> Scalar:
    r"""Squared cosine between a sampled and the true tangent direction (high dimension).

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
      the threshold. For the curvature of the orbit see `orbit_curvature_share`.

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
