"""Optimum under weight decay: stationarity, independent solvers, flow along the same path."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from theory.dynamics.layer_flow import quadratic_flow
from theory.layers.grams import layer_grams
from theory.linalg.errors import InputError
from theory.linalg.factors import factor_layer_grams
from theory.losses.quadratic import QuadraticLoss, spectral_loss
from theory.optimum.decay import decayed_optimum
from theory.optimum.quadratic import quadratic_optimum
from theory.optimum.thresholds import decay_thresholds, decayed_mode


def random_loss(dim=6, seed=0, lowest=0.3, missing=0):
    """Moments that do not commute; the last alignments negative, some directions missing."""
    random = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    sizes = np.linspace(1.0, lowest, dim) * (np.arange(dim) < dim - missing)
    root = (basis * np.sqrt(sizes)) @ basis.T
    basis, _ = np.linalg.qr(random.normal(size=(dim, dim)))
    cross = root @ (basis * np.linspace(0.95, -0.1, dim)) @ basis.T @ root
    covariance = root @ root
    return spectral_loss(
        jnp.asarray(0.5 * (covariance + covariance.T)), jnp.asarray(0.5 * (cross + cross.T))
    )


def penalized(gram, loss, decay, depth):
    """Loss and Schatten penalty straight from their definitions, in NumPy."""
    gram, quadratic, linear = (np.asarray(x) for x in (gram, loss.quadratic, loss.linear))
    product = quadratic @ gram
    values = np.linalg.eigvalsh(gram)
    roots = np.where(values > 1e-12, np.maximum(values, 0.0), 0.0) ** (1 / depth)
    return (
        np.trace(product @ product)
        - 2 * np.trace(linear @ gram)
        + 0.5 * depth * decay * roots.sum()
    )


SLOW = pytest.mark.slow


@pytest.mark.parametrize("decay", [0.02, 0.2])
@pytest.mark.parametrize(
    ("depth", "missing", "rank"),
    [
        (2, 0, None),
        (3, 2, None),
        (2, 0, 2),
        pytest.param(4, 0, None, marks=SLOW),
        pytest.param(2, 2, None, marks=SLOW),
        pytest.param(3, 0, 2, marks=SLOW),
        pytest.param(4, 2, 2, marks=SLOW),
    ],
)
def test_optimum_is_stationary_for_moments_that_do_not_commute(depth, decay, missing, rank):
    loss = random_loss(missing=missing)
    optimum = decayed_optimum(loss, weight_decay=decay, depth=depth, rank=rank)
    gram, quadratic, linear = (np.asarray(x) for x in (optimum.gram, loss.quadratic, loss.linear))
    values, vectors = np.linalg.eigh(gram)
    alive = values > 1e-9
    assert alive.sum() == int(optimum.active) <= (rank or 6 - missing)
    first = (vectors[:, alive] * values[alive] ** (1 / depth)) @ vectors[:, alive].T
    pull = linear - quadratic @ gram @ quadratic
    np.testing.assert_allclose(gram @ pull, 0.25 * decay * first, atol=1e-9)
    np.testing.assert_allclose(pull @ first, first @ pull, atol=1e-9)
    np.testing.assert_allclose(optimum.factor.T @ optimum.factor, gram, atol=1e-10)
    np.testing.assert_allclose(optimum.loss, penalized(gram, loss, decay, depth), rtol=1e-8)
    assert np.all(np.asarray(optimum.factor)[int(optimum.active) :] == 0.0)


@pytest.mark.parametrize("depth", [1, 2, 3, pytest.param(4, marks=SLOW)])
def test_moments_that_commute_give_the_single_modes(depth):
    random = np.random.default_rng(1)
    basis, _ = np.linalg.qr(random.normal(size=(6, 6)))
    s, a = np.array([1.0, 0.8, 0.6, 0.5, 0.3, 0.9]), np.array([0.9, 0.35, 0.7, -0.1, 0.2, 0.0])
    loss = QuadraticLoss(*(jnp.asarray((basis * x) @ basis.T) for x in (s, s * a)))
    for decay in (0.0, 0.05, 0.3):
        optimum = decayed_optimum(loss, weight_decay=decay, depth=depth)
        expected = decayed_mode(s, a, weight_decay=decay, depth=depth)
        ours = np.diag(basis.T @ np.asarray(layer_grams(optimum.gram, depth)[0]) @ basis)
        np.testing.assert_allclose(ours, expected, atol=1e-9)
        assert int(optimum.active) == int(np.sum(expected > 0))


def test_no_decay_is_the_closed_form():
    loss = random_loss(missing=1)
    optimum, plain = decayed_optimum(loss, weight_decay=0.0, depth=3), quadratic_optimum(loss)
    np.testing.assert_allclose(optimum.gram, plain.gram, atol=1e-9)
    np.testing.assert_allclose(optimum.loss, plain.loss, rtol=1e-9)
    assert int(optimum.active) == int(plain.active)


@pytest.mark.parametrize("decay", [0.1, 0.5, 1.5])
def test_one_layer_is_exact_and_keeps_as_many_modes_as_sylvester_says(decay):
    loss = random_loss()
    optimum = decayed_optimum(loss, weight_decay=decay, depth=1)
    shifted = np.asarray(loss.linear) - 0.25 * decay * np.eye(6)
    assert int(optimum.active) == np.sum(np.linalg.eigvalsh(shifted) > 0)
    root = np.linalg.cholesky(np.asarray(loss.quadratic))
    inner = np.linalg.solve(root, np.linalg.solve(root, shifted).T)
    spectrum = np.linalg.eigvalsh(root.T @ np.asarray(optimum.gram) @ root)
    np.testing.assert_allclose(spectrum, np.maximum(np.linalg.eigvalsh(inner), 0.0), atol=1e-9)
    end = quadratic_flow(loss, 0.5 * jnp.eye(6), 1, np.array([400.0]), weight_decay=decay)
    np.testing.assert_allclose(end[0].T @ end[0], optimum.gram, atol=1e-6)


def lbfgs_continuation(loss, path, depth, rank, seed=2):
    """The independent way: SciPy descends on P at every λ, from the point before."""
    quadratic, linear = np.asarray(loss.quadratic), np.asarray(loss.linear)
    values, vectors = np.linalg.eigh(np.asarray(quadratic_optimum(loss, rank=rank).gram))
    sizes = np.maximum(values[::-1][:rank], 0.0) ** (0.5 / depth)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(rank, rank)))
    point = turn @ (sizes[:, None] * vectors[:, ::-1][:, :rank].T)

    def objective(flat, decay):
        factor = flat.reshape(rank, -1)
        first = factor.T @ factor
        powers = [np.eye(first.shape[0])]
        for _ in range(depth):
            powers.append(powers[-1] @ first)
        gram = powers[depth]
        slope = 2 * (quadratic @ gram @ quadratic - linear)
        spread = sum(powers[depth - 1 - j] @ slope @ powers[j] for j in range(depth))
        value = np.trace(quadratic @ gram @ quadratic @ gram) - 2 * np.trace(linear @ gram)
        value += 0.5 * depth * decay * np.trace(first)
        return value, (2 * factor @ spread + depth * decay * factor).ravel()

    for decay in path:
        options = {"maxiter": 3000, "maxfun": 6000, "gtol": 1e-11, "ftol": 0.0}
        point = minimize(
            objective, point.ravel(), (decay,), "L-BFGS-B", jac=True, options=options
        ).x.reshape(rank, -1)
    return np.linalg.matrix_power(point.T @ point, depth)


@pytest.mark.parametrize(
    ("depth", "rank", "decay"), [(2, 6, 0.3), (3, 6, 0.15), pytest.param(2, 3, 0.1, marks=SLOW)]
)
def test_optimum_agrees_with_an_independent_continuation(depth, rank, decay):
    loss = random_loss(seed=3)
    expected = lbfgs_continuation(loss, decay * np.arange(1, 25) / 24, depth, rank)
    optimum = decayed_optimum(loss, weight_decay=decay, depth=depth, rank=rank)
    np.testing.assert_allclose(optimum.gram, expected, atol=1e-6)


@pytest.mark.parametrize("depth", [2, pytest.param(3, marks=SLOW)])
def test_gradient_flow_along_the_same_path_of_weight_decay_ends_there(depth):
    loss = random_loss(dim=4, seed=4)
    optimum = quadratic_optimum(loss)
    values, vectors = np.linalg.eigh(np.asarray(optimum.gram))
    factor = jnp.asarray((np.maximum(values, 0.0) ** (0.5 / depth))[:, None] * vectors.T)
    # Between the saddle-nodes of the weakest and the next mode, with overshoot over one of them.
    decay = 0.25
    for value in (*np.linspace(0.03, 1.25 * decay, 12), 1.1 * decay, decay):
        last = value in (1.25 * decay, decay)
        times = np.array([400.0 if last else 40.0])
        factor = quadratic_flow(loss, factor, depth, times, weight_decay=float(value))[0]
    ours = decayed_optimum(loss, weight_decay=decay, depth=depth, path=(0.0, 1.25 * decay, decay))
    np.testing.assert_allclose(factor_layer_grams(factor, depth)[-1], ours.gram, atol=1e-6)


def test_overshoot_removes_the_mode_at_its_saddle_node_and_it_stays_away():
    s, a = np.array([1.0, 1.0]), np.array([0.9, 0.5])
    loss = QuadraticLoss(jnp.diag(s), jnp.diag(s * a))
    decay = 0.95 * float(decay_thresholds(s, a, depth=2).saddle_node[1])
    assert int(decayed_optimum(loss, weight_decay=decay, depth=2).active) == 2
    over = decayed_optimum(
        loss, weight_decay=decay, depth=2, path=np.array([0.0, 1.25 * decay, decay])
    )
    assert int(over.active) == 1
    np.testing.assert_allclose(
        over.gram[0, 0] ** 0.5, decayed_mode(s, a, weight_decay=decay, depth=2)[0], rtol=1e-9
    )


def test_a_turning_point_barely_past_the_saddle_node_still_removes_the_mode():
    s, a = np.array([1.0, 1.0]), np.array([0.9, 0.5])
    loss = QuadraticLoss(jnp.diag(s), jnp.diag(s * a))
    limit = float(decay_thresholds(s, a, depth=2).saddle_node[1])
    for turn, active in ((1.002, 1), (0.998, 2)):
        path = np.array([0.0, turn * limit, 0.95 * limit])
        assert (
            int(decayed_optimum(loss, weight_decay=0.95 * limit, depth=2, path=path).active)
            == active
        )


@pytest.mark.parametrize("depth", [2, pytest.param(3, marks=SLOW)])
def test_global_branch_drops_modes_at_the_global_threshold(depth):
    s, a = np.array([1.0, 0.7, 1.3, 1.0]), np.array([0.9, 0.5, 0.4, 0.0])
    limits = decay_thresholds(s, a, depth=depth)
    loss = QuadraticLoss(jnp.diag(s), jnp.diag(s * a))
    for index in range(3):
        between = 0.5 * float(limits.saddle_node[index] + limits.global_minimum[index])
        for decay in (between, 0.99 * float(limits.global_minimum[index])):
            optimum = decayed_optimum(loss, weight_decay=decay, depth=depth, branch="global")
            kept = decay <= np.asarray(limits.global_minimum)
            assert int(optimum.active) == kept.sum()
            expected = (
                np.where(kept, decayed_mode(s, a, weight_decay=decay, depth=depth), 0.0) ** depth
            )
            np.testing.assert_allclose(np.diag(optimum.gram), expected, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_global_branch_is_the_best_of_all_starts_for_moments_that_do_not_commute(seed):
    loss = random_loss(dim=4, seed=seed)
    gram = np.asarray(quadratic_optimum(loss).gram)
    values, vectors = np.linalg.eigh(gram)
    for decay in (0.15, 0.5):
        ours = decayed_optimum(loss, weight_decay=decay, depth=2, branch="global")
        best = 0.0
        for kept in itertools.product((0.0, 1.0), repeat=4):
            start = (np.maximum(values, 0.0) ** 0.25 * np.array(kept))[:, None] * vectors.T
            end = quadratic_flow(loss, jnp.asarray(start), 2, np.array([200.0]), weight_decay=decay)
            best = min(best, penalized(factor_layer_grams(end[0], 2)[-1], loss, decay, 2))
        np.testing.assert_allclose(ours.loss, best, atol=1e-7)


@pytest.mark.parametrize(
    ("depth", "rank"),
    [(1, None), (2, None), pytest.param(3, None, marks=SLOW), pytest.param(2, 2, marks=SLOW)],
)
def test_derivatives_by_the_implicit_function_theorem_match_finite_differences(depth, rank):
    loss = random_loss(dim=4, seed=5)
    random = np.random.default_rng(6)
    probe, shift = (jnp.asarray(x + x.T) for x in random.normal(size=(2, 4, 4)))

    @jax.jit
    def reading(amount, decay):
        moved = QuadraticLoss(loss.quadratic + amount * shift / 10, loss.linear + amount * probe)
        optimum = decayed_optimum(moved, weight_decay=decay, depth=depth, rank=rank)
        return jnp.sum(optimum.gram * probe) + optimum.loss

    decay, step = 0.1, 2e-5
    moved = (reading(step, decay) - reading(-step, decay)) / (2 * step)
    np.testing.assert_allclose(jax.grad(reading)(0.0, decay), moved, rtol=1e-5)
    np.testing.assert_allclose(
        jax.jvp(lambda x: reading(x, decay), (0.0,), (1.0,))[1], moved, rtol=1e-5
    )
    moved = (reading(0.0, decay + step) - reading(0.0, decay - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(reading, argnums=1)(0.0, decay), moved, rtol=1e-5)


def test_optimum_compiles_once_and_maps_over_weight_decay():
    from theory.optimum.decay import _follow_decay

    loss = random_loss(dim=4)
    decayed_optimum(loss, weight_decay=0.1, depth=2)
    before = _follow_decay._cache_size()
    decayed_optimum(random_loss(dim=4, seed=8), weight_decay=0.2, depth=2)
    assert _follow_decay._cache_size() == before
    decays = jnp.array([0.05, 0.1, 0.4])
    mapped = jax.vmap(lambda decay: decayed_optimum(loss, weight_decay=decay, depth=2).gram)(decays)
    for index in range(3):
        single = decayed_optimum(loss, weight_decay=decays[index], depth=2).gram
        np.testing.assert_allclose(mapped[index], single, atol=1e-9)


def test_bad_input_is_refused():
    loss = random_loss()
    with pytest.raises(InputError, match="at least 0"):
        decayed_optimum(loss, weight_decay=-0.1, depth=2)
    with pytest.raises(InputError, match="at least 0"):
        decayed_optimum(loss, weight_decay=-0.1, depth=1)
    with pytest.raises(InputError, match="does not lead"):
        decayed_optimum(loss, weight_decay=0.1, depth=2, path=(0.0, 0.2))
    with pytest.raises(InputError, match="branch"):
        decayed_optimum(loss, weight_decay=0.1, depth=2, branch="best")
    single = QuadraticLoss(np.asarray(loss.quadratic, np.float32), loss.linear)
    with pytest.raises(InputError, match="float32"):
        decayed_optimum(single, weight_decay=0.1, depth=2)
