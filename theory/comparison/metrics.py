"""Metrics that compare predicted with measured layer Grams, in the basis of the features.

Sorted spectra of any two covariances look alike, so the metrics here compare matrices: a Gram
that has the right eigenvalues in the wrong directions is far from the prediction.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from theory.layers.grams import layer_spectra
from theory.linalg.arrays import Arr, Grams, Matrix, Scalar, Spectrum, compiled, require_float64
from theory.linalg.powers import psd_power
from theory.linalg.spectral import symmetric_eigenpairs, symmetric_eigenvalues

Basis = Float[Arr, "dim modes"]


@compiled()
def active_modes(
    covariance: Matrix, gram: Matrix, threshold: float | Scalar = 1e-3
) -> Int[Arr, ""]:
    r"""Return the number of active modes: output variances above a fraction of the largest.

    Output variances are the eigenvalues of :math:`\Sigma^{1/2}G\Sigma^{1/2}`.

    Never counted on the Gram itself, which ranks a mode of tiny variance first.

    Args:
      covariance: Σ of the features.
      gram: End-to-end Gram G = WᵀW.
      threshold: Fraction of the largest eigenvalue.

    Returns:
      The count, shape (); 0 for a Gram of zero.

    Source:
      Derived: the eigenvalues are the variances of the output.

    Example:
      A weak feature has the larger weight and yet a tiny output variance:

      >>> with jax.enable_x64(True):
      ...     covariance, gram = jnp.diag(jnp.array([1.0, 1e-6])), jnp.diag(jnp.array([1.0, 9.0]))
      ...     print(int(active_modes(covariance, gram)))
      1
    """
    values = layer_spectra(covariance, gram[None])[1]
    return jnp.sum(values > threshold * jnp.max(values))


@compiled("num_modes")
def active_subspace(covariance: Matrix, gram: Matrix, num_modes: int) -> Basis:
    r"""Return an orthonormal basis of the feature subspace that the strongest output modes read.

    Spans :math:`v_i = \Sigma^{-1/2}y_i` for the leading eigenvectors y of
    :math:`N = \Sigma^{1/2}G\Sigma^{1/2}`: G restricted to these modes is
    :math:`\sum_i n_i v_i v_i^\top`. Computed as :math:`G\Sigma^{1/2}y_i`, so no inverse is taken.

    Args:
      covariance: Σ of the features.
      gram: End-to-end Gram G.
      num_modes: k, at most the number of nonzero modes.

    Returns:
      Orthonormal columns, shape (dim, k).

    Accuracy:
      Machine precision over n_k / n_1; the subspace is not unique where n_k = n_{k+1}.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     basis = active_subspace(jnp.diag(jnp.array([1.0, 1e-6])), jnp.eye(2), 1)
      ...     print(jnp.abs(basis[:, 0]).round(6))
      [1. 0.]
    """
    require_float64(covariance=covariance, gram=gram)
    root = psd_power(jnp.asarray(covariance), 0.5, tolerance=0.0)
    inner = root @ gram @ root
    _, vectors = symmetric_eigenpairs(0.5 * (inner + inner.T))
    leading = vectors[:, ::-1][:, :num_modes]
    read = jnp.asarray(gram) @ (root @ leading)
    return jnp.linalg.qr(read / jnp.linalg.norm(read, axis=0, keepdims=True))[0]


@compiled()
def log_identity_r2(predicted: Spectrum, measured: Spectrum) -> Scalar:
    r"""Return metric m1, R² of log values to the identity line, with nothing fitted.

    :math:`1 - \sum(\log m - \log p)^2 / \sum(\log m - \overline{\log m})^2` over active modes; it
    is negative where the measured mean would have predicted better.

    Args:
      predicted: Values of the active modes, > 0.
      measured: Values of the same modes in the same order, > 0.

    Returns:
      R², shape (), at most 1.

    Accuracy:
      Exact; meaningless where measured values hardly differ, nan for a single mode.

    Source:
      Coefficient of determination against a fixed line.

    Example:
      A constant factor, which a fitted line would forgive, counts:

      >>> with jax.enable_x64(True):
      ...     measured = jnp.array([1.0, 2.0, 4.0])
      ...     print(float(log_identity_r2(measured, measured)))
      ...     print(float(log_identity_r2(2 * measured, measured)) < 0)
      1.0
      True
    """
    require_float64(predicted=predicted, measured=measured)
    log_measured = jnp.log(measured)
    missed = jnp.sum((log_measured - jnp.log(predicted)) ** 2)
    return 1.0 - missed / jnp.sum((log_measured - jnp.mean(log_measured)) ** 2)


@compiled()
def log_gains(grams: Grams, basis: Basis) -> Float[Arr, "depth modes"]:
    """Return the logarithms ½ log diag(VᵀG_lV) of each layer's gain along V.

    V are the right singular directions of the end-to-end map inside the basis.

    Args:
      grams: Layer Grams, the last one end to end.
      basis: Orthonormal columns of the subspace, `active_subspace`.

    Returns:
      One row a layer, (depth, modes); the last row is log σ(W), descending.
    """
    require_float64(grams=grams, basis=basis)
    basis = jnp.asarray(basis)
    inside = jax.vmap(lambda gram: basis.T @ gram @ basis)(jnp.asarray(grams))
    _, directions = symmetric_eigenpairs(0.5 * (inside[-1] + inside[-1].T))
    directions = directions[:, ::-1]
    return 0.5 * jnp.log(jnp.einsum("ik,lij,jk->lk", directions, inside, directions))


@compiled()
def layer_exponents(grams: Grams, basis: Basis) -> Float[Arr, " depth"]:
    r"""Return metric m2, the exponent :math:`\beta_l` of each layer, theory l/L.

    Slope of :math:`\tfrac12\log\mathrm{diag}(V^\top G_l V)` on :math:`\log\sigma(W)` over the modes
    of the basis. Not evidence by itself: unbalanced networks have reached l/L too.

    Args:
      grams: Measured layer Grams, the last one end to end.
      basis: `active_subspace`, at least two modes.

    Returns:
      One exponent a layer, the last exactly 1.

    Accuracy:
      Exact slope; ill-conditioned where the singular values hardly differ.

    Source:
      Derived: balance makes every layer Gram a power of the end-to-end Gram.

    Example:
      >>> with jax.enable_x64(True):
      ...     gram = jnp.diag(jnp.array([4.0, 1.0, 0.25]))
      ...     print(layer_exponents(jnp.stack([jnp.sqrt(gram), gram]), jnp.eye(3)))
      [0.5 1. ]
    """
    gains = log_gains(grams, basis)
    return jax.vmap(lambda row: _slope(gains[-1], row))(gains)


def _slope(inputs: Spectrum, outputs: Spectrum) -> Scalar:
    """Return the least-squares slope of outputs on inputs, intercept fitted; NaN without spread."""
    centered = inputs - jnp.mean(inputs)
    return jnp.sum(centered * outputs) / jnp.sum(centered**2)


@compiled()
def riemannian_distance(first: Matrix, second: Matrix, basis: Basis) -> Scalar:
    r"""Return metric m3, the RMS affine-invariant distance of two Grams on a subspace.

    :math:`\lVert\log\mathrm{eig}(X^{-1}Y)\rVert / \sqrt k` with X and Y the two Grams compressed to
    the k columns of the basis: the root mean square log ratio over directions, the same in every
    basis of the subspace and under any common change of features.

    Args:
      first: Gram, positive definite on the basis.
      second: Gram, positive definite on the basis.
      basis: Columns that span the subspace.

    Returns:
      The distance, shape (); infinite when either Gram is singular on the subspace.

    Accuracy:
      Machine precision times the condition of the first Gram on the subspace. No derivative
      where the distance is 0.

    Source:
      Standard geodesic distance of positive definite matrices, over √k.

    Example:
      A common factor of e on every direction is a distance of 1:

      >>> with jax.enable_x64(True):
      ...     print(float(riemannian_distance(jnp.eye(3), jnp.e * jnp.eye(3), jnp.eye(3))))
      1.0
    """
    require_float64(first=first, second=second, basis=basis)
    basis = jnp.asarray(basis)
    first, second = basis.T @ first @ basis, basis.T @ second @ basis
    factor = jnp.linalg.cholesky(first)
    half = jax.scipy.linalg.solve_triangular(factor, second, lower=True)
    ratios = symmetric_eigenvalues(jax.scipy.linalg.solve_triangular(factor, half.T, lower=True))
    logs = jnp.where(ratios > 0, jnp.log(jnp.where(ratios > 0, ratios, 1.0)), jnp.inf)
    distance = jnp.sqrt(jnp.mean(logs**2))
    # A Gram that is singular here fails its Cholesky factor; only bad input stays nan.
    finite = jnp.all(jnp.isfinite(first)) & jnp.all(jnp.isfinite(second))
    return jnp.where(finite, jnp.where(jnp.isnan(distance), jnp.inf, distance), jnp.nan)
