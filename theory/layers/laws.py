"""Laws that relate the layers of a balanced network: geodesic, determinant, work, conditioning."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.alignment import fractional_gram, psd_power, symmetric_eigenvalues
from theory.linalg.arrays import Arr, Grams, Matrix, Scalar, compiled, require_float64
from theory.linalg.checks import require_depth

Layers = Float[Arr, "layers dim"]
PerLayer = Float[Arr, " layers"]


def geometric_mean(
    start: Matrix, end: Matrix, fraction: float | Scalar, *, tolerance: float = 1e-10
) -> Matrix:
    r"""Weighted geometric mean :math:`X \#_t Y = X^{1/2} (X^{-1/2} Y X^{-1/2})^t X^{1/2}`.

    The point at fraction t of the affine-invariant geodesic from X to Y. Between X = Σ and
    Y = N = Σ^½ G Σ^½ it is Σ^½ G^t Σ^½, whose eigenvalues are the layer spectrum at depth t:
    nothing has to commute.

    Args:
      start: X, positive semi-definite.
      end: Y, positive semi-definite, within the range of X.
      fraction: t between 0 and 1, or beyond to extrapolate; may be traced.
      tolerance: Eigenvalues of X at or below this fraction of the largest are outside its range.

    Returns:
      Matrix of the same shape.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      About machine precision × condition number of X on its range.

    Source:
      Derived; the mean itself is Pusz and Woronowicz's, weighted.

    Example:
      >>> with jax.enable_x64(True):
      ...     geometric_mean(4.0 * jnp.eye(1), 9.0 * jnp.eye(1), 0.5).item()
      6.0
    """
    require_float64(start=start, end=end)
    root = psd_power(start, 0.5, tolerance=tolerance)
    inverse = psd_power(start, -0.5, tolerance=tolerance)
    rounding = start.shape[0] * float(jnp.finfo(start.dtype).eps)
    inner = psd_power(inverse @ end @ inverse, fraction, tolerance=rounding)
    return root @ inner @ root


@compiled("active")
def log_determinants(spectra: Layers, active: int) -> PerLayer:
    r"""Logarithm of the (pseudo-)determinant of each layer's covariance.

    Linear in l for a balanced network: log det C_l = (1 − l/L) log det Σ + (l/L) log det N. With
    dropped modes the sum runs over the active ones and the law holds for l ≥ 1.

    Args:
      spectra: Layer spectra, each row descending, variances.
      active: Number of active modes k; the k largest of each row are taken.

    Returns:
      One logarithm a layer.

    Raises:
      InputError: The spectra are not float64.

    Accuracy:
      Exact for spectra that are; the smallest active value sets the error.

    Source:
      Derived: determinants multiply.

    Example:
      >>> with jax.enable_x64(True):
      ...     log_determinants(jnp.exp(jnp.array([[2.0, 1.0], [1.5, 0.5]])), 2).tolist()
      [3.0, 2.0]
    """
    require_float64(spectra=spectra)
    return jnp.sum(jnp.log(spectra[:, :active]), axis=1)


@compiled()
def layer_work(grams: Grams, *, tolerance: float | Scalar = 1e-10) -> PerLayer:
    r"""Affine-invariant distance that each layer moves the representation.

    :math:`\lVert \log \operatorname{eig}(G_l^{-1} G_{l+1}) \rVert` on the range of G_l, for l =
    1..L−1. The same for every layer of a balanced network, whatever the data: equal work.

    Args:
      grams: Layer Grams, ``(depth, dim, dim)``.
      tolerance: Eigenvalues at or below this fraction of the largest are outside the range.

    Returns:
      Distances, ``(depth − 1,)``, dimensionless.

    Raises:
      InputError: The Grams are not float64.

    Accuracy:
      About machine precision × condition number of G_l on its range.

    Source:
      Derived: affine invariance removes the covariance from the distance of successive layers.

    Example:
      >>> with jax.enable_x64(True):
      ...     layer_work(jnp.exp(jnp.array([1.0, 2.0, 3.0]))[:, None, None]).tolist()
      [1.0, 1.0]
    """
    require_float64(grams=grams)

    def distance(lower, upper):
        inverse = psd_power(lower, -0.5, tolerance=tolerance)
        values = symmetric_eigenvalues(inverse @ upper @ inverse)
        inside = values > tolerance * jnp.max(values)
        return jnp.sqrt(jnp.sum(jnp.log(jnp.where(inside, values, 1.0)) ** 2))

    return jax.vmap(distance)(grams[:-1], grams[1:])


@compiled("depth")
def condition_bounds(
    data_condition: float | Scalar, output_condition: float | Scalar, depth: int
) -> PerLayer:
    r"""Bounds :math:`\kappa(\Sigma)^{1 - l/L} \kappa(N)^{l/L}` on the condition of layers 0 to L.

    Args:
      data_condition: κ(Σ), largest over smallest variance of the data; at least 1.
      output_condition: κ(N) of the output.
      depth: Number of layers L.

    Returns:
      Bounds, ``(depth + 1,)``.

    Raises:
      InputError: An argument is not float64, or the depth below 1.

    Accuracy:
      A bound; reached where Σ and N commute and are ordered alike.

    Source:
      Derived: geometric means of ordered matrices are ordered.

    Example:
      >>> with jax.enable_x64(True):
      ...     condition_bounds(100.0, 1.0, 2).tolist()
      [100.0, 10.0, 1.0]
    """
    require_float64(data_condition=data_condition, output_condition=output_condition)
    require_depth(depth)
    fractions = jnp.arange(depth + 1) / depth
    return data_condition ** (1.0 - fractions) * output_condition**fractions


def fractional_head(head: Float[Arr, "out dim"], fraction: float | Scalar) -> Matrix:
    r"""Linear map :math:`(W^\top W)^{t/2}` from before a head (t = 0) to after it (t = 1).

    The features at fractional depth between both; beyond 1 it projects more than the head does.

    Args:
      head: Product W of the head's layers, acting on the features.
      fraction: t, at least 0; may be traced.

    Returns:
      Symmetric map of the features, ``(dim, dim)``; at t = 0 the projector on what the head reads.

    Raises:
      InputError: The head is not float64.

    Accuracy:
      That of `theory.layers.grams.fractional_gram`.

    Source:
      Derived: polar decomposition, the rotation from the left dropped.

    Example:
      >>> with jax.enable_x64(True):
      ...     fractional_head(jnp.diag(jnp.array([4.0, 0.25])), 0.5).round(12).tolist()
      [[2.0, 0.0], [0.0, 0.5]]
    """
    require_float64(head=head)
    head = jnp.asarray(head)
    return fractional_gram(head.T @ head, 0.5 * jnp.asarray(fraction, float))


def head_gains(
    variance: Float[Arr, " modes"], output: Float[Arr, " modes"], layer: int, depth: int
) -> Float[Arr, " modes"]:
    r"""Factor :math:`(n_i / s_i)^{(L - l)/L}` by which the layers after l change a mode's variance.

    Commuting case. A mode grows relative to another iff its n/s is larger: a linear head filters by
    how well a mode survives augmentation per unit of variance, it does not whiten.

    Args:
      variance: s_i, variances of the modes in the data, > 0.
      output: n_i, their variances at the output.
      layer: l, the last layer before the head; 0..depth.
      depth: Number of layers L.

    Returns:
      Gains of variance, ``(modes,)``.

    Raises:
      InputError: An argument is not float64, or the depth below 1.

    Accuracy:
      Exact.

    Source:
      Derived: variance at layer l is s^(1−l/L) n^(l/L).

    Example:
      >>> with jax.enable_x64(True):
      ...     head_gains(jnp.array([4.0]), jnp.array([1.0]), 1, 2).tolist()
      [0.5]
    """
    require_float64(variance=variance, output=output)
    require_depth(depth)
    return (output / variance) ** ((depth - layer) / depth)
