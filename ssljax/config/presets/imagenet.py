"""Presets on ImageNet-1k, streamed, for many accelerators."""

import dataclasses

from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.config.config import Config, HeadConfig, LossConfig, MomentsConfig
from ssljax.config.config import EncoderConfig as Encoder
from ssljax.config.config import OptimizerConfig as Optimizer
from ssljax.config.presets.entry import Preset, count_steps

_NUM_IMAGES = 1_281_167
_BATCH = 4096
_EPOCH = _NUM_IMAGES // _BATCH

IMAGENET_POLICY = dataclasses.replace(
    SIMCLR_POLICY,
    jitter_brightness=0.8,
    jitter_contrast=0.8,
    jitter_saturation=0.8,
    jitter_hue=0.2,
    blur_variance=4.0,
    blur_probability=0.5,
)

IMAGENET = (
    Preset(
        name="simclr_imagenet_100ep",
        summary="SimCLR on ImageNet-1k with a ResNet-50, batch 4096, LARS, 100 epochs.",
        details="On few devices add --accumulate 8: the gradient stays that of the whole batch.",
        cost="some 6 hours on 32 TPU v3 (google-research/simclr)",
        expected="64.5 % probe",
        source="google-research/simclr, ResNet-50, 100 epochs, linear probe",
        config=Config(
            data="imagenet2012",
            policy=IMAGENET_POLICY,
            encoder=Encoder(depth=50, width=64, stem="imagenet"),
            head=HeadConfig(kind="mlp", widths=(2048, 128), norm="batch", last_norm=True),
            loss=LossConfig(temperature=0.1, block_size=512),
            optimizer=Optimizer(
                name="lars",
                learning_rate=0.3 * _BATCH / 256,
                warmup_steps=10 * _EPOCH,
                weight_decay=1e-6,
                head_weight_decay=1e-6,
            ),
            batch_size=_BATCH,
            num_steps=count_steps(100, _NUM_IMAGES, _BATCH),
            checkpoint_every=_EPOCH,
            log_every=50,
            moments=MomentsConfig(views=2, layers=("embedding",)),
            precision="bfloat16",
        ),
    ),
)
