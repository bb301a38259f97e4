"""What a head makes of the loss's curvature, and sample- against dimension-contrast."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from theory.linalg.arrays import Arr, Scalar, compiled, require_float64

Feature = Float[Arr, " dim"]
Curvature = Float[Arr, "dim dim"]


class HessianSplit(NamedTuple):
    """Hessian of a loss with respect to the feature before a head, in two parts.

    Attributes:
      pullback: Jᵀ(∇²L)J, the loss's curvature seen through the head.
      interaction: Σ_i [∇L]_i ∇²g_i, the head's own curvature; zero for linear heads, and almost
        everywhere for ReLU heads.
    """

    pullback: Curvature
    interaction: Curvature


class DualityTerms(NamedTuple):
    """Off-diagonal energy of a batch's two Grams; dimension + column = sample + row.

    Attributes:
      dimension: ‖KᵀK − diag‖², what covariance methods lower.
      sample: ‖KKᵀ − diag‖², what contrastive methods lower.
      row: Σ ‖row‖⁴, constant for normalized embeddings.
      column: Σ ‖column‖⁴, constant for normalized dimensions.
    """

    dimension: Scalar
    sample: Scalar
    row: Scalar
    column: Scalar


def hessian_split(
    head: Callable[[Array], Array], loss: Callable[[Array], Array], feature: Feature
) -> HessianSplit:
    r"""Split of the Hessian of loss(head(feature)) by the chain rule.

    :math:`\nabla^2_h L(g(h)) = J^\top (\nabla^2_z L) J + \sum_i [\nabla_z L]_i \nabla^2 g_i`.

    Args:
      head: g, from a feature (dim,) to an embedding.
      loss: L, from the embedding to a number; everything else held fixed.
      feature: h, (dim,).

    Returns:
      `HessianSplit`; the two add up to the Hessian.

    Raises:
      InputError: The feature is not float64.

    Accuracy:
      Machine precision. At a kink of the head the derivative is JAX's choice.

    Source:
      Chain rule; the two parts as in Chaudhry, *The geometry of projection heads*, 2026.

    Example:
      A linear head has no curvature of its own:

      >>> with jax.enable_x64(True):
      ...     weight = jnp.array([[1.0, 2.0]])
      ...     split = hessian_split(lambda h: weight @ h, lambda z: jnp.sum(z**2), jnp.ones(2))
      ...     split.pullback.tolist(), split.interaction.tolist()
      ([[2.0, 4.0], [4.0, 8.0]], [[0.0, 0.0], [0.0, 0.0]])
    """
    require_float64(feature=feature)
    feature = jnp.asarray(feature)
    embedding = head(feature)
    jacobian = jax.jacobian(head)(feature)
    pull = jax.grad(loss)(embedding)
    pullback = jacobian.T @ jax.hessian(loss)(embedding) @ jacobian
    interaction = jax.hessian(lambda h: jnp.vdot(pull, head(h)))(feature)
    return HessianSplit(pullback, interaction)


@compiled()
def duality_terms(embeddings: Float[Arr, "samples dim"]) -> DualityTerms:
    """The four terms whose identity makes contrasting samples and dimensions the same.

    Args:
      embeddings: K, one sample a row.

    Returns:
      `DualityTerms` with dimension + column = sample + row, always.

    Raises:
      InputError: Not float64.

    Accuracy:
      Machine precision × the largest term.

    Source:
      Garrido et al., *On the duality between contrastive and non-contrastive self-supervised
      learning*, 2022; both Grams have one Frobenius norm.

    Example:
      >>> with jax.enable_x64(True):
      ...     terms = duality_terms(jnp.array([[1.0, 2.0], [0.0, 1.0]]))
      ...     [float(term) for term in terms]
      [8.0, 8.0, 26.0, 26.0]
    """
    require_float64(embeddings=embeddings)
    embeddings = jnp.asarray(embeddings)
    rows = jnp.sum(jnp.sum(embeddings**2, axis=1) ** 2)
    columns = jnp.sum(jnp.sum(embeddings**2, axis=0) ** 2)
    return DualityTerms(
        dimension=jnp.sum((embeddings.T @ embeddings) ** 2) - columns,
        sample=jnp.sum((embeddings @ embeddings.T) ** 2) - rows,
        row=rows,
        column=columns,
    )
