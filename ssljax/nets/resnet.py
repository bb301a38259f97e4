"""Residual networks, version 1.5, with the stem of CIFAR or of ImageNet."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from ssljax.nets.convolution import convolve
from ssljax.nets.initialization import scaled_normal
from ssljax.nets.network import EncoderBuilder, Numerics
from ssljax.nets.normalization import FeatureCentering, NormSettings, make_norm, norm_options
from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError
from ssljax.system.settings import NONNEGATIVE, POSITIVE, Wanted, setting

HE_FAN_OUT = scaled_normal(2.0, by_fan_out=True)
STAGES = Wanted(
    "at least one stage, each with at least one block",
    lambda value: bool(value) and min(value) > 0,
)


@dataclass(frozen=True, kw_only=True)
class ResNetSettings(NormSettings):
    """Settings of `ResNet`."""

    depth: int = setting(
        0, "18, 34, 50, 101, 152 or 6n+2, in place of stage-sizes and block; 0: those", NONNEGATIVE
    )
    stage_sizes: tuple[int, ...] = setting((1, 1, 1), "blocks in each stage", STAGES)
    width: int = setting(
        16, "channels of the first stage, doubled in each next; 64 is standard", POSITIVE
    )
    block: Literal["basic", "bottleneck"] = setting("basic", "kind of block")
    stem: Literal["cifar", "imagenet"] = setting("cifar", "3x3, or 7x7 with pooling")
    zero_residual: bool = setting(False, "start every block at the identity")
    remat: bool = setting(
        False, "recompute blocks in the backward pass; less memory, about a third slower"
    )


def build_resnet(
    settings: ResNetSettings, image_shape: tuple[int, int, int], numerics: Numerics
) -> EncoderBuilder:
    """Return the builder of a `ResNet`."""
    stage_sizes, block = (
        resnet_stages(settings.depth) if settings.depth else (settings.stage_sizes, settings.block)
    )
    return partial(
        ResNet,
        image_shape,
        stage_sizes=stage_sizes,
        block=block,
        width=settings.width,
        stem=settings.stem,
        zero_residual=settings.zero_residual,
        remat=settings.remat,
        feature_centering=settings.feature_centering,
        feature_scale=settings.feature_scale,
        param_dtype=numerics.param_dtype,
        dtype=numerics.dtype,
        **norm_options(settings.norm, numerics),
    )


def resnet_stages(depth: int) -> tuple[tuple[int, ...], str]:
    """Return the blocks in each stage, and their kind, of ResNet-18, 34, 50, 101 and 152.

    The small networks for CIFAR follow the rule 6n + 2: three stages of n basic blocks, to be
    built with ``width=16``.
    """
    named: dict[int, tuple[tuple[int, ...], str]] = {
        18: ((2, 2, 2, 2), "basic"),
        34: ((3, 4, 6, 3), "basic"),
        50: ((3, 4, 6, 3), "bottleneck"),
        101: ((3, 4, 23, 3), "bottleneck"),
        152: ((3, 8, 36, 3), "bottleneck"),
    }
    if depth in named:
        return named[depth]
    if depth >= 8 and (depth - 2) % 6 == 0:
        return ((depth - 2) // 6,) * 3, "basic"
    raise UsageError(
        f"ResNet of depth {depth} given; use 18, 34, 50, 101, 152 or 6n + 2 (20, 32, 44, 56, 110)"
    )


class _Convolution(nnx.Conv):
    """Square kernel, padding (k - 1) / 2 on every side, so that stride 2 equals PyTorch's."""

    def __init__(self, inputs, outputs, kernel, stride, *, use_bias, rngs, dtype, param_dtype):
        super().__init__(
            inputs,
            outputs,
            (kernel, kernel),
            strides=stride,
            padding=(kernel - 1) // 2,
            use_bias=use_bias,
            kernel_init=HE_FAN_OUT,
            rngs=rngs,
            dtype=dtype,
            param_dtype=param_dtype,
        )

    def __call__(self, inputs: Float[Array, "batch height width inputs"], *, train: bool = False):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the convolved maps; on the CPU in the form that is fastest there."""
        if jax.default_backend() != "cpu" or self.use_bias or inputs.dtype != jnp.float32:
            return super().__call__(inputs)
        assert isinstance(self.strides, int)
        return convolve(inputs, self.kernel[...], self.strides, train=train)


class _ResidualBlock(nnx.Module):
    """relu(shortcut(x) + branch(x)); in a bottleneck the stride sits in the 3x3 (v1.5)."""

    def __init__(self, inputs, width, stride, *, block, convolution, norm, zero_residual):
        kernels = (3, 3) if block == "basic" else (1, 3, 1)
        strides = (stride, 1) if block == "basic" else (1, stride, 1)
        outputs = width if block == "basic" else 4 * width
        widths = (inputs, *(width,) * (len(kernels) - 1), outputs)
        self.depth = len(kernels)
        self.outputs = outputs
        for i, (kernel, step) in enumerate(zip(kernels, strides), start=1):
            setattr(self, f"conv{i}", convolution(widths[i - 1], widths[i], kernel, step))
            last = zero_residual and i == self.depth
            scale = nnx.initializers.zeros_init() if last else nnx.initializers.ones_init()
            setattr(self, f"norm{i}", norm(widths[i], scale_init=scale))
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut_conv = convolution(inputs, outputs, 1, stride)
            self.shortcut_norm = norm(outputs)

    def __call__(self, x, *, train):
        branch = x
        for i in range(1, self.depth + 1):
            branch = getattr(self, f"conv{i}")(branch, train=train)
            branch = getattr(self, f"norm{i}")(branch, train=train)
            if i < self.depth:
                branch = jax.nn.relu(branch)
        shortcut = x
        if self.projects:
            shortcut = self.shortcut_norm(self.shortcut_conv(x, train=train), train=train)
        return jax.nn.relu(shortcut + branch)


class _Stage(nnx.Module):
    def __init__(self, inputs, width, num_blocks, stride, make_block):
        self.num_blocks = num_blocks
        for i in range(1, num_blocks + 1):
            block = make_block(inputs, width, stride if i == 1 else 1)
            setattr(self, f"block{i}", block)
            inputs = block.outputs
        self.outputs = inputs

    def __call__(self, x, *, train, remat):
        for i in range(1, self.num_blocks + 1):
            block = getattr(self, f"block{i}")
            x = _recompute(block, x, train) if remat else block(x, train=train)
        return x


def _recompute(block, x, train):
    graph, state = nnx.split(block)

    @jax.checkpoint
    def output(state, x):
        copy = nnx.merge(graph, state)
        return copy(x, train=train), nnx.state(copy, nnx.BatchStat)

    y, statistics = output(state, x)
    nnx.update(block, statistics)
    return y


class ResNet(nnx.Module):
    """Residual encoder; the feature is the spatial mean of the last stage.

    Args:
      image_shape: (height, width, channels).
      stage_sizes: Number of blocks in each stage; see `resnet_stages`. Every stage after the
        first halves the resolution and doubles the width.
      block: ``basic`` (two 3x3) or ``bottleneck`` (1x1, 3x3, 1x1 with four times the width).
      width: Channels of the first stage; 64 is standard, 128 is "2x", 16 the small CIFAR ones.
      stem: ``cifar``: 3x3, stride 1, no pooling. ``imagenet``: 7x7, stride 2, 3x3 max-pool.
      norm: ``batch``, ``group`` or ``none`` (convolutions then have a bias).
      batch_groups: Parts of the batch that batch norm treats each for itself; None: global.
      zero_residual: Start the last norm scale of each block at zero (the block at identity).
      feature_centering: Subtract the batch mean of the feature (running mean in evaluation).
      feature_scale: Fixed factor on the feature.
      remat: Recompute the blocks in the backward pass instead of storing their activations.
      rngs: Random streams of NNX.
      axis_name: Axis of ``jax.pmap`` over which batch statistics are averaged.
      dtype: Type of the convolutions' inputs and outputs, for example ``jnp.bfloat16``; the
        pooled layers are computed and returned in at least float32.
      param_dtype: Type of parameters; statistics have it too, at least float32.

    Source:
      He et al., *Deep residual learning*, CVPR 2016; stride in the 3x3 of the bottleneck as in
      torchvision ("v1.5"). Parameter counts equal torchvision's.
    """

    takes_any_size = True  # its feature is a mean over positions

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        stage_sizes: Sequence[int] = (2, 2, 2, 2),
        block: str = "basic",
        width: int = 64,
        stem: str = "cifar",
        norm: str = "batch",
        batch_groups: int | None = None,
        zero_residual: bool = False,
        feature_centering: bool = False,
        feature_scale: float = 1.0,
        remat: bool = False,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        dtype=None,
        param_dtype=jnp.float32,
    ):
        if block not in ("basic", "bottleneck"):
            raise UsageError(f"block {block!r} given; use basic or bottleneck")
        if stem not in ("cifar", "imagenet"):
            raise UsageError(f"stem {stem!r} given; use cifar or imagenet")
        if not stage_sizes or min(stage_sizes) < 1 or width < 1:
            raise UsageError(
                f"stage sizes {tuple(stage_sizes)} and width {width} given; "
                "give at least one stage, each with at least one block, and a positive width"
            )
        self.dtype = param_dtype if dtype is None else dtype
        self.stem = stem
        self.remat = remat
        self.num_stages = len(stage_sizes)
        convolution = partial(
            _Convolution,
            use_bias=norm == "none",
            rngs=rngs,
            dtype=self.dtype,
            param_dtype=param_dtype,
        )
        make_layer_norm = partial(
            make_norm,
            norm,
            rngs=rngs,
            axis_name=axis_name,
            batch_groups=batch_groups,
            param_dtype=param_dtype,
        )
        make_block = partial(
            _ResidualBlock,
            block=block,
            convolution=convolution,
            norm=make_layer_norm,
            zero_residual=zero_residual,
        )
        kernel, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.stem_conv = convolution(image_shape[-1], width, kernel, stride)
        self.stem_norm = make_layer_norm(width)
        channels = width
        for i, num_blocks in enumerate(stage_sizes):
            stage = _Stage(channels, width * 2**i, num_blocks, 1 if i == 0 else 2, make_block)
            setattr(self, f"stage{i + 1}", stage)
            channels = stage.outputs
        self.image_shape = image_shape
        self.feature_dim = channels
        self.layers = ("stem", *(f"stage{i}" for i in range(1, len(stage_sizes) + 1)))
        self.centering = FeatureCentering(
            channels,
            centering=feature_centering,
            factor=feature_scale,
            axis_name=axis_name,
            param_dtype=param_dtype,
        )

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool
    ) -> dict[str, Float[Array, "batch *rest"]]:
        """Return the outputs of the layers by name, pooled and, as ``NAME/map``, before pooling."""
        x = self.stem_conv(images.astype(self.dtype), train=train)
        x = jax.nn.relu(self.stem_norm(x, train=train))
        if self.stem == "imagenet":
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        maps = {"stem": x}
        for i in range(1, self.num_stages + 1):
            x = getattr(self, f"stage{i}")(x, train=train, remat=self.remat)
            maps[f"stage{i}"] = x
        outputs = {name: _spatial_mean(value) for name, value in maps.items()}
        outputs["feature"] = self.centering(_spatial_mean(x), train=train)
        return outputs | {f"{name}/map": value for name, value in maps.items()}


def _spatial_mean(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch channels"]:
    return jnp.mean(x, axis=(1, 2), dtype=jnp.promote_types(x.dtype, jnp.float32))
