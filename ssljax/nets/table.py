"""The tables of encoders and of heads, and the configurations made of them.

To add one: write it in a file of this room with its settings and a function that returns its
builder, then add one line to `ENCODERS` or `HEADS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ssljax.nets.diagonal import (
    DiagonalEncoderSettings,
    SubvectorSettings,
    SymmetrizedReLUSettings,
    build_diagonal_encoder,
    build_subvector_head,
    build_symmetrized_relu_head,
)
from ssljax.nets.head import (
    LinearHeadSettings,
    MLPHeadSettings,
    ReweightingSettings,
    build_linear_head,
    build_mlp_head,
    build_no_head,
    build_predictor,
    build_reweighting_head,
)
from ssljax.nets.linear import LinearEncoderSettings, build_linear_encoder
from ssljax.nets.mlp import Activation, MLPEncoderSettings, build_mlp_encoder
from ssljax.nets.network import (
    EncoderBuilder,
    HeadBuilder,
    Network,
    Numerics,
    evaluate_with,
    make_network,
)
from ssljax.nets.normalization import Norm
from ssljax.nets.resnet import ResNetSettings, build_resnet
from ssljax.nets.structured_head import (
    BottleneckSettings,
    OrthogonalSettings,
    WhiteningSettings,
    build_bottleneck_head,
    build_orthogonal_head,
    build_whitening_head,
)
from ssljax.nets.vit import ViTSettings, build_vit
from ssljax.system.settings import NONNEGATIVE, WIDTHS, Settings, merge_settings, setting

ImageShape = tuple[int, int, int]


class Encoder(NamedTuple):
    """A line of the table of encoders.

    Attributes:
      build: ``(settings, image_shape, numerics) -> builder``.
      settings: The class of its settings.
    """

    build: Callable[[Any, ImageShape, Numerics], EncoderBuilder]
    settings: type[Settings] = Settings


class Head(NamedTuple):
    """A line of the table of heads.

    Attributes:
      build: ``(settings, numerics) -> builder``.
      settings: The class of its settings.
    """

    build: Callable[[Any, Numerics], HeadBuilder]
    settings: type[Settings] = Settings


ENCODERS: dict[str, Encoder] = {
    "linear": Encoder(build_linear_encoder, LinearEncoderSettings),
    "diagonal": Encoder(build_diagonal_encoder, DiagonalEncoderSettings),
    "mlp": Encoder(build_mlp_encoder, MLPEncoderSettings),
    "resnet": Encoder(build_resnet, ResNetSettings),
    "vit": Encoder(build_vit, ViTSettings),
}

HEADS: dict[str, Head] = {
    "none": Head(build_no_head),
    "linear": Head(build_linear_head, LinearHeadSettings),
    "mlp": Head(build_mlp_head, MLPHeadSettings),
    "reweight": Head(build_reweighting_head, ReweightingSettings),
    "diagonal": Head(build_symmetrized_relu_head, SymmetrizedReLUSettings),
    "subvector": Head(build_subvector_head, SubvectorSettings),
    "bottleneck": Head(build_bottleneck_head, BottleneckSettings),
    "orthogonal": Head(build_orthogonal_head, OrthogonalSettings),
    "whitening": Head(build_whitening_head, WhiteningSettings),
}


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(merge_settings(ENCODERS, "encoder", "kind", "resnet", "architecture")):
    """The network from image to feature."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig(merge_settings(HEADS, "head", "kind", "linear", "architecture")):
    """The projection head, from feature to embedding, and the predictor or classifier on it."""

    norm: Norm = setting("none", "mlp, predictor: normalization of hidden layers")
    activation: Activation = setting("relu", "mlp, predictor: activation of hidden layers")
    classes: int = setting(
        0,
        "cross_entropy, mean_squared_error: scores of a classifier on the embedding; 0: the"
        " embedding is the scores",
        NONNEGATIVE,
    )
    predictor_widths: tuple[int, ...] = setting(
        (),
        "byol, simsiam, classifier: hidden widths of the predictor; empty: one dense layer",
        WIDTHS,
    )


def build_network(
    encoder: EncoderConfig,
    head: HeadConfig,
    image_shape: ImageShape,
    numerics: Numerics,
    *,
    predictor: bool = False,
    axis_name: str | None = None,
    frozen: tuple[str, ...] = (),
) -> Network:
    """Return the network that two configurations describe, for images of one shape.

    Evaluation computes in the parameters' type, whatever type training computes in.

    Args:
      encoder: From image to feature.
      head: From feature to embedding, and what stands on it.
      image_shape: (height, width, channels).
      numerics: Types, and parts of the batch.
      predictor: Whether a predictor stands on the embedding; a classifier does where the head has
        classes.
      axis_name: The pmap axis over which batch statistics are averaged.
      frozen: Parts that compute in training as in evaluation.

    Raises:
      UsageError: A part cannot be built as described.
    """
    on_top = None
    if predictor or head.classes:
        hidden = MLPHeadSettings(norm=head.norm, activation=head.activation)
        on_top = build_predictor(hidden, head.predictor_widths, head.classes, numerics)
    network = make_network(
        ENCODERS[encoder.kind].build(encoder.selected(), image_shape, numerics),
        HEADS[head.kind].build(head.selected(), numerics),
        predictor_builder=on_top,
        axis_name=axis_name,
        frozen=frozen,
    )
    if numerics.dtype is None:
        return network
    wide = numerics._replace(dtype=None)
    return evaluate_with(
        network,
        build_network(encoder, head, image_shape, wide, predictor=predictor, axis_name=axis_name),
    )
