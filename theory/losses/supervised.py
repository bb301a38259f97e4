"""Supervised limits: positives of one class, and a squared loss on labels."""

from jaxtyping import Float

from theory.linalg.arrays import Arr, Factor, Matrix, require_float64
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
    r"""Return moments of supervised contrastive learning: pairs are examples of one class.

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

      >>> import jax
      >>> import jax.numpy as jnp
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


def squared_loss_factor(
    covariance: Matrix,
    label_covariance: Float[Arr, "labels dim"],
    *,
    rank: int | None = None,
    range_tolerance: float = 1e-10,
) -> Factor:
    r"""Return the least-squares map :math:`W^\\star = E[y x^\\top] \\Sigma^{-1}`, of bounded rank.

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

      >>> import jax
      >>> import jax.numpy as jnp
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
