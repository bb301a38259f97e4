"""Grams, weight spectra and layer spectra of the layers of a balanced network."""

import functools
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from theory.linalg.arrays import Arr, Factor, Grams, Matrix, Vector, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.powers import fractional_gram, psd_power
from theory.linalg.spectral import derivative_from, factor_modes, symmetric_eigenvalues

Layers = Float[Arr, "layers dim"]


def layer_grams(gram: Matrix, depth: int) -> Grams:
    r"""Return the layer Grams :math:`G_l = P_l^\top P_l = G^{l/L}` of a balanced network.

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
    r"""Return layers W_1..W_L of least :math:`\sum_l \lVert W_l \rVert_F^2` with product F.

    With the singular values F = U S Vᵀ: W_1 = U S^{1/L} Vᵀ and every further layer U S^{1/L} Uᵀ.
    They are balanced, and their squared norms add up to :math:`L \operatorname{tr} G^{1/L}` with
    G = FᵀF.

    Args:
      factor: F, ``(rank, dim)`` with rank at most dim.
      depth: Number of layers L, at least 1.

    Returns:
      Weights, first layer first, ``(rank, dim)`` and then ``(rank, rank)``.

    Raises:
      InputError: The factor is not float64, or the depth below 1.

    Accuracy:
      To rounding. Unique up to rotations of the hidden layers. Derivatives are exact, at equal
      singular values too; a mode that is zero is taken to stay zero, since the root of one that
      appears has no slope.

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
    if depth == 1:
        return (factor,)
    modes = jax.lax.stop_gradient(factor_modes(factor))
    alive = modes.values > 0.0
    sizes = jnp.where(alive, modes.values, 1.0)
    outputs = (jax.lax.stop_gradient(factor) @ modes.vectors) * (alive / jnp.sqrt(sizes))[None, :]
    scaled = outputs * jnp.where(alive, sizes ** (0.5 / depth), 0.0)[None, :]
    first, rest = derivative_from(
        functools.partial(_minimum_norm_pair, depth=depth),
        (scaled @ modes.vectors.T, scaled @ outputs.T),
        factor,
    )
    return (first, *[rest] * (depth - 1))


def _minimum_norm_pair(factor, *, depth):
    """Return the first and any further layer as functions of F Fᵀ, which have derivatives."""
    inner = factor @ factor.T
    rounding = max(factor.shape) * float(jnp.finfo(inner.dtype).eps)
    first = psd_power(inner, 0.5 / depth - 0.5, tolerance=rounding) @ factor
    return first, psd_power(inner, 0.5 / depth, tolerance=rounding)


def weight_spectra(grams: Grams) -> Layers:
    """Return the weight spectra ``(depth, dim)``: eigenvalues of each layer Gram, descending."""
    require_float64(grams=grams)
    return _spectra(grams)


_spectra = jax.jit(jax.vmap(symmetric_eigenvalues))


def layer_spectra(covariance: Matrix, grams: Grams) -> Layers:
    r"""Return the layer spectra: variances of each layer along its principal directions.

    Eigenvalues of :math:`\Sigma^{1/2} G_l \Sigma^{1/2}` for l = 0..L with G_0 = I, so that row 0 is
    the data. At the spectral optimum they belong to the points :math:`\Sigma \#_{l/L} N` of the
    affine-invariant geodesic from Σ to N = Σ^½ G Σ^½; nothing has to commute.

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


@runtime_checkable
class HasGrams(Protocol):
    """Anything that knows the Gram of every layer: a prediction, a course of training."""

    @property
    def grams(self) -> Float[Arr, "*times depth dim dim"]:
        """Return the layer Grams, first layer first."""
        ...


def layer_weights(prediction: HasGrams, direction: Vector) -> Float[Arr, "*times depth"]:
    r"""Return the weight :math:`\lVert P_l u \rVert = \sqrt{u^\top G_l u}` of a direction.

    P_l is the map from the input to layer l. The last two entries of a network whose last layer is
    the head are the weights before and after the head. For an eigenvector of the end-to-end Gram
    they are powers of one another (pre² = post at two layers); for any other direction pre² ≤ post
    (Jensen), and where the Gram has rank one their ratio to another direction's never changes.

    Args:
      prediction: `theory.solve`'s, or the course of `theory.flow`: whatever has ``grams``.
      direction: Unit vector u in the space of the features.

    Returns:
      Weights of layers 1 to L, at least 0, ``(depth,)``, after the axis of times of a course.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      That of the Grams. The derivative of a weight of exactly 0 does not exist; 0 is returned.

    Source:
      Derived: the definition.

    Example:
      A feature between a direction that is kept and one that is dropped weighs the same in every
      layer:

      >>> from types import SimpleNamespace
      >>> with jax.enable_x64(True):
      ...     network = SimpleNamespace(grams=layer_grams(jnp.diag(jnp.array([1.0, 0.0])), 2))
      ...     print(layer_weights(network, jnp.array([0.6, 0.8])))
      [0.6 0.6]
    """
    require_float64(grams=prediction.grams, direction=direction)
    squares = jnp.einsum("i,...ij,j->...", direction, prediction.grams, direction)
    kept = squares > 0.0
    return jnp.where(kept, jnp.sqrt(jnp.where(kept, squares, 1.0)), 0.0)
