"""Settings of the network: the encoder, and the projection head with what stands on it."""

from dataclasses import dataclass
from typing import Literal

from ssljax.config.checks import (
    require,
    require_choices,
    require_nonnegative,
    require_positive,
    require_widths,
    setting,
)

Norm = Literal["batch", "batch_per_device", "group", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """The network from image to feature."""

    kind: Literal["linear", "diagonal", "mlp", "resnet"] = setting("resnet", "architecture")
    widths: tuple[int, ...] = setting(
        (64, 64), "linear, mlp: width of every layer, the last is the feature; linear: may be empty"
    )
    init: Literal["balanced", "gaussian", "identity"] = setting(
        "balanced", "linear: initial weights"
    )
    init_scale: float = setting(1.0, "linear, diagonal: scale of the initial weights")
    depth: int = setting(
        0, "resnet: 18, 34, 50, 101, 152 or 6n+2, in place of stage-sizes and block; 0: those"
    )
    stage_sizes: tuple[int, ...] = setting((1, 1, 1), "resnet: blocks in each stage")
    width: int = setting(
        16, "resnet: channels of the first stage, doubled in each next; 64 is standard"
    )
    block: Literal["basic", "bottleneck"] = setting("basic", "resnet: kind of block")
    stem: Literal["cifar", "imagenet"] = setting("cifar", "resnet: 3x3, or 7x7 with pooling")
    norm: Norm = setting(
        "batch",
        "resnet, mlp: normalization; batch: over the global batch; batch_per_device: over each"
        " device's part",
    )
    zero_residual: bool = setting(False, "resnet: start every block at the identity")
    remat: bool = setting(
        False, "resnet: recompute blocks in the backward pass; less memory, about a third slower"
    )
    activation: Literal["relu", "gelu", "silu", "tanh"] = setting("relu", "mlp: of hidden layers")
    feature_activation: bool = setting(
        False, "mlp: the activation on the feature too, so that its last layer is not linear"
    )
    feature_centering: bool = setting(
        False, "subtract the batch mean of the feature (the running mean in evaluation)"
    )
    feature_scale: float = setting(1.0, "fixed factor on the feature")

    def __post_init__(self):
        require_choices("encoder", self)
        require_positive("encoder", self, "init_scale", "width", "feature_scale")
        require_nonnegative("encoder", self, "depth")
        require_widths("encoder.widths", self.widths)
        require_widths("encoder.stage-sizes", self.stage_sizes)
        require(
            self.kind != "mlp" or bool(self.widths),
            "encoder.widths",
            self.widths,
            "at least one width",
        )
        require(
            self.kind in ("mlp", "resnet")
            or not (self.feature_centering or self.feature_scale != 1),
            "encoder.feature-centering",
            self.feature_centering,
            f"false, with --encoder.feature-scale 1, for a {self.kind} encoder (center its input)",
        )
        require(
            bool(self.stage_sizes), "encoder.stage-sizes", self.stage_sizes, "at least one stage"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadConfig:
    """The projection head, from feature to embedding, and the predictor or classifier on it."""

    kind: Literal["none", "linear", "mlp", "reweight", "diagonal", "subvector"] = setting(
        "linear", "architecture"
    )
    widths: tuple[int, ...] = setting(
        (64, 32),
        "linear, mlp: width of every layer, the last is the embedding; subvector: the one width",
    )
    init: Literal["balanced", "gaussian", "identity"] = setting(
        "gaussian", "linear: initial weights"
    )
    init_scale: float = setting(1.0, "linear, diagonal: scale of the initial weights")
    weights: str = setting(
        "", "linear: .npz file of initial matrices W1, W2, … (out, in), in place of init"
    )
    norm: Norm = setting("none", "mlp, predictor: normalization of hidden layers")
    activation: Literal["relu", "gelu", "silu", "tanh"] = setting(
        "relu", "mlp, predictor: of hidden layers"
    )
    bias: bool = setting(True, "mlp: bias of hidden layers without a norm, and of the last layer")
    last_norm: bool = setting(False, "mlp: normalize the embedding too")
    kappa: float = setting(1.1, "reweight: feature i is multiplied by kappa^-(i-1)")
    threshold: float = setting(0.0, "diagonal: initial threshold of the symmetrized ReLU")
    shared_threshold: bool = setting(False, "diagonal: one threshold for all coordinates")
    classes: int = setting(
        0,
        "cross_entropy, mean_squared_error: scores of a classifier on the embedding; 0: the"
        " embedding is the scores",
    )
    predictor_widths: tuple[int, ...] = setting(
        (), "byol, simsiam, classifier: hidden widths of the predictor; empty: one dense layer"
    )

    def __post_init__(self):
        require_choices("head", self)
        require_positive("head", self, "init_scale", "kappa")
        require_nonnegative("head", self, "classes", "threshold")
        require_widths("head.widths", self.widths)
        require_widths("head.predictor-widths", self.predictor_widths)
        require(
            self.kind not in ("linear", "mlp", "subvector") or bool(self.widths),
            "head.widths",
            self.widths,
            "at least one width",
        )
        require(
            self.kind != "subvector" or len(self.widths) == 1,
            "head.widths",
            self.widths,
            "the one width of the sub-vector",
        )
        require(
            not self.weights or self.kind == "linear",
            "head.weights",
            self.weights,
            f"empty for a {self.kind} head",
        )
