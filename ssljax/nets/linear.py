"""Deep linear maps without bias or norm, started the way the theory assumes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from ssljax.nets.initialization import random_frame, standard_normal
from ssljax.nets.network import EncoderBuilder, Numerics
from ssljax.system.arrays import Array, Float, PRNGKeyArray
from ssljax.system.errors import UsageError
from ssljax.system.settings import POSITIVE, WIDTHS, Settings, setting

LinearInit = Literal["balanced", "gaussian", "identity"]


@dataclass(frozen=True, kw_only=True)
class LinearEncoderSettings(Settings):
    """Settings of `LinearEncoder`."""

    widths: tuple[int, ...] = setting(
        (64, 64), "width of every layer, the last is the feature; may be empty", WIDTHS
    )
    init: LinearInit = setting("balanced", "initial weights")
    init_scale: float = setting(1.0, "scale of the initial weights", POSITIVE)


def build_linear_encoder(
    settings: LinearEncoderSettings, image_shape: tuple[int, int, int], numerics: Numerics
) -> EncoderBuilder:
    """Return the builder of a `LinearEncoder`."""
    return partial(
        LinearEncoder,
        image_shape,
        widths=settings.widths,
        init=settings.init,
        scale=settings.init_scale,
        param_dtype=numerics.param_dtype,
    )


def linear_weights(
    key: PRNGKeyArray,
    dims: Sequence[int],
    *,
    init: str = "balanced",
    scale: float = 1.0,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Float[Array, "out in"], ...]:
    r"""Return starting matrices W_1, ..., W_L of a deep linear map.

    * ``balanced``: ``W_l = sqrt(scale) U_l U_{l-1}ᵀ`` with random ``U_l`` of orthonormal
      columns, as many as the narrowest width, shared by neighboring layers. Then
      ``W_{l+1}ᵀ W_{l+1} = W_l W_lᵀ`` exactly, for rectangular layers too, and every nonzero
      eigenvalue of ``W_lᵀ W_l`` is ``scale``. Where all widths are equal this is sqrt(scale)
      times an independent random orthogonal matrix for each layer.
    * ``gaussian``: independent entries of standard deviation ``scale / sqrt(fan_in)``.
    * ``identity``: ``scale`` times the identity (ones on the main diagonal where rectangular).
      With unequal widths this is balanced only if the narrowest layer comes first.

    Args:
      key: Typed random key.
      dims: Widths from the input to the output; depth + 1 numbers.
      init: Which of the three.
      scale: Eigenvalue of the layer gram (balanced), gain (gaussian) or diagonal (identity).
      dtype: Type of the matrices.

    Returns:
      depth matrices, layer l of shape (dims[l], dims[l - 1]).

    Raises:
      UsageError: If a width is below 1, ``scale`` is not positive and finite or ``init`` is
        none of the three.

    Accuracy:
      Balance holds to rounding of a QR factorization, about 1e-6 in float32.

    Source:
      Arora, Cohen, Hazan, *On the optimization of deep networks*, ICML 2018, for balancedness;
      the construction is derived: both sides of the balance equation are scale U_l U_lᵀ.
    """
    if any(dim < 1 for dim in dims):
        raise UsageError(f"widths {tuple(dims)} given; every width must be at least 1")
    if not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"initial scale {scale} given; give a positive finite number")
    keys = jax.random.split(key, len(dims))
    pairs = list(zip(dims[1:], dims[:-1]))
    if init == "gaussian":
        return tuple(
            standard_normal(k, pair, dtype) * (scale / math.sqrt(pair[1]))
            for k, pair in zip(keys, pairs)
        )
    if init == "identity":
        return tuple(scale * jnp.eye(*pair, dtype=dtype) for pair in pairs)
    if init != "balanced":
        raise UsageError(f"initialization {init!r} given; use balanced, gaussian or identity")
    rank = min(dims)
    frames = [random_frame(k, dim, rank, dtype) for k, dim in zip(keys, dims)]
    return tuple(
        math.sqrt(scale) * jnp.matmul(after, before.T, precision="highest")
        for before, after in pairwise(frames)
    )


class LinearLayer(nnx.Module):
    """x -> W x, full precision in the product: theory's claims are about this map exactly."""

    def __init__(self, weight: Float[Array, "out in"]):
        self.kernel = nnx.Param(weight.T)

    def __call__(self, inputs: Float[Array, "batch in"]) -> Float[Array, "batch out"]:
        """Return the product with the matrix."""
        kernel = self.kernel[...]
        return jnp.matmul(inputs.astype(kernel.dtype), kernel, precision="highest")


class LinearChain(nnx.Module):
    """Linear layers in a row; `layer_outputs` returns the output of every one of them.

    The layers are attributes ``layer1``, ``layer2``, ... each with one ``kernel`` (in, out).
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        init: str | Sequence[Float[Array, "out in"]],
        scale: float,
        rngs: nnx.Rngs,
        param_dtype: DTypeLike = jnp.float32,
    ):
        if isinstance(init, str):
            weights = linear_weights(rngs.params(), dims, init=init, scale=scale, dtype=param_dtype)
        else:
            weights = tuple(jnp.asarray(weight, param_dtype) for weight in init)
            shapes = tuple(weight.shape for weight in weights)
            wanted = tuple(zip(dims[1:], dims[:-1]))
            if shapes != wanted:
                raise UsageError(
                    f"initial matrices of shapes {shapes} given, {wanted} wanted; "
                    "give one (out, in) matrix a layer"
                )
        self.depth = len(weights)
        for number, weight in enumerate(weights, start=1):
            setattr(self, f"layer{number}", LinearLayer(weight))

    def layer_outputs(self, inputs: Float[Array, "batch in"]) -> list[Float[Array, "batch _"]]:
        """Return the outputs of layers 1 to depth."""
        outputs = []
        for number in range(1, self.depth + 1):
            inputs = getattr(self, f"layer{number}")(inputs)
            outputs.append(inputs)
        return outputs


class LinearEncoder(LinearChain):
    """Deep linear encoder on flattened pixels, the model the theory describes exactly.

    Args:
      image_shape: (height, width, channels).
      widths: Output width of each layer; the last is the feature width. Empty: the feature is
        the flattened image itself, for a linear head straight on pixels.
      init: ``balanced``, ``gaussian``, ``identity`` or the matrices (out, in) themselves.
      scale: See `linear_weights`.
      rngs: Random streams of NNX.
      axis_name: Unused: nothing here depends on the batch.
      param_dtype: Type of the matrices and of the computation.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        widths: Sequence[int],
        init: str | Sequence[Float[Array, "out in"]] = "balanced",
        scale: float = 1.0,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        dims = (math.prod(image_shape), *widths)
        super().__init__(dims, init=init, scale=scale, rngs=rngs, param_dtype=param_dtype)
        self.image_shape = image_shape
        self.feature_dim = dims[-1]
        self.layers = tuple(f"stage{i}" for i in range(1, self.depth))
        self.param_dtype = param_dtype

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool
    ) -> dict[str, Float[Array, "batch _"]]:
        """Return the outputs of the layers by name."""
        pixels = images.reshape(images.shape[0], -1).astype(self.param_dtype)
        outputs = self.layer_outputs(pixels) or [pixels]
        named = {f"stage{i}": layer for i, layer in enumerate(outputs[:-1], start=1)}
        return named | {"feature": outputs[-1]}
