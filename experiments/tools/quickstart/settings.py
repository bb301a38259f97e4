"""The quickstart's numbers at each tier: same code, one table."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from experiments.core.measurements import Key, Measurement
from experiments.core.names import level
from experiments.measure.rows import exact_row
from ssljax.config.config import Config, EvaluationConfig, MomentsConfig
from ssljax.config.presets import find_preset


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes:
      seeds: Random seeds of every part.
      linear_steps: Training steps of the linear model.
      linear_views: Views of each image for its predicted moments.
      records: Moments in training at which the linear model's weights are kept.
      joint_steps: Steps in which encoder and head train together.
      settling_steps: Steps in which the head alone goes on.
      head_views: Views of each image for the head's moments, and as many to settle on.
      sweep_steps: Training steps at each augmentation strength.
      strengths: Augmentation strengths of the sweep.
      sweep_views: Views of each test image.
      perceptron: Widths of a perceptron to train in place of the small ResNet of the head's part,
        where what is tested is the machinery; empty for the ResNet.
    """

    seeds: tuple[int, ...]
    linear_steps: int
    linear_views: int
    records: int
    joint_steps: int
    settling_steps: int
    head_views: int
    sweep_steps: int
    strengths: tuple[float, ...]
    sweep_views: int
    perceptron: tuple[int, ...] = ()


SIZES: dict[str, Size] = {
    "smoke": Size((0,), 200, 4, 4, 30, 200, 4, 40, (0.2, 0.8), 4, perceptron=(64, 64)),
    "laptop": Size((20, 21, 22), 4000, 16, 40, 350, 4000, 8, 400, (0.1, 0.2, 0.35, 0.55, 0.8), 12),
}
_LARGE = Size(
    tuple(range(20, 30)),
    4000,
    32,
    80,
    350,
    4000,
    16,
    400,
    (0.1, 0.15, 0.2, 0.27, 0.35, 0.45, 0.55, 0.67, 0.8),
    24,
)
SIZES |= {"workstation": _LARGE, "paper": _LARGE}

LINEAR, HEAD, SWEEP = "quickstart-linear", "quickstart-head", "quickstart-sweep"
"""Networks of the three parts, in tables."""

PROBE_STRENGTH = 0.3
"""Strength of the views on which all networks of the sweep are compared."""

PARAMETERS = ("rotation", "shift_x", "brightness")
"""What augmentation did to a view, as a readout is asked."""

QUARTERS = {"quarter": 0.25, "half": 0.5, "end": 1.0}
"""Shares of the linear network's training at which its modes are drawn."""

# Fixed before the runs. Seeds 0 to 2 of the pilot that found the settings are not used again, nor
# 10 to 12, which showed that the linear model needs smaller steps for its balance.
MODE_FLOOR = 0.1
LEADING_MODES = 20
SETTLED_WEIGHT_DECAY = 0.1


def linear_config(size: Size) -> Config:
    """Return the configuration of part A: a linear network of three layers on pixels."""
    return preset_with("digits_linear", num_steps=size.linear_steps)


def head_config(size: Size, seed: int) -> Config:
    """Return that of part B: a small ResNet with a linear head of two layers."""
    encoder = find_preset("digits_resnet").encoder
    if size.perceptron:
        encoder = dataclasses.replace(
            encoder, kind="mlp", widths=size.perceptron, norm="none", feature_activation=True
        )
    return preset_with(
        "digits_resnet",
        num_steps=size.joint_steps,
        seed=seed,
        encoder=encoder,
        # The comparison measures what it needs itself.
        moments=MomentsConfig(views=0),
        evaluation=EvaluationConfig(layers=()),
    )


def sweep_config(size: Size) -> Config:
    """Return that of part C: a perceptron with a nonlinear head, trained at several strengths."""
    return preset_with("digits_mlp", num_steps=size.sweep_steps)


def preset_with(name: str, **changes: object) -> Config:
    """Return a preset with some fields changed; its schedule fits the number of steps."""
    config = find_preset(name)
    steps = changes.get("num_steps", config.num_steps)
    assert isinstance(steps, int)
    optimizer = dataclasses.replace(
        config.optimizer, warmup_steps=min(config.optimizer.warmup_steps, steps // 5)
    )
    return dataclasses.replace(config, optimizer=optimizer, **changes)  # type: ignore[arg-type]


def make_key(
    network: str,
    seed: int,
    quantity: str,
    variant: str = "trained",
    layer: str = "",
    task: str = "",
    **settings: float | str,
) -> Key:
    """Return the key of a row; `settings` become its level."""
    return Key(network, seed, variant, layer, task, quantity, level(**settings))


def exact_rows(key: Key, value: float | int) -> Iterator[Measurement]:
    """Yield a row of a number, or nothing where a short training leaves it without a value."""
    if np.isfinite(value):
        yield exact_row(key, float(value))
