"""Supervised limits: positives of one class, and a squared loss on labels."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from theory.linalg.arrays import Arr, Factor, Matrix, Scalar, require_float64
from theory.linalg.checks import require_depth
from theory.linalg.errors import InputError
from theory.linalg.powers import leading_power, psd_power
from theory.moments.moments import Moments

ClassMeans = Float[Arr, "classes dim"]
Probabilities = Float[Arr, " classes"]


def supervised_moments(
    class_means: ClassMeans,
    class_probabilities: Probabilities,
    within_covariance: Matrix,
    *,
    examples_per_class: int | None = None,
) -> Moments:
    r"""Moments of supervised contrastive learning: positive pairs are examples of one class.

    :math:`\Sigma = \sum_y p_y \mu_y \mu_y^\top + \Sigma_{within}`, :math:`M = \sum_y p_y \mu_y
    \mu_y^\top`. A feature that does not differ between class means has M = 0 and weight zero in
    every layer: class collapse. With n examples of each class and pairs of an example with itself
    allowed, M gains Σ_within/n, so that features within classes keep a weight falling as
    n^(−1/2) after the head of a two-layer network and n^(−1/4) before it.

    Args:
      class_means: μ_y, ``(classes, dim)``.
      class_probabilities: p_y, adding up to 1.
      within_covariance: Covariance of the examples of a class around its mean.
      examples_per_class: n; ``None`` for infinitely many, or no pairs with itself.

    Returns:
      Population `Moments`.

    Raises:
      InputError: An argument is not float64, or fewer than 1 example.

    Accuracy:
      Exact; with finitely many examples in expectation over them.

    Source:
      Derived.

    Example:
      Two classes that differ in the first of two features only:

      >>> with jax.enable_x64(True):
      ...     means = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
      ...     moments = supervised_moments(means, jnp.array([0.5, 0.5]), jnp.eye(2))
      ...     jnp.diagonal(moments.cross_covariance).tolist()
      [1.0, 0.0]
    """
    require_float64(
        class_means=class_means,
        class_probabilities=class_probabilities,
        within_covariance=within_covariance,
    )
    if examples_per_class is not None and examples_per_class < 1:
        raise InputError(f"examples_per_class is {examples_per_class}, wanted at least 1")
    between = class_means.T @ (class_probabilities[:, None] * class_means)
    itself = 0.0 if examples_per_class is None else within_covariance / examples_per_class
    return Moments(
        between + within_covariance, between + itself, mean=class_probabilities @ class_means
    )


def class_views(
    key: PRNGKeyArray,
    class_means: ClassMeans,
    class_probabilities: Probabilities,
    within_covariance: Matrix,
    images: int,
    views: int,
) -> Float[Arr, "images views dim"]:
    """Sample of `supervised_moments`: each image is a draw of a class, its views Gaussian examples.

    Args:
      key: Random key.
      class_means: μ_y, ``(classes, dim)``.
      class_probabilities: p_y, adding up to 1.
      within_covariance: Covariance of the examples of a class around its mean.
      images: Number of draws of a class.
      views: Number of independent examples of each.

    Returns:
      Examples, ``(images, views, dim)``.

    Raises:
      InputError: An argument is not float64.
    """
    require_float64(class_means=class_means, within_covariance=within_covariance)
    class_key, example_key = jax.random.split(key)
    drawn = jax.random.choice(
        class_key, class_means.shape[0], (images,), p=jnp.asarray(class_probabilities)
    )
    normal = jax.random.normal(example_key, (images, views, class_means.shape[1]), float)
    root = psd_power(within_covariance, 0.5)
    return jnp.asarray(class_means)[drawn][:, None, :] + normal @ root


def within_class_share(gram: Matrix, covariance: Matrix, within_covariance: Matrix) -> Scalar:
    """Share of a layer's variance that lies within classes, tr(GΣ_within)/tr(GΣ); 0 is collapse.

    Args:
      gram: Layer Gram.
      covariance: Σ over all examples.
      within_covariance: Covariance within classes.

    Returns:
      A number between 0 and 1; nan where the layer puts out nothing.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact.

    Source:
      The definition.

    Example:
      >>> with jax.enable_x64(True):
      ...     gram, within = jnp.eye(2), jnp.diag(jnp.array([0.0, 1.0]))
      ...     float(within_class_share(gram, 2.0 * jnp.eye(2), within))
      0.25
    """
    require_float64(gram=gram, covariance=covariance, within_covariance=within_covariance)
    return jnp.sum(gram * within_covariance) / jnp.sum(gram * covariance)


def squared_loss_factor(
    covariance: Matrix,
    label_covariance: Float[Arr, "labels dim"],
    *,
    rank: int | None = None,
    range_tolerance: float = 1e-10,
) -> Factor:
    r"""Least-squares map :math:`W^\star = E[y x^\top] \Sigma^{-1}`, of bounded rank.

    The minimum of ½E‖Wx − y‖². Encoder, head and classifier of one linear layer each have the layer
    Grams (W*ᵀW*)^{1/3} before the head and (W*ᵀW*)^{2/3} after it: pass the factor to
    `theory.layers.grams.minimum_norm_layers`, or its Gram to `theory.layers.grams.layer_grams`
    with depth 3.

    Args:
      covariance: Σ = E[x xᵀ].
      label_covariance: E[y xᵀ], ``(labels, dim)``.
      rank: Narrowest width of the network; ``None`` for no limit.
      range_tolerance: Eigenvalues of Σ at or below this fraction of the largest are outside the
        data.

    Returns:
      W, ``(labels, dim)``.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Machine precision × condition number of Σ on its range. Derivatives of every order, where a
      bounded rank leaves a gap in the spectrum of the fit.

    Source:
      Least squares; with a bound, reduced-rank regression (principal directions of the fit).

    Example:
      A binary label seen through one feature makes a network of rank one:

      >>> with jax.enable_x64(True):
      ...     squared_loss_factor(2.0 * jnp.eye(2), jnp.array([[1.0, 0.0]])).round(12).tolist()
      [[0.5, 0.0]]
    """
    require_float64(covariance=covariance, label_covariance=label_covariance)
    inverse = psd_power(covariance, -1.0, tolerance=range_tolerance)
    factor = label_covariance @ inverse
    if rank is None:
        return factor
    # E[ŷ ŷᵀ] of the least-squares fit ŷ; its leading directions bound the rank.
    fit = factor @ label_covariance.T
    return leading_power(fit, 0.0, rank) @ factor


def residual_sizes(initial_scale: float | Scalar, depth: int) -> Float[Arr, " depth"]:
    r"""Singular values ε^l that layers 1..L keep in directions the task does not use.

    Outside the learned subspace nothing moves a layer away from its start of size ε, and l layers
    multiply: the representation before the head remembers such directions ε^(L−1) times more than
    the output. The only difference between the layers of a linear network of one output.

    Args:
      initial_scale: ε, singular values of each layer at the start; below 1.
      depth: Number of layers L.

    Returns:
      ε^l, ``(depth,)``.

    Raises:
      InputError: The scale is not float64, or the depth below 1.

    Accuracy:
      Exact for balanced starts and directions in which data does not vary; otherwise its order.

    Source:
      Derived.

    Example:
      >>> with jax.enable_x64(True):
      ...     print(residual_sizes(0.1, 2))
      [0.1  0.01]
    """
    require_float64(initial_scale=initial_scale)
    require_depth(depth)
    return jnp.asarray(initial_scale) ** jnp.arange(1, depth + 1)
