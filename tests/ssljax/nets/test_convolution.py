"""Convolutions as the CPU runs them best: the numbers of the plain ones, and of their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ssljax.nets.convolution import convolve, num_parts
from ssljax.system.cpu import compiler_options, keep_freed_memory


def _plain(x, kernel, stride):
    side = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((side, side), (side, side)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _case(side, inputs, size, images=32):
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (images, size, size, inputs))
    return x, jax.random.normal(keys[1], (side, side, inputs, 8)) / side


def _value_and_gradients(function, x, kernel):
    # Squared, so that the cotangent differs from pixel to pixel.
    def objective(x, kernel):
        return jnp.mean(function(x, kernel) ** 2)

    return jax.jit(jax.value_and_grad(objective, argnums=(0, 1)))(x, kernel)


@pytest.mark.parametrize(
    ("side", "stride", "inputs", "size", "parts"),
    [(3, 1, 16, 32, 2), (3, 2, 16, 32, 2), (1, 2, 4, 6, 1), (1, 1, 4, 6, 1)],
)
def test_output_and_gradients_are_those_of_the_plain_convolution(side, stride, inputs, size, parts):
    x, kernel = _case(side, inputs, size)
    assert num_parts(x.shape[0], x.nbytes) == parts
    got = _value_and_gradients(lambda x, k: convolve(x, k, stride, train=True), x, kernel)
    wanted = _value_and_gradients(lambda x, k: _plain(x, k, stride), x, kernel)
    for ours, plain in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        # Sums of up to 2^15 products, rounded to 24 bits.
        scale = float(jnp.max(jnp.abs(plain)))
        np.testing.assert_allclose(ours, plain, atol=2e-6 * scale, rtol=0)


def test_a_batch_divided_over_devices_gives_the_same_gradient():
    x, kernel = _case(3, 16, 32)
    wanted = _value_and_gradients(lambda x, k: convolve(x, k, 1, train=True), x, kernel)
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    divided = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
    got = _value_and_gradients(lambda x, k: convolve(x, k, 1, train=True), divided, kernel)
    scale = float(jnp.max(jnp.abs(wanted[1][1])))
    np.testing.assert_allclose(got[1][1], wanted[1][1], atol=2e-6 * scale, rtol=0)


def test_evaluation_can_be_differentiated_forwards():
    x, kernel = _case(3, 16, 32)

    def derivative(x, direction):
        return jax.jvp(lambda x: convolve(x, kernel, 1, train=False), (x,), (direction,))[1]

    # Lowered, not only traced: a hand-written backward pass fails no earlier.
    assert jax.jit(derivative).lower(x, x).out_info.shape == (32, 32, 32, 8)


def test_parts_divide_the_batch_and_are_never_small():
    for images in (1, 30, 32, 100, 256, 1000):
        for megabytes in (0, 1, 3, 16, 500):
            parts = num_parts(images, megabytes * 2**20)
            assert images % parts == 0
            assert parts == 1 or (images // parts >= 16 and parts <= min(16, megabytes))


def test_options_are_ones_that_this_compiler_knows():
    options = compiler_options()
    assert jax.jit(lambda: jnp.zeros(()), compiler_options=options)() == 0
    assert compiler_options() is options


def test_memory_is_left_alone_where_an_accelerator_is(monkeypatch):
    monkeypatch.setattr("ssljax.system.cpu._ACCELERATORS", ("null",))
    assert keep_freed_memory() is False
    monkeypatch.setattr("ssljax.system.cpu.sys.platform", "darwin")
    assert keep_freed_memory() is False
