"""Heads with a structure: what they promise about their outputs, in training and evaluation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ssljax.nets.head import MLPHead
from ssljax.nets.linear import LinearEncoder
from ssljax.nets.network import make_network
from ssljax.nets.structured_head import (
    BottleneckHead,
    OrthogonalHead,
    WhiteningHead,
    orthonormal,
)
from ssljax.system.errors import UsageError

X = jnp.asarray(np.random.default_rng(0).normal(size=(64, 6)) @ np.diag([3, 2, 1, 1, 0.5, 0.1]))
X = jnp.float32(X + 2.0)


def network(head, **options):
    return make_network(partial(LinearEncoder, (6, 1, 1), widths=()), partial(head, **options))


def run(net, params, statistics, train=True):
    names = tuple(name for name in net.layers if name.startswith("head"))
    function = jax.jit(partial(net.apply, train=train, layers=names))
    return function(params, statistics, X.reshape(64, 6, 1, 1))


def test_whitened_features_have_the_stated_variances_and_evaluation_uses_running_ones():
    net = network(WhiteningHead, epsilon=1e-3)
    params, statistics = net.init(jax.random.key(0))
    outputs, moved = run(net, params, statistics)
    exact = np.float64(X) - np.float64(X).mean(0)
    covariance = exact.T @ exact / 64
    shrunk = covariance + 1e-3 * np.trace(covariance) / 6 * np.eye(6)
    factor = np.linalg.cholesky(shrunk)
    np.testing.assert_allclose(outputs["embedding"], np.linalg.solve(factor, exact.T).T, atol=2e-4)
    head = moved["head"]
    np.testing.assert_allclose(head["covariance"], 0.9 * np.eye(6) + 0.1 * covariance, rtol=1e-4)
    evaluated, kept = run(net, params, moved, train=False)
    factor = np.linalg.cholesky(
        np.float64(head["covariance"]) + 1e-3 * np.trace(head["covariance"]) / 6 * np.eye(6)
    )
    expected = np.linalg.solve(factor, (np.float64(X) - np.float64(head["mean"])).T).T
    np.testing.assert_allclose(evaluated["embedding"], expected, atol=2e-4)
    jax.tree.map(np.testing.assert_array_equal, kept, moved)


def test_whitening_on_eight_devices_is_that_on_one_and_constant_features_are_safe():
    net = network(WhiteningHead)
    state = net.init(jax.random.key(0))

    def loss(images):
        outputs, _ = net.apply(*state, images, train=True)
        return jnp.sum(jnp.sin(outputs["embedding"]))

    function = jax.jit(jax.value_and_grad(loss))
    images = X.reshape(64, 6, 1, 1)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec("batch")))
    for one, other in zip(function(images), function(spread)):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
    value, gradient = function(jnp.ones_like(images))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("widths", [(4, 3), (9,)])
def test_orthogonal_heads_stay_orthonormal_however_their_kernels_move(widths):
    net = network(OrthogonalHead, widths=widths)
    params, statistics = net.init(jax.random.key(0))
    moved = jax.tree.map(lambda k: k + 0.5 * jnp.cos(jnp.arange(k.size)).reshape(k.shape), params)
    outputs, _ = run(net, moved, statistics)
    x = np.float64(X)
    for number, width in enumerate(widths, start=1):
        matrix = np.float64(orthonormal(moved["head"][f"layer{number}"]["kernel"]))
        small = matrix.T @ matrix if matrix.shape[0] >= width else matrix @ matrix.T
        np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-6)
        x = x @ matrix
        np.testing.assert_allclose(outputs[f"head{number}"], x, atol=1e-4)


def test_the_gradient_of_an_orthogonal_kernel_vanishes_along_triangular_changes():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        kernel, weights = (jnp.asarray(rng.normal(size=(5, 3))) for _ in range(2))

        def loss(kernel):
            return jnp.sum(weights * jnp.sin(orthonormal(kernel)))

        gradient = np.asarray(jax.jit(jax.grad(loss))(kernel))
    triangle = np.triu(rng.normal(size=(3, 3)))
    assert abs(np.sum(gradient * (np.asarray(kernel) @ triangle))) < 1e-12
    step = 1e-6
    direction = rng.normal(size=(5, 3))
    with jax.enable_x64(True):
        ends = [float(loss(kernel + sign * step * direction)) for sign in (1, -1)]
    np.testing.assert_allclose(
        np.sum(gradient * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-7
    )


def test_the_bottleneck_is_on_the_sphere_and_bounds_the_rank():
    net = network(BottleneckHead, widths=(8, 2, 5), activation=jnp.tanh)
    outputs, _ = run(net, *net.init(jax.random.key(0)))
    np.testing.assert_allclose(np.linalg.norm(outputs["head2"], axis=1), 1.0, rtol=1e-5)
    values = np.linalg.svd(np.float64(outputs["embedding"]), compute_uv=False)
    assert values[2] < 1e-6 * values[0] < values[1]
    with pytest.raises(UsageError, match="bottleneck"):
        network(BottleneckHead, widths=(8,))


def test_each_layer_of_a_perceptron_has_the_norm_that_is_named_for_it():
    net = network(MLPHead, widths=(8, 4), norms=("none", "batch"))
    params, statistics = net.init(jax.random.key(0))
    assert set(statistics["head"]) == {"norm2"}
    outputs, _ = run(net, params, statistics)
    np.testing.assert_allclose(outputs["embedding"].std(axis=0), 1.0, rtol=1e-3)
    with pytest.raises(UsageError, match="1 norms given for 2 layers"):
        network(MLPHead, widths=(8, 4), norms=("batch",))
