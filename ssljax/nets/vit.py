"""Vision transformers: patches as tokens, pre-norm blocks of attention and perceptron."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from ssljax.nets.initialization import standard_normal
from ssljax.nets.network import EncoderBuilder, Numerics
from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError
from ssljax.system.settings import NONNEGATIVE, Settings, setting

Size = Literal["tiny", "small"]
Pooling = Literal["token", "mean"]

_MOST_PATCHES = 14
_EPSILON = 1e-6


class Shape(NamedTuple):
    """Width of the tokens, number of blocks and heads of attention in each."""

    width: int
    depth: int
    heads: int


SIZES: dict[Size, Shape] = {"tiny": Shape(192, 12, 3), "small": Shape(384, 12, 6)}


@dataclass(frozen=True, kw_only=True)
class ViTSettings(Settings):
    """Settings of `ViT`."""

    size: Size = setting("tiny", "tiny: width 192, 3 heads; small: width 384, 6 heads; 12 blocks")
    patch: int = setting(
        0,
        "side of a patch in pixels; 0: the least that makes at most 14 patches a side",
        NONNEGATIVE,
    )
    pooling: Pooling = setting("token", "feature: of the class token, or mean over patches")


def build_vit(
    settings: ViTSettings, image_shape: tuple[int, int, int], numerics: Numerics
) -> EncoderBuilder:
    """Return the builder of a `ViT`."""
    return partial(
        ViT,
        image_shape,
        shape=SIZES[settings.size],
        patch=settings.patch,
        pooling=settings.pooling,
        param_dtype=numerics.param_dtype,
        dtype=numerics.dtype,
    )


def patch_side(image_side: int) -> int:
    """Return the least divisor of the image's side that makes at most 14 patches along it.

    Example:
      >>> [patch_side(side) for side in (224, 96, 64, 32, 28, 8)]
      [16, 8, 8, 4, 2, 1]
    """
    return next(
        patch
        for patch in range(1, image_side + 1)
        if image_side % patch == 0 and image_side // patch <= _MOST_PATCHES
    )


class ViT(nnx.Module):
    """Vision transformer; the feature is the class token after the last norm, or the patches' mean.

    Learned positions, biases everywhere, exact GELU, hidden width four times the token's. Layers:
    ``stem`` (tokens with positions), ``block1``, …, each pooled as the feature is but without the
    last norm; ``NAME/map`` holds the patches as (batch, rows, columns, width). With pooling
    ``mean`` there is no class token. LayerNorm and softmax compute in at least float32.

    Args:
      image_shape: (height, width, channels).
      shape: Width, depth and heads.
      patch: Side of a patch, a divisor of height and width; 0: `patch_side` of the height.
      pooling: ``token`` or ``mean``.
      rngs: Random streams of NNX. Kernels and positions start normal with standard deviation .02.
      axis_name: Unused: nothing here depends on the batch.
      dtype: Type of the products' operands; None follows ``param_dtype``.
      param_dtype: Type of the parameters.

    Raises:
      UsageError: The patch does not divide the image.

    Source:
      Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021; tiny and small as in Touvron
      et al., *DeiT*, ICML 2021: 5.52 and 21.67 million parameters at 224 pixels.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        shape: Shape = SIZES["tiny"],
        patch: int = 0,
        pooling: Pooling = "token",
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        height, width, channels = image_shape
        self.patch = patch or patch_side(height)
        if height % self.patch or width % self.patch:
            raise UsageError(
                f"patches of {self.patch} pixels given for images of {height} x {width}; give"
                " --encoder.patch a divisor of both, or 0"
            )
        self.image_shape = image_shape
        self.feature_dim = shape.width
        self.pooling = pooling
        self.depth = shape.depth
        self.dtype = param_dtype if dtype is None else dtype
        self.layers = ("stem", *(f"block{i}" for i in range(1, shape.depth + 1)))
        tokens = (height // self.patch) * (width // self.patch) + (pooling == "token")
        dense = partial(_Dense, rngs=rngs, dtype=self.dtype, param_dtype=param_dtype)
        norm = partial(_LayerNorm, rngs=rngs, param_dtype=param_dtype)
        self.embed = dense(self.patch**2 * channels, shape.width)
        self.position = nnx.Param(_normal(rngs.params(), (tokens, shape.width), param_dtype))
        if pooling == "token":
            self.token = nnx.Param(_normal(rngs.params(), (1, shape.width), param_dtype))
        for i in range(1, shape.depth + 1):
            setattr(self, f"block{i}", _Block(shape.width, shape.heads, dense, norm))
        self.norm = norm(shape.width)

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool
    ) -> dict[str, Float[Array, "batch *rest"]]:
        """Return the outputs of the layers by name, pooled and, as ``NAME/map``, of all patches."""
        batch, height, width, channels = images.shape
        side, rows, columns = self.patch, height // self.patch, width // self.patch
        patches = images.reshape(batch, rows, side, columns, side, channels)
        patches = patches.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1)
        x = self.embed(patches.astype(self.dtype))
        if self.pooling == "token":
            token = jnp.broadcast_to(self.token[...][None], (batch, 1, x.shape[-1]))
            x = jnp.concatenate([token.astype(x.dtype), x], axis=1)
        x = x + self.position[...].astype(x.dtype)[None]
        outputs = {"stem": x}
        for i in range(1, self.depth + 1):
            x = getattr(self, f"block{i}")(x)
            outputs[f"block{i}"] = x
        pooled = {name: self._pool(value) for name, value in outputs.items()}
        patches = {name: value[:, -rows * columns :] for name, value in outputs.items()}
        maps = {
            f"{name}/map": value.reshape(batch, rows, columns, -1)
            for name, value in patches.items()
        }
        return pooled | {"feature": self._pool(self.norm(x))} | maps

    def _pool(self, x):
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        return wide[:, 0] if self.pooling == "token" else jnp.mean(wide, axis=1)


class _Block(nnx.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, width, heads, dense, norm):
        self.heads = heads
        self.norm1, self.norm2 = norm(width), norm(width)
        self.qkv, self.out = dense(width, 3 * width), dense(width, width)
        self.hidden, self.last = dense(width, 4 * width), dense(4 * width, width)

    def __call__(self, x):
        x = x + self.out(self._attend(self.qkv(self.norm1(x).astype(x.dtype))))
        hidden = jax.nn.gelu(self.hidden(self.norm2(x).astype(x.dtype)), approximate=False)
        return x + self.last(hidden)

    def _attend(self, qkv):
        batch, tokens, width = qkv.shape
        parts = qkv.reshape(batch, tokens, 3, self.heads, -1)
        query, key, value = (parts[:, :, i] for i in range(3))
        logits = jnp.einsum("bqhd,bkhd->bhqk", query, key)
        wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        weights = jax.nn.softmax(wide / math.sqrt(query.shape[-1]), axis=-1).astype(value.dtype)
        return jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(batch, tokens, width // 3)


class _Dense(nnx.Linear):
    def __init__(self, inputs, outputs, *, rngs, dtype, param_dtype):
        super().__init__(
            inputs, outputs, kernel_init=_normal, rngs=rngs, dtype=dtype, param_dtype=param_dtype
        )


class _LayerNorm(nnx.LayerNorm):
    def __init__(self, width, *, rngs, param_dtype):
        super().__init__(
            width,
            epsilon=_EPSILON,
            use_fast_variance=False,
            dtype=jnp.promote_types(param_dtype, jnp.float32),
            param_dtype=param_dtype,
            rngs=rngs,
        )


def _normal(key, shape, dtype=jnp.float32, out_sharding=None):
    del out_sharding
    return 0.02 * standard_normal(key, shape, dtype)
