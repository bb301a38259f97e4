"""Encoders and heads against published counts, plain loops and the initialization laws."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.nets.head import LinearHead, MLPHead, NoHead
from ssljax.nets.linear import LinearEncoder, linear_weights
from ssljax.nets.mlp import MLPEncoder
from ssljax.nets.network import make_network
from ssljax.nets.resnet import ResNet, resnet_stages
from ssljax.system.errors import UsageError


def applied(network):
    return jax.jit(network.apply, static_argnames=("train", "layers"))


def filled(network, seed=0):
    """Parameters and statistics drawn by NumPy: no compilation, and no bias left at zero."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        value = rng.normal(size=leaf.shape)
        if path[-1].key == "kernel":
            value *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
        elif path[-1].key in ("scale", "var"):
            value = 1 + 0.1 * np.abs(value)
        else:
            value *= 0.1
        return jnp.asarray(value, leaf.dtype)

    abstract = jax.eval_shape(network.init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(draw, abstract)


def num_params(network):
    params, _ = jax.eval_shape(network.init, jax.random.key(0))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("depth", "feature_dim", "published"),
    [
        (18, 512, 11_689_512),
        pytest.param(34, 512, 21_797_672, marks=pytest.mark.slow),
        (50, 2048, 25_557_032),
        pytest.param(101, 2048, 44_549_160, marks=pytest.mark.slow),
    ],
)
def test_parameter_counts_equal_the_published_ones(depth, feature_dim, published):
    stages, block = resnet_stages(depth)
    encoder = partial(ResNet, (224, 224, 3), stage_sizes=stages, block=block, stem="imagenet")
    assert num_params(make_network(encoder, NoHead)) + feature_dim * 1000 + 1000 == published


def test_parameter_counts_of_the_cifar_stem():
    assert num_params(make_network(partial(ResNet, (32, 32, 3)), NoHead)) == 11_168_832
    # ResNet-20 with projection shortcuts and ten classes has 272 474.
    small = partial(ResNet, (32, 32, 3), stage_sizes=resnet_stages(20)[0], width=16)
    assert num_params(make_network(small, NoHead)) + 64 * 10 + 10 == 272_474


def test_imagenet_stem_divides_the_resolution_by_thirty_two():
    encoder = partial(ResNet, (64, 64, 3), stage_sizes=(1, 1, 1, 1), width=8, stem="imagenet")
    network = make_network(encoder, NoHead)
    names = tuple(f"{name}/map" for name in ("stem", "stage1", "stage2", "stage3", "stage4"))

    def maps(params, statistics, images):
        return network.apply(params, statistics, images, train=False, layers=names)[0]

    state = jax.eval_shape(network.init, jax.random.key(0))
    shapes = jax.eval_shape(maps, *state, jax.ShapeDtypeStruct((1, 64, 64, 3), "float32"))
    assert [shapes[name].shape[1] for name in names] == [16, 16, 8, 4, 2]


def conv(x, kernel, stride):
    """Convolution as a sum over shifted images, padding (k - 1) / 2 on each side."""
    size = kernel.shape[0]
    pad = (size - 1) // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height = (x.shape[1] - size) // stride + 1
    out = 0.0
    for i in range(size):
        for j in range(size):
            end = stride * (height - 1) + 1
            out = out + x[:, i : i + end : stride, j : j + end : stride] @ kernel[i, j]
    return out


def batch_norm(x, layer):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(var + 1e-5) * layer["scale"] + layer["bias"]


def relu(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_forward_pass_equals_a_float64_twin_with_the_stride_in_the_three_by_three(block):
    network = make_network(
        partial(ResNet, (8, 8, 2), stage_sizes=(1, 1), width=4, block=block), NoHead
    )
    params, statistics = filled(network)
    images = jax.random.normal(jax.random.key(1), (3, 8, 8, 2))
    weights = jax.tree.map(lambda x: np.asarray(x, np.float64), params["encoder"])
    x = np.asarray(images, np.float64)
    x = relu(batch_norm(conv(x, weights["stem_conv"]["kernel"], 1), weights["stem_norm"]))
    for stage, stride in (("stage1", 1), ("stage2", 2)):
        layer = weights[stage]["block1"]
        strides = (stride, 1) if block == "basic" else (1, stride, 1)
        y = x
        for i, step in enumerate(strides, start=1):
            y = batch_norm(conv(y, layer[f"conv{i}"]["kernel"], step), layer[f"norm{i}"])
            y = y if i == len(strides) else relu(y)
        if "shortcut_conv" in layer:
            x = batch_norm(
                conv(x, layer["shortcut_conv"]["kernel"], stride), layer["shortcut_norm"]
            )
        x = relu(x + y)
    outputs, _ = applied(network)(params, statistics, images, train=True)
    np.testing.assert_allclose(outputs["embedding"], x.mean((1, 2)), rtol=2e-4, atol=2e-5)


def test_convolutions_start_with_the_variance_of_he_by_fan_out():
    network = make_network(partial(ResNet, (32, 32, 3), stage_sizes=(1, 1)), NoHead)
    params, _ = jax.jit(network.init)(jax.random.key(0))
    kernel = params["encoder"]["stage2"]["block1"]["conv1"]["kernel"]
    assert kernel.shape == (3, 3, 64, 128)
    # 73 728 normal draws: the relative deviation of the variance is sqrt(2 / n) = .0052.
    assert float(jnp.var(kernel)) == pytest.approx(2 / (9 * 128), rel=0.03)


@pytest.mark.parametrize("norm", ["group", "none"])
def test_without_batch_norm_nothing_depends_on_the_rest_of_the_batch(norm):
    encoder = partial(ResNet, (8, 8, 1), stage_sizes=(1, 1), width=8, norm=norm)
    network = make_network(encoder, NoHead)
    params, statistics = filled(network)
    assert statistics == {}
    images = jax.random.normal(jax.random.key(1), (6, 8, 8, 1))
    whole, _ = applied(network)(params, statistics, images, train=True)
    part, _ = applied(network)(params, statistics, images[:2], train=True)
    np.testing.assert_allclose(whole["embedding"][:2], part["embedding"], rtol=1e-4, atol=1e-6)


def test_zero_residual_blocks_start_as_the_identity_on_rectified_maps():
    encoder = partial(ResNet, (8, 8, 1), stage_sizes=(2,), width=4, zero_residual=True)
    network = make_network(encoder, NoHead)
    images = jax.random.normal(jax.random.key(1), (6, 8, 8, 1))
    outputs, _ = applied(network)(
        *jax.jit(network.init)(jax.random.key(0)),
        images,
        train=True,
        layers=("stem/map", "stage1/map"),
    )
    np.testing.assert_array_equal(outputs["stem/map"], outputs["stage1/map"])


@pytest.mark.parametrize("dims", [(6, 6, 6, 6), (9, 4, 7), (5, 8, 3, 6)])
def test_balanced_weights_are_balanced_with_every_nonzero_gram_eigenvalue_at_the_scale(dims):
    weights = linear_weights(jax.random.key(3), dims, init="balanced", scale=0.7)
    assert [weight.shape for weight in weights] == list(zip(dims[1:], dims[:-1]))
    for below, above in pairwise(weights):
        np.testing.assert_allclose(above.T @ above, below @ below.T, atol=3e-6)
    for weight in weights:
        eigenvalues = np.linalg.eigvalsh(np.asarray(weight.T @ weight))
        expected = np.zeros(weight.shape[1])
        expected[-min(dims) :] = 0.7
        np.testing.assert_allclose(eigenvalues, expected, atol=3e-6)


def test_balanced_layers_are_different_random_matrices():
    first, second = linear_weights(jax.random.key(3), (6, 6, 6))
    assert np.abs(np.asarray(first - second)).max() > 0.1


def test_identity_and_gaussian_weights_follow_their_definitions():
    for weight in linear_weights(jax.random.key(0), (3, 3, 2), init="identity", scale=0.1):
        np.testing.assert_allclose(weight, 0.1 * np.eye(*weight.shape))
    (weight,) = linear_weights(jax.random.key(0), (400, 100), init="gaussian", scale=0.5)
    assert float(jnp.std(weight)) == pytest.approx(0.5 / 20, rel=0.03)


def test_a_linear_head_is_the_product_of_its_matrices_given_ones_included():
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=(4, 5)), rng.normal(size=(2, 4))]
    given = [jnp.asarray(matrix, jnp.float32) for matrix in matrices]
    network = make_network(
        partial(LinearEncoder, (1, 5, 1), widths=()), partial(LinearHead, widths=(4, 2), init=given)
    )
    params, statistics = jax.jit(network.init)(jax.random.key(0))
    np.testing.assert_array_equal(params["head"]["layer1"]["kernel"].T, given[0])
    images = rng.normal(size=(3, 1, 5, 1))
    outputs, _ = applied(network)(
        params, statistics, jnp.float32(images), train=True, layers=("feature", "head1")
    )
    feature = images.reshape(3, 5)
    np.testing.assert_allclose(outputs["feature"], feature, rtol=1e-6)
    np.testing.assert_allclose(outputs["head1"], feature @ matrices[0].T, rtol=1e-5)
    expected = feature @ matrices[0].T @ matrices[1].T
    np.testing.assert_allclose(outputs["embedding"], expected, rtol=1e-4, atol=1e-6)
    assert set(params) == {"head"}


def test_linear_encoder_layers_are_stages_and_then_the_feature():
    network = make_network(partial(LinearEncoder, (4, 4, 1), widths=(8, 8, 6), scale=0.7), NoHead)
    assert network.layers == ("input", "stage1", "stage2", "feature", "embedding")
    assert num_params(network) == 16 * 8 + 8 * 8 + 8 * 6


def test_mlp_encoder_and_head_equal_a_plain_loop():
    network = make_network(
        partial(MLPEncoder, (2, 3, 1), widths=(5, 4), feature_scale=0.25),
        partial(MLPHead, widths=(7, 6, 3), norm="batch", activation=jnp.tanh),
    )
    params, statistics = filled(network)
    images = jax.random.normal(jax.random.key(1), (8, 2, 3, 1))
    names = ("stage1", "feature", "head1", "head2", "head3")
    outputs, _ = applied(network)(params, statistics, images, train=True, layers=names)
    weights = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    layers = weights["encoder"]["perceptron"]
    x = np.asarray(images, np.float64).reshape(8, 6)
    x = relu(x @ layers["layer1"]["kernel"] + layers["layer1"]["bias"])
    np.testing.assert_allclose(outputs["stage1"], x, rtol=1e-5, atol=1e-6)
    x = 0.25 * (x @ layers["layer2"]["kernel"] + layers["layer2"]["bias"])
    np.testing.assert_allclose(outputs["feature"], x, rtol=1e-5, atol=1e-6)
    for i in (1, 2):
        x = x @ weights["head"][f"layer{i}"]["kernel"]
        norm = weights["head"][f"norm{i}"]
        x = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * norm["scale"] + norm["bias"]
        x = np.tanh(x)
        np.testing.assert_allclose(outputs[f"head{i}"], x, rtol=1e-3, atol=1e-4)
    x = x @ weights["head"]["layer3"]["kernel"] + weights["head"]["layer3"]["bias"]
    np.testing.assert_allclose(outputs["embedding"], x, rtol=1e-3, atol=1e-4)
    assert "bias" not in params["head"]["layer1"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: resnet_stages(19), "depth 19"),
        (lambda: make_network(partial(ResNet, (8, 8, 1), block="dense"), NoHead), "block 'dense'"),
        (lambda: make_network(partial(ResNet, (8, 8, 1), stem="big"), NoHead), "stem 'big'"),
        (lambda: make_network(partial(ResNet, (8, 8, 1), norm="layer"), NoHead), "norm 'layer'"),
        (lambda: make_network(partial(ResNet, (8, 8, 1), stage_sizes=(0,)), NoHead), "stage sizes"),
        (lambda: make_network(partial(MLPEncoder, (2, 2, 1), widths=()), NoHead), "widths"),
        (lambda: linear_weights(jax.random.key(0), (4, 0)), "width must be at least 1"),
        (lambda: linear_weights(jax.random.key(0), (4, 2), scale=-1.0), "scale -1.0"),
        (
            lambda: make_network(
                partial(LinearEncoder, (2, 2, 1), widths=(3,), init=[jnp.ones((4, 3))]), NoHead
            ),
            r"shapes \(\(4, 3\),\) given",
        ),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(build, message):
    with pytest.raises(Exception, match=message) as caught:
        build()
    assert isinstance(caught.value, UsageError)
