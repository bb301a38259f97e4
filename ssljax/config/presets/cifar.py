"""Presets of the usual methods on CIFAR-10 and CIFAR-100 with a ResNet-18, for an accelerator.

Images are 32x32 with three channels; the stem is 3x3 without pooling. One policy serves all:
random resized crops of at least a fifth of the area, flips, color jitter, grayscale, no blur.
"""

import dataclasses

from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.config.config import Config, EvaluationConfig, HeadConfig, LossConfig, MomentsConfig
from ssljax.config.config import EncoderConfig as Encoder
from ssljax.config.config import OptimizerConfig as Optimizer
from ssljax.config.presets.entry import NOT_MEASURED, Preset, count_steps

NUM_IMAGES = 50_000
RESNET18 = Encoder(depth=18, width=64)
CIFAR_POLICY = dataclasses.replace(SIMCLR_POLICY, crop_area=0.8, jitter_hue=0.1, grayscale=0.1)
TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
_SOLO = "solo-learn, ResNet-18, batch 256, 1000 epochs, online probe; its recipe nearly"
_KOBAK = "dkobak/simclr-cifar10, the same recipe in PyTorch, three seeds"


def make_cifar_config(
    data: str,
    epochs: int,
    batch_size: int,
    head: HeadConfig,
    loss: LossConfig,
    optimizer: Optimizer,
) -> Config:
    """Return a ResNet-18 on CIFAR in bfloat16: steps, logs and checkpoints follow from epochs.

    Args:
      data: Name of the data set.
      epochs: Passes over the training images.
      batch_size: Images a step.
      head: What stands on the feature.
      loss: What is minimized.
      optimizer: With its warm-up given in epochs.
    """
    epoch = NUM_IMAGES // batch_size
    optimizer = dataclasses.replace(optimizer, warmup_steps=optimizer.warmup_steps * epoch)
    return Config(
        data=data,
        policy=CIFAR_POLICY,
        encoder=RESNET18,
        head=head,
        loss=loss,
        optimizer=optimizer,
        batch_size=batch_size,
        num_steps=count_steps(epochs, NUM_IMAGES, batch_size),
        checkpoint_every=10 * epoch,
        log_every=epoch,
        moments=MomentsConfig(
            views=2, layers=("stage2", "stage3", "feature", "embedding"), every=10 * epoch
        ),
        evaluation=EvaluationConfig(every=10 * epoch),
        precision="bfloat16",
    )


def _simclr(data: str, epochs: int) -> Preset:
    config = make_cifar_config(
        data,
        epochs,
        512,
        HeadConfig(kind="mlp", widths=(1024, 128)),
        LossConfig(temperature=0.5),
        Optimizer(learning_rate=0.06, weight_decay=5e-4, head_weight_decay=5e-4),
    )
    reached = {
        ("cifar10", 100): ("83.2 % k-NN, 85.6 % probe", _KOBAK),
        ("cifar10", 1000): ("91.4 % k-NN, 91.7 % probe", _KOBAK),
        ("cifar100", 1000): (
            "65.8 % probe",
            "solo-learn, ResNet-18, batch 256, temperature 0.2, LARS, online probe",
        ),
    }
    costs = {100: "20 minutes in PyTorch on an A100 (dkobak/simclr-cifar10)"}
    expected, source = reached.get((data, epochs), ("", ""))
    return Preset(
        name=f"simclr_{data}_{epochs}ep",
        summary=f"SimCLR on {TITLES[data]} with a ResNet-18, {epochs} epochs.",
        config=config,
        cost=costs.get(epochs, NOT_MEASURED) if data == "cifar10" else NOT_MEASURED,
        expected=expected,
        source=source,
    )


def _spectral(data: str) -> Preset:
    return Preset(
        name=f"spectral_{data}_200ep",
        summary=f"Spectral contrastive loss on {TITLES[data]}, a linear head of depth two.",
        details="The feature is centered, not normalized, so that theory speaks of the head.",
        config=dataclasses.replace(
            make_cifar_config(
                data,
                200,
                512,
                HeadConfig(widths=(512, 128)),
                LossConfig(name="spectral"),
                Optimizer(
                    learning_rate=0.01, warmup_steps=10, weight_decay=5e-4, head_weight_decay=0.02
                ),
            ),
            encoder=dataclasses.replace(RESNET18, feature_centering=True, feature_scale=0.1),
            sampling="replacement",
        ),
    )


def _lars(rate: float, weight_decay: float) -> Optimizer:
    return Optimizer(
        name="lars",
        learning_rate=rate,
        warmup_steps=10,
        weight_decay=weight_decay,
        head_weight_decay=weight_decay,
        trust_coefficient=0.02,
        trust_clip=True,
    )


def _sgd(rate: float) -> Optimizer:
    return Optimizer(learning_rate=rate, warmup_steps=10, weight_decay=1e-5, head_weight_decay=1e-5)


def _mlp(*widths: int, predictor: tuple[int, ...] = (), last_norm: bool = False) -> HeadConfig:
    return HeadConfig(
        kind="mlp", widths=widths, norm="batch", predictor_widths=predictor, last_norm=last_norm
    )


# Each: title, head, loss, optimizer, and accuracies on CIFAR-10 and CIFAR-100.
_METHODS = {
    "supcon": (
        "SupCon",
        HeadConfig(kind="mlp", widths=(2048, 256)),
        LossConfig(name="supervised_contrastive", temperature=0.2),
        _sgd(0.4),
        (93.82, 70.38),
    ),
    "vicreg": (
        "VICReg",
        _mlp(2048, 2048, 2048),
        LossConfig(name="vicreg"),
        _lars(0.3, 1e-4),
        (92.07, 68.54),
    ),
    "barlow": (
        "Barlow Twins",
        _mlp(2048, 2048, 2048),
        LossConfig(name="barlow_twins", scale=0.1),
        _lars(0.3, 1e-4),
        (92.10, 70.90),
    ),
    "byol": (
        "BYOL",
        _mlp(4096, 256, predictor=(4096,)),
        LossConfig(name="byol", target_decay=0.99),
        _lars(1.0, 1e-5),
        (92.58, 70.46),
    ),
    "simsiam": (
        "SimSiam",
        _mlp(2048, 2048, 2048, predictor=(512,), last_norm=True),
        LossConfig(name="simsiam"),
        _sgd(0.5),
        (90.51, 66.04),
    ),
}


def _make_method(method: str, data: str) -> Preset:
    title, head, loss, optimizer, accuracies = _METHODS[method]
    return Preset(
        name=f"{method}_{data}_1000ep",
        summary=f"{title} on {TITLES[data]} with a ResNet-18, 1000 epochs.",
        config=make_cifar_config(data, 1000, 256, head, loss, optimizer),
        expected=f"{accuracies[list(TITLES).index(data)]:.1f} % probe",
        source=_SOLO,
    )


CIFAR = (
    *(_simclr(data, epochs) for data in TITLES for epochs in (100, 200, 1000)),
    *(_spectral(data) for data in TITLES),
    *(_make_method(method, data) for method in _METHODS for data in TITLES),
)
