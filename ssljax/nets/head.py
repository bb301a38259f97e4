"""Projection heads: none, linear, MLP and the fixed reweighting of coordinates.

Every head is called as ``head(feature, train=...)`` and returns the outputs of its layers in
order; the last is the embedding. `NoHead` returns none: the embedding is then the feature.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from ssljax.nets.linear import LinearChain, LinearInit
from ssljax.nets.mlp import ACTIVATIONS, Activation, Perceptron
from ssljax.nets.network import HeadBuilder, Numerics
from ssljax.nets.normalization import Norm, norm_options
from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError
from ssljax.system.settings import POSITIVE, SOME_WIDTHS, Settings, Wanted, setting

NORMS = Wanted(
    "batch, group or none for each layer",
    lambda norms: all(norm in ("batch", "group", "none") for norm in norms),
)


@dataclass(frozen=True, kw_only=True)
class WidthsSettings(Settings):
    """Widths of a head made of layers."""

    widths: tuple[int, ...] = setting(
        (64, 32), "width of every layer, the last is the embedding", SOME_WIDTHS
    )


@dataclass(frozen=True, kw_only=True)
class LinearHeadSettings(WidthsSettings):
    """Settings of `LinearHead`."""

    init: LinearInit = setting("gaussian", "initial weights")
    init_scale: float = setting(1.0, "scale of the initial weights", POSITIVE)
    weights: str = setting(
        "",
        ".npz file of initial matrices W1, W2, … (out, in), in place of init",
        exclusive=True,
    )


def build_linear_head(settings: LinearHeadSettings, numerics: Numerics) -> HeadBuilder:
    """Return the builder of a `LinearHead`, started as drawn."""
    return partial(
        LinearHead,
        widths=settings.widths,
        init=settings.init,
        scale=settings.init_scale,
        param_dtype=numerics.param_dtype,
    )


@dataclass(frozen=True, kw_only=True)
class MLPHeadSettings(WidthsSettings):
    """Settings of `MLPHead`."""

    norm: Norm = setting("none", "normalization of hidden layers")
    activation: Activation = setting("relu", "activation of hidden layers")
    bias: bool = setting(True, "bias of hidden layers without a norm, and of the last layer")
    last_norm: bool = setting(False, "normalize the embedding too")
    norms: tuple[str, ...] = setting(
        (),
        "normalization of each layer in turn, the last one too, in place of norm and last-norm:"
        " batch, group or none; empty: norm",
        NORMS,
    )


def build_mlp_head(settings: MLPHeadSettings, numerics: Numerics) -> HeadBuilder:
    """Return the builder of an `MLPHead`."""
    return partial(
        MLPHead,
        widths=settings.widths,
        bias=settings.bias,
        last_bias=settings.bias,
        last_norm=settings.last_norm,
        norms=settings.norms,
        activation=ACTIVATIONS[settings.activation],
        param_dtype=numerics.param_dtype,
        dtype=numerics.dtype,
        **norm_options(settings.norm, numerics),
    )


@dataclass(frozen=True, kw_only=True)
class ReweightingSettings(Settings):
    """Settings of `ReweightingHead`."""

    kappa: float = setting(1.1, "feature i is multiplied by kappa^-(i-1)", POSITIVE)


def build_reweighting_head(settings: ReweightingSettings, numerics: Numerics) -> HeadBuilder:
    """Return the builder of a `ReweightingHead`."""
    return partial(ReweightingHead, kappa=settings.kappa, param_dtype=numerics.param_dtype)


def build_no_head(settings: Settings, numerics: Numerics) -> HeadBuilder:
    """Return the builder of `NoHead`."""
    return NoHead


def build_predictor(
    settings: MLPHeadSettings, widths: tuple[int, ...], width: int, numerics: Numerics
) -> HeadBuilder:
    """Return the builder of a perceptron on the embedding.

    Args:
      settings: Normalization and activation of its hidden layers.
      widths: Hidden widths.
      width: Output width; 0: that of the embedding.
      numerics: Types, and parts of the batch.
    """

    def predictor(dim: int, *, rngs: nnx.Rngs, axis_name: str | None) -> nnx.Module:
        return MLPHead(
            dim,
            widths=(*widths, width or dim),
            activation=ACTIVATIONS[settings.activation],
            rngs=rngs,
            axis_name=axis_name,
            param_dtype=numerics.param_dtype,
            dtype=numerics.dtype,
            **norm_options(settings.norm, numerics),
        )

    return predictor


class NoHead(nnx.Module):
    """No projection head: the loss sees the feature."""

    def __init__(self, dim: int, *, rngs: nnx.Rngs, axis_name: str | None = None):
        self.embedding_dim = dim
        self.depth = 0

    def __call__(self, feature: Float[Array, "batch dim"], *, train: bool) -> list[Array]:
        """Return no layers."""
        return []


class LinearHead(LinearChain):
    """Linear head of depth len(widths): no bias, no norm, so that the theory applies.

    Args:
      dim: Feature width.
      widths: Output width of each layer; the last is the embedding width.
      init: ``balanced``, ``gaussian``, ``identity`` or the matrices (out, in) themselves.
      scale: See `ssljax.nets.linear.linear_weights`.
      rngs: Random streams of NNX.
      axis_name: Unused: nothing here depends on the batch.
      param_dtype: Type of the matrices and of the computation.
    """

    def __init__(
        self,
        dim: int,
        *,
        widths: Sequence[int],
        init: str | Sequence[Float[Array, "out in"]] = "balanced",
        scale: float = 1.0,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        if not widths:
            raise UsageError("a linear head without widths given; name at least one, or no head")
        dims = (dim, *widths)
        super().__init__(dims, init=init, scale=scale, rngs=rngs, param_dtype=param_dtype)
        self.embedding_dim = dims[-1]

    def __call__(
        self, feature: Float[Array, "batch dim"], *, train: bool
    ) -> list[Float[Array, "batch _"]]:
        """Return the outputs of layers 1 to depth."""
        return self.layer_outputs(feature)


class MLPHead(Perceptron):
    """Nonlinear head: dense -> norm -> activation, ..., dense.

    Args:
      dim: Feature width.
      widths: Hidden widths, then the embedding width.
      norm: Normalization after each hidden layer (and the last one where ``last_norm``).
      batch_groups: Parts of the batch that batch norm treats each for itself; None: global.
      activation: Applied to hidden layers only.
      bias: Whether hidden layers have a bias; a norm takes its place.
      last_norm: Normalize the embedding too (SimCLR's and VICReg's expanders differ here).
      norms: Normalization of each layer in turn, in place of ``norm`` and ``last_norm``; empty:
        those.
      last_bias: Whether the last layer has a bias.
      rngs: Random streams of NNX.
      axis_name: Axis of ``jax.pmap`` over which batch statistics are averaged.
      dtype: Type of the computation; None follows ``param_dtype``.
      param_dtype: Type of the parameters.
    """

    def __init__(
        self,
        dim: int,
        *,
        widths: Sequence[int],
        norm: str = "none",
        batch_groups: int | None = None,
        activation: Callable[[Array], Array] = jax.nn.relu,
        bias: bool = True,
        last_norm: bool = False,
        norms: Sequence[str] = (),
        last_bias: bool = True,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        if not widths:
            raise UsageError("an MLP head without widths given; name at least one, or no head")
        super().__init__(
            (dim, *widths),
            norm=norm,
            activation=activation,
            bias=bias,
            last_norm=last_norm,
            norms=norms,
            last_activation=False,
            last_bias=last_bias,
            rngs=rngs,
            axis_name=axis_name,
            batch_groups=batch_groups,
            dtype=dtype,
            param_dtype=param_dtype,
        )
        self.embedding_dim = widths[-1]


class ReweightingHead(nnx.Module):
    r"""Fixed, untrained head: coordinate i of the feature times κ^{-(i-1)}.

    The factors are formed from their logarithms. They fall below the smallest normal number of
    the type near i - 1 = 87 / ln κ in float32, where devices flush to zero and coordinates
    would silently vanish from loss and gradient: such a width is refused.

    Args:
      dim: Feature width, and embedding width.
      kappa: κ >= 1; 1 leaves the feature alone.
      rngs: Random streams of NNX; unused.
      axis_name: Unused.
      param_dtype: Type of the factors and of the computation.

    Raises:
      UsageError: If kappa is below 1 or not finite, or a factor underflows at this width.

    Source:
      Xue et al., *Investigating the Benefits of Projection Head*, ICLR 2024 (the reweighting
      head proposed there); the underflow bound is derived.
    """

    def __init__(
        self,
        dim: int,
        *,
        kappa: float,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        if not (math.isfinite(kappa) and kappa >= 1.0):
            raise UsageError(f"kappa {kappa} given; the reweighting head needs a finite kappa >= 1")
        smallest = -math.log(float(jnp.finfo(param_dtype).tiny))
        if (dim - 1) * math.log(kappa) > smallest:
            widest = 1 + math.floor(smallest / math.log(kappa))
            raise UsageError(
                f"kappa {kappa} at feature width {dim} given; in {jnp.dtype(param_dtype).name} "
                f"the factors underflow beyond width {widest}; use a smaller kappa or width"
            )
        self.embedding_dim = dim
        self.depth = 1
        self.kappa = kappa
        self.param_dtype = param_dtype

    def __call__(
        self, feature: Float[Array, "batch dim"], *, train: bool
    ) -> list[Float[Array, "batch dim"]]:
        """Return the reweighted feature, as the only layer."""
        factors = np.exp(-math.log(self.kappa) * np.arange(self.embedding_dim))
        weights = jnp.asarray(factors, self.param_dtype)
        return [feature.astype(self.param_dtype) * weights[None, :]]
