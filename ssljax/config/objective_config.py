"""Settings of what is minimized and of how: the loss, the optimizer and its schedule."""

from dataclasses import dataclass
from typing import Literal

from ssljax.config.checks import (
    require,
    require_choices,
    require_nonnegative,
    require_positive,
    setting,
)

LossName = Literal[
    "nt_xent",
    "info_nce",
    "dot_info_nce",
    "spectral",
    "spectral_cross_view_biased",
    "spectral_within_view_biased",
    "supervised_contrastive",
    "supervised_spectral",
    "vicreg",
    "vicreg_covariance",
    "barlow_twins",
    "barlow_twins_unnormalized",
    "byol",
    "simsiam",
    "cross_entropy",
    "mean_squared_error",
]

SUPERVISED = ("cross_entropy", "mean_squared_error")
"""Losses of single views against labels."""

LABELED = (*SUPERVISED, "supervised_contrastive", "supervised_spectral")
"""Losses that need a class for every image."""

PREDICTED = ("byol", "simsiam")
"""Losses of a predictor that meets the other view."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """The objective on the layers of a batch; every one is over the global batch."""

    name: LossName = setting("nt_xent", "objective")
    temperature: float = setting(
        0.5, "nt_xent, info_nce, dot_info_nce, supervised_contrastive: temperature"
    )
    block_size: int = setting(
        0,
        "nt_xent, supervised_contrastive: rows of similarities in memory at once, recomputed in"
        " the backward pass; 0: all at once",
    )
    invariance: float = setting(25.0, "vicreg, vicreg_covariance: weight of the views' distance")
    variance: float = setting(25.0, "vicreg: weight of the hinge on standard deviations")
    covariance: float = setting(1.0, "vicreg: weight of off-diagonal covariances")
    off_diagonal: float = setting(5e-3, "barlow_twins: weight of off-diagonal correlations")
    scale: float = setting(1.0, "factor on the loss; rates of LARS and Adam do not feel it")
    target_decay: float = setting(
        0.996, "byol: decay of the averaged network at the first step; rises to 1 by a cosine"
    )

    def __post_init__(self):
        require_choices("loss", self)
        require_positive("loss", self, "temperature", "scale")
        require_nonnegative(
            "loss", self, "block_size", "invariance", "variance", "covariance", "off_diagonal"
        )
        require(
            0 <= self.target_decay <= 1, "loss.target-decay", self.target_decay, "between 0 and 1"
        )
        require(
            self.block_size == 0 or self.name in ("nt_xent", "supervised_contrastive"),
            "loss.block-size",
            self.block_size,
            f"0 for the loss {self.name}",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """Optimizer, learning-rate schedule, weight decay and averaging of weights."""

    name: Literal["sgd", "sgdw", "adam", "adamw", "lars", "lamb"] = setting(
        "sgd",
        "optimizer; weight decay is coupled (gradient + decay·weight) in sgd, adam and lars,"
        " decoupled (added to the step, times the learning rate) in sgdw, adamw and lamb",
    )
    learning_rate: float = setting(0.01, "peak learning rate")
    warmup_steps: int = setting(0, "steps of linear warm-up")
    final_fraction: float = setting(
        0.0, "last learning rate over the peak, reached by a cosine; 1 keeps it constant"
    )
    momentum: float = setting(0.9, "sgd, sgdw, lars: momentum; the others: decay of the mean")
    nesterov: bool = setting(False, "sgd, sgdw: Nesterov's momentum")
    square_decay: float = setting(0.999, "adam, adamw, lamb: decay of the mean square")
    trust_coefficient: float = setting(
        1e-3, "lars: rate of a kernel over its norm divided by its gradient's"
    )
    trust_clip: bool = setting(False, "lars: no kernel's rate exceeds the learning rate")
    weight_decay: float = setting(
        0.0, "decay of the encoder's kernels; never of biases and norm scales"
    )
    head_weight_decay: float = setting(0.0, "decay of the head's and the predictor's, likewise")
    average_decay: float = setting(
        0.0, "decay of a moving average of the weights that is evaluated in their place; 0: none"
    )

    def __post_init__(self):
        require_choices("optimizer", self)
        require_positive("optimizer", self, "learning_rate", "trust_coefficient")
        require_nonnegative("optimizer", self, "warmup_steps", "weight_decay", "head_weight_decay")
        require(
            0 <= self.final_fraction <= 1,
            "optimizer.final-fraction",
            self.final_fraction,
            "between 0 and 1",
        )
        for name in ("momentum", "square_decay", "average_decay"):
            value = getattr(self, name)
            require(
                0 <= value < 1,
                f"optimizer.{name}".replace("_", "-"),
                value,
                "at least 0 and below 1",
            )
