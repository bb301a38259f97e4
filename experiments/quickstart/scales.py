"""The quickstart's numbers at each scale: same code, one table."""

import dataclasses
from dataclasses import dataclass

from ssljax.config.config import Config, EvaluationConfig, MomentsConfig
from ssljax.config.presets import find_preset


@dataclass(frozen=True)
class Scale:
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


SCALES = {
    "smoke": Scale((0,), 200, 4, 4, 30, 200, 4, 40, (0.2, 0.8), 4, perceptron=(64, 64)),
    "laptop": Scale((20, 21, 22), 4000, 16, 40, 350, 4000, 8, 400, (0.1, 0.2, 0.35, 0.55, 0.8), 12),
    "paper": Scale(
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
    ),
}

# Fixed before the runs. Seeds 0 to 2 of the pilot that found the settings are not used again, nor
# 10 to 12, which showed that the linear model needs smaller steps for its balance.
MODE_FLOOR = 0.1
LEADING_MODES = 20
SETTLED_WEIGHT_DECAY = 0.1


def linear_config(scale: Scale) -> Config:
    """Part A: the depth-3 linear model on pixels."""
    return preset_with("digits_linear", num_steps=scale.linear_steps)


def head_config(scale: Scale, seed: int) -> Config:
    """Part B: a small ResNet with a linear head of depth two."""
    encoder = find_preset("digits_resnet").encoder
    if scale.perceptron:
        encoder = dataclasses.replace(
            encoder, kind="mlp", widths=scale.perceptron, norm="none", feature_activation=True
        )
    return preset_with(
        "digits_resnet",
        num_steps=scale.joint_steps,
        seed=seed,
        encoder=encoder,
        # The comparison measures what it needs itself.
        moments=MomentsConfig(views=0),
        evaluation=EvaluationConfig(layers=()),
    )


def sweep_config(scale: Scale) -> Config:
    """Part C: a perceptron with a nonlinear head, trained at several strengths."""
    return preset_with("digits_mlp", num_steps=scale.sweep_steps)


def preset_with(name: str, **changes: object) -> Config:
    """A preset with some fields changed; its schedule fits the number of steps."""
    config = find_preset(name)
    steps = changes.get("num_steps", config.num_steps)
    assert isinstance(steps, int)
    optimizer = dataclasses.replace(
        config.optimizer, warmup_steps=min(config.optimizer.warmup_steps, steps // 5)
    )
    return dataclasses.replace(config, optimizer=optimizer, **changes)  # type: ignore[arg-type]
