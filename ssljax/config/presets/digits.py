"""Presets on handwritten digits, which come with scikit-learn: no download, minutes at most."""

from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, MomentsConfig
from ssljax.config.config import OptimizerConfig as Optimizer
from ssljax.config.presets.entry import Preset

DIGITS = (
    Preset(
        name="digits_smoke",
        summary="Everything once, in under a minute: a small ResNet on handwritten digits.",
        details="Trains, saves, measures moments, probes and votes; the numbers mean nothing.",
        cost="under a minute",
        config=Config(
            strength=0.5,
            sampling="replacement",
            encoder=EncoderConfig(width=8, feature_centering=True, feature_scale=0.5),
            head=HeadConfig(widths=(32, 16)),
            loss=LossConfig(name="spectral"),
            optimizer=Optimizer(
                learning_rate=0.01, warmup_steps=20, weight_decay=1e-3, head_weight_decay=0.05
            ),
            batch_size=64,
            num_steps=120,
            checkpoint_every=40,
            devices=1,
            moments=MomentsConfig(views=4, layers=("input", "feature", "head1", "embedding")),
        ),
    ),
    Preset(
        name="digits_linear",
        summary="A linear model of depth three straight on pixels, the case theory solves exactly.",
        details=(
            "Balanced start, plain gradient descent on the spectral contrastive loss; the learning"
            " rates sum to 30.6 units of gradient-flow time."
        ),
        cost="41 CPU seconds",
        config=Config(
            split="all",
            strength=0.3,
            sampling="replacement",
            mean_image="views",
            input_scale=0.0,
            encoder=EncoderConfig(kind="linear", widths=()),
            head=HeadConfig(kind="linear", widths=(64, 64, 64), init="balanced", init_scale=0.7),
            loss=LossConfig(name="spectral"),
            optimizer=Optimizer(learning_rate=0.015, final_fraction=0.02, momentum=0.0),
            batch_size=256,
            num_steps=4000,
            checkpoint_every=1000,
            devices=1,
            moments=MomentsConfig(views=16, layers=("input", "head1", "head2", "embedding")),
        ),
    ),
    Preset(
        name="digits_resnet",
        summary="A small ResNet and a linear head of depth two, trained together with decay.",
        details=(
            "The feature is centered but not normalized, which would whiten it and leave the"
            " theory nothing to predict."
        ),
        cost="under a minute",
        config=Config(
            split="all",
            strength=0.5,
            sampling="replacement",
            encoder=EncoderConfig(feature_centering=True, feature_scale=0.25),
            head=HeadConfig(widths=(64, 32)),
            loss=LossConfig(name="spectral"),
            optimizer=Optimizer(
                learning_rate=0.01, warmup_steps=50, weight_decay=1e-3, head_weight_decay=0.05
            ),
            num_steps=350,
            checkpoint_every=100,
            devices=1,
            moments=MomentsConfig(views=8),
        ),
    ),
    Preset(
        name="digits_mlp",
        summary="A perceptron with a nonlinear head and NT-Xent, to sweep the strength with.",
        cost="21 CPU seconds",
        config=Config(
            strength=0.35,
            encoder=EncoderConfig(kind="mlp", widths=(256, 256, 64), norm="none"),
            head=HeadConfig(kind="mlp", widths=(64, 32)),
            loss=LossConfig(name="nt_xent", temperature=0.2),
            optimizer=Optimizer(
                name="adamw",
                learning_rate=2e-3,
                warmup_steps=20,
                weight_decay=1e-4,
                head_weight_decay=1e-4,
            ),
            num_steps=400,
            devices=1,
            moments=MomentsConfig(views=12),
        ),
    ),
)
