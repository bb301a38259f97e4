"""The table of losses, and the configuration made of it.

To add a loss: write it in a file of this room with its settings and a function that builds its
objective, then add one line to `LOSSES`.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ssljax.losses.blockwise import (
    BlockwiseSettings,
    nt_xent_objective,
    supervised_contrastive_objective,
)
from ssljax.losses.contrastive import SoftmaxSettings, dot_info_nce_objective, info_nce_objective
from ssljax.losses.distillation import BYOLSettings, byol_objective, simsiam_objective
from ssljax.losses.objective import (
    BuildObjective,
    LossContext,
    Objective,
    fixed_objective,
    labeled_pair_objective,
    pair_objective,
    scaled_objective,
)
from ssljax.losses.redundancy import (
    BarlowTwinsSettings,
    InvarianceSettings,
    VICRegSettings,
    barlow_twins_objective,
    barlow_twins_unnormalized,
    vicreg_covariance_objective,
    vicreg_objective,
)
from ssljax.losses.spectral import (
    spectral_contrastive,
    spectral_cross_view_biased,
    spectral_within_view_biased,
)
from ssljax.losses.supervised import (
    cross_entropy_objective,
    mean_squared_error_objective,
    supervised_spectral,
)
from ssljax.system.settings import POSITIVE, Settings, merge_settings, setting


class Loss(NamedTuple):
    """A line of the table.

    Attributes:
      build: ``(settings, context) -> objective``.
      settings: The class of its settings.
      labels: Whether it needs a class for every image.
      scores: Whether it compares scores of classes with labels.
      least_views: Views of each image that it needs.
      predictor: Whether it needs a predictor on the embedding.
      target: Whether it needs a moving average of the network.
    """

    build: BuildObjective
    settings: type[Settings] = Settings
    labels: bool = False
    scores: bool = False
    least_views: int = 2
    predictor: bool = False
    target: bool = False


LOSSES: dict[str, Loss] = {
    "nt_xent": Loss(nt_xent_objective, BlockwiseSettings),
    "info_nce": Loss(info_nce_objective, SoftmaxSettings),
    "dot_info_nce": Loss(dot_info_nce_objective, SoftmaxSettings),
    "spectral": Loss(fixed_objective(pair_objective(spectral_contrastive))),
    "spectral_cross_view_biased": Loss(fixed_objective(pair_objective(spectral_cross_view_biased))),
    "spectral_within_view_biased": Loss(
        fixed_objective(pair_objective(spectral_within_view_biased))
    ),
    "supervised_contrastive": Loss(
        supervised_contrastive_objective, BlockwiseSettings, labels=True, least_views=1
    ),
    "supervised_spectral": Loss(
        fixed_objective(labeled_pair_objective(supervised_spectral)), labels=True
    ),
    "vicreg": Loss(vicreg_objective, VICRegSettings),
    "vicreg_covariance": Loss(vicreg_covariance_objective, InvarianceSettings),
    "barlow_twins": Loss(barlow_twins_objective, BarlowTwinsSettings),
    "barlow_twins_unnormalized": Loss(fixed_objective(pair_objective(barlow_twins_unnormalized))),
    "byol": Loss(byol_objective, BYOLSettings, predictor=True, target=True),
    "simsiam": Loss(simsiam_objective, predictor=True),
    "cross_entropy": Loss(cross_entropy_objective, labels=True, scores=True, least_views=1),
    "mean_squared_error": Loss(
        mean_squared_error_objective, labels=True, scores=True, least_views=1
    ),
}


@dataclass(frozen=True, kw_only=True)
class LossConfig(merge_settings(LOSSES, "loss", "name", "nt_xent", "objective")):
    """The objective on the layers of a batch; every one is over the global batch."""

    scale: float = setting(
        1.0, "factor on the loss; rates of LARS and Adam do not feel it", POSITIVE
    )


def build_objective(loss: LossConfig, context: LossContext) -> Objective:
    """Return what is minimized: a function of the network's layers and the labels.

    Args:
      loss: Which loss, and its settings.
      context: Where the batch is, and which layer holds scores.
    """
    objective = LOSSES[loss.name].build(loss.selected(), context)
    return scaled_objective(objective, loss.scale)
