"""How encoder and projector share the invariance between them, by their depths.

Deep linear encoder of N_e layers and projector of N_p, balanced from the start, moments that
share their eigenvectors. The composite gains g_k are those of `theory.geometry.water_filling`
whatever the depth; balance then splits each of them over the layers.
"""

import jax.numpy as jnp

from theory.linalg.arrays import Scalar, Spectrum, require_float64
from theory.linalg.errors import InputError


def projector_share(encoder_depth: int, projector_depth: int) -> float:
    """Return the share N_p / (N_e + N_p) of every log gain that the projector takes.

    The rest, N_e / (N_e + N_p), is the encoder's: the deeper the projector, the less invariant
    the features.

    Args:
      encoder_depth: N_e >= 1, linear layers of the encoder.
      projector_depth: N_p >= 0, linear layers of the projector.

    Returns:
      A share in [0, 1).

    Raises:
      InputError: No encoder layer, or a negative depth.
    """
    if encoder_depth < 1 or projector_depth < 0:
        raise InputError(
            f"encoder of {encoder_depth} and projector of {projector_depth} layers: give at least"
            " one encoder layer and no negative depth"
        )
    return projector_depth / (encoder_depth + projector_depth)


def encoder_gains(gains: Spectrum, encoder_depth: int, projector_depth: int) -> Spectrum:
    r"""Return the gain of each direction at the features, :math:`g_k^{N_e/(N_e+N_p)}`.

    Args:
      gains: Composite gains g = σ_k(W) from input to embedding, >= 0.
      encoder_depth: N_e >= 1.
      projector_depth: N_p >= 0.

    Returns:
      Gains at the end of the encoder, same shape.

    Raises:
      InputError: Depths as in `projector_share`.

    Accuracy:
      Exact for balanced initialization. From ordinary random initialization the projector was
      seen to absorb more than its share.

    Source:
      Derived: balance makes all singular values of a direction equal across layers.

    Example:
      One projector layer after one encoder layer takes half of a suppression by 100:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     print(encoder_gains(jnp.array([1.0, 0.01]), 1, 1))
      [1.  0.1]
    """
    require_float64(gains=gains)
    share = 1.0 - projector_share(encoder_depth, projector_depth)
    return jnp.asarray(gains) ** share


def encoder_defect(
    gains: Spectrum,
    within: Spectrum,
    total: Spectrum,
    encoder_depth: int,
    projector_depth: int,
) -> Scalar:
    r"""Return the invariance defect at the features, :math:`\sum g_e^2 w_k / \sum g_e^2 s_k`.

    Args:
      gains: Composite gains g, one a direction.
      within: w, within-orbit variance of each direction of the input.
      total: s, total variance of each direction of the input.
      encoder_depth: N_e >= 1.
      projector_depth: N_p; 0 gives the defect of the embedding itself.

    Returns:
      The defect, shape ().

    Raises:
      InputError: Depths as in `projector_share`.

    Accuracy:
      Exact under the assumptions of `encoder_gains`.

    Source:
      Derived.

    Example:
      A deeper projector leaves the features less invariant:

      >>> import jax
      >>> with jax.enable_x64(True):
      ...     gains, noise = jnp.array([1.0, 0.01]), jnp.array([0.0, 1.0])
      ...     defects = [encoder_defect(gains, noise, jnp.ones(2), 1, depth) for depth in range(3)]
      ...     print([round(float(defect), 4) for defect in defects])
      [0.0001, 0.0099, 0.0444]
    """
    require_float64(gains=gains, within=within, total=total)
    weights = encoder_gains(gains, encoder_depth, projector_depth) ** 2
    return jnp.sum(weights * within) / jnp.sum(weights * total)
