"""Heads without matrices: fixed reweighting, diagonal, sub-vector."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.nets.diagonal import DiagonalEncoder, SubvectorHead, SymmetrizedReLUHead
from ssljax.nets.head import ReweightingHead
from ssljax.nets.linear import LinearEncoder
from ssljax.nets.network import make_network
from ssljax.system.errors import UsageError


def test_reweighting_head_multiplies_coordinate_i_by_kappa_to_the_minus_i():
    network = make_network(
        partial(LinearEncoder, (1, 6, 1), widths=()), partial(ReweightingHead, kappa=1.5)
    )
    params, statistics = network.init(jax.random.key(0))
    assert params == {}
    outputs, _ = network.apply(params, statistics, jnp.ones((2, 1, 6, 1)), train=True)
    np.testing.assert_allclose(outputs["embedding"][0], 1.5 ** -np.arange(6.0), rtol=1e-6)


def test_reweighting_head_is_refused_exactly_where_a_factor_underflows():
    def build(width, kappa, dtype=jnp.float32):
        encoder = partial(LinearEncoder, (1, width, 1), widths=())
        head = partial(ReweightingHead, kappa=kappa, param_dtype=dtype)
        return make_network(encoder, head)

    for kappa in (1.05, 1.2, 1.5, 3.0):
        widest = 1 + int(np.floor(-np.log(np.finfo(np.float32).tiny) / np.log(kappa)))
        network = build(widest, kappa)
        outputs, _ = network.apply({}, {}, jnp.ones((1, 1, widest, 1)), train=True)
        assert float(outputs["embedding"].min()) >= np.finfo(np.float32).tiny
        with pytest.raises(UsageError, match=f"underflow beyond width {widest}"):
            build(widest + 1, kappa)
    build(10_000, 1.0)
    for kappa in (0.99, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="kappa"):
            build(4, kappa)


@pytest.mark.parametrize("shared", [False, True])
def test_diagonal_network_equals_its_formula(shared):
    head = partial(SymmetrizedReLUHead, scale=2.0, threshold=0.5, shared_threshold=shared)
    network = make_network(partial(DiagonalEncoder, (1, 5, 1), scale=0.5), head)
    params, statistics = network.init(jax.random.key(0))
    assert params["head"]["bias"].shape == ((1,) if shared else (5,))
    x = np.array([[-4.0, -0.5, 0.0, 0.5, 3.0]])
    outputs, _ = network.apply(
        params, statistics, jnp.float32(x).reshape(1, 1, 5, 1), train=True, layers=("feature",)
    )
    np.testing.assert_allclose(outputs["feature"], 0.5 * x)
    expected = 2 * (jax.nn.relu(0.5 * x - 0.5) - jax.nn.relu(-0.5 * x - 0.5))
    np.testing.assert_allclose(outputs["embedding"], expected, rtol=1e-6)


def test_subvector_head_takes_the_first_coordinates_and_has_no_parameters():
    def build(width):
        head = partial(SubvectorHead, width=width)
        return make_network(partial(LinearEncoder, (1, 5, 1), widths=()), head)

    outputs, _ = build(2).apply({}, {}, jnp.arange(10.0).reshape(2, 1, 5, 1), train=True)
    np.testing.assert_array_equal(outputs["embedding"], [[0, 1], [5, 6]])
    with pytest.raises(UsageError, match="width 6"):
        build(6)
