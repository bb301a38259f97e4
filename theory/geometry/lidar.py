"""LiDAR: the rank that linear discriminant analysis sees, every image its own class."""

import jax.numpy as jnp

from theory.geometry.invariance import Views
from theory.geometry.ranks import exponential_entropy, spectrum_shares
from theory.linalg.arrays import Matrix, Scalar, compiled, require_float64


@compiled()
def lidar(views: Views, *, delta: float | Scalar = 1e-4, epsilon: float | Scalar = 1e-8) -> Scalar:
    r"""LiDAR: effective rank of the linear discriminant matrix, each image its own class.

    Between the images :math:`\Sigma_b` is the covariance of the view means (denominator n - 1),
    within them :math:`\Sigma_w` the mean covariance of the views (denominator n (q - 1)) plus
    :math:`\delta I`; see `lidar_of_covariances` for the rest. Class labels play no role.

    Args:
      views: Features or embeddings, (images, views, dim); at least two images and two views,
        the views of one row all of one image.
      delta: Added to the within covariance, in its units.
      epsilon: Added to each share.

    Returns:
      LiDAR, shape (); at most the number of images minus one, up to epsilon.

    Accuracy:
      Exact to rounding times the condition of the within covariance plus delta.

    Source:
      Thilak et al., *LiDAR*, ICLR 2024.

    Example:
      Views that only repeat their image leave delta as the noise, so every direction counts:

      >>> import jax, numpy as np
      >>> images = np.eye(6)[:, None, :] * np.ones((1, 2, 1))
      >>> with jax.enable_x64(True):
      ...     print(round(float(lidar(images)), 4))
      5.0
    """
    require_float64(views=views)
    views = jnp.asarray(views)
    num_images, num_views, dim = views.shape
    means = jnp.mean(views, axis=1)
    spread = (means - jnp.mean(means, axis=0, keepdims=True)).T
    between = spread @ spread.T / (num_images - 1)
    residual = (views - means[:, None, :]).reshape(-1, dim)
    within = residual.T @ residual / (num_images * (num_views - 1))
    return lidar_of_covariances(between, within, delta=delta, epsilon=epsilon)


@compiled()
def lidar_of_covariances(
    between: Matrix, within: Matrix, *, delta: float | Scalar = 1e-4, epsilon: float | Scalar = 1e-8
) -> Scalar:
    r"""LiDAR from the two covariances it compares.

    :math:`\exp(-\sum p\log p)` with :math:`p = \lambda/\lVert\lambda\rVert_1 + \epsilon` and
    :math:`\lambda` the eigenvalues of
    :math:`(\Sigma_w + \delta I)^{-1/2}\Sigma_b(\Sigma_w + \delta I)^{-1/2}` themselves (not
    their squares, which is what a principal component analysis of that matrix would give).

    Args:
      between: Covariance of the images' mean representations, (dim, dim).
      within: Mean covariance of the views of one image, (dim, dim), without delta.
      delta: Added to the diagonal of the within covariance; > 0 or the covariance invertible.
      epsilon: Added to each share.

    Returns:
      LiDAR, shape ().

    Accuracy:
      As `lidar`. With delta = 0 the eigenvalues are (1 - rho) / rho of
      `theory.geometry.invariance.augmentation_fractions`.

    Source:
      Thilak et al., *LiDAR*, ICLR 2024.

    Example:
      >>> import jax, numpy as np
      >>> with jax.enable_x64(True):
      ...     print(round(float(lidar_of_covariances(np.diag([1.0, 1.0, 0.0]), np.eye(3))), 4))
      2.0
    """
    require_float64(between=between, within=within)
    within = jnp.asarray(within)
    factor = jnp.linalg.cholesky(within + delta * jnp.eye(len(within)))
    half = jnp.linalg.solve(factor, jnp.asarray(between))
    values = jnp.linalg.eigvalsh(jnp.linalg.solve(factor, half.T))
    # Round-off leaves the null space of a rank-deficient between covariance at -1e-17.
    return exponential_entropy(spectrum_shares(jnp.where(values > 0, values, 0.0)) + epsilon)
