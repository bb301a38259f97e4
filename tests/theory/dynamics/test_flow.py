"""The façade of flow: closed forms, long times, ends, transformations, what is written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.dynamics.flow import flow
from theory.linalg.errors import InputError
from theory.losses.quadratic import QuadraticLoss
from theory.optimum.decay import decayed_optimum
from theory.optimum.quadratic import quadratic_optimum

DIM = 3


def commuting_loss():
    return QuadraticLoss(jnp.diag(jnp.array([10.0, 1.0])), jnp.diag(jnp.array([9.0, -0.2])))


def mixed_loss(shift=0.0):
    """Moments that do not commute, with one negative alignment."""
    random = np.random.default_rng(0)
    turn, _ = np.linalg.qr(random.normal(size=(DIM, DIM)))
    covariance = np.diag([2.0, 1.0, 0.5])
    root = np.sqrt(covariance)
    cross = root @ (turn * np.array([0.9, 0.5, -0.1])) @ turn.T @ root
    return QuadraticLoss(
        jnp.asarray(covariance) + shift * jnp.eye(DIM, k=1) + shift * jnp.eye(DIM, k=-1),
        jnp.asarray(0.5 * (cross + cross.T)),
    )


def whole_network(loss, layers, times, decay):
    """Grams of every layer and the loss, from full weights by SciPy and hand-written gradients."""
    quadratic, linear = np.asarray(loss.quadratic), np.asarray(loss.linear)
    shape = np.shape(layers)

    def velocity(_, flat):
        weights = flat.reshape(shape)
        below = [np.eye(shape[-1])]
        for weight in weights:
            below.append(weight @ below[-1])
        end, above, moves = below[-1], np.eye(shape[-1]), []
        slope = 4 * end @ (quadratic @ end.T @ end @ quadratic - linear)
        for index in reversed(range(len(weights))):
            moves.append(-above.T @ slope @ below[index].T - decay * weights[index])
            above = above @ weights[index]
        return np.stack(moves[::-1]).ravel()

    path = solve_ivp(
        velocity, (0, times[-1]), np.ravel(layers), "DOP853", times, rtol=1e-11, atol=1e-13
    ).y.T.reshape(len(times), *shape)
    grams, losses = [], []
    for weights in path:
        product, rows = np.eye(shape[-1]), []
        for weight in weights:
            product = weight @ product
            rows.append(product.T @ product)
        inner = rows[-1] @ quadratic
        value = np.trace(inner @ inner) - 2 * np.trace(rows[-1] @ linear)
        grams.append(np.stack(rows))
        losses.append(value + 0.5 * decay * np.sum(weights**2))
    return np.stack(grams), np.array(losses)


@pytest.mark.parametrize(("start", "decay"), [("scaled", 0.03), ("unbalanced", 0.03)])
@pytest.mark.parametrize("commuting", [True, False])
def test_every_layer_is_that_of_the_whole_network(start, decay, commuting):
    loss = commuting_loss() if commuting else mixed_loss()
    dim = loss.quadratic.shape[0]
    times = np.array([0.0, 0.4, 3.0])
    layers = np.stack([0.3 * np.eye(dim)] * 2)
    if start == "unbalanced":
        layers = layers + 0.2 * np.random.default_rng(1).normal(size=layers.shape)
    init = None if start == "scaled" else tuple(layers)
    course = flow(loss, times, init_scale=0.3, init=init, weight_decay=decay)
    grams, losses = whole_network(loss, layers, times, decay)
    np.testing.assert_allclose(course.grams, grams, atol=1e-8)
    np.testing.assert_allclose(course.loss, losses, atol=1e-7)
    spectra = np.linalg.eigvalsh(np.asarray(course.grams))[..., ::-1]
    np.testing.assert_allclose(course.weight_spectra, spectra, atol=1e-12)
    root = np.linalg.cholesky(loss.quadratic)
    outputs = np.linalg.eigvalsh(root.T @ np.asarray(course.grams) @ root)[..., ::-1]
    np.testing.assert_allclose(course.layer_spectra[:, 1:], outputs, atol=1e-12)


def test_stiff_courses_are_answered_by_closed_form_and_by_the_implicit_solver():
    times = np.array([0.0, 100_000.0])
    closed = flow(commuting_loss(), times, weight_decay=0.01)
    solved = flow(commuting_loss(), times, weight_decay=0.01, solver="implicit")
    np.testing.assert_allclose(closed.grams, solved.grams, atol=1e-8)
    gram = decayed_optimum(commuting_loss(), weight_decay=0.01, depth=2).gram
    np.testing.assert_allclose(closed.grams[1, 1], gram, atol=1e-9)
    mixed = flow(mixed_loss(), times)
    assert float(mixed.loss[1]) == pytest.approx(float(quadratic_optimum(mixed_loss()).loss), 1e-6)


@pytest.mark.parametrize(("depth", "decay"), [(1, 0.2), (2, 0.0), (2, 0.05)])
def test_infinite_time_is_the_end_state(depth, decay):
    loss = mixed_loss()
    course = flow(loss, np.array([1.0, np.inf]), depth=depth, weight_decay=decay, init_scale=0.7)
    late = flow(
        loss,
        np.array([1.0, 3e3]),
        depth=depth,
        weight_decay=decay,
        init_scale=0.7,
        solver="implicit",
    )
    # The feature of negative alignment fades as a power of time where nothing decays.
    tolerance = 1e-8 if decay else 2e-2
    np.testing.assert_allclose(course.grams[1, -1], late.grams[1, -1], atol=tolerance)
    np.testing.assert_allclose(course.grams[0], late.grams[0], atol=1e-8)


def test_one_layer_of_rank_one_among_rows_of_zeros():
    """W₀ = [[.1, .1], [0, 0]] as from its one row."""
    loss = QuadraticLoss(jnp.eye(2), jnp.diag(jnp.array([0.9, 0.3])))
    start = jnp.array([[0.1, 0.1], [0.0, 0.0]])
    times = np.array([1.0])
    both = flow(loss, times, init=(start,)).grams
    one = flow(loss, times, init=(start[:1],)).grams
    np.testing.assert_allclose(both, one, atol=1e-10)
    # The Riccati closed form, G = e^{Ft} w (1 + 8 wᵀ∫e^{2Fs}w)⁻¹ wᵀ e^{Ft} with F = 4M.
    rates = 4 * np.array([0.9, 0.3])
    grown = 0.1 * np.exp(rates)
    inner = 1 + 8 * np.sum(0.1**2 * np.expm1(2 * rates) / (2 * rates))
    np.testing.assert_allclose(both[0, 0], np.outer(grown, grown) / inner, atol=1e-9)
    assert abs(both[0, 0, 0, 0] - 0.8265) < 5e-5
    slope = jax.grad(lambda w: flow(loss, times, init=(w,)).grams[0, 0, 0, 0])(start)
    step = 1e-5 * jnp.zeros((2, 2)).at[0, 1].set(1.0)
    ends = [flow(loss, times, init=(start + s * step,)).grams[0, 0, 0, 0] for s in (1, -1)]
    np.testing.assert_allclose(slope[0, 1], (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


def test_derivatives_and_maps_in_loss_decay_start_and_times():
    def value(given):
        course = flow(
            mixed_loss(given[0]),
            jnp.stack([0.3, given[1]]),
            init_scale=given[2],
            weight_decay=given[3],
        )
        return jnp.sum(jnp.cos(course.grams)) + course.loss[1] + course.layer_spectra[1, 2, 0]

    point = np.array([0.0, 1.5, 0.3, 0.02])
    compiled = jax.jit(value)
    steps = 1e-3 * np.eye(4)
    central = [(8 * (compiled(point + e) - compiled(point - e)) - compiled(point + 2 * e)
                + compiled(point - 2 * e)) / 12e-3 for e in steps]  # fmt: skip
    np.testing.assert_allclose(jax.jit(jax.grad(value))(point), central, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(value))(point), central, rtol=1e-6, atol=1e-7)
    mapped = jax.vmap(value)(np.stack([point, 1.1 * point]))
    np.testing.assert_allclose(mapped[0], value(point), rtol=1e-8)


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(InputError, match="takes 2 features"):
        flow(mixed_loss(), np.ones(1), init=(np.eye(2),))
    with pytest.raises(InputError, match="ascending"):
        flow(mixed_loss(), np.array([1.0, 0.0]))
    with pytest.raises(InputError, match="max_steps"):
        flow(mixed_loss(), np.array([10.0]), solver="explicit", max_steps=4)
    with pytest.raises(InputError, match="4 GiB"):
        flow(mixed_loss(), np.linspace(0.0, 1.0, 40_000_000))
