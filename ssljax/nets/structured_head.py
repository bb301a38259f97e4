"""Heads with a structure to study: a bottleneck on the sphere, orthonormal weights, whitening."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from ssljax.nets.head import WidthsSettings
from ssljax.nets.initialization import random_frame
from ssljax.nets.linear import LinearLayer
from ssljax.nets.mlp import ACTIVATIONS, LECUN, Activation, Perceptron
from ssljax.nets.network import HeadBuilder, Numerics
from ssljax.nets.normalization import Norm, norm_options
from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError
from ssljax.system.settings import POSITIVE, Settings, setting


@dataclass(frozen=True, kw_only=True)
class BottleneckSettings(WidthsSettings):
    """Settings of `BottleneckHead`."""

    norm: Norm = setting("none", "normalization of hidden layers")
    activation: Activation = setting("relu", "activation of hidden layers")


def build_bottleneck_head(settings: BottleneckSettings, numerics: Numerics) -> HeadBuilder:
    """Return the builder of a `BottleneckHead`."""
    return partial(
        BottleneckHead,
        widths=settings.widths,
        activation=ACTIVATIONS[settings.activation],
        param_dtype=numerics.param_dtype,
        dtype=numerics.dtype,
        **norm_options(settings.norm, numerics),
    )


class BottleneckHead(nnx.Module):
    """Perceptron to a narrow layer, its rows put on the unit sphere, then a linear map.

    Args:
      dim: Feature width.
      widths: Hidden widths, then the bottleneck's, then the embedding's; at least two.
      norm: Normalization of the hidden layers.
      batch_groups: Parts of the batch that batch norm treats each for itself; None: global.
      activation: Of the hidden layers; none on the bottleneck.
      rngs: Random streams of NNX.
      axis_name: Axis of ``jax.pmap`` over which batch statistics are averaged.
      dtype: Type of the perceptron's computation; None follows ``param_dtype``.
      param_dtype: Type of the parameters.

    Source:
      Caron et al., *DINO*, ICCV 2021, without the fixed norms of its last layer's weights.
    """

    def __init__(
        self,
        dim: int,
        *,
        widths: Sequence[int],
        norm: str = "none",
        batch_groups: int | None = None,
        activation=jax.nn.relu,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        if len(widths) < 2:
            raise UsageError(
                f"widths {tuple(widths)} given for a bottleneck head; give --head.widths those of"
                " the bottleneck and of the embedding, after any hidden ones"
            )
        *inner, outputs = widths
        self.perceptron = Perceptron(
            (dim, *inner),
            norm=norm,
            activation=activation,
            bias=True,
            last_norm=False,
            last_activation=False,
            last_bias=True,
            rngs=rngs,
            axis_name=axis_name,
            batch_groups=batch_groups,
            dtype=dtype,
            param_dtype=param_dtype,
        )
        self.kernel = nnx.Param(LECUN(rngs.params(), (inner[-1], outputs), param_dtype))
        self.embedding_dim = outputs
        self.depth = len(widths)

    def __call__(
        self, feature: Float[Array, "batch dim"], *, train: bool
    ) -> list[Float[Array, "batch _"]]:
        """Return the outputs of layers 1 to depth; the bottleneck's is on the unit sphere."""
        *hidden, narrow = self.perceptron(feature, train=train)
        kernel = self.kernel[...]
        narrow = narrow.astype(kernel.dtype)
        squares = jnp.sum(narrow**2, axis=1, keepdims=True)
        is_zero = squares == 0
        unit = jnp.where(is_zero, 0.0, narrow * jax.lax.rsqrt(jnp.where(is_zero, 1.0, squares)))
        return [*hidden, unit, jnp.matmul(unit, kernel, precision="highest")]


@dataclass(frozen=True, kw_only=True)
class OrthogonalSettings(WidthsSettings):
    """Settings of `OrthogonalHead`."""


def build_orthogonal_head(settings: OrthogonalSettings, numerics: Numerics) -> HeadBuilder:
    """Return the builder of an `OrthogonalHead`."""
    return partial(OrthogonalHead, widths=settings.widths, param_dtype=numerics.param_dtype)


class OrthogonalHead(nnx.Module):
    r"""Linear head whose matrices keep orthonormal rows or columns, whichever are fewer.

    Layer l is x -> x Q with Q the orthogonal factor of the trained kernel K = Q R (of its
    transpose where the layer widens), R with a positive diagonal. Every W_lᵀ W_l is a projection:
    the head can choose a subspace and can weigh nothing in it.

    The gradient is that of the composition. It vanishes along every change of K that changes R
    alone, K -> K T with T triangular of positive diagonal, and so in particular along K itself.
    Weight decay on K therefore changes no output; it shrinks R and so enlarges the steps.

    Args:
      dim: Feature width.
      widths: Output width of each layer.
      rngs: Random streams of NNX; Q starts uniformly distributed.
      axis_name: Unused.
      param_dtype: Type of the kernels and of the computation, at least float32.

    Accuracy:
      Orthonormal to rounding of a QR factorization at every step, about 1e-6 in float32. Not
      differentiable where a kernel loses rank, which descent does not reach: steps in K are
      orthogonal to it, so that its columns only grow.
    """

    def __init__(
        self,
        dim: int,
        *,
        widths: Sequence[int],
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        dims = (dim, *widths)
        self.depth = len(widths)
        self.embedding_dim = dims[-1]
        for number, (inputs, outputs) in enumerate(pairwise(dims), start=1):
            tall = random_frame(
                rngs.params(), max(inputs, outputs), min(inputs, outputs), param_dtype
            )
            setattr(self, f"layer{number}", LinearLayer(tall.T if inputs >= outputs else tall))

    def __call__(
        self, feature: Float[Array, "batch dim"], *, train: bool
    ) -> list[Float[Array, "batch _"]]:
        """Return the outputs of layers 1 to depth."""
        outputs, x = [], feature
        for number in range(1, self.depth + 1):
            matrix = orthonormal(getattr(self, f"layer{number}").kernel[...])
            x = jnp.matmul(x.astype(matrix.dtype), matrix, precision="highest")
            outputs.append(x)
        return outputs


def orthonormal(kernel: Float[Array, "in out"]) -> Float[Array, "in out"]:
    """Return the matrix of orthonormal columns (rows where it is wide) that a kernel stands for."""
    if kernel.shape[0] < kernel.shape[1]:
        return orthonormal(kernel.T).T
    frame, triangle = jnp.linalg.qr(kernel)
    signs = jnp.where(jnp.diagonal(triangle) < 0, -1, 1).astype(frame.dtype)
    return frame * signs[None, :]


@dataclass(frozen=True, kw_only=True)
class WhiteningSettings(Settings):
    """Settings of `WhiteningHead`."""

    whitening_epsilon: float = setting(
        1e-3,
        "added to every eigenvalue of the feature's covariance, in units of their mean",
        POSITIVE,
    )


def build_whitening_head(settings: WhiteningSettings, numerics: Numerics) -> HeadBuilder:
    """Return the builder of a `WhiteningHead`."""
    return partial(
        WhiteningHead, epsilon=settings.whitening_epsilon, param_dtype=numerics.param_dtype
    )


class WhiteningHead(nnx.Module):
    r"""Untrained head that whitens the feature: embedding = L⁻¹ (x − mean).

    L is the Cholesky factor of C + ε tr(C) / d, C the covariance over the global batch (over the
    devices of ``axis_name`` under ``jax.pmap``); in evaluation mean and C are running averages
    (momentum .9). In a direction of eigenvalue λ the embedding's variance is λ / (λ + ε tr(C) / d):
    1 for what varies, and 0 for what is far below ε of the mean variance, which is not blown up.
    The gradient flows through mean and C. Cholesky and not the symmetric root: its derivative stays
    finite at equal eigenvalues.

    Args:
      dim: Feature width, and embedding width.
      epsilon: ε > 0, relative to the mean variance.
      rngs: Random streams of NNX; unused.
      axis_name: Axis of ``jax.pmap`` over which statistics are averaged.
      param_dtype: Type of the statistics and of the computation, at least float32.

    Source:
      Ermolov et al., *Whitening for Self-Supervised Representation Learning*, ICML 2021, for
      whitening by Cholesky factors; the shrinkage is stated here.
    """

    def __init__(
        self,
        dim: int,
        *,
        epsilon: float = 1e-3,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        dtype = jnp.promote_types(param_dtype, jnp.float32)
        self.embedding_dim = dim
        self.depth = 1
        self.epsilon = epsilon
        self.axis_name = axis_name
        self.mean = nnx.BatchStat(jnp.zeros(dim, dtype))
        self.covariance = nnx.BatchStat(jnp.eye(dim, dtype=dtype))

    def __call__(
        self, feature: Float[Array, "batch dim"], *, train: bool
    ) -> list[Float[Array, "batch dim"]]:
        """Return the whitened feature, as the only layer."""
        x = feature.astype(self.mean[...].dtype)
        mean, covariance = self.mean[...], self.covariance[...]
        if train:
            mean = self._average(jnp.mean(x, axis=0))
            centered = x - mean[None]
            gram = jnp.matmul(centered.T, centered, precision="highest")
            covariance = self._average(gram / x.shape[0])
            for running, found in ((self.mean, mean), (self.covariance, covariance)):
                moved = 0.9 * running[...] + 0.1 * jax.lax.stop_gradient(found)
                running[...] = moved.astype(running[...].dtype)
        dim = x.shape[1]
        shrinkage = self.epsilon * jnp.trace(covariance) / dim
        # A constant feature has no variance at all: its embedding is 0.
        shrinkage = jnp.where(shrinkage > 0, shrinkage, 1.0)
        factor = jnp.linalg.cholesky(covariance + shrinkage * jnp.eye(dim, dtype=x.dtype))
        white = jax.scipy.linalg.solve_triangular(factor, (x - mean[None]).T, lower=True)
        return [white.T]

    def _average(self, values):
        return values if self.axis_name is None else jax.lax.pmean(values, self.axis_name)
