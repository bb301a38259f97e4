"""Self-supervised losses as functions of the Gram WᵀW alone, and their gradients by autodiff."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Float

from theory.linalg.arrays import Arr, Matrix, Scalar, compiled, require_float64

Samples = Float[Arr, "batch dim"]
Objective = Callable[..., Scalar]


def spectral_objective(gram: Matrix, covariance: Matrix, cross_covariance: Matrix) -> Scalar:
    """Spectral contrastive loss −2 tr(GM) + tr(GΣGΣ) = ‖N − K‖² − ‖K‖² with N = Σ^½GΣ^½."""
    return _quartic(gram, covariance) - 2.0 * jnp.sum(gram * cross_covariance)


def vicreg_objective(
    gram: Matrix,
    covariance: Matrix,
    cross_covariance: Matrix,
    invariance_weight: float | Scalar,
) -> Scalar:
    """Covariance form of VICReg, ‖WΣWᵀ − I‖² + κ E‖f(x) − f(x⁺)‖², less the constant ‖I‖².

    The hinge on standard deviations of the usual VICReg depends on the basis of the embedding, so
    it is no function of the Gram and not covered here. κ = 1 is the spectral contrastive loss.

    Args:
      gram: G = WᵀW of the end-to-end map.
      covariance: Σ of augmented views.
      cross_covariance: M of positive pairs.
      invariance_weight: κ >= 0.

    Returns:
      The loss, shape ().

    Accuracy:
      Exact.

    Source:
      Derived: E‖f(x) − f(x⁺)‖² = 2 tr G(Σ − M).
    """
    within = covariance - cross_covariance
    pull = covariance - invariance_weight * within
    return _quartic(gram, covariance) - 2.0 * jnp.sum(gram * pull)


def barlow_objective(gram: Matrix, cross_covariance: Matrix) -> Scalar:
    """Barlow Twins without normalization, ‖WMWᵀ − I‖², less the constant ‖I‖².

    With fewer outputs than the rank of M every subspace is a minimum: only the start, or weight
    decay, chooses.

    Args:
      gram: G = WᵀW of the end-to-end map.
      cross_covariance: M of positive pairs.

    Returns:
      The loss, shape ().

    Accuracy:
      Exact.

    Source:
      Derived: ‖WMWᵀ − I‖² depends on W through G alone.
    """
    return _quartic(gram, cross_covariance) - 2.0 * jnp.sum(gram * cross_covariance)


@compiled()
def gaussian_infonce_objective(
    gram: Matrix,
    covariance: Matrix,
    cross_covariance: Matrix,
    temperature: float | Scalar,
) -> Scalar:
    """Dot-product InfoNCE of Gaussian data with infinitely many negatives, less log of their count.

    −tr(GM)/τ + tr(ΣGΣG)/(2τ²): half the spectral loss of G/τ. With K negatives it holds while the
    embedding's variance tr(ΣGΣG)/τ² stays below 2 ln K.

    Args:
      gram: G = WᵀW of the end-to-end map.
      covariance: Σ of augmented views.
      cross_covariance: M of positive pairs.
      temperature: τ > 0.

    Returns:
      The loss, shape ().

    Accuracy:
      Exact.

    Source:
      Derived: the log-partition of a Gaussian is half its variance.
    """
    return 0.5 * spectral_objective(gram / temperature, covariance, cross_covariance)


@compiled()
def dot_infonce_objective(
    gram: Matrix, first: Samples, second: Samples, temperature: float | Scalar
) -> Scalar:
    """InfoNCE of dot products on a batch, −mean log softmax(z zᵀ⁺/τ)_ii, the positive included.

    ``first`` and ``second`` hold the two views of each image, row by row; second views of the
    other images are the negatives.

    Args:
      gram: G = WᵀW of the end-to-end map.
      first: One view of each image, row by row.
      second: The other view of the same images.
      temperature: τ > 0.

    Returns:
      The loss, shape ().

    Accuracy:
      Exact.

    Source:
      The loss on a batch, with z zᵀ⁺ written as x G x⁺ᵀ.
    """
    return _cross_entropy(first @ gram @ second.T / temperature)


@compiled()
def cosine_infonce_objective(
    gram: Matrix, first: Samples, second: Samples, temperature: float | Scalar
) -> Scalar:
    """InfoNCE of cosines on a batch; norms are xᵀGx, so it too depends on the Gram alone.

    Invariant under scaling G; it has no derivative where an embedding is zero.

    Args:
      gram: G = WᵀW of the end-to-end map.
      first: One view of each image, row by row.
      second: The other view of the same images.
      temperature: τ > 0.

    Returns:
      The loss, shape ().

    Accuracy:
      Exact.

    Source:
      The loss on a batch, with norms written as xᵀGx.
    """
    first_scale = jax.lax.rsqrt(jnp.sum((first @ gram) * first, axis=1))
    second_scale = jax.lax.rsqrt(jnp.sum((second @ gram) * second, axis=1))
    cosines = first @ gram @ second.T * first_scale[:, None] * second_scale[None, :]
    return _cross_entropy(cosines / temperature)


def gram_gradient(objective: Objective, *data: Any) -> Callable[[Matrix], Matrix]:
    r"""Symmetric gradient Φ(G) = ∂loss/∂G of an objective of the Gram, for `flow.balanced_flow`.

    Args:
      objective: ``objective(gram, *data)``, one of this module or any differentiable function.
      *data: Its further arguments: moments, samples, temperature.

    Returns:
      Function from a Gram to the symmetrized gradient; a pytree, so that a flow compiled once
      serves all values of ``data``.

    Raises:
      InputError: Data that are not float64.

    Accuracy:
      Exact (automatic differentiation).

    Source:
      The definition; symmetrized because only symmetric changes of a Gram are possible.

    Example:
      At the spectral optimum of unit covariance, the cross-covariance itself, nothing pulls:

      >>> with jax.enable_x64(True):
      ...     identity, cross = jnp.eye(2), jnp.array([[0.5, 0.2], [0.2, 0.3]])
      ...     slope = gram_gradient(spectral_objective, identity, cross)
      ...     float(jnp.max(jnp.abs(slope(cross))))
      0.0
    """
    require_float64(**{f"data[{index}]": array for index, array in enumerate(data)})
    return Partial(_symmetric_gradient, Partial(objective), *data)


def network_loss(
    objective: Objective, *data: Any
) -> Callable[[Float[Arr, "out dim"]], Float[Arr, ""]]:
    """The same objective as a function of the end-to-end map W, for `flow.network_flow`."""
    require_float64(**{f"data[{index}]": array for index, array in enumerate(data)})
    return Partial(_of_map, Partial(objective), *data)


def _symmetric_gradient(objective, *arguments):
    *data, gram = arguments
    gradient = jax.grad(objective)(gram, *data)
    return 0.5 * (gradient + gradient.T)


def _of_map(objective, *arguments):
    *data, end_to_end = arguments
    return objective(end_to_end.T @ end_to_end, *data)


def _quartic(gram, weight):
    product = weight @ gram
    return jnp.sum(product * product.T)


def _cross_entropy(logits):
    positives = jnp.diagonal(logits)
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - positives)
