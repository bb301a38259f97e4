"""Subspaces: how much of one lies in another."""

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar, compiled, require_float64

FirstBasis = Float[Arr, "dim first"]
SecondBasis = Float[Arr, "dim second"]


@compiled()
def subspace_overlap(first: FirstBasis, second: SecondBasis) -> Scalar:
    r"""Return the mean squared cosine :math:`\lVert Q_1^\top Q_2\rVert_F^2/\min r` of subspaces.

    Args:
      first: Orthonormal columns Q_1.
      second: Orthonormal columns Q_2, possibly of another number.

    Returns:
      1 where one subspace holds the other, 0 where they are orthogonal; on average the larger rank
      over the dimension where one of them is random.

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
