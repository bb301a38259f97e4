"""Networks that act on each coordinate alone, for the theory of nonlinear heads."""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from ssljax.nets.network import EncoderBuilder, HeadBuilder, Numerics
from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError
from ssljax.system.settings import NONNEGATIVE, POSITIVE, Settings, Wanted, setting

ONE_WIDTH = Wanted(
    "the one width of the sub-vector", lambda value: len(value) == 1 and value[0] > 0
)


@dataclass(frozen=True, kw_only=True)
class DiagonalEncoderSettings(Settings):
    """Settings of `DiagonalEncoder`."""

    init_scale: float = setting(1.0, "scale of the initial weights", POSITIVE)


def build_diagonal_encoder(
    settings: DiagonalEncoderSettings, image_shape: tuple[int, int, int], numerics: Numerics
) -> EncoderBuilder:
    """Return the builder of a `DiagonalEncoder`."""
    return partial(
        DiagonalEncoder, image_shape, scale=settings.init_scale, param_dtype=numerics.param_dtype
    )


@dataclass(frozen=True, kw_only=True)
class SymmetrizedReLUSettings(Settings):
    """Settings of `SymmetrizedReLUHead`."""

    init_scale: float = setting(1.0, "scale of the initial weights", POSITIVE)
    threshold: float = setting(0.0, "initial threshold of the symmetrized ReLU", NONNEGATIVE)
    shared_threshold: bool = setting(False, "one threshold for all coordinates")


def build_symmetrized_relu_head(
    settings: SymmetrizedReLUSettings, numerics: Numerics
) -> HeadBuilder:
    """Return the builder of a `SymmetrizedReLUHead`."""
    return partial(
        SymmetrizedReLUHead,
        scale=settings.init_scale,
        threshold=settings.threshold,
        shared_threshold=settings.shared_threshold,
        param_dtype=numerics.param_dtype,
    )


@dataclass(frozen=True, kw_only=True)
class SubvectorSettings(Settings):
    """Settings of `SubvectorHead`."""

    widths: tuple[int, ...] = setting((64, 32), "the one width of the sub-vector", ONE_WIDTH)


def build_subvector_head(settings: SubvectorSettings, numerics: Numerics) -> HeadBuilder:
    """Return the builder of a `SubvectorHead`."""
    return partial(SubvectorHead, width=settings.widths[0])


def symmetrized_relu(
    x: Float[Array, "*shape"], threshold: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return ReLU(x - b) - ReLU(-x - b): odd in x; zero between -b and b for b >= 0."""
    return jax.nn.relu(x - threshold) - jax.nn.relu(-x - threshold)


class DiagonalEncoder(nnx.Module):
    """feature_i = w_i x_i on flattened pixels; `kernel` holds the w_i, all started at ``scale``.

    Args:
      image_shape: (height, width, channels).
      scale: Initial w_i.
      rngs: Random streams of NNX; unused.
      axis_name: Unused.
      param_dtype: Type of the weights and of the computation.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        scale: float = 1.0,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        self.image_shape = image_shape
        self.feature_dim = math.prod(image_shape)
        self.layers = ()
        self.kernel = nnx.Param(jnp.full(self.feature_dim, scale, param_dtype))

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool
    ) -> dict[str, Float[Array, "batch _"]]:
        """Return the feature."""
        kernel = self.kernel[...]
        pixels = images.reshape(images.shape[0], -1).astype(kernel.dtype)
        return {"feature": pixels * kernel[None, :]}


class SymmetrizedReLUHead(nnx.Module):
    """embedding_i = w_i σ(feature_i; b_i) with σ the symmetrized ReLU, b one each or shared.

    Args:
      dim: Feature width, and embedding width.
      scale: Initial w_i.
      threshold: Initial b_i.
      shared_threshold: Whether all coordinates share one b.
      rngs: Random streams of NNX; unused.
      axis_name: Unused.
      param_dtype: Type of the weights and of the computation.

    Source:
      Xue et al., *Investigating the Benefits of Projection Head*, ICLR 2024, study diagonal
      networks of this kind; their exact form is not known to us.
    """

    def __init__(
        self,
        dim: int,
        *,
        scale: float = 1.0,
        threshold: float = 0.0,
        shared_threshold: bool = False,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        self.embedding_dim = dim
        self.depth = 1
        self.kernel = nnx.Param(jnp.full(dim, scale, param_dtype))
        self.bias = nnx.Param(jnp.full(1 if shared_threshold else dim, threshold, param_dtype))

    def __call__(
        self, feature: Float[Array, "batch dim"], *, train: bool
    ) -> list[Float[Array, "batch dim"]]:
        """Return the embedding, as the only layer."""
        kernel = self.kernel[...]
        threshold = jnp.broadcast_to(self.bias[...][None, :], feature.shape)
        return [symmetrized_relu(feature.astype(kernel.dtype), threshold) * kernel[None, :]]


class SubvectorHead(nnx.Module):
    """The first ``width`` coordinates of the feature, no parameters (DirectCLR).

    Args:
      dim: Feature width.
      width: Embedding width, from 1 to ``dim``.
      rngs: Random streams of NNX; unused.
      axis_name: Unused.

    Raises:
      UsageError: If ``width`` is out of range.

    Source:
      Jing et al., *Understanding Dimensional Collapse in Contrastive Self-supervised
      Learning*, ICLR 2022.
    """

    def __init__(self, dim: int, *, width: int, rngs: nnx.Rngs, axis_name: str | None = None):
        if not 1 <= width <= dim:
            raise UsageError(
                f"a sub-vector of width {width} of a feature of width {dim} given; "
                f"use a width from 1 to {dim}"
            )
        self.embedding_dim = width
        self.depth = 1

    def __call__(
        self, feature: Float[Array, "batch dim"], *, train: bool
    ) -> list[Float[Array, "batch width"]]:
        """Return the sub-vector, as the only layer."""
        return [feature[:, : self.embedding_dim]]
