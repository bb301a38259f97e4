"""Every number a training run depends on, as frozen dataclasses that check themselves.

The command line is generated from these classes (`ssljax.cli.options`); a run folder keeps
them as `config.json`. Functions elsewhere take values, never a configuration:
`ssljax.training.build` unpacks it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ssljax.augment.policies import DIGITS_POLICY, IDENTITY, NOISE_POLICY, SIMCLR_POLICY, Policy
from ssljax.config.fields import replace_leaves
from ssljax.config.measurement_config import EvaluationConfig, MomentsConfig, OnlineProbeConfig
from ssljax.config.optimizer_config import OptimizerConfig
from ssljax.data.composites import BACKGROUND_POOL, DIGIT_SIDE
from ssljax.losses.table import LOSSES, LossConfig
from ssljax.nets.table import EncoderConfig, HeadConfig
from ssljax.system.errors import UsageError
from ssljax.system.settings import (
    FRACTION,
    NONNEGATIVE,
    POSITIVE,
    Settings,
    Wanted,
    require,
    setting,
)

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
    "change_config",
    "find_policy",
]

_SEED = Wanted("a non-negative integer below 2147483648", lambda seed: 0 <= seed < 2**31)
_TWO_CHANCES = Wanted(
    "two probabilities",
    lambda chances: len(chances) == 2 and all(0 <= chance <= 1 for chance in chances),
)
_AREAS = Wanted(
    "two fractions from 0.04 to 1, the smaller first",
    lambda areas: len(areas) == 2 and 0.04 <= areas[0] <= areas[1] <= 1,
)
_PARTS = Wanted("encoder, head or both", lambda parts: set(parts) <= {"encoder", "head"})
_SINKS = Wanted("tensorboard or wandb", lambda sinks: set(sinks) <= {"tensorboard", "wandb"})

NAMED_POLICIES = {
    "digits": DIGITS_POLICY,
    "simclr": SIMCLR_POLICY,
    "noise": NOISE_POLICY,
    "identity": IDENTITY,
}


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """One training run."""

    data: str = setting(
        "digits",
        "digits, cifar10, cifar100, cifar100_coarse, mnist, stl10, imagenet2012, mnist_on_cifar,"
        " two_shortcuts, folder:PATH, waterbirds:PATH, urbancars:PATH or arrays:FILE.npz",
        Wanted("a data set", bool),
    )
    data_dir: str = setting("", "TFDS directory; empty: $TFDS_DATA_DIR or TFDS's own default")
    split: str = setting("train", "split trained on")
    image_side: int = setting(224, "height and width that photographs are decoded to", POSITIVE)
    on_damaged: Literal["refuse", "skip"] = setting(
        "refuse", "images that cannot be decoded: refused, or left out and named"
    )
    stream: Literal["auto", "always", "never"] = setting(
        "auto", "read images while training; auto: sets larger than resident-gib"
    )
    resident_gib: float = setting(
        4.0, "largest set kept in memory and on the devices, in GiB", POSITIVE
    )
    reader_threads: int = setting(
        16, "streaming: decoding threads, in each process that reads", POSITIVE
    )
    reader_processes: int = setting(0, "streaming: worker processes; 0: threads only", NONNEGATIVE)
    policy: Policy = DIGITS_POLICY
    strength: float = setting(1.0, "factor on every augmentation range", NONNEGATIVE)
    views: int = setting(
        2, "augmented views of each image, 2 or more; for losses that use labels also 1", POSITIVE
    )
    local_views: int = setting(
        0,
        "multi-crop: further views of each image, smaller crops at a smaller size; the loss"
        " compares them with all others",
        NONNEGATIVE,
    )
    local_side: int = setting(
        0, "height and width of the local views; 0: 3/7 of the images' (96 of 224)", NONNEGATIVE
    )
    local_area: tuple[float, ...] = setting(
        (0.05, 0.14), "smallest and largest fraction of the area that a local view shows", _AREAS
    )
    digit_strength: float = setting(
        0.7, "mnist_on_cifar: opacity of the digit, from 0 (invisible) to 1", FRACTION
    )
    digit_drop: tuple[float, ...] = setting(
        (0.0, 0.0),
        "mnist_on_cifar: probability that the first, the second view has no digit",
        _TWO_CHANCES,
    )
    digit_side: int = setting(
        DIGIT_SIDE,
        "mnist_on_cifar: height and width of the digit, in pixels of 32",
        Wanted("from 4 to 32", lambda side: 4 <= side <= 32),
    )
    digit_redraw: float = setting(
        0.0,
        "mnist_on_cifar: probability that a view stands before the background of another image,"
        f" one of the last {BACKGROUND_POOL}",
        FRACTION,
    )
    sampling: Literal["epoch", "replacement"] = setting("epoch", "how batches are drawn")
    mean_image: Literal["none", "images", "views"] = setting(
        "none", "mean subtracted from network input: of clean images, or of augmented views"
    )
    input_scale: float = setting(
        1.0,
        "factor on network input; 0 makes the largest eigenvalue of its covariance 1",
        NONNEGATIVE,
    )
    encoder: EncoderConfig = EncoderConfig()
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    start_from: str = setting(
        "",
        "run folder, or .safetensors file of an encoder, whose weights training starts from",
        aliases=("--from",),
    )
    freeze: tuple[str, ...] = setting((), "parts that keep their weights: encoder, head", _PARTS)
    batch_size: int = setting(
        128, "images per step, over all devices", Wanted("at least 2", lambda size: size >= 2)
    )
    accumulate: int = setting(
        1,
        "parts of the batch in memory one after the other; the gradient is that of the whole"
        " batch, only batch norm sees each part by itself",
        POSITIVE,
    )
    num_steps: int = setting(1000, "training steps", POSITIVE)
    steps_per_call: int = setting(
        0,
        "steps compiled into one call; 0: 1 for a resnet on CPU, otherwise up to 100",
        NONNEGATIVE,
    )
    seed: int = setting(0, "root of every random number of the run", _SEED)
    log_every: int = setting(10, "steps between lines of metrics.jsonl", POSITIVE)
    checkpoint_every: int = setting(200, "steps between checkpoints", POSITIVE)
    keep_checkpoints: int = setting(
        3, "newest checkpoints kept; the best is kept besides", POSITIVE
    )
    best_metric: str = setting(
        "loss", "its mean since the last checkpoint says which is best: lowest, accuracies highest"
    )
    moments: MomentsConfig = MomentsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    online_probe: OnlineProbeConfig = OnlineProbeConfig()
    devices: int = setting(0, "devices used; 0: all; many processes always use all", NONNEGATIVE)
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
        ("tensorboard",), "where metrics go besides metrics.jsonl: tensorboard, wandb", _SINKS
    )

    def __post_init__(self):
        super().__post_init__()
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
        self._check_objective()

    def _check_objective(self):
        name, loss = self.loss.name, LOSSES[self.loss.name]
        require(
            loss.least_views <= self.views,
            "views",
            self.views,
            f"at least {loss.least_views} for the loss {name}",
        )
        require(
            self.local_views == 0 or self.mean_image == "none",
            "mean-image",
            self.mean_image,
            "none with --local-views, whose images are smaller than the mean image",
        )
        require(
            self.local_views == 0 or self.encoder.kind == "resnet",
            "local-views",
            self.local_views,
            f"0 for the encoder {self.encoder.kind}, whose images all have one size",
        )
        require(
            self.head.classes == 0 or loss.scores,
            "head.classes",
            self.head.classes,
            f"0 for the loss {name}",
        )
        require(
            self.optimizer.average_decay == 0 or not loss.target,
            "optimizer.average-decay",
            self.optimizer.average_decay,
            f"0 for {name}, whose target is the averaged network",
        )


def find_policy(name: str) -> Policy:
    """Return a policy by name.

    Raises:
      UsageError: There is no such policy.
    """
    if name not in NAMED_POLICIES:
        raise UsageError(f"unknown policy {name!r}; wanted one of {', '.join(NAMED_POLICIES)}")
    return NAMED_POLICIES[name]


def change_config(config: Config, values: Mapping[str, Any]) -> Config:
    """Return the configuration with the given fields replaced, as the command line names them.

    A warm-up that the run has become too short for is shortened in proportion, unless it is given.

    Args:
      config: Usually a preset.
      values: Path to value, such as ``{"num_steps": 20}``; ``policy`` may be a policy's name.

    Raises:
      UsageError: A path names no field, or a value is refused.
    """
    warmup, steps = config.optimizer.warmup_steps, values.get("num_steps", config.num_steps)
    if "optimizer.warmup_steps" not in values and 0 < steps <= warmup:
        values = {**values, "optimizer.warmup_steps": warmup * steps // config.num_steps}
    return replace_leaves(config, values, {"policy": NAMED_POLICIES})
