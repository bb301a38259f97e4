"""Every number a training run depends on, as frozen dataclasses that check themselves.

The command line is generated from these classes (`ssljax.config.overrides`); a run folder keeps
them as `config.json`. Functions elsewhere take values, never a configuration:
`ssljax.training.build` unpacks it.
"""

from dataclasses import dataclass
from typing import Literal

from ssljax.config.checks import (
    require,
    require_choices,
    require_nonnegative,
    require_positive,
    setting,
)
from ssljax.config.measurement_config import EvaluationConfig, MomentsConfig, OnlineProbeConfig
from ssljax.config.network_config import EncoderConfig, HeadConfig
from ssljax.config.objective_config import SUPERVISED, LossConfig, OptimizerConfig
from ssljax.config.policies import DIGITS_POLICY, IDENTITY, NOISE_POLICY, SIMCLR_POLICY, Policy

__all__ = [
    "NAMED_POLICIES",
    "Config",
    "EncoderConfig",
    "EvaluationConfig",
    "HeadConfig",
    "LossConfig",
    "MomentsConfig",
    "OnlineProbeConfig",
    "OptimizerConfig",
    "PolicyChoice",
]

NAMED_POLICIES = {
    "digits": DIGITS_POLICY,
    "simclr": SIMCLR_POLICY,
    "noise": NOISE_POLICY,
    "identity": IDENTITY,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyChoice:
    """The one setting of a command that only augments."""

    policy: Policy = DIGITS_POLICY


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One training run."""

    data: str = setting(
        "digits",
        "digits, cifar10, cifar100, cifar100_coarse, mnist, stl10, imagenet2012, mnist_on_cifar,"
        " two_shortcuts, folder:PATH, waterbirds:PATH, urbancars:PATH or arrays:FILE.npz",
    )
    data_dir: str = setting("", "TFDS directory; empty: $TFDS_DATA_DIR or TFDS's own default")
    split: str = setting("train", "split trained on")
    image_side: int = setting(224, "height and width that photographs are decoded to")
    on_damaged: Literal["refuse", "skip"] = setting(
        "refuse", "images that cannot be decoded: refused, or left out and named"
    )
    stream: Literal["auto", "always", "never"] = setting(
        "auto", "read images while training; auto: sets larger than resident-gib"
    )
    resident_gib: float = setting(4.0, "largest set kept in memory and on the devices, in GiB")
    reader_threads: int = setting(16, "streaming: decoding threads, in each process that reads")
    reader_processes: int = setting(0, "streaming: worker processes; 0: threads only")
    policy: Policy = DIGITS_POLICY
    strength: float = setting(1.0, "factor on every augmentation range")
    views: int = setting(
        2, "augmented views of each image; cross_entropy, mean_squared_error: also 1"
    )
    digit_strength: float = setting(
        0.7, "mnist_on_cifar: opacity of the digit, from 0 (invisible) to 1"
    )
    digit_drop: tuple[float, ...] = setting(
        (0.0, 0.0), "mnist_on_cifar: probability that the first, the second view has no digit"
    )
    sampling: Literal["epoch", "replacement"] = setting("epoch", "how batches are drawn")
    mean_image: Literal["none", "images", "views"] = setting(
        "none", "mean subtracted from network input: of clean images, or of augmented views"
    )
    input_scale: float = setting(
        1.0, "factor on network input; 0 makes the largest eigenvalue of its covariance 1"
    )
    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    start_from: str = setting(
        "", "run folder whose weights training starts from, part by part; empty: drawn from seed"
    )
    freeze: tuple[str, ...] = setting((), "parts that keep their weights: encoder, head")
    batch_size: int = setting(128, "images per step, over all devices")
    accumulate: int = setting(
        1,
        "parts of the batch in memory one after the other; the gradient is that of the whole"
        " batch, only batch norm sees each part by itself",
    )
    num_steps: int = setting(1000, "training steps")
    steps_per_call: int = setting(
        0, "steps compiled into one call; 0: 1 for a resnet on CPU, otherwise up to 100"
    )
    seed: int = setting(0, "root of every random number of the run")
    log_every: int = setting(10, "steps between lines of metrics.jsonl")
    checkpoint_every: int = setting(200, "steps between checkpoints")
    keep_checkpoints: int = setting(3, "newest checkpoints kept; the best is kept besides")
    best_metric: str = setting(
        "loss", "its mean since the last checkpoint says which is best: lowest, accuracies highest"
    )
    moments: MomentsConfig = MomentsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    online_probe: OnlineProbeConfig = OnlineProbeConfig()
    devices: int = setting(0, "devices used; 0: all; many processes always use all")
    mesh: str = setting(
        "", "such as data=4,model=2: the head's matrices divided over model; empty: data only"
    )
    parallel: Literal["jit", "pmap"] = setting("jit", "how the step is spread over devices")
    precision: Literal["float32", "bfloat16", "float64"] = setting(
        "float32", "bfloat16: computed so, parameters stay float32"
    )
    matmul_precision: Literal["default", "high", "highest"] = setting(
        "default", "of products in the step; default: what the device is fastest at"
    )
    sinks: tuple[str, ...] = setting(
        ("tensorboard",), "where metrics go besides metrics.jsonl: tensorboard, wandb"
    )

    def __post_init__(self):
        require_choices("", self)
        require(bool(self.data), "data", self.data, "a data set")
        require_nonnegative("", self, "strength", "input_scale", "steps_per_call", "devices")
        require_nonnegative("", self, "reader_processes")
        require_positive("", self, "image_side", "resident_gib", "reader_threads")
        require_positive("", self, "num_steps", "log_every", "accumulate")
        require_positive("", self, "checkpoint_every", "keep_checkpoints")
        require(self.batch_size >= 2, "batch-size", self.batch_size, "at least 2")
        require(
            0 <= self.seed < 2**31, "seed", self.seed, "a non-negative integer below 2147483648"
        )
        require(
            self.optimizer.warmup_steps < self.num_steps,
            "optimizer.warmup-steps",
            self.optimizer.warmup_steps,
            f"below the {self.num_steps} steps of the run",
        )
        require(
            self.batch_size % self.accumulate == 0,
            "accumulate",
            self.accumulate,
            f"a divisor of the batch size {self.batch_size}",
        )
        require(
            set(self.freeze) <= {"encoder", "head"}, "freeze", self.freeze, "encoder, head or both"
        )
        require(
            set(self.sinks) <= {"tensorboard", "wandb"}, "sinks", self.sinks, "tensorboard or wandb"
        )
        self._check_views()
        self._check_objective()

    def _check_views(self):
        least = 1 if self.loss.name in SUPERVISED else 2
        require(
            least <= self.views <= 2,
            "views",
            self.views,
            "1 or 2" if least == 1 else f"2 for the loss {self.loss.name}",
        )
        require(0 <= self.digit_strength <= 1, "digit-strength", self.digit_strength, "0 to 1")
        require(
            len(self.digit_drop) == 2 and all(0 <= chance <= 1 for chance in self.digit_drop),
            "digit-drop",
            self.digit_drop,
            "two probabilities",
        )

    def _check_objective(self):
        require(
            self.head.classes == 0 or self.loss.name in SUPERVISED,
            "head.classes",
            self.head.classes,
            f"0 for the loss {self.loss.name}",
        )
        require(
            self.optimizer.average_decay == 0 or self.loss.name != "byol",
            "optimizer.average-decay",
            self.optimizer.average_decay,
            "0 for byol, whose target is the averaged network",
        )
