"""Inputs that users have met, with the right answers worked out by hand or in float64."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax import losses
from ssljax.losses.objective import LossContext
from ssljax.losses.table import LOSSES, LossConfig, build_objective
from ssljax.system.errors import UsageError

E1, E2, ZERO = (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)


@pytest.mark.parametrize(
    ("rows", "temperature", "value"),
    [
        ((E1, E1, E2, E2), 1.0, 0.5514447),
        ((E1, E1, E2, E2), 0.5, 0.2395448),
        ((E1, E1, E2, E2), 0.1, 9.0796e-5),
        ((ZERO, E1, E2, E2), 0.5, 0.6690785),
        ((E1, (-1.0, 0.0), E1, (-1.0, 0.0)), 0.01, 200.0),
    ],
)
def test_nt_xent_of_four_rows_as_two_pairs(rows, temperature, value):
    pairs = jnp.array(rows).reshape(2, 2, 2)
    function = jax.jit(jax.value_and_grad(losses.nt_xent, argnums=(0, 1)))
    found, gradients = function(pairs[:, 0], pairs[:, 1], temperature)
    # One rounding of a logit, 6e-8 / temperature, and those of the sum.
    np.testing.assert_allclose(found, value, rtol=1e-6, atol=1.2e-7 / temperature + 1e-8)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("loss", [losses.nt_xent, losses.nt_xent_blockwise])
def test_nt_xent_of_aligned_pairs_is_never_negative_and_keeps_its_gradient(loss):
    """Without the bound rounding makes it -1.2e-4 at a temperature of .001."""
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(64, 32)), jnp.float32)
    function = jax.jit(jax.value_and_grad(loss))
    value, gradient = function(rows, 3.0 * rows, 1e-3)
    assert 0 <= float(value) < 2e-4
    _, other = function(rows, rows[::-1], 0.5)
    assert np.isfinite(gradient).all()
    assert np.abs(other).max() > 0


@pytest.mark.parametrize("options", [{}, {"block_size": 3}])
def test_supcon_with_one_view_counts_the_anchors_that_have_a_positive(options):
    z = jnp.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])[:, None]
    loss = losses.multi_view_supervised_contrastive
    if options:
        loss = losses.multi_view_supervised_contrastive_blockwise
    labels = jnp.array([0, 1, 1, 3])
    function = jax.jit(jax.value_and_grad(partial(loss, **options)))
    value, gradient = function(z, labels, 0.5)
    assert float(value) == pytest.approx(0.794304, abs=1e-6)
    assert np.abs(gradient[0]).max() > 0  # it is a negative of the others
    assert float(function(z, jnp.arange(4), 0.5)[0]) == 0.0


def test_cross_entropy_refuses_known_labels_out_of_range_and_is_nan_for_traced_ones():
    logits = jnp.array([[0.2, 0.1, 0.4, 0.6]])
    for label in (4, -1):
        with pytest.raises(UsageError, match=f"labels from {label} to {label} given for 4 classes"):
            losses.cross_entropy(logits, jnp.array([label]))
        assert np.isnan(jax.jit(losses.cross_entropy)(logits, jnp.array([label])))
    found = losses.cross_entropy(logits, jnp.array([3]))
    assert float(found) == pytest.approx(math.log(np.exp(logits).sum()) - 0.6, rel=1e-6)


def test_the_epsilon_of_barlow_twins_decides_for_small_coordinates():
    """c_kk = 1e-3 / sqrt(1e-6 + 1e-5) = .3015 of unit variance against a thousandth of it."""
    x = np.random.default_rng(0).normal(size=(1000, 3))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T
    first = jnp.asarray(x, jnp.float32)
    expected = 3 * (1 - 1e-3 / math.sqrt(1.1e-5)) ** 2
    assert float(losses.barlow_twins(first, 1e-3 * first)) == pytest.approx(expected, rel=1e-4)


def multi_view_twin(z, classes, temperature):
    """SupCon of all rows of (batch, views, dim), by its definition."""
    rows = np.float64(z).reshape(-1, z.shape[-1])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names = np.repeat(classes, z.shape[1])
    terms = []
    for a in range(len(rows)):
        others = np.delete(np.arange(len(rows)), a)
        logits = rows @ rows[a] / temperature
        positive = [logits[p] for p in others if names[p] == names[a]]
        if positive:
            terms.append(np.log(np.exp(logits[others]).sum()) - np.mean(positive))
    return np.mean(terms)


def test_contrastive_losses_of_three_views_equal_their_definition():
    z = np.random.default_rng(3).normal(size=(6, 3, 5))
    labels = np.array([0, 1, 1, 2, 0, 5])
    with jax.enable_x64(True):
        x, y = jnp.asarray(z), jnp.asarray(labels)
        found = jax.jit(
            lambda x: {
                "nt_xent": losses.multi_view_nt_xent(x, 0.4),
                "blockwise": losses.multi_view_nt_xent_blockwise(x, 0.4, block_size=5),
                "supcon": losses.multi_view_supervised_contrastive(x, y, 0.4),
                "supcon blockwise": losses.multi_view_supervised_contrastive_blockwise(
                    x, y, 0.4, block_size=4
                ),
            }
        )(x)
    images, classes = multi_view_twin(z, np.arange(6), 0.4), multi_view_twin(z, labels, 0.4)
    for name, value in found.items():
        np.testing.assert_allclose(
            value, classes if "sup" in name else images, rtol=1e-12, err_msg=name
        )


def test_a_loss_of_two_views_becomes_its_mean_over_pairs_and_ignores_their_order():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3, 4)), jnp.float32)
    pairs = [(0, 1), (0, 2), (1, 2)]

    @jax.jit
    def values(z):
        target = 0.5 * z + 1.0
        return {
            "found": losses.mean_over_pairs(losses.vicreg, z, variance=3.0),
            "terms": [losses.vicreg(z[:, v], z[:, w], variance=3.0) for v, w in pairs],
            "byol": losses.mean_over_pairs(losses.byol, z, target),
            "byol terms": [
                losses.byol(z[:, v], z[:, w], target[:, v], target[:, w]) for v, w in pairs
            ],
            "two": losses.mean_over_pairs(losses.info_nce, z[:, :2], temperature=0.5)
            - losses.info_nce(z[:, 0], z[:, 1], 0.5),
        }

    found = values(z)
    np.testing.assert_allclose(found["found"], np.mean(found["terms"]), rtol=1e-6)
    np.testing.assert_allclose(found["byol"], np.mean(found["byol terms"]), rtol=1e-6)
    assert found["two"] == 0
    for order in itertools.permutations(range(3)):
        np.testing.assert_allclose(values(z[:, order])["found"], found["found"], rtol=1e-5)
    with pytest.raises(UsageError, match="at least 2 views"):
        losses.mean_over_pairs(losses.vicreg, z[:, :1])


def test_every_loss_in_the_table_takes_three_views():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3, 4)), jnp.float32)
    labels = jnp.arange(8) % 3
    layers = {"embedding": z, "predictor": z[:, :, ::-1], "target": z + 0.1}

    @jax.jit
    def values(layers):
        return {
            name: build_objective(LossConfig(name=name), LossContext()).value(layers, labels)
            for name in LOSSES
        }

    three, two = values(layers), values({name: x[:, :2] for name, x in layers.items()})
    for name in LOSSES:
        assert np.isfinite(three[name]), name
        assert float(three[name]) != float(two[name]), f"{name} ignores the third view"
