"""Named configurations. Each says how to run it, what it costs and what it is for.

Costs are for two shared CPU cores unless stated. A figure is quoted only where it was measured.
"""

from collections.abc import Callable

from ssljax.config import (
    Config,
    EncoderConfig,
    EvaluationConfig,
    HeadConfig,
    LossConfig,
    MomentsConfig,
    OptimizerConfig,
)
from ssljax.errors import UsageError
from ssljax.overrides import close_matches
from ssljax.policies import SIMCLR_POLICY


def digits_smoke() -> Config:
    """Everything once, in under a minute: a small ResNet on handwritten digits.

    python -m ssljax train digits_smoke

    Trains, checkpoints, measures moments, probes and votes; the numbers mean nothing.
    """
    return Config(
        strength=0.5,
        sampling="replacement",
        encoder=EncoderConfig(width=8, feature_centering=True, feature_scale=0.5),
        head=HeadConfig(widths=(32, 16)),
        loss=LossConfig(name="spectral"),
        optimizer=OptimizerConfig(
            learning_rate=0.01, warmup_steps=20, weight_decay=1e-3, head_weight_decay=0.05
        ),
        batch_size=64,
        num_steps=120,
        checkpoint_every=40,
        devices=1,
        moments=MomentsConfig(views=4, layers=("input", "feature", "head1", "embedding")),
    )


def digits_linear() -> Config:
    """A linear model of depth three straight on pixels, the case theory solves exactly.

    python -m ssljax train digits_linear

    Balanced start, plain gradient descent on the spectral contrastive loss;
    the learning rates sum to 30.6 units of gradient-flow time.
    """
    return Config(
        split="all",
        strength=0.3,
        sampling="replacement",
        mean_image="views",
        input_scale=0.0,
        encoder=EncoderConfig(kind="linear", widths=()),
        head=HeadConfig(kind="linear", widths=(64, 64, 64), init="balanced", init_scale=0.7),
        loss=LossConfig(name="spectral"),
        optimizer=OptimizerConfig(learning_rate=0.015, final_fraction=0.02, momentum=0.0),
        batch_size=256,
        num_steps=4000,
        checkpoint_every=1000,
        devices=1,
        moments=MomentsConfig(views=16, layers=("input", "head1", "head2", "embedding")),
    )


def digits_resnet() -> Config:
    """A small ResNet and a linear head of depth two, trained together with weight decay.

    python -m ssljax train digits_resnet

    Under a minute. The feature is centered but not normalized, which would whiten it and leave
    the theory nothing to predict.
    """
    return Config(
        split="all",
        strength=0.5,
        sampling="replacement",
        encoder=EncoderConfig(feature_centering=True, feature_scale=0.25),
        head=HeadConfig(widths=(64, 32)),
        loss=LossConfig(name="spectral"),
        optimizer=OptimizerConfig(
            learning_rate=0.01, warmup_steps=50, weight_decay=1e-3, head_weight_decay=0.05
        ),
        num_steps=350,
        checkpoint_every=100,
        devices=1,
        moments=MomentsConfig(views=8),
    )


def digits_mlp() -> Config:
    """A perceptron with a nonlinear head and NT-Xent, for sweeps of the augmentation strength.

    python -m ssljax train digits_mlp --strength 0.8
    """
    return Config(
        strength=0.35,
        encoder=EncoderConfig(kind="mlp", widths=(256, 256, 64), norm="none"),
        head=HeadConfig(kind="mlp", widths=(64, 32)),
        loss=LossConfig(name="nt_xent", temperature=0.2),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=2e-3,
            warmup_steps=20,
            weight_decay=1e-4,
            head_weight_decay=1e-4,
        ),
        num_steps=400,
        devices=1,
        moments=MomentsConfig(views=12),
    )


def cifar10_linear() -> Config:
    """A linear model of depth two on CIFAR-10's pixels.

    python -m ssljax train cifar10_linear --data-dir TFDS_DIRECTORY

    A few minutes (0.05 CPU seconds a step measured). The factor makes the largest eigenvalue of
    the input covariance 1.
    """
    return Config(
        data="cifar10",
        policy=SIMCLR_POLICY,
        strength=0.3,
        sampling="replacement",
        mean_image="images",
        input_scale=0.135,
        encoder=EncoderConfig(kind="linear", widths=()),
        head=HeadConfig(kind="linear", widths=(128, 128), init="balanced", init_scale=0.1),
        loss=LossConfig(name="spectral"),
        optimizer=OptimizerConfig(learning_rate=0.02, final_fraction=0.02, momentum=0.0),
        batch_size=256,
        num_steps=2000,
        checkpoint_every=500,
        moments=MomentsConfig(views=2, layers=("head1", "embedding")),
        evaluation=EvaluationConfig(layers=("embedding",)),
    )


def simclr_cifar10_cpu() -> Config:
    """SimCLR on CIFAR-10 small enough for a CPU: a ResNet of width 16.

    python -m ssljax train simclr_cifar10_cpu --data-dir TFDS_DIRECTORY

    Some five minutes (1.2 CPU seconds a step measured).
    """
    return Config(
        data="cifar10",
        policy=SIMCLR_POLICY,
        head=HeadConfig(kind="mlp", widths=(128, 64), norm="batch"),
        loss=LossConfig(temperature=0.5),
        optimizer=OptimizerConfig(learning_rate=0.1, warmup_steps=50, weight_decay=5e-4),
        num_steps=400,
        checkpoint_every=100,
    )


def simclr_cifar10() -> Config:
    """SimCLR on CIFAR-10 with a ResNet-18, two hundred epochs, for an accelerator.

    python -m ssljax train simclr_cifar10 --data-dir TFDS_DIRECTORY
    """
    return Config(
        data="cifar10",
        policy=SIMCLR_POLICY,
        encoder=EncoderConfig(stage_sizes=(2, 2, 2, 2), width=64),
        head=HeadConfig(kind="mlp", widths=(512, 128), norm="batch"),
        loss=LossConfig(temperature=0.5),
        optimizer=OptimizerConfig(
            learning_rate=0.3,
            warmup_steps=970,
            weight_decay=5e-4,
            head_weight_decay=5e-4,
        ),
        batch_size=512,
        num_steps=19_400,
        checkpoint_every=970,
        log_every=97,
        moments=MomentsConfig(views=2),
        precision="bfloat16",
    )


PRESETS: dict[str, Callable[[], Config]] = {
    make.__name__: make
    for make in (
        digits_smoke,
        digits_linear,
        digits_resnet,
        digits_mlp,
        cifar10_linear,
        simclr_cifar10_cpu,
        simclr_cifar10,
    )
}


def preset(name: str) -> Config:
    """A configuration by name.

    Raises:
      UsageError: There is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(
            f"unknown preset {name!r}{close_matches(name, list(PRESETS))}; known are"
            f" {', '.join(PRESETS)}"
        )
    return PRESETS[name]()
