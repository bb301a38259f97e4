"""Normalization layers: one way to ask for batch, group or no normalization, and centering."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from ssljax.nets.network import Numerics
from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError
from ssljax.system.settings import POSITIVE, Settings, setting

ONES = nnx.initializers.ones_init()
_FARTHEST = 16.0
"""Squared distance of running and batch mean, in variances, up to which one pass is exact."""
Norm = Literal["batch", "batch_per_device", "group", "none"]


@dataclass(frozen=True, kw_only=True)
class NormSettings(Settings):
    """Settings of the normalization inside an encoder, and of the feature that it gives."""

    norm: Norm = setting(
        "batch",
        "normalization; batch: over the global batch; batch_per_device: over each device's part",
    )
    feature_centering: bool = setting(
        False,
        "subtract the batch mean of the feature (the running mean in evaluation)",
        exclusive=True,
    )
    feature_scale: float = setting(1.0, "fixed factor on the feature", POSITIVE, exclusive=True)


def norm_options(norm: Norm, numerics: Numerics) -> dict[str, Any]:
    """Return the keywords with which a network is told its normalization."""
    if norm == "batch_per_device":
        return {"norm": "batch", "batch_groups": numerics.batch_groups}
    return {"norm": norm}


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _normalize(x, scale, bias, shift, over, axis_name, epsilon):
    """Return the normalized array in the type of x, and the batch's mean and variance.

    ``shift`` has the mean's role in the sums and no derivative; neither has what is returned of the
    statistics. The backward pass is written by hand: its two sums over the batch are also the
    gradients of bias and scale, where automatic differentiation takes two more reductions.
    """
    return _normalize_forward(x, scale, bias, shift, over, axis_name, epsilon)[0]


def _normalize_forward(x, scale, bias, shift, over, axis_name, epsilon):
    wide = x.astype(shift.dtype)
    channels = (1,) * (x.ndim - 1) + (-1,)

    def moments(shift):
        distance = wide - shift
        return _means(distance, distance * distance, over, axis_name)

    shift = jnp.broadcast_to(
        shift.reshape(channels), (*(1 if i in over else n for i, n in enumerate(x.shape)),)
    )
    offset, square = moments(shift)
    is_far = jnp.any(offset * offset > _FARTHEST * (square - offset * offset + epsilon))

    def move(shift, offset):
        return shift + offset, *moments(shift + offset)

    shift, offset, square = jax.lax.cond(
        is_far, move, lambda shift, offset: (shift, offset, square), shift, offset
    )
    variance = jnp.maximum(square - offset * offset, 0.0)
    inverse = jax.lax.rsqrt(variance + epsilon)
    standardized = ((wide - shift) - offset) * inverse
    normalized = standardized * scale.reshape(channels) + bias.reshape(channels)
    saved = (x, shift, offset, inverse, scale)
    return (normalized.astype(x.dtype), shift + offset, variance), saved


def _normalize_backward(over, axis_name, epsilon, saved, cotangents):
    x, shift, offset, inverse, scale = saved
    channels = (1,) * (x.ndim - 1) + (-1,)
    cotangent = cotangents[0].astype(shift.dtype)
    standardized = ((x.astype(shift.dtype) - shift) - offset) * inverse
    along = cotangent * standardized
    local = _means(cotangent, along, over, None)
    count = math.prod(x.shape[i] for i in over)
    bias_gradient, scale_gradient = (
        count * jnp.sum(mean.reshape(-1, x.shape[-1]), axis=0).astype(scale.dtype) for mean in local
    )
    # Each device's own parameters' gradients are averaged later, by the trainer.
    if axis_name is not None:
        local = tuple(jax.lax.pmean(local, axis_name))
    mean, mean_along = local
    x_gradient = (cotangent - mean - standardized * mean_along) * inverse * scale.reshape(channels)
    return (
        x_gradient.astype(x.dtype),
        scale_gradient,
        bias_gradient,
        jnp.zeros(x.shape[-1], shift.dtype),
    )


_normalize.defvjp(_normalize_forward, _normalize_backward)


def _means(first, second, over, axis_name) -> tuple[Array, ...]:
    """Return the means of two arrays over axes and devices, in one pass and one all-reduce."""
    means = jnp.mean(first, axis=over, keepdims=True), jnp.mean(second, axis=over, keepdims=True)
    return means if axis_name is None else tuple(jax.lax.pmean(means, axis_name))


class BatchNorm(nnx.BatchNorm):
    """Batch normalization in one pass over the batch, with statistics in at least float32.

    Under ``jax.jit`` the statistics are those of the global batch; under ``jax.pmap`` they are
    averaged over ``axis_name``, or kept per device where that is None. Momentum .9. bfloat16
    inputs are normalized in float32 and given back as bfloat16.

    The variance is E d² - (E d)² of the distances d from the running mean, so that both
    statistics come from one pass and one all-reduce, as do the two sums of the backward pass.
    With u the rounding of the type, the sums of n terms have a relative error of at most
    (3 + log2 n) u, and as long as (E d)² <= 16 (variance + ε) the error of variance + ε is at
    most 33 (3 + log2 n) u of itself. Where the running mean is farther away (at the start, after
    a change of data) a second pass around the batch's own mean is taken.

    With ``batch_groups`` the batch is cut into that many contiguous parts, each normalized by its
    own statistics: what that many devices would do each for itself, on any number of devices.
    Under ``jax.pmap`` a device's own batch is cut. Running statistics are then the means over
    all parts.
    """

    def __init__(
        self,
        num_features: int,
        *,
        rngs: nnx.Rngs,
        axis_name: str | None = None,
        batch_groups: int | None = None,
        param_dtype: DTypeLike = jnp.float32,
        scale_init: nnx.Initializer = ONES,
    ):
        if batch_groups is not None and batch_groups < 1:
            raise UsageError(f"{batch_groups} groups of the batch given; use 1 or more")
        self.batch_groups = batch_groups
        super().__init__(
            num_features,
            momentum=0.9,
            use_fast_variance=False,
            axis_name=axis_name,
            param_dtype=param_dtype,
            scale_init=scale_init,
            rngs=rngs,
        )
        # Flax keeps running statistics in float32; in a float64 model their type would change
        # at the first update, and the step would be compiled twice.
        dtype = jnp.promote_types(param_dtype, jnp.float32)
        self.mean = nnx.BatchStat(jnp.zeros(num_features, dtype))
        self.var = nnx.BatchStat(jnp.ones(num_features, dtype))

    def __call__(self, x: Float[Array, "*batch features"], *, train: bool):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the normalized array, of the input's type."""
        if not train:
            return super().__call__(x, use_running_average=True).astype(x.dtype)
        parts = x if self.batch_groups is None else self._cut(x)
        axis_name = self.axis_name if self.batch_groups is None else None
        over = tuple(range(x.ndim - 1)) if self.batch_groups is None else (1,)
        assert self.scale is not None
        assert self.bias is not None
        shift = self.mean[...].astype(jnp.promote_types(x.dtype, jnp.float32))
        given = (parts, self.scale[...], self.bias[...], shift, over, axis_name, self.epsilon)
        normalized, mean, variance = cast(tuple[Array, Array, Array], _normalize(*given))
        self._keep(mean, variance)
        return normalized.reshape(x.shape)

    def _cut(self, x):
        if x.shape[0] % self.batch_groups:
            raise UsageError(
                f"{x.shape[0]} views given to batch norm in {self.batch_groups} groups; "
                "use a batch size that divides by them"
            )
        return x.reshape(self.batch_groups, -1, x.shape[-1])

    def _keep(self, mean, variance):
        """Move the running statistics towards the means over all parts."""
        for running, found in ((self.mean, mean), (self.var, variance)):
            average = jnp.mean(found, axis=tuple(range(found.ndim - 1)))
            if self.batch_groups is not None and self.axis_name is not None:
                average = jax.lax.pmean(average, self.axis_name)
            moved = self.momentum * running[...] + (1 - self.momentum) * average
            running[...] = jax.lax.stop_gradient(moved).astype(running[...].dtype)


class GroupNorm(nnx.GroupNorm):
    """Group normalization: at most 32 groups, at least two channels in each."""

    def __init__(
        self,
        num_features: int,
        *,
        rngs: nnx.Rngs,
        param_dtype: DTypeLike = jnp.float32,
        scale_init: nnx.Initializer = ONES,
    ):
        most = max(1, min(32, num_features // 2))
        groups = max(g for g in range(1, most + 1) if num_features % g == 0)
        super().__init__(
            num_features,
            num_groups=groups,
            epsilon=1e-5,
            use_fast_variance=False,
            param_dtype=param_dtype,
            scale_init=scale_init,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "*batch features"], *, train: bool):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the normalized array, of the input's type."""
        return super().__call__(x).astype(x.dtype)


class NoNorm(nnx.Module):
    """Leaves its input alone."""

    def __call__(self, x: Float[Array, "*batch features"], *, train: bool):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the array as it is, of the input's type."""
        return x


def make_norm(
    norm: str,
    num_features: int,
    *,
    rngs: nnx.Rngs,
    axis_name: str | None = None,
    batch_groups: int | None = None,
    param_dtype: DTypeLike = jnp.float32,
    scale_init: nnx.Initializer = ONES,
) -> nnx.Module:
    """Return batch, group or no normalization over the last axis, called ``norm(x, train=...)``.

    ``batch_groups`` and ``axis_name`` concern batch normalization only.
    """
    if norm == "none":
        return NoNorm()
    if norm not in ("batch", "group"):
        raise UsageError(f"norm {norm!r} given; use batch, group or none")
    if norm == "group":
        return GroupNorm(num_features, rngs=rngs, param_dtype=param_dtype, scale_init=scale_init)
    return BatchNorm(
        num_features,
        rngs=rngs,
        axis_name=axis_name,
        batch_groups=batch_groups,
        param_dtype=param_dtype,
        scale_init=scale_init,
    )


class FeatureCentering(nnx.Module):
    """Subtracts a mean and multiplies by a fixed factor; the variances stay as they are.

    The mean is the batch's in training and the running one (momentum .9) in evaluation.
    Unlike batch normalization it leaves the ratios of the feature's variances to the theory.
    """

    def __init__(
        self,
        num_features: int,
        *,
        centering: bool,
        factor: float,
        axis_name: str | None = None,
        param_dtype: DTypeLike = jnp.float32,
    ):
        self.factor = factor
        self.axis_name = axis_name
        self.centering = centering
        if centering:
            dtype = jnp.promote_types(param_dtype, jnp.float32)
            self.mean = nnx.BatchStat(jnp.zeros(num_features, dtype))

    def __call__(self, x: Float[Array, "batch features"], *, train: bool):
        """Return the centered, scaled features."""
        if self.centering:
            mean = self.mean[...]
            if train:
                mean = jnp.mean(x, axis=0, dtype=jnp.promote_types(x.dtype, jnp.float32))
                if self.axis_name is not None:
                    mean = jax.lax.pmean(mean, self.axis_name)
                running = 0.9 * self.mean[...] + 0.1 * jax.lax.stop_gradient(mean)
                self.mean[...] = running.astype(self.mean[...].dtype)
            x = x - mean[None, :].astype(x.dtype)
        return x if self.factor == 1.0 else self.factor * x
