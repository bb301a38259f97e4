"""Presets on CIFAR-10 small enough for a CPU."""

import dataclasses

from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.config.config import Config, EvaluationConfig, HeadConfig, LossConfig, MomentsConfig
from ssljax.config.config import EncoderConfig as Encoder
from ssljax.config.config import OptimizerConfig as Optimizer
from ssljax.config.presets.entry import Preset

_SMALL = Config(
    data="cifar10",
    policy=SIMCLR_POLICY,
    head=HeadConfig(kind="mlp", widths=(128, 64), norm="batch"),
    loss=LossConfig(temperature=0.5),
    optimizer=Optimizer(learning_rate=0.1, warmup_steps=50, weight_decay=5e-4),
    num_steps=400,
    checkpoint_every=100,
)


def _make_small(method: str, loss: str, head: HeadConfig, optimizer: Optimizer) -> Preset:
    config = Config(
        data=_SMALL.data,
        policy=_SMALL.policy,
        encoder=Encoder(
            feature_centering=loss == "spectral", feature_scale=0.25 if loss == "spectral" else 1.0
        ),
        head=head,
        loss=LossConfig(name=loss, scale=0.1 if loss == "barlow_twins" else 1.0),
        optimizer=optimizer,
        num_steps=_SMALL.num_steps,
        checkpoint_every=_SMALL.checkpoint_every,
    )
    return Preset(
        name=f"{method}_cifar10_cpu",
        summary=f"{method} on CIFAR-10 small enough for a CPU: a ResNet of width 16.",
        details="Beside simclr_cifar10_cpu, to compare losses; its settings are not tuned.",
        config=config,
    )


_SGD = _SMALL.optimizer
_EXPANDER = HeadConfig(kind="mlp", widths=(128, 128), norm="batch")

CIFAR_SMALL = (
    Preset(
        name="cifar10_linear",
        summary="A linear model of depth two on CIFAR-10's pixels.",
        details="The factor makes the largest eigenvalue of the input covariance 1.",
        cost="a few minutes (0.05 CPU seconds a step)",
        config=Config(
            data="cifar10",
            policy=SIMCLR_POLICY,
            strength=0.3,
            sampling="replacement",
            mean_image="images",
            input_scale=0.135,
            encoder=Encoder(kind="linear", widths=()),
            head=HeadConfig(kind="linear", widths=(128, 128), init="balanced", init_scale=0.1),
            loss=LossConfig(name="spectral"),
            optimizer=Optimizer(learning_rate=0.02, final_fraction=0.02, momentum=0.0),
            batch_size=256,
            num_steps=2000,
            checkpoint_every=500,
            moments=MomentsConfig(views=2, layers=("head1", "embedding")),
            evaluation=EvaluationConfig(layers=("embedding",)),
        ),
    ),
    Preset(
        name="simclr_cifar10_cpu",
        summary="SimCLR on CIFAR-10 small enough for a CPU: a ResNet of width 16.",
        details=(
            "Every 50 steps k nearest neighbors are counted beside those of raw pixels, and the "
            "moments of its layers are measured: `python -m experiments spectra RUN` draws how "
            "they part before and after the head."
        ),
        cost="some five minutes (1.2 CPU seconds a step)",
        config=dataclasses.replace(
            _SMALL,
            moments=MomentsConfig(
                views=2,
                layers=("stage1", "stage2", "feature", "head1", "embedding"),
                images=2048,
                every=50,
                every_images=512,
            ),
            evaluation=EvaluationConfig(every=50),
        ),
    ),
    _make_small(
        "spectral",
        "spectral",
        HeadConfig(widths=(64, 32)),
        Optimizer(learning_rate=0.01, warmup_steps=50, weight_decay=1e-3, head_weight_decay=0.05),
    ),
    _make_small("supcon", "supervised_contrastive", _SMALL.head, _SGD),
    _make_small("vicreg", "vicreg", _EXPANDER, Optimizer(learning_rate=0.02, warmup_steps=50)),
    _make_small(
        "barlow", "barlow_twins", _EXPANDER, Optimizer(learning_rate=0.05, warmup_steps=50)
    ),
    _make_small(
        "byol",
        "byol",
        HeadConfig(kind="mlp", widths=(128, 64), norm="batch", predictor_widths=(128,)),
        _SGD,
    ),
)
