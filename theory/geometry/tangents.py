"""First-order invariance: what a projector does to the directions augmentation moves.

T is the encoder's augmentation tangent, one column a parameter at unit strength; A the local
linear map of the projector. The embedding's tangent is A T.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.alignment import symmetric_eigenvalues
from theory.linalg.arrays import Arr, Scalar, compiled, require_float64

LocalMap = Float[Arr, "out dim"]
Tangent = Float[Arr, "dim parameters"]


class EnergyBounds(NamedTuple):
    """Smallest and largest ‖AT‖²_F over all rotations between the two."""

    low: Scalar
    high: Scalar


@compiled()
def displacement_energy(
    local_map: LocalMap, tangent: Tangent, parameter_variance: float | Scalar = 1.0
) -> Scalar:
    r"""Mean squared displacement of the embedding, :math:`\sigma_\epsilon^2\lVert AT\rVert_F^2`.

    Args:
      local_map: A of the projector at the feature, (out, dim).
      tangent: T, (dim, parameters), already scaled by the strength.
      parameter_variance: Variance of each augmentation parameter; 1/3 for uniform on [-1, 1].

    Returns:
      E‖g(f(a(x))) - g(f(x))‖² to first order, shape ().

    Accuracy:
      Relative error O(strength), O(strength²) for symmetric parameters. Finite strengths must be
      sampled as well: on real images the two differ by 15 to 60 %.

    Source:
      Derived: Taylor expansion of the composition.

    Example:
      A projector whose kernel holds the tangent is invariant although the encoder is not:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     print(float(displacement_energy(jnp.array([[1.0, 0.0]]), jnp.array([[0.0], [5.0]]))))
      0.0
    """
    require_float64(local_map=local_map, tangent=tangent, parameter_variance=parameter_variance)
    return parameter_variance * jnp.sum((jnp.asarray(local_map) @ tangent) ** 2)


@compiled()
def displacement_bounds(local_map: LocalMap, tangent: Tangent) -> EnergyBounds:
    r"""Range of :math:`\lVert AT\rVert_F^2` over every relative orientation of A and T.

    :math:`\sum_k s_{D+1-k}(A)^2 s_k(T)^2 \le \lVert AT\rVert_F^2 \le \sum_k s_k(A)^2 s_k(T)^2`,
    singular values descending and padded with zeros to D. The lower end is 0 exactly when the
    kernel of A has room for T, rank A + rank T <= D.

    Args:
      local_map: A, (out, dim).
      tangent: T, (dim, parameters).

    Returns:
      `EnergyBounds`, both attained.

    Accuracy:
      Exact.

    Source:
      Von Neumann's trace inequality.

    Example:
      One output dimension can always be invariant to one parameter in two dimensions:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     bounds = displacement_bounds(jnp.array([[0.0, 2.0]]), jnp.array([[0.0], [1.0]]))
      ...     print(float(bounds.low), float(bounds.high))
      0.0 4.0
    """
    require_float64(local_map=local_map, tangent=tangent)
    gains = _padded_squares(local_map, local_map.shape[1])
    energies = _padded_squares(tangent, tangent.shape[0])
    return EnergyBounds(jnp.sum(gains[::-1] * energies), jnp.sum(gains * energies))


@compiled()
def alignment_efficiency(local_map: LocalMap, tangent: Tangent) -> Scalar:
    r"""Displacement relative to a random orientation.

    :math:`\eta = D\lVert AT\rVert_F^2 / (\lVert A\rVert_F^2\lVert T\rVert_F^2)`.

    Args:
      local_map: A, (out, dim).
      tangent: T, (dim, parameters).

    Returns:
      η, shape (): 1 for random orientation, below 1 where the kernel of A leans toward the
      augmentation, at most D.

    Accuracy:
      Exact; nan when A or T is zero.

    Source:
      Derived: the average of ‖AOT‖² over rotations O is ‖A‖²‖T‖²/D.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     print(float(alignment_efficiency(jnp.eye(3), jnp.ones((3, 1)))))
      1.0
    """
    require_float64(local_map=local_map, tangent=tangent)
    moved = jnp.sum((jnp.asarray(local_map) @ tangent) ** 2)
    sizes = jnp.sum(jnp.asarray(local_map) ** 2) * jnp.sum(jnp.asarray(tangent) ** 2)
    return local_map.shape[1] * moved / sizes


@compiled()
def parameter_suppression(
    local_map: LocalMap,
    tangent: Tangent,
    feature_variance: float | Scalar,
    embedding_variance: float | Scalar,
) -> Float[Arr, " parameters"]:
    r"""Suppression of each augmentation parameter by the projector, free of scale.

    :math:`R_k = \lVert A T e_k\rVert^2\,\mathrm{tr}S_h / (\lVert T e_k\rVert^2\,\mathrm{tr}S_z)`.

    Args:
      local_map: A, (out, dim).
      tangent: T, (dim, parameters).
      feature_variance: tr S_h, total variance of the features.
      embedding_variance: tr S_z, total variance of the embeddings.

    Returns:
      R per parameter; below 1 the projector removes it.

    Accuracy:
      First order in the strength.

    Source:
      Derived: `theory.geometry.invariance.suppression` of one parameter to first order.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     print(parameter_suppression(jnp.diag(jnp.array([1.0, 0.1])), jnp.eye(2), 2.0, 1.01))
      [1.98... 0.019...]
    """
    require_float64(
        local_map=local_map,
        tangent=tangent,
        feature_variance=feature_variance,
        embedding_variance=embedding_variance,
    )
    tangent = jnp.asarray(tangent)
    moved = jnp.sum((jnp.asarray(local_map) @ tangent) ** 2, axis=0)
    return moved / jnp.sum(tangent**2, axis=0) * feature_variance / embedding_variance


def pulled_back_metric(tangent: Tangent) -> Float[Arr, "parameters parameters"]:
    """Metric TᵀT that a representation induces on the augmentation parameters."""
    require_float64(tangent=tangent)
    return jnp.asarray(tangent).T @ tangent


@compiled()
def log_orbit_volume(tangent: Tangent) -> Scalar:
    """Log volume ½ log det TᵀT of the orbit per unit of parameters; very low where degenerate."""
    values = symmetric_eigenvalues(pulled_back_metric(tangent))
    return 0.5 * jnp.sum(
        jnp.where(values > 0, jnp.log(jnp.where(values > 0, values, 1.0)), -jnp.inf)
    )


def _padded_squares(matrix: Float[Arr, "rows columns"], length: int) -> Float[Arr, " length"]:
    squares = jnp.linalg.svd(jnp.asarray(matrix), compute_uv=False) ** 2
    return jnp.pad(squares, (0, length - len(squares)))
