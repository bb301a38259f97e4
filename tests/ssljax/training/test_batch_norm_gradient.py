"""The derivatives of batch normalization are those of its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssljax.nets.normalization import BatchNorm


def _definition(x, groups):
    parts = x.reshape(groups, -1, x.shape[-1])
    centered = parts - jnp.mean(parts, axis=1, keepdims=True)
    variance = jnp.mean(centered**2, axis=1, keepdims=True)
    normalized = centered / jnp.sqrt(variance + 1e-5)
    return (normalized * jnp.array([1.5, -0.5, 2.0])[None, None] + 0.25).reshape(x.shape)


def _ours(x, groups):
    layer = BatchNorm(3, rngs=nnx.Rngs(0), batch_groups=groups, param_dtype=jnp.float64)
    assert layer.scale is not None
    assert layer.bias is not None
    layer.scale[...] = jnp.array([1.5, -0.5, 2.0])
    layer.bias[...] = jnp.full(3, 0.25)
    return layer(x, train=True)


@pytest.mark.parametrize("groups", [None, 2])
def test_first_and_second_derivatives_are_those_of_the_definition(groups):
    with jax.enable_x64(True):
        draws = np.random.default_rng(0)
        x, direction, weights = (jnp.asarray(draws.normal(2.0, 1.0, (4, 2, 3))) for _ in range(3))

        def derivatives(function):
            def objective(x):
                return jnp.sum(weights * jnp.sin(function(x)))

            slope = jax.grad(objective)
            return slope(x), jax.jvp(slope, (x,), (direction,))[1]

        got = derivatives(lambda x: _ours(x, groups))
        wanted = derivatives(lambda x: _definition(x, groups or 1))
        for ours, plain in zip(got, wanted, strict=True):
            np.testing.assert_allclose(ours, plain, rtol=1e-10, atol=1e-12)
