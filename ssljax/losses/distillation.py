"""Losses without negatives: a predictor is trained to meet a target that gets no gradient."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ssljax.losses.embeddings import at_least_float32, check_views, unit_rows
from ssljax.losses.multiview import mean_over_pairs
from ssljax.losses.objective import Layers, LossContext, Objective
from ssljax.system.arrays import Array, Float, Int
from ssljax.system.settings import FRACTION, Settings, setting


@dataclass(frozen=True, kw_only=True)
class BYOLSettings(Settings):
    """Settings of BYOL's target network."""

    target_decay: float = setting(
        0.996,
        "decay of the averaged network at the first step; rises to 1 by a cosine",
        FRACTION,
    )


def mean_cosine_to_target(
    predictions: Float[Array, "batch dim"], targets: Float[Array, "batch dim"]
) -> Float[Array, ""]:
    """Return the mean cosine of row pairs over the global batch; targets get no gradient."""
    check_views(predictions, targets)
    targets = jax.lax.stop_gradient(unit_rows(at_least_float32(targets)))
    return jnp.mean(jnp.sum(unit_rows(at_least_float32(predictions)) * targets, axis=1))


def byol(
    first_prediction: Float[Array, "batch dim"],
    second_prediction: Float[Array, "batch dim"],
    first_target: Float[Array, "batch dim"],
    second_target: Float[Array, "batch dim"],
) -> Float[Array, ""]:
    r"""Return BYOL's loss: squared distance on the sphere to the other view's targets.

    .. math:: L = \frac1n\sum_i\big[2 - 2\cos(p_i, t_i^+) + 2 - 2\cos(p_i^+, t_i)\big].

    Predictions come from the trained network with its predictor, targets from the moving
    average of the network without one (`ssljax.training.optimizer.moving_average`); targets get no
    gradient. The mean runs over the global batch; images interact through batch statistics alone.

    Args:
      first_prediction: Predictor's output on the first view.
      second_prediction: Predictor's output on the second view.
      first_target: Averaged network's embedding of the first view.
      second_target: Averaged network's embedding of the second view.

    Returns:
      The loss, from 0 to 8; everything in at least float32, zero rows are safe.

    Raises:
      UsageError: If the shapes differ.

    Source:
      Grill et al., *Bootstrap Your Own Latent*, NeurIPS 2020, equation 2, symmetrized by
      adding both orders.
    """
    agreement = mean_cosine_to_target(first_prediction, second_target)
    agreement += mean_cosine_to_target(second_prediction, first_target)
    return 4 - 2 * agreement


def simsiam(
    first_prediction: Float[Array, "batch dim"],
    second_prediction: Float[Array, "batch dim"],
    first_embedding: Float[Array, "batch dim"],
    second_embedding: Float[Array, "batch dim"],
) -> Float[Array, ""]:
    r"""Return SimSiam's loss: negative cosine from predictions to the other view's embedding.

    .. math:: L = -\frac{1}{2n}\sum_i\big[\cos(p_i, \mathrm{sg}\,z_i^+)
              + \cos(p_i^+, \mathrm{sg}\,z_i)\big],

    sg stopping the gradient. The mean runs over the global batch.

    Args:
      first_prediction: Predictor's output on the first view.
      second_prediction: Predictor's output on the second view.
      first_embedding: Same network's embedding of the first view, before the predictor.
      second_embedding: Same network's embedding of the second view.

    Returns:
      The loss, from -1 to 1; everything in at least float32, zero rows are safe.

    Raises:
      UsageError: If the shapes differ.

    Source:
      Chen, He, *Exploring Simple Siamese Representation Learning*, CVPR 2021, equations 1-4.
    """
    agreement = mean_cosine_to_target(first_prediction, second_embedding)
    agreement += mean_cosine_to_target(second_prediction, first_embedding)
    return -0.5 * agreement


def simsiam_objective(settings: Settings, context: LossContext) -> Objective:
    """Return SimSiam: the predictor of one view meets the other view's own embedding."""

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        del labels
        prediction, embedding = layers["predictor"], layers["embedding"]
        return mean_over_pairs(simsiam, prediction, embedding)

    return Objective(value, ("predictor",))


def byol_objective(settings: BYOLSettings, context: LossContext) -> Objective:
    """Return BYOL: the predictor of one view meets the averaged network's embedding of the other.

    The decay of the average is the trainer's business, not the objective's.
    """

    def value(layers: Layers, labels: Int[Array, "batch"]) -> Float[Array, ""]:
        del labels
        prediction, target = layers["predictor"], layers["target"]
        return mean_over_pairs(byol, prediction, target)

    return Objective(value, ("predictor",), uses_target=True)
