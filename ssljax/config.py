"""Every number a training run depends on, as frozen dataclasses that check themselves.

The command line is generated from these classes (`ssljax.overrides`); a run folder keeps them as
`config.json`. Functions elsewhere take values, never a configuration: `ssljax.build` unpacks it.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from ssljax.errors import UsageError
from ssljax.policies import DIGITS_POLICY, IDENTITY, NOISE_POLICY, SIMCLR_POLICY, Policy

NAMED_POLICIES = {
    "digits": DIGITS_POLICY,
    "simclr": SIMCLR_POLICY,
    "noise": NOISE_POLICY,
    "identity": IDENTITY,
}


def _setting(default: Any, text: str) -> Any:
    """A dataclass field with the sentence that `--help` prints."""
    return field(default=default, metadata={"help": text})


def _require(holds: bool, name: str, given: object, wanted: str) -> None:
    if not holds:
        raise UsageError(f"{name} must be {wanted}, got {given!r}; give --{name} another value")


def _require_positive(prefix: str, config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(
            math.isfinite(value) and value > 0, _flag(prefix, name), value, "positive and finite"
        )


def _require_nonnegative(prefix: str, config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(math.isfinite(value) and value >= 0, _flag(prefix, name), value, "zero or more")


def _require_choices(prefix: str, config: Any) -> None:
    """Every field whose type is a Literal holds one of its values."""
    for entry in dataclasses.fields(config):
        choices = getattr(entry.type, "__args__", ())
        if getattr(entry.type, "__origin__", None) is Literal:
            value = getattr(config, entry.name)
            _require(
                value in choices,
                _flag(prefix, entry.name),
                value,
                "one of " + ", ".join(map(str, choices)),
            )


def _flag(prefix: str, name: str) -> str:
    return (f"{prefix}.{name}" if prefix else name).replace("_", "-")


def _require_widths(flag: str, widths: tuple[int, ...]) -> None:
    _require(all(width > 0 for width in widths), flag, widths, "positive widths")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """The network from image to feature."""

    kind: Literal["linear", "mlp", "resnet"] = _setting("resnet", "architecture")
    widths: tuple[int, ...] = _setting(
        (64, 64), "linear, mlp: width of every layer, the last is the feature; linear: may be empty"
    )
    init: Literal["balanced", "gaussian", "identity"] = _setting(
        "balanced", "linear: initial weights"
    )
    init_scale: float = _setting(1.0, "linear: scale of the initial weights")
    stage_sizes: tuple[int, ...] = _setting((1, 1, 1), "resnet: blocks in each stage")
    width: int = _setting(16, "resnet: channels of the first stage, doubled in each next")
    block: Literal["basic", "bottleneck"] = _setting("basic", "resnet: kind of block")
    stem: Literal["cifar", "imagenet"] = _setting("cifar", "resnet: 3x3, or 7x7 with pooling")
    norm: Literal["batch", "group", "none"] = _setting("batch", "resnet, mlp: normalization")
    zero_residual: bool = _setting(False, "resnet: start every block at the identity")
    feature_activation: bool = _setting(False, "mlp: ReLU on the feature too")
    feature_centering: bool = _setting(
        False, "subtract the batch mean of the feature (the running mean in evaluation)"
    )
    feature_scale: float = _setting(1.0, "fixed factor on the feature")

    def __post_init__(self):
        _require_choices("encoder", self)
        _require_positive("encoder", self, "init_scale", "width", "feature_scale")
        _require_widths("encoder.widths", self.widths)
        _require_widths("encoder.stage-sizes", self.stage_sizes)
        _require(
            self.kind != "mlp" or bool(self.widths),
            "encoder.widths",
            self.widths,
            "at least one width",
        )
        _require(
            self.kind != "linear" or not (self.feature_centering or self.feature_scale != 1),
            "encoder.feature-centering",
            self.feature_centering,
            "false, with --encoder.feature-scale 1, for a linear encoder (center its input)",
        )
        _require(
            bool(self.stage_sizes), "encoder.stage-sizes", self.stage_sizes, "at least one stage"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadConfig:
    """The projection head, from feature to embedding."""

    kind: Literal["none", "linear", "mlp", "reweight"] = _setting("linear", "architecture")
    widths: tuple[int, ...] = _setting(
        (64, 32), "linear, mlp: width of every layer, the last is the embedding"
    )
    init: Literal["balanced", "gaussian", "identity"] = _setting(
        "gaussian", "linear: initial weights"
    )
    init_scale: float = _setting(1.0, "linear: scale of the initial weights")
    norm: Literal["batch", "group", "none"] = _setting("none", "mlp: normalization")
    kappa: float = _setting(1.1, "reweight: feature i is multiplied by kappa^-(i-1)")

    def __post_init__(self):
        _require_choices("head", self)
        _require_positive("head", self, "init_scale", "kappa")
        _require_widths("head.widths", self.widths)
        _require(
            self.kind in ("none", "reweight") or bool(self.widths),
            "head.widths",
            self.widths,
            "at least one width",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """The objective on the embeddings of a batch of positive pairs."""

    name: Literal["spectral", "nt_xent"] = _setting("nt_xent", "objective")
    temperature: float = _setting(0.5, "nt_xent: temperature")

    def __post_init__(self):
        _require_choices("loss", self)
        _require_positive("loss", self, "temperature")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """Optimizer, learning-rate schedule and weight decay."""

    name: Literal["sgd", "adamw"] = _setting("sgd", "optimizer")
    learning_rate: float = _setting(0.01, "peak learning rate")
    warmup_steps: int = _setting(0, "steps of linear warm-up")
    final_fraction: float = _setting(
        0.0, "last learning rate over the peak, reached by a cosine; 1 keeps it constant"
    )
    momentum: float = _setting(0.9, "sgd: momentum")
    weight_decay: float = _setting(
        0.0, "decay of the encoder; sgd: coupled L2, gradient + decay·weight; adamw: decoupled"
    )
    head_weight_decay: float = _setting(0.0, "decay of the head, likewise")

    def __post_init__(self):
        _require_choices("optimizer", self)
        _require_positive("optimizer", self, "learning_rate")
        _require_nonnegative("optimizer", self, "warmup_steps", "weight_decay", "head_weight_decay")
        _require(
            0 <= self.final_fraction <= 1,
            "optimizer.final-fraction",
            self.final_fraction,
            "between 0 and 1",
        )
        _require(
            0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "at least 0 and below 1"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MomentsConfig:
    """Second moments of augmented views, when training ends and, on a schedule, before.

    A measurement is a forward pass of ``every_images * views`` views, a training step about three
    of ``2 * batch_size``: it costs ``every_images * views / (6 * batch_size * every)`` of
    training, 0.5 % for 1024 images, 2 views, batches of 512 and every 128 steps.
    """

    views: int = _setting(0, "augmented views of each image; 0 measures nothing")
    layers: tuple[str, ...] = _setting(
        ("feature", "embedding"), "layers to measure; all: every layer but the input"
    )
    batch_size: int = _setting(256, "images per batch")
    every: int = _setting(0, "steps between measurements while training; 0: only at the end")
    every_images: int = _setting(
        1024, "images measured while training, the same each time; 0: all, as at the end"
    )

    def __post_init__(self):
        _require(
            self.views == 0 or self.views >= 2,
            "moments.views",
            self.views,
            "0 (off) or at least 2",
        )
        _require_positive("moments", self, "batch_size")
        _require_nonnegative("moments", self, "every", "every_images")
        _require(
            self.every == 0 or self.views >= 2,
            "moments.views",
            self.views,
            "at least 2 where --moments.every is given",
        )
        _require(
            self.every_images != 1, "moments.every-images", self.every_images, "0 or at least 2"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """Accuracies of frozen features of clean images; no test image ever chooses anything.

    When training ends: a linear probe, k nearest neighbors, few-shot probes. On a schedule before:
    nearest neighbors, beside those of raw pixels.
    """

    layers: tuple[str, ...] = _setting(
        ("feature", "embedding"), "layers to evaluate; none: empty; all: every layer but the input"
    )
    probe: Literal["lbfgs", "sgd"] = _setting(
        "lbfgs", "linear probe: to the minimum, or 100 epochs of descent on a cosine schedule"
    )
    l2: float = _setting(1e-3, "probe: L2 penalty on the weights")
    path: tuple[float, ...] = _setting(
        (), "lbfgs: L2 penalties that a held-out tenth of the training images chooses from"
    )
    standardize: bool = _setting(
        True, "probe: divide features by their standard deviation over the training images"
    )
    neighbors: int = _setting(10, "neighbors that vote")
    neighbor_temperature: float = _setting(0.1, "temperature of the votes")
    few_shot: tuple[int, ...] = _setting((), "few-shot probes with so many labels a class")
    few_shot_draws: int = _setting(5, "few-shot: draws of the labels")
    every: int = _setting(0, "steps between nearest-neighbor accuracies while training; 0: none")
    every_images: int = _setting(
        2000, "images then, that many of training and of test, the same each time; 0: all"
    )

    def __post_init__(self):
        _require_choices("evaluation", self)
        _require_nonnegative("evaluation", self, "l2", "every", "every_images")
        _require_positive("evaluation", self, "neighbors", "neighbor_temperature")
        _require(
            all(l2 >= 0 for l2 in self.path), "evaluation.path", self.path, "numbers of at least 0"
        )
        _require(
            not self.path or self.probe == "lbfgs",
            "evaluation.probe",
            self.probe,
            "lbfgs where --evaluation.path is given",
        )
        _require(
            all(shots > 0 for shots in self.few_shot),
            "evaluation.few-shot",
            self.few_shot,
            "positive numbers of labels",
        )
        _require(
            self.few_shot_draws >= 2,
            "evaluation.few-shot-draws",
            self.few_shot_draws,
            "at least 2, for an error",
        )
        _require(
            self.every == 0 or bool(self.layers),
            "evaluation.layers",
            self.layers,
            "at least one layer where --evaluation.every is given",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineProbeConfig:
    """Linear probes trained along with the network, inside its step, out of its gradients."""

    layers: tuple[str, ...] = _setting((), "layers with an online probe; none: empty")
    learning_rate: float = _setting(1e-3, "of the probes' Adam")

    def __post_init__(self):
        _require_positive("online_probe", self, "learning_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyChoice:
    """The one setting of a command that only augments."""

    policy: Policy = DIGITS_POLICY


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One training run."""

    data: str = _setting("digits", "digits, cifar10, cifar100, mnist or arrays:FILE.npz")
    data_dir: str = _setting("", "TFDS directory; empty: $TFDS_DATA_DIR or TFDS's own default")
    split: str = _setting("train", "split trained on")
    policy: Policy = DIGITS_POLICY
    strength: float = _setting(1.0, "factor on every augmentation range")
    sampling: Literal["epoch", "replacement"] = _setting("epoch", "how batches are drawn")
    mean_image: Literal["none", "images", "views"] = _setting(
        "none", "mean subtracted from network input: of clean images, or of augmented views"
    )
    input_scale: float = _setting(
        1.0, "factor on network input; 0 makes the largest eigenvalue of its covariance 1"
    )
    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    batch_size: int = _setting(128, "images per step, over all devices")
    num_steps: int = _setting(1000, "training steps")
    steps_per_call: int = _setting(
        0, "steps compiled into one call; 0: 1 for a resnet on CPU, otherwise up to 100"
    )
    seed: int = _setting(0, "root of every random number of the run")
    log_every: int = _setting(10, "steps between lines of metrics.jsonl")
    checkpoint_every: int = _setting(200, "steps between checkpoints")
    keep_checkpoints: int = _setting(3, "newest checkpoints kept")
    moments: MomentsConfig = MomentsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    online_probe: OnlineProbeConfig = OnlineProbeConfig()
    devices: int = _setting(0, "devices used; 0: all")
    parallel: Literal["jit", "pmap"] = _setting("jit", "how the step is spread over devices")
    precision: Literal["float32", "bfloat16", "float64"] = _setting(
        "float32", "bfloat16: computed so, parameters stay float32"
    )

    def __post_init__(self):
        _require_choices("", self)
        _require(bool(self.data), "data", self.data, "a data set")
        _require_nonnegative("", self, "strength", "input_scale", "steps_per_call", "devices")
        _require_positive("", self, "num_steps", "log_every")
        _require_positive("", self, "checkpoint_every", "keep_checkpoints")
        _require(self.batch_size >= 2, "batch-size", self.batch_size, "at least 2")
        _require(
            0 <= self.seed < 2**31, "seed", self.seed, "a non-negative integer below 2147483648"
        )
        _require(
            self.optimizer.warmup_steps < self.num_steps,
            "optimizer.warmup-steps",
            self.optimizer.warmup_steps,
            f"below the {self.num_steps} steps of the run",
        )
