"""Settings of what is measured on a network, while it trains and when training ends."""

from dataclasses import dataclass
from typing import Literal

from ssljax.config.checks import (
    require,
    require_choices,
    require_nonnegative,
    require_positive,
    setting,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MomentsConfig:
    """Second moments of augmented views, when training ends and, on a schedule, before.

    A measurement is a forward pass of ``every_images * views`` views, a training step about three
    of ``2 * batch_size``: it costs ``every_images * views / (6 * batch_size * every)`` of
    training, 0.5 % for 1024 images, 2 views, batches of 512 and every 128 steps.
    """

    views: int = setting(0, "augmented views of each image; 0 measures nothing")
    layers: tuple[str, ...] = setting(
        ("feature", "embedding"), "layers to measure; all: each once but the input"
    )
    batch_size: int = setting(256, "images per batch")
    images: int = setting(0, "images measured when training ends, drawn once; 0: all")
    every: int = setting(0, "steps between measurements while training; 0: only at the end")
    every_images: int = setting(
        1024, "images measured while training, the same each time; 0: all, as at the end"
    )

    def __post_init__(self):
        require(
            self.views == 0 or self.views >= 2,
            "moments.views",
            self.views,
            "0 (off) or at least 2",
        )
        require_positive("moments", self, "batch_size")
        require_nonnegative("moments", self, "images", "every", "every_images")
        require(
            self.every == 0 or self.views >= 2,
            "moments.views",
            self.views,
            "at least 2 where --moments.every is given",
        )
        require(
            self.every_images != 1, "moments.every-images", self.every_images, "0 or at least 2"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """Accuracies of frozen features of clean images; no test image ever chooses anything.

    When training ends: a linear probe, k nearest neighbors, few-shot probes. On a schedule before:
    nearest neighbors, beside those of raw pixels.
    """

    layers: tuple[str, ...] = setting(
        ("feature", "embedding"), "layers to evaluate; none: empty; all: each once but the input"
    )
    probe: Literal["lbfgs", "sgd"] = setting(
        "lbfgs", "linear probe: to the minimum, or 100 epochs of descent on a cosine schedule"
    )
    l2: float = setting(1e-3, "probe: L2 penalty on the weights")
    path: tuple[float, ...] = setting(
        (), "lbfgs: L2 penalties that a held-out tenth of the training images chooses from"
    )
    standardize: bool = setting(
        True, "probe: divide features by their standard deviation over the training images"
    )
    neighbors: int = setting(10, "neighbors that vote")
    neighbor_temperature: float = setting(0.1, "temperature of the votes")
    few_shot: tuple[int, ...] = setting((), "few-shot probes with so many labels a class")
    few_shot_draws: int = setting(5, "few-shot: draws of the labels")
    every: int = setting(0, "steps between nearest-neighbor accuracies while training; 0: none")
    every_images: int = setting(
        2000, "images then, that many of training and of test, the same each time; 0: all"
    )

    def __post_init__(self):
        require_choices("evaluation", self)
        require_nonnegative("evaluation", self, "l2", "every", "every_images")
        require_positive("evaluation", self, "neighbors", "neighbor_temperature")
        require(
            all(l2 >= 0 for l2 in self.path), "evaluation.path", self.path, "numbers of at least 0"
        )
        require(
            not self.path or self.probe == "lbfgs",
            "evaluation.probe",
            self.probe,
            "lbfgs where --evaluation.path is given",
        )
        require(
            all(shots > 0 for shots in self.few_shot),
            "evaluation.few-shot",
            self.few_shot,
            "positive numbers of labels",
        )
        require(
            self.few_shot_draws >= 2,
            "evaluation.few-shot-draws",
            self.few_shot_draws,
            "at least 2, for an error",
        )
        require(
            self.every == 0 or bool(self.layers),
            "evaluation.layers",
            self.layers,
            "at least one layer where --evaluation.every is given",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineProbeConfig:
    """Linear probes trained along with the network, inside its step, out of its gradients."""

    layers: tuple[str, ...] = setting((), "layers with an online probe; none: empty")
    learning_rate: float = setting(1e-3, "of the probes' Adam")

    def __post_init__(self):
        require_positive("online_probe", self, "learning_rate")
