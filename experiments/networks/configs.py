"""From a line of the table of trainings to the configuration of a run."""

import dataclasses

from experiments.networks.sizes import Size
from experiments.networks.trainings import Training
from ssljax.augment.policies import DIGITS_POLICY, SIMCLR_POLICY, Policy
from ssljax.config.config import (
    Config,
    EncoderConfig,
    EvaluationConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
)

COLOR_POLICY = dataclasses.replace(SIMCLR_POLICY, crop_area=0.0, crop_log_aspect=0.0)
"""Flip and color changes, no crop, which would cut digits off."""


def make_config(training: Training, size: Size, seed: int) -> Config:
    """Return the configuration of a network.

    Args:
      training: Its line of the table.
      size: Of the tier.
      seed: Root of its random numbers.
    """
    steps = max(round(training.steps * size.steps), 1)
    steps = min(steps, size.most_steps or steps)
    batch = min(training.batch_size, size.batch_size or training.batch_size)
    return Config(
        data=training.data,
        policy=make_policy(training),
        strength=training.strength,
        views=1 if training.classes else 2,
        digit_side=training.digit_side,
        digit_strength=training.digit_strength,
        digit_drop=training.digit_drop,
        digit_redraw=training.redraw,
        sampling=training.sampling,
        encoder=EncoderConfig(
            kind="resnet",
            width=size.width,
            stage_sizes=size.stage_sizes,
            norm=training.norm,
            feature_centering=training.centered,
            feature_scale=training.feature_scale,
        ),
        head=_make_head(training, feature_width(size)),
        loss=LossConfig(name=training.loss, temperature=training.temperature),
        optimizer=_make_optimizer(training, steps),
        batch_size=batch,
        num_steps=steps,
        log_every=1 if training.observers else max(steps // 100, 1),
        checkpoint_every=max(steps // 2, 1),
        keep_checkpoints=1,
        evaluation=EvaluationConfig(layers=()),
        sinks=(),
        devices=1,
        seed=seed,
    )


def make_policy(training: Training) -> Policy:
    """Return the augmentation of a training at strength 1."""
    if training.policy == "digits":
        return DIGITS_POLICY
    if training.policy == "simclr":
        return SIMCLR_POLICY
    area, log_aspect = training.crop
    return dataclasses.replace(COLOR_POLICY, crop_area=area, crop_log_aspect=log_aspect)


def feature_width(size: Size) -> int:
    """Return the width of the feature of a tier's networks."""
    return size.width * 2 ** (len(size.stage_sizes) - 1)


def _make_head(training: Training, width: int) -> HeadConfig:
    widths = tuple(round(width * share) for share in training.widths)
    head = HeadConfig(kind=training.head, classes=training.classes)
    if training.head == "reweight":
        return dataclasses.replace(head, kappa=training.kappa)
    return dataclasses.replace(head, widths=widths) if widths else head


def _make_optimizer(training: Training, steps: int) -> OptimizerConfig:
    chosen = OptimizerConfig(
        name=training.optimizer,
        learning_rate=training.learning_rate,
        warmup_steps=int(training.warmup * steps),
        final_fraction=1.0 if training.constant else 0.0,
        weight_decay=training.weight_decay,
        head_weight_decay=training.head_weight_decay,
    )
    if training.optimizer == "sgd":
        return dataclasses.replace(chosen, momentum=training.momentum)
    return chosen
