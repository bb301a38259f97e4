"""The balanced factor flow against the whole network, and the laws it must keep."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tests.theory.gram_objectives import (
    barlow_objective,
    cosine_infonce_objective,
    dot_infonce_objective,
    network_loss,
    spectral_objective,
    vicreg_objective,
)
from theory.dynamics.layer_flow import network_flow, quadratic_flow
from theory.layers.chain import end_to_end_map
from theory.linalg.errors import InputError
from theory.linalg.factors import factor_layer_grams
from theory.losses.quadratic import spectral_loss
from theory.optimum.quadratic import quadratic_optimum

DIM = 5
TIMES = np.array([0.0, 0.3, 1.0, 4.0])


def random_moments(dim=DIM, seed=0):
    """Moments that do not commute: relative size of the commutator about one half."""
    random = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    root = (basis * np.linspace(1.0, 0.5, dim)) @ basis.T
    basis, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    kept = (basis * np.linspace(0.95, 0.2, dim)) @ basis.T
    cross = root @ kept @ root
    return jnp.asarray(root @ root), jnp.asarray(0.5 * (cross + cross.T))


def balanced_layers(depth, out, seed=1, dim=DIM):
    """Layers W_l = U_l S U_{l-1}ᵀ with one S, hence balanced, of the given output width."""
    random = np.random.default_rng(seed)
    spectrum = np.linspace(0.8, 0.3, out)
    columns, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    right = columns[:, :out]
    layers = []
    for _ in range(depth):
        left, _ = np.linalg.qr(random.normal(size=(out, out)))
        layers.append(jnp.asarray((left * spectrum) @ right.T))
        right = left
    return tuple(layers)


def samples(seed=2, count=12, dim=DIM):
    random = np.random.default_rng(seed)
    shared = random.normal(size=(count, dim))
    return tuple(jnp.asarray(shared + 0.5 * random.normal(size=(count, dim))) for _ in range(2))


def objective_and_data(name):
    covariance, cross = random_moments()
    return {
        "spectral": (spectral_objective, (covariance, cross)),
        "vicreg": (vicreg_objective, (covariance, cross, 1.5)),
        "barlow": (barlow_objective, (cross,)),
        "dot": (dot_infonce_objective, (*samples(), 0.7)),
        "cosine": (cosine_infonce_objective, (*samples(), 0.5)),
    }[name]


def network_layer_grams(layers):
    """Input-space Gram of every layer from the full weights, over time."""
    product, grams = None, []
    for layer in layers:
        product = layer if product is None else layer @ product
        grams.append(np.swapaxes(product, -1, -2) @ product)
    return np.stack(grams, axis=-3)


def reference_path(loss, layers, times, decay):
    """Every layer under flow by SciPy, from gradients by automatic differentiation."""
    shapes = [layer.shape for layer in layers]
    ends = np.cumsum([layer.size for layer in layers])[:-1]

    @jax.jit
    def velocity(_, flat):
        parts = tuple(x.reshape(y) for x, y in zip(jnp.split(flat, ends), shapes))
        slopes = jax.grad(lambda layers: loss(end_to_end_map(layers)))(parts)
        return -jnp.concatenate([(g + decay * w).ravel() for g, w in zip(slopes, parts)])

    start = np.concatenate([np.ravel(layer) for layer in layers])
    span = (0.0, times[-1])
    path = solve_ivp(velocity, span, start, "DOP853", times, rtol=1e-12, atol=1e-14).y.T
    pieces = np.split(path, ends, axis=1)
    return [piece.reshape(-1, *shape) for piece, shape in zip(pieces, shapes)]


@pytest.mark.parametrize(
    ("name", "depth", "out"),
    [("spectral", 2, 2), pytest.param("spectral", 3, DIM, marks=pytest.mark.slow)],
)
def test_balanced_flow_follows_every_layer_of_the_whole_network(name, depth, out):
    objective, data = objective_and_data(name)
    layers = balanced_layers(depth, out)
    path = reference_path(network_loss(objective, *data), layers, TIMES, 0.05)
    whole = network_layer_grams(path)
    factors = quadratic_flow(spectral_loss(*data), layers[0], depth, TIMES, weight_decay=0.05)
    ours = jax.vmap(lambda factor: factor_layer_grams(factor, depth))(factors)
    np.testing.assert_allclose(ours, whole, atol=1e-8)


@pytest.mark.parametrize("name", ["cosine", pytest.param("dot", marks=pytest.mark.slow)])
def test_layer_law_holds_along_the_flow_of_losses_that_are_not_quadratic(name):
    objective, data = objective_and_data(name)
    path = network_flow(network_loss(objective, *data), balanced_layers(2, DIM), TIMES / 4)
    whole = network_layer_grams([np.asarray(layer) for layer in path])
    np.testing.assert_allclose(whole[:, 0] @ whole[:, 0], whole[:, 1], atol=1e-8)


def test_whole_network_agrees_with_an_independent_solver_of_hand_written_gradients():
    covariance, cross = (np.asarray(x) for x in random_moments())
    layers = [np.asarray(layer) for layer in balanced_layers(3, DIM)]
    layers[1] = layers[1] + 0.2 * np.eye(DIM)
    decay = 0.1

    def velocity(_, flat):
        one, two, three = flat.reshape(3, DIM, DIM)
        end = three @ two @ one
        slope = 4.0 * end @ (cross - covariance @ end.T @ end @ covariance)
        moves = [(three @ two).T @ slope, three.T @ slope @ one.T, slope @ (two @ one).T]
        return (np.stack(moves) - decay * flat.reshape(3, DIM, DIM)).ravel()

    reference = solve_ivp(
        velocity, (0, 4.0), np.stack(layers).ravel(), "DOP853", TIMES, rtol=1e-12, atol=1e-13
    ).y.T.reshape(-1, 3, DIM, DIM)
    loss = network_loss(spectral_objective, jnp.asarray(covariance), jnp.asarray(cross))
    start = tuple(jnp.asarray(layer) for layer in layers)
    ours = network_flow(loss, start, TIMES, weight_decay=decay)
    np.testing.assert_allclose(np.stack(ours, axis=1), reference, atol=1e-9)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_imbalance_is_conserved_and_decays_at_twice_the_weight_decay(decay):
    covariance, cross = random_moments()
    random = np.random.default_rng(3)
    layers = tuple(jnp.asarray(0.5 * random.normal(size=(DIM, DIM))) for _ in range(3))
    loss = network_loss(spectral_objective, covariance, cross)
    path = network_flow(loss, layers, TIMES, weight_decay=decay)
    for lower, upper in itertools.pairwise(path):
        imbalance = jnp.swapaxes(upper, 1, 2) @ upper - lower @ jnp.swapaxes(lower, 1, 2)
        expected = np.exp(-2 * decay * TIMES)[:, None, None] * imbalance[0][None]
        np.testing.assert_allclose(imbalance, expected, atol=1e-8)


def test_scale_invariant_loss_keeps_relative_imbalance_under_weight_decay():
    objective, data = objective_and_data("cosine")
    loss = network_loss(objective, *data)
    random = np.random.default_rng(4)
    layers = tuple(jnp.asarray(0.6 * random.normal(size=(DIM, DIM))) for _ in range(2))
    first, second = network_flow(loss, layers, TIMES, weight_decay=0.2)
    imbalance = jnp.swapaxes(second, 1, 2) @ second - first @ jnp.swapaxes(first, 1, 2)
    relative = jnp.linalg.norm(imbalance, axis=(1, 2)) / (
        jnp.linalg.norm(first, axis=(1, 2)) * jnp.linalg.norm(second, axis=(1, 2))
    )
    np.testing.assert_allclose(relative, np.full(len(TIMES), relative[0]), rtol=1e-8)


def test_flow_restarted_in_the_middle_is_the_same_flow():
    loss = spectral_loss(*random_moments())
    start = jnp.asarray(0.4 * np.eye(3, DIM))
    whole = quadratic_flow(loss, start, 2, jnp.array([0.7, 1.9]), weight_decay=0.02)
    rest = quadratic_flow(loss, whole[0], 2, jnp.array([1.2]), weight_decay=0.02)
    np.testing.assert_allclose(rest[0], whole[1], atol=1e-9)


def test_time_zero_returns_the_start_exactly():
    start = jnp.asarray(np.random.default_rng(5).normal(size=(2, DIM)))
    path = quadratic_flow(spectral_loss(*random_moments()), start, 3, jnp.array([0.0, 0.0]))
    np.testing.assert_array_equal(path, np.stack([start, start]))


@pytest.mark.parametrize(
    ("depth", "rank"), [(2, DIM), pytest.param(1, 2, marks=pytest.mark.slow), (3, 2)]
)
def test_flow_ends_at_the_closed_form_optimum(depth, rank):
    loss = spectral_loss(*random_moments())
    start, _ = np.linalg.qr(np.random.default_rng(6).normal(size=(DIM, DIM)))
    path = quadratic_flow(loss, jnp.asarray(0.7 * start[:rank]), depth, jnp.array([300.0]))
    gram = factor_layer_grams(path[0], depth)[-1]
    np.testing.assert_allclose(gram, quadratic_optimum(loss, rank=rank).gram, atol=1e-8)


def test_flow_refuses_input_it_cannot_use():
    loss = spectral_loss(*random_moments())
    start = jnp.eye(DIM)
    with pytest.raises(InputError, match="ascending"):
        quadratic_flow(loss, start, 2, jnp.array([1.0, 0.5]))
    with pytest.raises(InputError, match="depth is 0"):
        quadratic_flow(loss, start, 0, TIMES)
    with pytest.raises(InputError, match="float32"):
        quadratic_flow(loss, start.astype(np.float32), 2, TIMES)
    with pytest.raises(InputError, match="max_steps"):
        quadratic_flow(loss, start, 2, TIMES, max_steps=2)
    with pytest.raises(InputError, match="columns"):
        network_flow(lambda end: jnp.sum(end), (jnp.ones((2, 3)), jnp.ones((2, 3))), TIMES)


def test_end_to_end_map_multiplies_last_layer_first():
    first, second = jnp.array([[1.0, 2.0]]), jnp.array([[3.0], [4.0]])
    np.testing.assert_array_equal(end_to_end_map((first, second)), [[3.0, 6.0], [4.0, 8.0]])
