"""Every further loss: float64 twin, finite differences, symmetry, edges, eight devices."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ssljax import losses
from ssljax.losses.supervised import check_labels
from ssljax.system.errors import UsageError

LABELS = np.array([3, 7, 3, 3, 7, 1, 3, 7, -2, 7, 3, 1])
SHAPE = (12, 4)


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def info_nce(a, b, temperature=0.3, normalize=True):
    if normalize:
        a, b = unit(a), unit(b)
    total = 0.0
    for i in range(len(a)):
        logits = np.array([a[i] @ key for key in b]) / temperature
        total += np.log(np.exp(logits).sum()) - logits[i]
    return total / len(a)


def spectral_cross(a, b):
    pairs = [(x @ y) ** 2 for x in a for y in b]
    return -2 * np.mean([x @ y for x, y in zip(a, b)]) + np.mean(pairs)


def spectral_within(a, b):
    squares = [np.mean([(x @ y) ** 2 for x in view for y in view]) for view in (a, b)]
    return -2 * np.mean([x @ y for x, y in zip(a, b)]) + np.mean(squares)


def apart(a, b):
    n = len(a)
    return np.mean([(a[i] @ b[j]) ** 2 for i in range(n) for j in range(n) if i != j])


def sup_con(a, b, temperature=0.3):
    rows, labels = unit(np.concatenate([a, b])), np.concatenate([LABELS, LABELS])
    total = 0.0
    for i in range(len(rows)):
        others = [j for j in range(len(rows)) if j != i]
        logits = {j: rows[i] @ rows[j] / temperature for j in others}
        positives = [logits[j] for j in others if labels[j] == labels[i]]
        total += np.log(sum(np.exp(x) for x in logits.values())) - np.mean(positives)
    return total / len(rows)


def sup_spectral(a, b):
    means = []
    for i in range(len(a)):
        mates = [j for j in range(len(a)) if j != i and LABELS[j] == LABELS[i]]
        if mates:
            means.append(np.mean([a[i] @ b[j] for j in mates]))
    return -2 * np.mean(means) + apart(a, b)


def vicreg(a, b):
    spread, mixing = 0.0, 0.0
    for z in (a, b):
        moments = np.cov(z.T)
        spread += np.maximum(0, 1 - np.sqrt(np.diag(moments) + 1e-4)).mean() / 2
        mixing += (np.sum(moments**2) - np.sum(np.diag(moments) ** 2)) / z.shape[1]
    return 25 * np.mean((a - b) ** 2) + 25 * spread + mixing


def vicreg_covariance(a, b):
    norms = np.mean(np.sum(a**2, 1)) + np.mean(np.sum(b**2, 1))
    return apart(a, b) - norms + a.shape[1] + 1.7 * np.mean(np.sum((a - b) ** 2, 1))


def barlow(a, b):
    a, b = ((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (a, b))
    total = 0.0
    for k, m in itertools.product(range(a.shape[1]), repeat=2):
        c = np.mean(a[:, k] * b[:, m])
        total += (1 - c) ** 2 if k == m else 0.005 * c**2
    return total


def barlow_unnormalized(a, b):
    outer = [0.5 * (np.outer(x, y) + np.outer(y, x)) for x, y in zip(a, b)]
    n, dim = a.shape
    pairs = [np.sum(outer[i] * outer[j]) for i in range(n) for j in range(n) if i != j]
    return np.mean(pairs) - 2 * np.trace(np.mean(outer, axis=0)) + dim


labels = jnp.asarray(LABELS)
CASES = {
    "info_nce": (partial(losses.info_nce, temperature=0.3), info_nce, False),
    "dot_info_nce": (
        partial(losses.dot_info_nce, temperature=0.3),
        partial(info_nce, normalize=False),
        False,
    ),
    "spectral_cross": (losses.spectral_cross_view_biased, spectral_cross, True),
    "spectral_within": (losses.spectral_within_view_biased, spectral_within, True),
    "sup_con": (
        lambda a, b: losses.supervised_contrastive(a, b, labels, 0.3),
        sup_con,
        True,
    ),
    "sup_spectral": (lambda a, b: losses.supervised_spectral(a, b, labels), sup_spectral, True),
    "vicreg": (losses.vicreg, vicreg, True),
    "vicreg_covariance": (
        partial(losses.vicreg_covariance, invariance=1.7),
        vicreg_covariance,
        True,
    ),
    "barlow": (losses.barlow_twins, barlow, True),
    "barlow_unnormalized": (losses.barlow_twins_unnormalized, barlow_unnormalized, True),
}
by_loss = pytest.mark.parametrize("name", CASES)


def views(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=shape)
    return first, first + 0.7 * rng.normal(size=shape)


@by_loss
def test_loss_and_gradient_equal_the_float64_twin(name):
    loss, twin, _ = CASES[name]
    first, second = views()
    with jax.enable_x64(True):
        compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
        value, grads = compiled(jnp.asarray(first), jnp.asarray(second))
        assert value.dtype == jnp.float64
        value = np.asarray(value)
    np.testing.assert_allclose(value, twin(first, second), rtol=1e-12)
    step = 1e-5  # central differences: truncation about step^2, rounding about 1e-15 / step
    for which, index in itertools.product((0, 1), [(0, 0), (5, 3), (8, 1)]):
        ends = []
        for sign in (1, -1):
            moved = [first.copy(), second.copy()]
            moved[which][index] += sign * step
            ends.append(twin(*moved))
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(grads[which][index], slope, rtol=3e-7, atol=2e-8)


@by_loss
def test_bfloat16_views_are_widened_and_symmetric_losses_are_symmetric(name):
    loss, twin, symmetric = CASES[name]
    first, second = (jnp.asarray(view, jnp.bfloat16) for view in views())
    compiled = jax.jit(jax.value_and_grad(loss))
    value, grad = compiled(first, second)
    assert (value.dtype, grad.dtype) == (jnp.float32, jnp.bfloat16)
    exact = twin(np.asarray(first, np.float64), np.asarray(second, np.float64))
    np.testing.assert_allclose(value, exact, rtol=2e-5)
    if symmetric:
        np.testing.assert_allclose(compiled(second, first)[0], value, rtol=1e-5)


@by_loss
def test_loss_and_gradient_are_finite_for_zero_constant_and_large_embeddings(name):
    loss, _, _ = CASES[name]
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    zeros = jnp.zeros(SHAPE)
    one_zero_row = jnp.float32(views()[0]).at[2].set(0.0)
    for first, second in [
        (zeros, zeros),
        (zeros + 1, zeros + 1),
        (one_zero_row, one_zero_row),
        (300 * one_zero_row, -300 * one_zero_row),
    ]:
        for leaf in jax.tree.leaves(compiled(first, second)):
            assert bool(jnp.all(jnp.isfinite(leaf)))


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("sup")])
def test_permuting_images_permutes_the_gradient_and_eight_devices_give_that_of_one(name):
    loss, _, _ = CASES[name]
    first, second = (jnp.float32(view) for view in views(shape=(16, 4)))
    compiled = jax.jit(jax.value_and_grad(loss))
    value, grad = compiled(first, second)
    order = np.random.default_rng(1).permutation(16)
    close = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-6 * float(jnp.abs(grad).max()))
    close(compiled(first[order], second[order])[1], grad[order])
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    split = jax.device_put((first, second), NamedSharding(mesh, PartitionSpec("batch")))
    eight_value, eight_grad = compiled(*split)
    np.testing.assert_allclose(eight_value, value, rtol=2e-5)
    close(eight_grad, grad)


def test_supervised_losses_do_not_depend_on_the_order_or_the_names_of_classes():
    first, second = (jnp.float32(view) for view in views())
    order = np.random.default_rng(1).permutation(SHAPE[0])
    renamed = jnp.asarray(-5 * LABELS + 100)
    for loss in (
        partial(losses.supervised_contrastive, temperature=0.3),
        losses.supervised_spectral,
    ):
        value = jax.jit(loss)(first, second, labels)
        moved = jax.jit(loss)(first[order], second[order], renamed[order])
        np.testing.assert_allclose(moved, value, rtol=1e-5)


def test_limits_between_losses_hold():
    first, second = (jnp.float32(view) for view in views())
    alone = jnp.arange(SHAPE[0])
    np.testing.assert_allclose(
        jax.jit(losses.supervised_contrastive)(first, second, alone, 0.2),
        jax.jit(losses.nt_xent)(first, second, 0.2),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        jax.jit(losses.vicreg_covariance)(first, second, 1.0),
        jax.jit(losses.spectral_contrastive)(first, second) + SHAPE[1],
        rtol=1e-5,
    )


def test_byol_and_simsiam_equal_their_formulas_and_stop_the_gradient_at_the_target():
    arrays = [jnp.float32(view) for seed in (0, 1) for view in views(seed)]
    p, q, t, u = (unit(np.asarray(x, np.float64)) for x in arrays)
    agreement = [np.mean(np.sum(p * u, axis=1)), np.mean(np.sum(q * t, axis=1))]
    for loss, expected in (
        (losses.byol, 4 - 2 * sum(agreement)),
        (losses.simsiam, -np.mean(agreement)),
    ):
        value, grads = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))(*arrays)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert float(jnp.abs(grads[0]).max()) > 1e-3
        assert not np.any(grads[2])
        assert not np.any(grads[3])
        zero = jnp.zeros(SHAPE)
        for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(zero, zero, zero, zero)):
            assert bool(jnp.all(jnp.isfinite(leaf)))
    assert float(losses.byol(*(jnp.float32(x) for x in (t, u, u, t)))) == pytest.approx(
        0.0, abs=1e-6
    )


def test_cross_entropy_and_squared_error_equal_their_formulas():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(6, 5)) * 40, rng.integers(0, 5, 6)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    expected = -np.mean(np.log((shares / shares.sum(1, keepdims=True))[range(6), targets]))
    value = losses.cross_entropy(jnp.float32(logits), jnp.asarray(targets))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    grad = jax.grad(losses.cross_entropy)(jnp.asarray([[1e4, -1e4]]), jnp.asarray([1]))
    np.testing.assert_allclose(grad, [[1.0, -1.0]])
    outputs = rng.normal(size=(6, 5))
    found = losses.mean_squared_error(jnp.float32(logits), jnp.float32(outputs))
    np.testing.assert_allclose(found, 0.5 * np.mean(np.sum((logits - outputs) ** 2, 1)), rtol=1e-5)


def test_labels_that_do_not_name_the_images_are_refused():
    with pytest.raises(UsageError, match=r"labels of shape \(3,\) given for 4 images"):
        check_labels(jnp.ones((4, 2)), jnp.ones((4, 2)), jnp.ones(3, int))
