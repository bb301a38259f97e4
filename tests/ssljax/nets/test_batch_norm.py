"""The derivatives of batch normalization are those of its definition."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ssljax.nets.normalization import BatchNorm, _normalize


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

        got = jax.jit(lambda: derivatives(lambda x: _ours(x, groups)))()
        wanted = jax.jit(lambda: derivatives(lambda x: _definition(x, groups or 1)))()
        for ours, plain in zip(got, wanted, strict=True):
            np.testing.assert_allclose(ours, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("running_mean", "passes"), [(1000.0, 1), (996.5, 1), (0.0, 2)])
def test_statistics_of_mean_1000_and_deviation_1_are_exact_to_the_stated_bound(
    running_mean, passes
):
    """33 (3 + log2 n) u of the variance; one pass around 0 would be off by 1e6 u, 6 %."""
    count = 4096
    x = np.float32(np.random.default_rng(0).normal(1000.0, 1.0, (count, 1)))
    exact = np.float64(x)
    layer = BatchNorm(1, rngs=nnx.Rngs(0))
    layer.mean[...] = jnp.full(1, running_mean)

    @jax.jit
    def normalize(x, shift):
        return _normalize(x, jnp.ones(1), jnp.zeros(1), shift, (0,), None, 1e-5)

    normalized, mean, variance = normalize(x, layer.mean[...])
    bound = 33 * (3 + np.log2(count)) * 2.0**-24
    assert abs(float(variance[0, 0]) - exact.var()) < bound * exact.var()
    # The mean is returned in float32: half a unit in its last place is 3e-5.
    assert abs(float(mean[0, 0]) - exact.mean()) < 4e-5
    expected = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5)
    np.testing.assert_allclose(normalized, expected, atol=5 * bound)
    distance = (running_mean - exact.mean()) ** 2 / exact.var()
    assert (distance > 16) == (passes == 2)


@pytest.mark.optimized
def test_eight_devices_reduce_once_forward_and_once_backward():
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    batch = NamedSharding(mesh, PartitionSpec("batch"))
    whole = NamedSharding(mesh, PartitionSpec())

    def both(x, cotangent, shift):
        def normalize(x):
            return _normalize(x, jnp.ones(4), jnp.zeros(4), shift, (0,), None, 1e-5)[0]

        output, pull = jax.vjp(normalize, x)
        return output, pull(cotangent)

    step = jax.jit(both, in_shardings=(batch, batch, whole), out_shardings=batch)
    text = step.lower(jnp.ones((16, 4)), jnp.ones((16, 4)), jnp.zeros(4)).compile().as_text()
    entry = text[text.index("ENTRY") :]  # without the branch that a far mean takes
    assert len(re.findall(r"all-reduce(?:-start)?\(", entry)) == 2
    assert len(re.findall(r"all-reduce(?:-start)?\(", text)) == 3
