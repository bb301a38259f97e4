"""Memory-linear losses equal the dense ones, on one device and around a ring of eight."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ssljax.losses import (
    nt_xent,
    nt_xent_blockwise,
    supervised_contrastive,
    supervised_contrastive_blockwise,
)
from ssljax.system.errors import UsageError

PAIRS, DIM = 24, 6


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    return tuple(jnp.float32(rng.normal(size=(PAIRS, DIM))) for _ in range(2))


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))


LABELS = jnp.asarray(np.random.default_rng(1).integers(0, 5, PAIRS))


def on_labels(loss, **options):
    return lambda first, second, temperature: loss(first, second, LABELS, temperature, **options)


PAIRED = [
    pytest.param(nt_xent, lambda **options: partial(nt_xent_blockwise, **options), id="nt_xent"),
    pytest.param(
        on_labels(supervised_contrastive),
        partial(on_labels, supervised_contrastive_blockwise),
        id="sup_con",
    ),
]


def with_gradients(loss):
    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))


def assert_equal(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    for mine, dense in zip(found[1], expected[1]):
        scale = float(jnp.abs(dense).max())
        np.testing.assert_allclose(mine, dense, rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize(("block_size", "temperature"), [(7, 0.02), (48, 0.5)])
@pytest.mark.parametrize(("dense", "make"), PAIRED)
def test_blocks_of_any_size_give_the_dense_loss_and_all_three_gradients(
    views, dense, make, block_size, temperature
):
    expected = with_gradients(dense)(*views, temperature)
    assert_equal(with_gradients(make(block_size=block_size))(*views, temperature), expected)


@pytest.mark.parametrize(("dense", "make"), PAIRED)
def test_float64_blocks_agree_to_float64_rounding(views, dense, make):
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(view), jnp.float64) for view in views]
        expected = with_gradients(dense)(*wide, 0.1)
        found = with_gradients(make(block_size=10))(*wide, 0.1)
        for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
            np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("dense", "make"), PAIRED)
def test_a_ring_of_eight_devices_gives_the_dense_loss_and_gradients(views, mesh, dense, make):
    split = jax.device_put(views, NamedSharding(mesh, PartitionSpec("batch")))
    expected = with_gradients(dense)(*views, 0.3)
    compiled = with_gradients(make(block_size=4, mesh=mesh))
    assert_equal(compiled(*split, 0.3), expected)
    with jax.no_tracing():
        compiled(*split, 0.3)


@pytest.mark.optimized
def test_around_the_ring_no_device_gathers_the_embeddings(views, mesh):
    split = jax.device_put(views, NamedSharding(mesh, PartitionSpec("batch")))
    compiled = with_gradients(partial(nt_xent_blockwise, mesh=mesh)).lower(*split, 0.3).compile()
    text = compiled.as_text()
    assert "all-gather" not in text
    assert "collective-permute" in text


def test_two_pairs_on_eight_devices_are_more_devices_than_rows_and_are_refused(mesh):
    with pytest.raises(UsageError, match="4 views given for 8 devices"):
        nt_xent_blockwise(jnp.ones((2, 3)), jnp.ones((2, 3)), 0.5, mesh=mesh)
    with pytest.raises(UsageError, match="block size 0"):
        nt_xent_blockwise(jnp.ones((2, 3)), jnp.ones((2, 3)), 0.5, block_size=0)


def test_zero_rows_are_safe(views):
    first = views[0].at[3].set(0.0)
    value, grads = with_gradients(nt_xent_blockwise)(first, views[1], 0.05)
    assert np.isfinite(float(value))
    assert all(bool(jnp.all(jnp.isfinite(grad))) for grad in grads)
    np.testing.assert_array_equal(grads[0][3], 0.0)


@pytest.mark.optimized
def test_65536_embeddings_of_width_128_need_less_than_a_gibibyte():
    view = jax.ShapeDtypeStruct((32_768, 128), "float32")
    loss = jax.jit(jax.value_and_grad(partial(nt_xent_blockwise, temperature=0.5), argnums=(0, 1)))
    needed = loss.lower(view, view).compile().memory_analysis().temp_size_in_bytes
    assert needed < 2**30
    # Four times the rows, about four times the memory: linear, where the dense loss needs 16.
    wide = jax.ShapeDtypeStruct((131_072, 128), "float32")
    more = loss.lower(wide, wide).compile().memory_analysis().temp_size_in_bytes
    assert more < 4.4 * needed
