"""The vision transformer against a loop in NumPy, its sizes and its refusals."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.nets.head import NoHead
from ssljax.nets.network import make_network
from ssljax.nets.vit import SIZES, Shape, ViT
from ssljax.system.errors import UsageError

SMALL = Shape(width=8, depth=2, heads=2)
IMAGES = np.random.default_rng(0).normal(size=(3, 6, 4, 2))


def network(pooling="token", shape=SMALL, image_shape=(6, 4, 2), patch=2, **options):
    encoder = partial(ViT, image_shape, shape=shape, patch=patch, pooling=pooling, **options)
    return make_network(encoder, NoHead)


def draw(net):
    """Parameters drawn by NumPy, so that no bias is zero and no scale one."""
    rng = np.random.default_rng(1)
    shapes, _ = jax.eval_shape(net.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(0.4 * rng.normal(size=leaf.shape)), shapes)


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def norm(x, layer):
    centered = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6)
    return centered / deviation * layer["scale"] + layer["bias"]


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def twin(params, image, pooling):
    """One image, token by token and head by head."""
    tokens = [
        dense(image[r : r + 2, c : c + 2].reshape(-1), params["embed"])
        for r in range(0, 6, 2)
        for c in range(0, 4, 2)
    ]
    x = np.stack(([params["token"][0]] if pooling == "token" else []) + tokens)
    x = x + params["position"]
    outputs = {"stem": x}
    for block in ("block1", "block2"):
        p = params[block]
        qkv = dense(norm(x, p["norm1"]), p["qkv"])
        mixed = np.zeros_like(x)
        for head in range(2):
            query, key, value = (
                qkv[:, part * 8 + head * 4 : part * 8 + head * 4 + 4] for part in range(3)
            )
            weights = np.exp(query @ key.T / 2.0)
            mixed[:, head * 4 : head * 4 + 4] = weights / weights.sum(1, keepdims=True) @ value
        x = x + dense(mixed, p["out"])
        x = x + dense(gelu(dense(norm(x, p["norm2"]), p["hidden"])), p["last"])
        outputs[block] = x
    outputs["feature"] = norm(x, params["norm"])
    pool = (lambda x: x[0]) if pooling == "token" else (lambda x: x.mean(0))
    maps = {f"{name}/map": value[-6:].reshape(3, 2, 8) for name, value in outputs.items()}
    del maps["feature/map"]
    return {name: pool(value) for name, value in outputs.items()} | maps


@pytest.mark.parametrize("pooling", ["token", "mean"])
def test_every_layer_equals_its_numpy_twin(pooling):
    with jax.enable_x64(True):
        net = network(pooling, param_dtype=jnp.float64)
        params = draw(net)
        layers = (*net.layers[1:-1], "stem/map", "block2/map")
        run = jax.jit(partial(net.apply, train=False, layers=layers))
        found, _ = run(params, {}, jnp.asarray(IMAGES))
    assert net.layers == ("input", "stem", "block1", "block2", "feature", "embedding")
    for index, image in enumerate(IMAGES):
        expected = twin(jax.device_get(params)["encoder"], image, pooling)
        for name in layers:
            np.testing.assert_allclose(found[name][index], expected[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("size", "count"), [("tiny", 5_524_416), ("small", 21_665_664)])
def test_parameters_at_224_pixels_are_those_of_the_published_sizes(size, count):
    net = network(shape=SIZES[size], image_shape=(224, 224, 3), patch=0)
    shapes, statistics = jax.eval_shape(net.init, jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count
    assert statistics == {}


def test_bfloat16_features_are_float32_and_close_and_a_wrong_patch_is_refused():
    net = network(dtype=jnp.bfloat16)
    params = jax.tree.map(jnp.float32, draw(net))
    outputs, _ = jax.jit(partial(net.apply, train=True, layers=("feature",)))(
        params, {}, jnp.float32(IMAGES)
    )
    assert outputs["feature"].dtype == jnp.float32
    expected = twin(jax.device_get(params)["encoder"], IMAGES[0], "token")["feature"]
    # Two blocks of bfloat16 roundings, 4e-3 each, of numbers of size one.
    np.testing.assert_allclose(outputs["feature"][0], expected, atol=0.1)
    with pytest.raises(UsageError, match="patches of 4 pixels given for images of 6 x 4"):
        network(patch=4)
