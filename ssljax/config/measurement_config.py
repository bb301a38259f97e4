"""Settings of what is measured on a network, while it trains and when training ends."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ssljax.system.settings import NONNEGATIVE, POSITIVE, Settings, Wanted, require, setting

_TWO_OR_NONE = Wanted("0 (off) or at least 2", lambda views: views == 0 or views >= 2)
_PENALTIES = Wanted("numbers of at least 0", lambda values: all(value >= 0 for value in values))
_SHOTS = Wanted("positive numbers of labels", lambda shots: all(count > 0 for count in shots))


@dataclass(frozen=True, kw_only=True)
class MomentsConfig(Settings):
    """Second moments of augmented views, when training ends and, on a schedule, before.

    A measurement is a forward pass of ``every_images * views`` views, a training step about three
    of ``2 * batch_size``: it costs ``every_images * views / (6 * batch_size * every)`` of
    training, 0.5 % for 1024 images, 2 views, batches of 512 and every 128 steps.
    """

    prefix: ClassVar[str] = "moments"

    views: int = setting(0, "augmented views of each image; 0 measures nothing", _TWO_OR_NONE)
    layers: tuple[str, ...] = setting(
        ("feature", "embedding"), "layers to measure; all: each once but the input"
    )
    batch_size: int = setting(256, "images per batch", POSITIVE)
    images: int = setting(0, "images measured when training ends, drawn once; 0: all", NONNEGATIVE)
    every: int = setting(
        0, "steps between measurements while training; 0: only at the end", NONNEGATIVE
    )
    every_images: int = setting(
        1024,
        "images measured while training, the same each time; 0: all, as at the end",
        NONNEGATIVE,
    )

    def __post_init__(self):
        super().__post_init__()
        require(
            self.every == 0 or self.views >= 2,
            "moments.views",
            self.views,
            "at least 2 where --moments.every is given",
        )
        require(
            self.every_images != 1, "moments.every-images", self.every_images, "0 or at least 2"
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Settings):
    """Accuracies of frozen features of clean images; no test image ever chooses anything.

    When training ends: a linear probe, k nearest neighbors, few-shot probes. On a schedule before:
    nearest neighbors, beside those of raw pixels.
    """

    prefix: ClassVar[str] = "evaluation"

    layers: tuple[str, ...] = setting(
        ("feature", "embedding"), "layers to evaluate; none: empty; all: each once but the input"
    )
    probe: Literal["lbfgs", "sgd"] = setting(
        "lbfgs", "linear probe: to the minimum, or 100 epochs of descent on a cosine schedule"
    )
    l2: float = setting(1e-3, "probe: L2 penalty on the weights", NONNEGATIVE)
    path: tuple[float, ...] = setting(
        (),
        "lbfgs: L2 penalties that a held-out tenth of the training images chooses from",
        _PENALTIES,
    )
    standardize: bool = setting(
        True, "probe: divide features by their standard deviation over the training images"
    )
    neighbors: int = setting(10, "neighbors that vote", POSITIVE)
    neighbor_temperature: float = setting(0.1, "temperature of the votes", POSITIVE)
    few_shot: tuple[int, ...] = setting((), "few-shot probes with so many labels a class", _SHOTS)
    few_shot_draws: int = setting(
        5,
        "few-shot: draws of the labels",
        Wanted("at least 2, for an error", lambda draws: draws >= 2),
    )
    images: int = setting(
        0,
        "images used when training ends, that many of training and of test, drawn once; 0: all",
        NONNEGATIVE,
    )
    every: int = setting(
        0, "steps between nearest-neighbor accuracies while training; 0: none", NONNEGATIVE
    )
    every_images: int = setting(
        2000,
        "images then, that many of training and of test, the same each time; 0: all",
        NONNEGATIVE,
    )

    def __post_init__(self):
        super().__post_init__()
        require(
            not self.path or self.probe == "lbfgs",
            "evaluation.probe",
            self.probe,
            "lbfgs where --evaluation.path is given",
        )
        require(
            self.every == 0 or bool(self.layers),
            "evaluation.layers",
            self.layers,
            "at least one layer where --evaluation.every is given",
        )


@dataclass(frozen=True, kw_only=True)
class OnlineProbeConfig(Settings):
    """Linear probes trained along with the network, inside its step, out of its gradients."""

    prefix: ClassVar[str] = "online_probe"

    layers: tuple[str, ...] = setting((), "layers with an online probe; none: empty")
    learning_rate: float = setting(1e-3, "of the probes' Adam", POSITIVE)
