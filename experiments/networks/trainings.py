"""The table of trainings: every network that a claim is tested on, in one place.

A training is what distinguishes one network from the others; `sizes` says how large a tier makes
all of them. Experiments name trainings, and each is trained once for all that name it. Settings
were chosen on the pilot seeds 90 and 91, looking at gates only.
"""

import dataclasses
from typing import Literal

PILOT_SEEDS = (90, 91)
FEATURE_WIDTH = 64
"""Width of the feature where the width of the network is 16; heads are given relative to it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """One network, or one set of linear models, of a seed.

    Attributes:
      what: In words, for pages.
      kind: `encoder` is trained; `heads` are trained on the features of the networks in `after`;
        `model` needs no network.
      after: Networks of the same seed that must be measured first.
      data: Images: `cifar10`, `cifar100_coarse`, `mnist_parity`, `mnist_on_cifar`,
        `two_shortcuts`, `digits`.
      policy: `simclr`, `color` (flip and color changes, no crop) or `digits` (small ones of shape).
      strength: Factor on the policy.
      crop: With the policy `color`: area that a crop may take away, and log aspect.
      digit_side: Pixels of a digit, where images have 32.
      digit_strength: Opacity of digits.
      digit_drop: Probability that a view has no digit, for both views.
      redraw: Probability that a view stands before another background, drawn from a fixed pool.
      loss: Name of the objective.
      temperature: Of a contrastive loss.
      classes: Outputs of a classifier on the embedding; 0 without.
      head: `mlp`, `linear`, `none` or `reweight`.
      widths: Of the head's layers, as multiples of the feature's width.
      kappa: Of a reweighting head.
      centered: Whether the feature is centered, as the theory of linear heads assumes.
      feature_scale: Fixed factor on the feature.
      norm: Normalization of the encoder: `batch` or `group`.
      optimizer: `adamw` or `sgd`.
      learning_rate: At its peak.
      momentum: Of `sgd`.
      warmup: Share of the steps in which the learning rate rises.
      constant: Whether the learning rate stays at its peak (else it falls along a cosine).
      weight_decay: Of the encoder.
      head_weight_decay: Of the head.
      batch_size: Pairs a step, or images where the loss takes single views.
      sampling: `epoch`, or `replacement`.
      steps: At the laptop tier.
      observers: Compiled into the step, by their names in `observers.OBSERVERS`.
    """

    what: str
    kind: Literal["encoder", "heads", "model"] = "encoder"
    after: tuple[str, ...] = ()
    data: str = "cifar10"
    policy: Literal["simclr", "color", "digits"] = "simclr"
    strength: float = 0.5
    crop: tuple[float, float] = (0.0, 0.0)
    digit_side: int = 16
    digit_strength: float = 1.0
    digit_drop: tuple[float, float] = (0.0, 0.0)
    redraw: float = 0.0
    loss: str = "nt_xent"
    temperature: float = 0.5
    classes: int = 0
    head: Literal["mlp", "linear", "none", "reweight"] = "mlp"
    widths: tuple[float, ...] = (1.0, 1.0)
    kappa: float = 1.5
    centered: bool = False
    feature_scale: float = 1.0
    norm: Literal["batch", "group"] = "batch"
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    momentum: float = 0.0
    warmup: float = 0.05
    constant: bool = False
    weight_decay: float = 1e-4
    head_weight_decay: float = 1e-4
    batch_size: int = 128
    sampling: Literal["epoch", "replacement"] = "epoch"
    steps: int = 500
    observers: tuple[str, ...] = ()


_JOINT = Training(
    what="a linear head of two layers on a centered feature, plain descent",
    head="linear",
    centered=True,
    feature_scale=0.25,
    norm="group",
    loss="spectral",
    optimizer="sgd",
    learning_rate=0.02,
    warmup=0.0,
    constant=True,
    weight_decay=1e-3,
    head_weight_decay=0.1,
    batch_size=64,
    steps=1500,
    observers=("ledger", "noise", "features"),
)
_DIGITS = Training(
    what="digits on natural images",
    data="mnist_on_cifar",
    policy="color",
    strength=1.0,
    redraw=0.3,
    steps=300,
)
_COARSE = Training(
    what="coarse classes of CIFAR-100, supervised contrastive",
    data="cifar100_coarse",
    strength=0.33,
    loss="supervised_contrastive",
    steps=800,
)
_GROUPS = Training(
    what="objects with two shortcuts, supervised contrastive",
    data="two_shortcuts",
    strength=0.33,
    loss="supervised_contrastive",
    steps=300,
)
_DRIVEN = Training(
    what="a linear head of two layers, trained with its encoder on handwritten digits",
    data="digits",
    policy="digits",
    head="linear",
    widths=(1.0, 0.5),
    centered=True,
    feature_scale=0.5,
    norm="group",
    loss="spectral",
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    warmup=1 / 12,
    weight_decay=1e-3,
    head_weight_decay=0.05,
    sampling="replacement",
    steps=600,
    observers=("features",),
)
_replace = dataclasses.replace

TRAININGS: dict[str, Training] = {
    "base": Training(what="CIFAR-10, strength 0.5, head of one hidden layer"),
    "weak": Training(what="as base, augmentation of strength 0.1", strength=0.1),
    "strong": Training(what="as base, augmentation of strength 1.25", strength=1.25),
    "none": Training(what="as base, without a head", head="none", widths=()),
    "narrow": Training(what="as base, hidden layer an eighth as wide", widths=(1 / 8, 1.0)),
    "wide": Training(what="as base, hidden layer four times as wide", widths=(4.0, 1.0)),
    "deep": Training(what="as base, three hidden layers", widths=(1.0, 1.0, 1.0, 1.0)),
    "joint-spectral": _JOINT,
    "joint-cosine": _replace(
        _JOINT,
        what="as joint-spectral, under NT-Xent",
        loss="nt_xent",
        learning_rate=0.5,
        weight_decay=1e-4,
        head_weight_decay=0.02,
    ),
    "digits-full": _DIGITS,
    "digits-dropped": _replace(
        _DIGITS, what="as digits-full, nine of ten views without digit", digit_drop=(0.9, 0.9)
    ),
    "digits-faint": _replace(
        _DIGITS, what="as digits-full, digits half transparent", digit_strength=0.5, redraw=0.5
    ),
    "digits-split": _replace(
        _DIGITS,
        what="large digits, in one view of a pair only",
        crop=(0.46, 0.145),
        digit_side=24,
        digit_drop=(1.0, 0.5),
        redraw=0.0,
        steps=400,
    ),
    "coarse-contrastive": _COARSE,
    "coarse-none": _replace(
        _COARSE, what="as coarse-contrastive, without a head", head="none", widths=()
    ),
    "coarse-fixed": _replace(
        _COARSE, what="as coarse-contrastive, fixed reweighting head", head="reweight", widths=()
    ),
    "coarse-entropy": _replace(
        _COARSE,
        what="coarse classes of CIFAR-100, cross-entropy",
        loss="cross_entropy",
        classes=20,
        steps=400,
    ),
    "parity-contrastive": _replace(
        _COARSE,
        what="parity of MNIST digits, supervised contrastive",
        data="mnist_parity",
        strength=0.5,
        steps=300,
    ),
    "groups-contrastive": _GROUPS,
    "groups-entropy": _replace(
        _GROUPS, what="objects with two shortcuts, cross-entropy", loss="cross_entropy", classes=2
    ),
    "groups-none": _replace(
        _GROUPS,
        what="objects with two shortcuts, cross-entropy, without a head",
        loss="cross_entropy",
        classes=2,
        head="none",
        widths=(),
    ),
    "driven-gn": _DRIVEN,
    "driven-one": _replace(_DRIVEN, what="as driven-gn, a head of one layer", widths=(0.5,)),
    "driven-three": _replace(
        _DRIVEN, what="as driven-gn, a head of three layers", widths=(1.0, 1.0, 0.5)
    ),
    # Batches leave features twice as large as groups do.
    "driven-bn": _replace(
        _DRIVEN,
        what="as driven-gn, with batch normalization",
        norm="batch",
        feature_scale=0.25,
    ),
    "frozen": Training(
        what="linear heads settled on the features of base, weak and strong",
        kind="heads",
        after=("base", "weak", "strong"),
    ),
    "linear-chain": Training(what="four linear layers on CIFAR-10 pixels", kind="model"),
    "feature-model": Training(what="Xue et al.'s model of features, simulated", kind="model"),
    "diagonal": Training(what="diagonal networks with a symmetrized ReLU", kind="model"),
}
