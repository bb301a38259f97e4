"""The self-supervised losses that are quadratic in the Gram of a linear network."""

import jax.numpy as jnp
from jaxtyping import Int

from theory.linalg.alignment import symmetric_eigenvalues, whitening_frame
from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64
from theory.linalg.errors import InputError
from theory.losses.quadratic import Optimum, QuadraticLoss, quadratic_value


def with_single_layer_decay(loss: QuadraticLoss, weight_decay: float | Scalar) -> QuadraticLoss:
    r"""A quadratic loss plus :math:`(\lambda/2) \lVert W \rVert_F^2` of a network of one layer.

    :math:`B \to B - (\lambda/4) I`. For the spectral loss as many modes survive as M has
    eigenvalues above λ/4, by Sylvester's law of inertia; they shrink continuously to zero, unlike
    those of deeper networks.

    Args:
      loss: Any quadratic loss.
      weight_decay: λ, at least 0; the gradient of W gets λW.

    Returns:
      `QuadraticLoss`; its value at G is the loss with its penalty.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact for depth 1; for more layers see `theory.optimum.decay`.

    Source:
      Derived: ‖W‖² = tr G.

    Example:
      A mode whose shared variance is below a quarter of the decay is dropped:

      >>> import jax
      >>> from theory.losses.quadratic import quadratic_optimum, spectral_loss
      >>> with jax.enable_x64(True):
      ...     loss = spectral_loss(jnp.eye(2), jnp.diag(jnp.array([0.9, 0.1])))
      ...     optimum = quadratic_optimum(with_single_layer_decay(loss, 0.8))
      ...     print(jnp.diagonal(optimum.gram).round(12))
      [0.7 0. ]
    """
    require_float64(quadratic=loss.quadratic, linear=loss.linear, weight_decay=weight_decay)
    shift = 0.25 * weight_decay * jnp.eye(loss.linear.shape[0])
    return QuadraticLoss(loss.quadratic, loss.linear - shift)


def vicreg_loss(
    covariance: Matrix, cross_covariance: Matrix, invariance_weight: float | Scalar
) -> QuadraticLoss:
    """Covariance form of VICReg, ‖C − I‖² + κ E‖f(x) − f(x⁺)‖² less the constant ‖I‖².

    Q = Σ, B = Σ − κ(Σ − M): a mode of alignment a ends at variance 1 − κ(1 − a), and is dropped
    iff a < 1 − 1/κ. κ = 1 is the spectral contrastive loss. The hinge on standard deviations of the
    usual VICReg depends on the basis of the embedding and is not covered.

    Args:
      covariance: Σ over views.
      cross_covariance: M over positive pairs.
      invariance_weight: κ > 0.

    Returns:
      `QuadraticLoss`.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact.

    Source:
      Derived: E‖f(x) − f(x⁺)‖² = 2 tr G(Σ − M).

    Example:
      >>> import jax
      >>> from theory.losses.quadratic import quadratic_optimum
      >>> with jax.enable_x64(True):
      ...     moments = jnp.eye(3), jnp.diag(jnp.array([0.9, 0.6, 0.4]))
      ...     optimum = quadratic_optimum(vicreg_loss(*moments, 2.0))
      ...     print(jnp.diagonal(optimum.gram).round(12))
      [0.8 0.2 0. ]
    """
    require_float64(
        covariance=covariance,
        cross_covariance=cross_covariance,
        invariance_weight=invariance_weight,
    )
    within = covariance - cross_covariance
    return QuadraticLoss(covariance, covariance - invariance_weight * within)


def barlow_loss(cross_covariance: Matrix) -> QuadraticLoss:
    """Barlow Twins without normalization, ‖WMWᵀ − I‖² less ‖I‖²: Q = B = M, on M's positive part.

    Every kept mode ends at the same height. With fewer outputs than the rank of M the minimum is
    a flat valley: see `barlow_optimum`.

    Args:
      cross_covariance: M over positive pairs.

    Returns:
      `QuadraticLoss`.

    Raises:
      InputError: The argument is not float64.

    Source:
      Simon et al., *On the Stepwise Nature of Self-Supervised Learning*, ICML 2023, for the loss.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     loss = barlow_loss(0.5 * jnp.eye(2))
      ...     float(quadratic_value(loss, 2.0 * jnp.eye(2)))
      -2.0
    """
    require_float64(cross_covariance=cross_covariance)
    return QuadraticLoss(cross_covariance, cross_covariance)


def barlow_optimum(
    cross_covariance: Matrix, rank: int, *, range_tolerance: float = 1e-10
) -> tuple[Optimum, Int[Arr, ""]]:
    r"""The minimum of Barlow Twins that a vanishing start chooses, and how flat it lies.

    :math:`G = \sum_{j \le p} \gamma_j^{-1} v_j v_j^\top` with the p largest eigenpairs of M. With p
    below the rank of M every p-dimensional subspace of M's range is a minimum as well; gradient
    descent from a start of size ε comes to the top one only up to :math:`\epsilon^{1 - \gamma_{p+1}
    / \gamma_p}`, and any weight decay makes it unique.

    Args:
      cross_covariance: M over positive pairs; only its positive eigenvalues count.
      rank: p, number of outputs, at least 1.
      range_tolerance: Eigenvalues at or below this fraction of the largest count as zero.

    Returns:
      The `Optimum`, and the dimension of the valley of equal loss through it: 0 iff unique.

    Raises:
      InputError: The argument is not float64, or the rank below 1.

    Accuracy:
      Machine precision × condition number of M on its range.

    Source:
      Derived; the top subspace is the limit in Simon et al., ICML 2023.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     optimum, valley = barlow_optimum(jnp.diag(jnp.array([0.5, 0.25, 0.125])), 2)
      ...     print(jnp.diagonal(optimum.gram), valley)
      [2. 4. 0.] 2
    """
    require_float64(cross_covariance=cross_covariance)
    if rank < 1:
        raise InputError(f"rank is {rank}, wanted at least 1")
    dim = cross_covariance.shape[0]
    frame = whitening_frame(cross_covariance, range_tolerance)
    # Ascending eigenvalues: the last columns of the frame are the strongest modes.
    columns = frame.columns[:, ::-1][:, : min(rank, dim)]
    active = jnp.sum(frame.inside[::-1][: min(rank, dim)]).astype(int)
    total = jnp.sum(frame.inside).astype(int)
    gram = columns @ columns.T
    loss = quadratic_value(barlow_loss(cross_covariance), gram)
    return Optimum(gram, columns.T, loss, active), active * (total - active)


def surviving_modes(cross_covariance: Matrix, weight_decay: float | Scalar) -> Int[Arr, ""]:
    """Modes that weight decay leaves a one-layer spectral network: eigenvalues of M above λ/4.

    Args:
      cross_covariance: M over positive pairs.
      weight_decay: λ of the penalty (λ/2)‖W‖².

    Returns:
      Their number.

    Raises:
      InputError: An argument is not float64.

    Accuracy:
      Exact (inertia); the covariance plays no part.

    Source:
      Derived: Sylvester's law of inertia.

    Example:
      >>> import jax
      >>> with jax.enable_x64(True):
      ...     int(surviving_modes(jnp.diag(jnp.array([0.9, 0.1])), 0.8))
      1
    """
    require_float64(cross_covariance=cross_covariance, weight_decay=weight_decay)
    return jnp.sum(symmetric_eigenvalues(cross_covariance) > 0.25 * weight_decay)
