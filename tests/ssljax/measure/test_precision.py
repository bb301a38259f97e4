"""Whatever trains, what is measured is float32 at the highest precision: no TF32, no bfloat16."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.policies import DIGITS_POLICY
from ssljax.config.config import Config, EncoderConfig, HeadConfig
from ssljax.measure import features, moments, neighbors, probe, settle, sgd_probe
from ssljax.measure.moments import layer_moments
from ssljax.training.build import build_network

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 255, (64, *SHAPE)).astype(np.uint8)
PRODUCT = re.compile(r"stablehlo\.(?:dot_general|convolution)\b")
ENCODERS = {
    "mlp": EncoderConfig(kind="mlp", widths=(16, 16)),
    "resnet": EncoderConfig(kind="resnet", stage_sizes=(1,), width=4),
    "linear": EncoderConfig(kind="linear", widths=(12,)),
}


def bfloat16_network(kind="mlp", **settings):
    head = HeadConfig(kind="mlp", widths=(8, 32), norm="batch")
    config = Config(encoder=ENCODERS[kind], head=head, precision="bfloat16", **settings)
    return build_network(config, SHAPE)


def products(compiled, *args):
    """The matrix products and convolutions of a compiled function, a line of StableHLO each."""
    lines = [line for line in compiled.lower(*args).as_text().splitlines() if PRODUCT.search(line)]
    assert lines
    return lines


def measuring_functions():
    x, labels, key = jnp.ones((12, 4)), jnp.arange(12) % 3, jax.random.key(0)
    start = (jnp.zeros((4, 3)), jnp.zeros(3))
    views, weights = jnp.ones((6, 3, 4)), (jnp.ones((5, 4)), jnp.ones((2, 5)))
    path = settle.settling_path(20, learning_rate=0.1, weight_decay=0.0)
    sums = {"x": moments._Sums(np.zeros((4, 4)), np.zeros((4, 4)), np.zeros(4))}
    yield "sums", moments._add, (None, sums, {"x": views})
    yield "neighbors", neighbors._count_votes, (x, labels, x, 0.1, 2, 3)
    yield "probe", probe._fit, (x, labels, jnp.ones(12), start, 0.1, 5, 1e-5)
    yield "sgd_probe", sgd_probe._descend, (x, labels, key, 0.1, 0.1, 0.9, 3, 2, 4)
    yield "settle", settle.settle_head, (weights, views, key, path)
    gradients = partial(settle.head_gradients.lower, batches=2)
    yield "head_gradients", type("Lowered", (), {"lower": gradients}), (weights, views, key)
    draws = jax.random.split(key, (4, 2))
    batch = (IMAGES[:4], np.arange(4), np.ones(4, np.float32))
    for kind in ENCODERS:
        network = bfloat16_network(kind)
        state = network.init(key)
        apply, names = network.apply, network.layers
        yield f"features of {kind}", features._outputs, (apply, names, *state, IMAGES[:4], 1 / 255)
        drawn = (apply, DIGITS_POLICY, 2, names, *state, batch, 1 / 255, key, 1.0)
        yield f"moments of {kind}", moments._outputs, drawn
        seen = (apply, *state, IMAGES[:4], 1 / 255, draws, 1.0, DIGITS_POLICY, names)
        yield f"views of {kind}", features._view_outputs, seen


def test_every_product_of_what_measures_asks_for_the_highest_precision():
    for name, compiled, args in measuring_functions():
        with jax.enable_x64(name == "sums"):
            lines = products(compiled, *args)
        for line in lines:
            assert "HIGHEST" in line, f"{name}: {line}"
            assert "bf16" not in line, f"{name}: {line}"


def test_training_keeps_computing_in_bfloat16_at_the_precision_of_the_step():
    network = bfloat16_network()

    def loss(params, statistics):
        outputs, _ = network.apply(params, statistics, jnp.ones((4, *SHAPE)), train=True)
        return jnp.sum(outputs["embedding"])

    lines = products(jax.jit(jax.grad(loss)), *network.init(jax.random.key(0)))
    assert any("bf16" in line for line in lines)
    assert not any("HIGHEST" in line for line in lines)


@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_an_embedding_of_rank_eight_has_eight_eigenvalues_though_training_is_in_bfloat16(kind):
    network = bfloat16_network(kind)
    state = network.init(jax.random.key(0))

    def relative_ninth(covariance):
        values = np.linalg.eigvalsh(covariance)[::-1]
        return abs(values[8]) / values[0]

    found = layer_moments(
        network.apply, *state, IMAGES, 1 / 255, jax.random.key(1), DIGITS_POLICY, 1.0,
        views=2, layers=("embedding",),
    )["embedding"]  # fmt: skip
    assert relative_ninth(found["covariance"]) < 1e-10
    trained = jax.jit(partial(network.apply, train=True))
    rounded = np.float64(trained(*state, IMAGES / np.float32(255))[0]["embedding"])
    assert relative_ninth(rounded.T @ rounded) > 1e-8
