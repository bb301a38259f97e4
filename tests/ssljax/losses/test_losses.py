"""NT-Xent and the spectral contrastive loss: published values, float64 twins, laws, edges."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ssljax.losses import nt_xent, spectral_contrastive
from ssljax.losses.embeddings import check_views
from ssljax.system.errors import UsageError


def nt_xent_twin(first, second, temperature):
    rows = np.concatenate([first, second]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    count = len(first)
    total = 0.0
    for a in range(2 * count):
        logits = rows @ rows[a] / temperature
        others = np.delete(logits, a)
        total += np.log(np.sum(np.exp(others - others.max()))) + others.max()
        total -= logits[(a + count) % (2 * count)]
    return total / (2 * count)


def spectral_twin(first, second):
    count = len(first)
    first, second = np.float64(first), np.float64(second)
    positive = sum(first[i] @ second[i] for i in range(count)) / count
    pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
    return -2 * positive + np.mean([(first[i] @ second[j]) ** 2 for i, j in pairs])


CASES = [
    pytest.param(
        jax.jit(partial(nt_xent, temperature=0.5)), lambda a, b: nt_xent_twin(a, b, 0.5), id="t.5"
    ),
    pytest.param(
        jax.jit(partial(nt_xent, temperature=0.1)), lambda a, b: nt_xent_twin(a, b, 0.1), id="t.1"
    ),
    pytest.param(jax.jit(spectral_contrastive), spectral_twin, id="spectral"),
]
jitted_nt_xent = jax.jit(nt_xent)
# 5 pairs of width 7 take the masked form of the spectral loss, 30 of width 4 the moment form.
SHAPES = [(5, 7), (30, 4)]


def views(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape), rng.normal(size=shape)


@pytest.mark.parametrize(
    ("count", "loss", "gradient"),
    [(256, 6.254206, 1.607969), (512, 6.958551, None), (128, 5.561930, None)],
)
def test_nt_xent_reproduces_the_value_eight_other_implementations_agree_on(count, loss, gradient):
    draw = np.random.RandomState(0)
    first = jnp.float32(draw.randn(count, 128))
    second = jnp.float32(draw.randn(count, 128))
    value, grad = jax.jit(jax.value_and_grad(nt_xent))(first, second, 0.5)
    assert float(value) == pytest.approx(loss, abs=2e-6)
    if gradient is not None:
        assert float(jnp.sum(jnp.abs(grad))) == pytest.approx(gradient, abs=2e-6)


@pytest.mark.parametrize(("loss", "twin"), CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_equals_its_float64_twin(loss, twin, shape):
    first, second = views(shape)
    value = loss(jnp.float32(first), jnp.float32(second))
    np.testing.assert_allclose(value, twin(first, second), rtol=2e-6, atol=1e-6)
    with jax.enable_x64(True):
        value = loss(jnp.asarray(first), jnp.asarray(second))
        assert value.dtype == jnp.float64
        np.testing.assert_allclose(value, twin(first, second), rtol=1e-13)


@pytest.mark.parametrize(("loss", "twin"), CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_equals_central_differences_of_the_twin(loss, twin, shape):
    first, second = views(shape)
    with jax.enable_x64(True):
        grads = jax.jit(jax.grad(loss, argnums=(0, 1)))(jnp.asarray(first), jnp.asarray(second))
    step = 1e-5  # central differences: error about step^2 = 1e-10, rounding 1e-16 / step
    for which, grad in enumerate(grads):
        for index in [(0, 0), (2, 1), (shape[0] - 1, shape[1] - 1)]:
            ends = []
            for sign in (1, -1):
                moved = [first.copy(), second.copy()]
                moved[which][index] += sign * step
                ends.append(twin(*moved))
            slope = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(grad[index], slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("loss", "twin"), CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_exchanging_views_changes_nothing_and_permuting_images_permutes_gradients(
    loss, twin, shape
):
    first, second = (jnp.float32(view) for view in views(shape))
    np.testing.assert_allclose(loss(first, second), loss(second, first), rtol=3e-6)
    order = np.random.default_rng(1).permutation(shape[0])
    grad = jax.jit(jax.grad(loss))(first, second)
    permuted = jax.jit(jax.grad(loss))(first[order], second[order])
    np.testing.assert_allclose(permuted, grad[order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("loss", "twin"), CASES)
def test_bfloat16_embeddings_give_a_float32_loss_and_bfloat16_gradients(loss, twin):
    first, second = (jnp.asarray(view, jnp.bfloat16) for view in views((16, 8)))
    value, grad = jax.jit(jax.value_and_grad(loss))(first, second)
    assert value.dtype == jnp.float32
    assert grad.dtype == jnp.bfloat16
    exact = twin(np.asarray(first, np.float64), np.asarray(second, np.float64))
    np.testing.assert_allclose(value, exact, rtol=3e-6)


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_nt_xent_is_finite_and_exact_with_zero_rows_huge_and_tiny_rows(temperature):
    first, second = views((6, 4))
    first[1] = 0.0
    first[2] *= 1e25
    second[3] *= 1e-25
    value, grads = jax.jit(jax.value_and_grad(nt_xent, argnums=(0, 1)))(
        jnp.float32(first), jnp.float32(second), temperature
    )
    assert all(bool(jnp.all(jnp.isfinite(grad))) for grad in grads)
    np.testing.assert_array_equal(grads[0][1], 0.0)
    # The twin cannot divide by zero: a direction orthogonal to everything stands in for it.
    wider = [np.pad(view, ((0, 0), (0, 1))) for view in (first, second)]
    wider[0][1, 4] = 1.0
    np.testing.assert_allclose(value, nt_xent_twin(*wider, temperature), rtol=2e-5, atol=1e-5)


def test_nt_xent_at_low_temperature_keeps_small_losses():
    # Aligned pairs, distant images: the loss is log(1 + 2 (n - 1) e^{-1/T}) exactly.
    basis = jnp.eye(8)
    for temperature in (0.05, 0.1):
        expected = np.log1p(14 * np.exp(-1 / temperature))
        value = float(jitted_nt_xent(basis, basis, temperature))
        assert value == pytest.approx(expected, abs=4e-6)
    assert np.isfinite(float(jitted_nt_xent(1e4 * basis, -1e4 * basis, 0.01)))


def test_nt_xent_of_one_pair_is_zero_and_of_equal_embeddings_the_log_of_the_count():
    first, second = (jnp.float32(view) for view in views((1, 4)))
    assert float(jitted_nt_xent(first, second, 0.5)) == pytest.approx(0.0, abs=1e-6)
    same = jnp.ones((6, 4))
    assert float(jitted_nt_xent(same, same, 0.1)) == pytest.approx(np.log(11), rel=1e-5)


@pytest.mark.parametrize("width", [1, 4])
def test_spectral_estimator_is_unbiased_exactly(width):
    # Every batch of two images out of three, each with two views out of two, equally likely:
    # the mean over all 144 batches is the expectation, with no sampling error.
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(3, 2, 5))
    matrix = rng.normal(size=(width, 5))
    pairs = [(x[u], x[v]) for x in inputs for u in (0, 1) for v in (0, 1)]
    covariance = np.mean([np.outer(x[u], x[u]) for x in inputs for u in (0, 1)], axis=0)
    cross = np.mean([np.outer(first, second) for first, second in pairs], axis=0)
    batches = np.array([[one, two] for one, two in itertools.product(pairs, pairs)])
    embedded = batches @ matrix.T
    gram = matrix.T @ matrix
    expected = -2 * np.trace(gram @ cross) + np.trace(gram @ covariance @ gram @ covariance)
    with jax.enable_x64(True):
        values = jax.vmap(spectral_contrastive)(
            jnp.asarray(embedded[:, :, 0]), jnp.asarray(embedded[:, :, 1])
        )
    np.testing.assert_allclose(np.mean(np.asarray(values)), expected, rtol=1e-12)


def test_spectral_loss_of_orthogonal_pairs_keeps_its_vanishing_second_term():
    # With the diagonal subtracted instead of left out this would be rounding noise of 1e8.
    basis = 100.0 * jnp.eye(6)
    assert float(spectral_contrastive(basis, basis)) == -2e4


@pytest.mark.parametrize(("loss", "twin"), CASES)
def test_eight_devices_give_the_loss_and_gradient_of_one_in_one_trace(loss, twin):
    first, second = (jnp.float32(view) for view in views((32, 6)))
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    split = jax.device_put((first, second), NamedSharding(mesh, PartitionSpec("batch")))
    compiled = jax.jit(jax.value_and_grad(loss))
    value, grad = compiled(*split)
    with jax.no_tracing():
        compiled(*split)
    one_value, one_grad = jax.jit(jax.value_and_grad(loss))(first, second)
    np.testing.assert_allclose(value, one_value, rtol=2e-6)
    np.testing.assert_allclose(grad, one_grad, rtol=1e-4, atol=1e-6)

    # Under pmap every device differentiates the same gathered loss, and the transpose of the
    # gather adds up the eight copies: averaging over devices is what is left to do.
    def gathered(view):
        return jax.lax.all_gather(view, "devices", tiled=True)

    def device_gradient(first, second):
        return jax.grad(lambda view: loss(gathered(view), gathered(second)))(first)

    mapped = jax.pmap(device_gradient, "devices")(first.reshape(8, 4, 6), second.reshape(8, 4, 6))
    np.testing.assert_allclose(mapped.reshape(32, 6) / 8, one_grad, rtol=1e-4, atol=1e-6)


def test_views_that_cannot_be_paired_are_refused():
    with pytest.raises(UsageError, match=r"\(3, 2\) and \(4, 2\)"):
        check_views(jnp.ones((3, 2)), jnp.ones((4, 2)))
    with pytest.raises(UsageError, match=r"temperature 0\.0"):
        nt_xent(jnp.ones((3, 2)), jnp.ones((3, 2)), 0.0)
    with pytest.raises(UsageError, match=r"at least 2"):
        spectral_contrastive(jnp.ones((1, 2)), jnp.ones((1, 2)))
