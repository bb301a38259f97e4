"""Multilayer perceptron: layers in a row, and the encoder made of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from ssljax.nets.initialization import scaled_normal
from ssljax.nets.network import EncoderBuilder, Numerics
from ssljax.nets.normalization import FeatureCentering, NormSettings, make_norm, norm_options
from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError
from ssljax.system.settings import SOME_WIDTHS, setting

HE = scaled_normal(2.0)
LECUN = scaled_normal(1.0)
Activation = Literal["relu", "gelu", "silu", "tanh"]
ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


@dataclass(frozen=True, kw_only=True)
class MLPEncoderSettings(NormSettings):
    """Settings of `MLPEncoder`."""

    widths: tuple[int, ...] = setting(
        (64, 64), "width of every layer, the last is the feature", SOME_WIDTHS
    )
    activation: Activation = setting("relu", "activation of hidden layers")
    feature_activation: bool = setting(
        False, "the activation on the feature too, so that its last layer is not linear"
    )


def build_mlp_encoder(
    settings: MLPEncoderSettings, image_shape: tuple[int, int, int], numerics: Numerics
) -> EncoderBuilder:
    """Return the builder of an `MLPEncoder`."""
    return partial(
        MLPEncoder,
        image_shape,
        widths=settings.widths,
        activation=ACTIVATIONS[settings.activation],
        feature_activation=settings.feature_activation,
        feature_centering=settings.feature_centering,
        feature_scale=settings.feature_scale,
        param_dtype=numerics.param_dtype,
        dtype=numerics.dtype,
        **norm_options(settings.norm, numerics),
    )


class Perceptron(nnx.Module):
    """Dense layers in a row; a call returns what each hands to the next, and the last output.

    Every layer but the last is dense -> norm -> activation; the last is dense only, followed by
    a norm where ``last_norm`` and by the activation where ``last_activation``. Kernels start
    with He's variance 2 / fan_in before an activation and 1 / fan_in otherwise. The attributes
    are ``layer1``, ``norm1``, ``layer2``, ... each layer with ``kernel`` (in, out) and ``bias``.
    A norm takes the place of the bias of the layer before it.
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        norm: str,
        activation: Callable[[Array], Array],
        bias: bool,
        last_norm: bool,
        norms: Sequence[str] = (),
        last_activation: bool,
        last_bias: bool,
        rngs: nnx.Rngs,
        axis_name: str | None,
        batch_groups: int | None = None,
        dtype,
        param_dtype,
    ):
        if any(dim < 1 for dim in dims):
            raise UsageError(f"widths {tuple(dims)} given; every width must be at least 1")
        self.depth = len(dims) - 1
        if norms and len(norms) != self.depth:
            raise UsageError(
                f"{len(norms)} norms given for {self.depth} layers; name one for each layer"
            )
        self.activation = activation
        self.last_activation = last_activation
        self.dtype = param_dtype if dtype is None else dtype
        for i in range(1, self.depth + 1):
            last = i == self.depth
            kind = norms[i - 1] if norms else norm if not last or last_norm else "none"
            activated = not last or last_activation
            layer = nnx.Linear(
                dims[i - 1],
                dims[i],
                use_bias=(last_bias if last else bias) and kind == "none",
                kernel_init=HE if activated else LECUN,
                rngs=rngs,
                dtype=self.dtype,
                param_dtype=param_dtype,
            )
            setattr(self, f"layer{i}", layer)
            made = make_norm(
                kind,
                dims[i],
                rngs=rngs,
                axis_name=axis_name,
                batch_groups=batch_groups,
                param_dtype=param_dtype,
            )
            setattr(self, f"norm{i}", made)

    def __call__(
        self, inputs: Float[Array, "batch in"], *, train: bool
    ) -> list[Float[Array, "batch _"]]:
        """Return the outputs of layers 1 to depth."""
        x = inputs.astype(self.dtype)
        outputs = []
        for i in range(1, self.depth + 1):
            x = getattr(self, f"norm{i}")(getattr(self, f"layer{i}")(x), train=train)
            if i < self.depth or self.last_activation:
                x = self.activation(x)
            outputs.append(x)
        return outputs


class MLPEncoder(nnx.Module):
    """Multilayer perceptron on flattened pixels.

    Args:
      image_shape: (height, width, channels).
      widths: Hidden widths, then the feature width.
      norm: Normalization of the hidden layers.
      batch_groups: Parts of the batch that batch norm treats each for itself; None: global.
      activation: Applied to hidden layers.
      feature_activation: Apply the activation to the feature as well.
      feature_centering: Subtract the batch mean of the feature (running mean in evaluation).
      feature_scale: Fixed factor on the feature.
      rngs: Random streams of NNX.
      axis_name: Axis of ``jax.pmap`` over which batch statistics are averaged.
      dtype: Type of the dense layers' computation; the feature is at least float32.
      param_dtype: Type of the parameters.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        widths: Sequence[int],
        norm: str = "none",
        batch_groups: int | None = None,
        activation: Callable[[Array], Array] = jax.nn.relu,
        feature_activation: bool = False,
        feature_centering: bool = False,
        feature_scale: float = 1.0,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        if not widths:
            raise UsageError("an MLP encoder without widths given; name at least the feature width")
        self.perceptron = Perceptron(
            (math.prod(image_shape), *widths),
            norm=norm,
            activation=activation,
            bias=True,
            last_norm=False,
            last_activation=feature_activation,
            last_bias=True,
            rngs=rngs,
            axis_name=axis_name,
            batch_groups=batch_groups,
            dtype=dtype,
            param_dtype=param_dtype,
        )
        self.image_shape = image_shape
        self.feature_dim = widths[-1]
        self.layers = tuple(f"stage{i}" for i in range(1, len(widths)))
        self.centering = FeatureCentering(
            widths[-1],
            centering=feature_centering,
            factor=feature_scale,
            axis_name=axis_name,
            param_dtype=param_dtype,
        )

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool
    ) -> dict[str, Float[Array, "batch _"]]:
        """Return the outputs of the layers by name."""
        *hidden, last = self.perceptron(images.reshape(images.shape[0], -1), train=train)
        named = {f"stage{i}": layer for i, layer in enumerate(hidden, start=1)}
        last = last.astype(jnp.promote_types(last.dtype, jnp.float32))
        return named | {"feature": self.centering(last, train=train)}
