"""Settings of how the loss is minimized: the optimizer and its schedule."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ssljax.system.settings import (
    BELOW_ONE,
    FRACTION,
    NONNEGATIVE,
    POSITIVE,
    Settings,
    setting,
)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Settings):
    """Optimizer, learning-rate schedule, weight decay and averaging of weights."""

    prefix: ClassVar[str] = "optimizer"

    name: Literal["sgd", "sgdw", "adam", "adamw", "lars", "lamb"] = setting(
        "sgd",
        "optimizer; weight decay is coupled (gradient + decay·weight) in sgd, adam and lars,"
        " decoupled (added to the step, times the learning rate) in sgdw, adamw and lamb",
    )
    learning_rate: float = setting(0.01, "peak learning rate", POSITIVE)
    warmup_steps: int = setting(0, "steps of linear warm-up", NONNEGATIVE)
    final_fraction: float = setting(
        0.0, "last learning rate over the peak, reached by a cosine; 1 keeps it constant", FRACTION
    )
    momentum: float = setting(
        0.9, "sgd, sgdw, lars: momentum; the others: decay of the mean", BELOW_ONE
    )
    nesterov: bool = setting(False, "sgd, sgdw: Nesterov's momentum")
    square_decay: float = setting(0.999, "adam, adamw, lamb: decay of the mean square", BELOW_ONE)
    trust_coefficient: float = setting(
        1e-3, "lars: rate of a kernel over its norm divided by its gradient's", POSITIVE
    )
    trust_clip: bool = setting(False, "lars: no kernel's rate exceeds the learning rate")
    weight_decay: float = setting(
        0.0, "decay of the encoder's kernels; never of biases and norm scales", NONNEGATIVE
    )
    head_weight_decay: float = setting(
        0.0, "decay of the head's and the predictor's, likewise", NONNEGATIVE
    )
    average_decay: float = setting(
        0.0,
        "decay of a moving average of the weights that is evaluated in their place; 0: none",
        BELOW_ONE,
    )
