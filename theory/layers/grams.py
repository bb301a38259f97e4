"""What each layer of a balanced network keeps: Grams, weight spectra and layer spectra."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.linalg.alignment import fractional_gram, psd_power, symmetric_eigenvalues
from theory.linalg.arrays import Arr, Factor, Grams, Matrix, Scalar, Vector, require_float64
from theory.linalg.checks import require_depth

Layers = Float[Arr, "layers dim"]


def layer_grams(gram: Matrix, depth: int) -> Grams:
    r"""Layer Grams :math:`G_l = P_l^\top P_l = G^{l/L}` of a balanced network of depth L.

    Holds at every time of training from a balanced start, for every loss of the product of the
    layers, and for the minimum-norm factorization of any optimum.

    Args:
      gram: End-to-end Gram G = WᵀW, positive semi-definite.
      depth: Number of layers L, at least 1.

    Returns:
      Grams of layers 1 to L, ``(depth, dim, dim)``.

    Raises:
      InputError: The Gram is not float64, or the depth below 1.

    Accuracy:
      That of `fractional_gram`.

    Source:
      Derived: see `fractional_gram`.

    Example:
      Before the head of a two-layer network a weight is the square root of the one after it:

      >>> with jax.enable_x64(True):
      ...     layer_grams(jnp.diag(jnp.array([1.0, 0.0625])), 2)[:, 1, 1].tolist()
      [0.25, 0.0625]
    """
    require_depth(depth)
    require_float64(gram=gram)
    exponents = np.arange(1, depth + 1) / depth
    return _grams_at(gram, exponents)


@jax.jit
def _grams_at(gram, fractions):
    return jax.vmap(fractional_gram, in_axes=(None, 0))(gram, fractions)


def minimum_norm_layers(factor: Factor, depth: int) -> tuple[Float[Arr, "out in"], ...]:
    r"""Layers W_1..W_L of least :math:`\sum_l \lVert W_l \rVert_F^2` with product F.

    From the singular value decomposition F = U S Vᵀ: W_1 = S^{1/L} Vᵀ, then diagonal layers
    S^{1/L}, and W_L = U S^{1/L}. They are balanced, and their squared norms add up to
    :math:`L \operatorname{tr} G^{1/L}` with G = FᵀF.

    Args:
      factor: F, ``(rank, dim)`` with rank at most dim.
      depth: Number of layers L, at least 1.

    Returns:
      Weights, first layer first.

    Raises:
      InputError: The factor is not float64, or the depth below 1.

    Accuracy:
      To rounding. Unique up to rotations of the hidden layers.

    Source:
      Derived: Σ‖W_l‖² ≥ L Σ_j σ_j^{2/L} by Horn's inequality and the means.

    Example:
      >>> with jax.enable_x64(True):
      ...     first, last = minimum_norm_layers(jnp.array([[9.0]]), 2)
      ...     abs(first.item()), abs(last.item()), (last @ first).item()
      (3.0, 3.0, 9.0)
    """
    require_float64(factor=factor)
    require_depth(depth)
    left, singular, right = jnp.linalg.svd(factor, full_matrices=False)
    if depth == 1:
        return (factor,)
    root = singular ** (1.0 / depth)
    middle = [jnp.diag(root)] * (depth - 2)
    return (root[:, None] * right, *middle, left * root[None, :])


def weight_spectra(grams: Grams) -> Layers:
    """Weight spectra ``(depth, dim)``: eigenvalues of each layer Gram, descending."""
    require_float64(grams=grams)
    return _spectra(grams)


_spectra = jax.jit(jax.vmap(symmetric_eigenvalues))


def layer_spectra(covariance: Matrix, grams: Grams) -> Layers:
    r"""Layer spectra: variances of what each layer puts out, along its principal directions.

    Eigenvalues of :math:`\Sigma^{1/2} G_l \Sigma^{1/2}` for l = 0..L with G_0 = I, so that row 0 is
    the data. At the spectral optimum they belong to the points :math:`\Sigma \#_{l/L} N` of the
    geodesic from Σ to N, see `theory.layers.laws`.

    Args:
      covariance: Σ over views, positive semi-definite.
      grams: Layer Grams, ``(depth, dim, dim)``.

    Returns:
      Eigenvalues, each row descending, ``(depth + 1, dim)``.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      About dim × machine precision × the largest of each row; not clipped at zero.

    Source:
      Derived: P_l Σ P_lᵀ and Σ^½ G_l Σ^½ share their nonzero eigenvalues.

    Example:
      >>> with jax.enable_x64(True):
      ...     grams = layer_grams(jnp.diag(jnp.array([0.25, 1.0])), 2)
      ...     print(layer_spectra(jnp.diag(jnp.array([4.0, 0.5])), grams).round(12))
      [[4.  0.5]
       [2.  0.5]
       [1.  0.5]]
    """
    require_float64(covariance=covariance, grams=grams)
    return _layer_spectra(covariance, grams)


@jax.jit
def _layer_spectra(covariance, grams):
    root = psd_power(covariance, 0.5, tolerance=0.0)
    outputs = jax.vmap(lambda gram: symmetric_eigenvalues(root @ gram @ root))(grams)
    return jnp.concatenate([symmetric_eigenvalues(covariance)[None, :], outputs])


def feature_weight(gram: Matrix, feature: Vector, fraction: float | Scalar = 1.0) -> Scalar:
    r"""Weight :math:`\lVert P_l u \rVert = \sqrt{u^\top G^{l/L} u}` of a feature u in a layer.

    For a feature that is an eigenvector of G the weights of successive layers are powers: pre² =
    post at two layers. For any other, pre² ≤ post (Jensen); where G has rank one, ratios of weights
    do not change from layer to layer.

    Args:
      gram: End-to-end Gram G = WᵀW.
      feature: Unit vector u.
      fraction: l/L; 1 is the output, 1/2 the layer before a head as deep as the encoder.

    Returns:
      The weight, at least 0.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      That of `fractional_gram`.

    Source:
      Derived.

    Example:
      A feature between two directions of different weight:

      >>> with jax.enable_x64(True):
      ...     gram, feature = jnp.diag(jnp.array([1.0, 0.0])), jnp.array([0.6, 0.8])
      ...     [round(float(feature_weight(gram, feature, t)), 12) for t in (0.5, 1.0)]
      [0.6, 0.6]
    """
    require_float64(gram=gram, feature=feature)
    return jnp.sqrt(feature @ fractional_gram(gram, fraction) @ feature)


def aligned_weights(
    variance: Float[Arr, " features"], shared: Float[Arr, " features"], depth: int
) -> Float[Arr, "depth features"]:
    r"""Weights :math:`(\sqrt{M_{ii}} / \Sigma_{ii})^{l/L}` of features that are eigenvectors.

    For moments diagonal in the same orthonormal features, at the spectral optimum of a balanced
    network. Ratios between features grow geometrically with depth.

    Args:
      variance: Σ_ii > 0, in squared units of the data.
      shared: M_ii, the part of it that positive pairs share; negative counts as 0.
      depth: Number of layers L, at least 1.

    Returns:
      Weights of layers 1 to L, ``(depth, features)``; the last two of L = 2 are pre and post.

    Raises:
      InputError: An argument is not float64, or the depth below 1.

    Accuracy:
      Exact.

    Source:
      Derived: the optimum M_ii/Σ_ii² and balance.

    Example:
      The weight is largest where the feature is as strong as the noise of a view, here 1:

      >>> with jax.enable_x64(True):
      ...     strength = jnp.array([0.25, 1.0, 4.0])
      ...     print(aligned_weights(strength**2 + 1.0, strength**2, 1).round(3))
      [[0.235 0.5   0.235]]
    """
    require_float64(variance=variance, shared=shared)
    require_depth(depth)
    kept = shared > 0
    weight = jnp.where(kept, jnp.sqrt(jnp.where(kept, shared, 1.0)) / variance, 0.0)
    exponents = jnp.arange(1, depth + 1) / depth
    return weight[None, :] ** exponents[:, None]
