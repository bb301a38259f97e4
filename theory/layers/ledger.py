"""Account of the balance of two adjacent linear layers under SGD with L2, exact at every step."""

import jax.numpy as jnp
from jaxtyping import Float

from theory.linalg.arrays import Arr, Scalar
from theory.linalg.errors import InputError

Upper = Float[Arr, "out hidden"]
Lower = Float[Arr, "hidden in"]
Imbalance = Float[Arr, "hidden hidden"]


def imbalance(
    lower: Lower, upper: Upper, lower_bias: Float[Arr, " hidden"] | None = None
) -> Imbalance:
    """Return the imbalance D = W_{l+1}ᵀW_{l+1} − W_lW_lᵀ (− b_l b_lᵀ) of two adjacent layers.

    In the precision of its input: this one is measured along training, in float32 too.

    Args:
      lower: W_l, (hidden, in).
      upper: W_{l+1}, (out, hidden).
      lower_bias: b_l of the lower layer, where it has one.

    Returns:
      D, (hidden, hidden).
    """
    squares = lower @ lower.T
    if lower_bias is not None:
        squares = squares + lower_bias[:, None] * lower_bias[None, :]
    return upper.T @ upper - squares


def relative_imbalance(lower: Lower, upper: Upper) -> Float[Arr, ""]:
    r"""Return the imbalance in units of the layers, ‖D‖_F / (‖W_l‖_F ‖W_{l+1}‖_F).

    Weight decay takes it away under losses with a scale of their own. Under scale-invariant losses
    (cosine InfoNCE, normalization after the head) it is conserved: the loss pulls on no norm, so
    D and every squared norm decay alike, as :math:`e^{-2\lambda t}`.

    Args:
      lower: W_l, (hidden, in), not zero.
      upper: W_{l+1}, (out, hidden), not zero.

    Returns:
      Number of at least 0.
    """
    size = jnp.linalg.norm(lower) * jnp.linalg.norm(upper)
    return jnp.linalg.norm(imbalance(lower, upper)) / size


def imbalance_change(
    current: Imbalance,
    lower_gradient: Lower,
    upper_gradient: Upper,
    learning_rate: float | Scalar,
    weight_decay: float | Scalar,
    lower_bias_gradient: Float[Arr, " hidden"] | None = None,
) -> Imbalance:
    r"""Return what one step of plain SGD with coupled L2 adds to the imbalance.

    .. math:: D_{k+1} - D_k = -\eta\lambda (2 - \eta\lambda) D_k
        + \eta^2 (g_{l+1}^\top g_{l+1} - g_l g_l^\top)

    holds exactly for any network, loss and batch, as long as nothing stands between the two layers
    (no normalization, no nonlinearity; a bias of the lower layer is part of it), because then
    :math:`W_{l+1}^\top g_{l+1} = g_l W_l^\top` batch by batch. A sum of changes can be kept more
    precisely than D itself.

    Args:
      current: D before the step (`imbalance`).
      lower_gradient: ∂loss/∂W_l on the batch, weight decay not included.
      upper_gradient: ∂loss/∂W_{l+1} on the batch, weight decay not included.
      learning_rate: η.
      weight_decay: λ of the penalty (λ/2) Σ_l ‖W_l‖², on both layers (and the bias).
      lower_bias_gradient: ∂loss/∂b_l where the lower layer has a bias.

    Returns:
      The change, (hidden, hidden).

    Accuracy:
      Exact up to rounding, in the precision of the input. Momentum breaks it (old gradients are in
      the buffer), Adam, LARS and clipping by layer break the law itself.

    Source:
      Derived. The scalar case without decay is the law of balance of Ziyin et al. 2308.06671.

    Example:
      Gradient noise builds up imbalance even from perfect balance:

      >>> zero, lower, upper = jnp.zeros((1, 1)), jnp.array([[1.0]]), jnp.array([[3.0]])
      >>> float(imbalance_change(zero, lower, upper, 0.5, 0.0)[0, 0])
      2.0
    """
    noise = upper_gradient.T @ upper_gradient - lower_gradient @ lower_gradient.T
    if lower_bias_gradient is not None:
        noise = noise - lower_bias_gradient[:, None] * lower_bias_gradient[None, :]
    shrinkage = learning_rate * weight_decay
    return learning_rate**2 * noise - shrinkage * (2.0 - shrinkage) * current


def stationary_imbalance(
    lower_moment: Imbalance,
    upper_moment: Imbalance,
    learning_rate: float | Scalar,
    weight_decay: float | Scalar,
) -> Imbalance:
    r"""Return the mean imbalance at which SGD with L2 settles.

    .. math:: \mathbb{E} D = \frac{\eta}{\lambda (2 - \eta\lambda)}
        \left( \mathbb{E} g_{l+1}^\top g_{l+1} - \mathbb{E} g_l g_l^\top \right)
        \approx \frac{\eta}{2\lambda}(\cdots)

    Args:
      lower_moment: E g_l g_lᵀ over batches.
      upper_moment: E g_{l+1}ᵀ g_{l+1} over batches.
      learning_rate: η.
      weight_decay: λ, > 0.

    Returns:
      Stationary mean of D.

    Raises:
      InputError: Weight decay that is a number and not positive: nothing is stationary then.

    Accuracy:
      Exact for stationary gradients of plain SGD.

    Source:
      Derived: where `imbalance_change` is zero on average.

    Example:
      Ten times more decay, ten times better balance:

      >>> one = jnp.ones((1, 1))
      >>> weak, strong = (stationary_imbalance(one, 2 * one, 0.01, decay) for decay in (0.01, 0.1))
      >>> round(float(weak[0, 0] / strong[0, 0]), 2)
      10.0
    """
    if isinstance(weight_decay, (int, float)) and weight_decay <= 0:
        raise InputError(
            f"weight decay {weight_decay:g} has no stationary imbalance: give a positive one"
        )
    gain = learning_rate / (weight_decay * (2.0 - learning_rate * weight_decay))
    return gain * (upper_moment - lower_moment)
