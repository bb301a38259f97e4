"""A head that trains with its encoder, against a NumPy trainer of both."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from theory.dynamics.batch_operator import (
    batch_correction,
    batch_gradient,
    gaussian_closure,
    mean_batch_gradient,
    moment_gradient,
)
from theory.dynamics.driven import (
    BatchWindows,
    CorrectedWindows,
    MomentWindows,
    driven_descent,
    driven_flow,
    impulse_clock,
    window_moments,
)
from theory.dynamics.driven_nulls import (
    balanced_start,
    constant_windows,
    driven_nulls,
    reversed_windows,
    shuffled_windows,
)
from theory.linalg.errors import InputError

STEPS, BATCH, DIM, WIDTH = 60, 12, 5, 4
RATES = 0.004 * np.minimum(1.0, np.arange(1, STEPS + 1) / 10)
MOMENTUM, DECAY = 0.9, 0.05


def train(depth=2, seed=0):
    """Encoder and head by momentum descent on the pairs i ≠ j, gradients written out pair by pair.

    Returns the features of every step, the head at the start and at the end.
    """
    random = np.random.default_rng(seed)
    encoder = random.normal(size=(DIM, 6)) / np.sqrt(6)
    widths = (DIM, *(WIDTH,) * depth)
    head = [random.normal(size=(out, into)) / np.sqrt(into)
            for into, out in itertools.pairwise(widths)]  # fmt: skip
    start = [layer.copy() for layer in head]
    velocities = [np.zeros_like(each) for each in (encoder, *head)]
    features = []
    for rate in RATES:
        shared = random.normal(size=(BATCH, 6)) * [1.5, 1.2, 1.0, 0.7, 0.5, 0.3]
        views = [shared + 0.5 * random.normal(size=shared.shape) for _ in range(2)]
        hidden = [[view @ encoder.T] for view in views]
        for each in hidden:
            for layer in head:
                each.append(each[-1] @ layer.T)
        one, two = hidden[0][-1], hidden[1][-1]
        products = one @ two.T
        off = products * (1 - np.eye(BATCH)) * 2 / (BATCH * (BATCH - 1))
        slopes = [off @ two - 2 * two / BATCH, off.T @ one - 2 * one / BATCH]
        pulls = []
        for index in reversed(range(depth)):
            pulls.append(sum(slope.T @ each[index] for slope, each in zip(slopes, hidden)))
            slopes = [slope @ head[index] for slope in slopes]
        pulls.append(sum(slope.T @ view for slope, view in zip(slopes, views)))
        features.append([each[0] for each in hidden])
        layers = [encoder, *head]
        for velocity, pull, layer, decay in zip(
            velocities, pulls[::-1], layers, [0.001] + depth * [DECAY]
        ):
            velocity *= MOMENTUM
            velocity += pull + decay * layer
            layer -= rate * velocity
    features = np.array(features)
    return features[:, 0], features[:, 1], tuple(start), tuple(head)


def last(path):
    return [np.asarray(layer[-1]) for layer in path]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_own_batches_reproduce_the_jointly_trained_head(depth):
    first, second, start, end = train(depth)
    windows = BatchWindows(np.arange(STEPS, dtype=float), first[:, None], second[:, None])
    ours = driven_descent(RATES, MOMENTUM, windows, start, DECAY)
    for mine, measured in zip(last(ours), end):
        np.testing.assert_allclose(mine, measured, rtol=1e-10, atol=1e-12)


def test_windows_of_moments_come_close_and_know_more_than_the_nulls():
    first, second, start, end = train()
    windows = window_moments(first, second, 5)
    product = end[1] @ end[0]
    wanted = product.T @ product

    def error(layers):
        made = layers[1] @ layers[0] if len(layers) == 2 else np.linalg.multi_dot(layers[::-1])
        return np.linalg.norm(made.T @ made - wanted) / np.linalg.norm(wanted)

    ours = error(last(driven_descent(RATES, MOMENTUM, windows, start, DECAY)))
    nulls = driven_nulls(RATES, MOMENTUM, windows, start, DECAY, num_shuffles=1)
    assert len(nulls) == 14
    for name in ("head not moved", "final moments", "initial moments", "reversed moments",
                 "no momentum", "other start"):  # fmt: skip
        assert ours < 0.7 * error([np.asarray(layer) for layer in nulls[name]]), name


def smooth(step):
    covariance = np.diag(1.0 + 0.3 * np.sin(step / 40 + np.arange(3.0)))
    return covariance, covariance * (0.7 + 0.2 * np.cos(step / 30))


def smooth_windows(length, steps=96):
    pairs = [smooth(step) for step in range(steps)]
    means = [
        np.mean(np.reshape([pair[k] for pair in pairs], (-1, length, 3, 3)), axis=1) for k in (0, 1)
    ]
    return MomentWindows(length * np.arange(steps // length) + 0.5 * (length - 1), *means)


START = tuple(0.4 * np.random.default_rng(5).normal(size=(2, 3, 3)))


def test_error_is_quadratic_in_the_length_of_windows():
    rates = np.full(96, 0.02)
    exact = driven_descent(rates, 0.5, smooth_windows(1), START, DECAY)
    errors = [
        np.linalg.norm(
            np.stack(last(driven_descent(rates, 0.5, smooth_windows(length), START, DECAY)))
            - np.stack(last(exact))
        )
        for length in (16, 8, 4)
    ]
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert np.all((ratios > 3) & (ratios < 6)), (errors, ratios)


@pytest.mark.parametrize("clock", ["impulse", "rate"])
def test_flow_is_the_limit_of_descent_at_small_rates(clock):
    windows = smooth_windows(4)
    errors = []
    for parts in (2, 4, 8):
        rates = np.repeat(0.05 * np.minimum(1, np.arange(1, 97) / 20), parts) / parts
        finer = windows._replace(centers=parts * (windows.centers + 0.5) - 0.5)
        made = [
            np.stack(last(path))
            for path in (
                driven_descent(rates, 0.5, finer, START, DECAY),
                driven_flow(rates, 0.5, finer, START, DECAY, clock=clock),
            )
        ]
        errors.append(np.linalg.norm(made[0] - made[1]))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all((orders > 0.8) & (orders < 1.2)), (errors, orders)


def test_impulse_clock_is_what_a_gradient_moves_in_total():
    """One unit of gradient at step k, and what it has moved when training ends."""
    rates = np.array([0.1, 0.3, 0.2, 0.05])
    moved = []
    for at in range(4):
        velocity = total = 0.0
        for step, rate in enumerate(rates):
            velocity = 0.6 * velocity + (step == at)
            total += rate * velocity
        moved.append(total)
    np.testing.assert_allclose(impulse_clock(rates, 0.6), moved, rtol=1e-14)


def test_batch_gradient_is_that_of_the_pairs():
    random = np.random.default_rng(3)
    first, second = random.normal(size=(2, 6, 3))
    gram = np.cov(random.normal(size=(3, 9)))

    def loss(gram):
        products = first @ gram @ second.T
        off = products - np.diag(np.diag(products))
        return -2 * np.trace(products) / 6 + np.sum(off**2) / 30

    expected = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            step = np.zeros((3, 3))
            step[i, j] = 1e-6
            expected[i, j] = (loss(gram + step) - loss(gram - step)) / 2e-6
    expected = 0.5 * (expected + expected.T)
    np.testing.assert_allclose(batch_gradient(first, second, gram), expected, atol=1e-8)


def normalized_batches(count, normalize, batch=8):
    """Pairs of views, with each feature normalized over the views of one batch if asked for."""
    random = np.random.default_rng(7)
    shared = random.normal(size=(count, batch, 3))
    views = np.stack([shared + 0.5 * random.normal(size=shared.shape) for _ in range(2)], axis=1)
    if normalize:
        views = views - views.mean(axis=(1, 2), keepdims=True)
        views = views / views.std(axis=(1, 2), keepdims=True)
    return views[:, 0], views[:, 1]


def test_batch_normalization_biases_moments_and_the_batch_operator_is_free_of_it():
    """The pairs i ≠ j are (1 − κ/B) of tr(FΣFΣ): κ > 0 if normalized, 0 for independent samples."""
    gram = np.diag([0.5, 0.8, 0.3])
    kappas = {}
    for normalize, batch in ((True, 8), (True, 16), (False, 8)):
        first, second = normalized_batches(20_000, normalize, batch)
        moments = window_moments(first, second, len(first))
        plain = moment_gradient(moments.covariances[0], moments.cross_covariances[0], gram)
        exact = mean_batch_gradient(first, second, gram)
        corrected = plain + batch_correction(first, second, gram)
        pairs = 0.5 * (exact - plain) + 0.0
        whole = 0.5 * jnp.sum(gram * (plain + 2 * moments.cross_covariances[0]))
        kappas[normalize, batch] = -batch * float(jnp.sum(gram * pairs) / whole)
        np.testing.assert_allclose(corrected, exact, atol=5e-4)
    assert abs(kappas[False, 8]) < 0.15
    assert kappas[True, 8] > 0.7
    assert 0.7 < kappas[True, 16] / kappas[True, 8] < 1.5


def test_gaussian_closure_is_the_pairs_of_one_sample():
    """E of the sum with i = j kept exceeds that of the pairs by (tr(FM)M + MFM + ΣFΣ)/B."""
    first, second = normalized_batches(40_000, False)
    covariance, shared = 1.25 * np.eye(3), np.eye(3)
    gram = np.diag([0.5, 0.8, 0.3])
    agreement = np.einsum("cbi,ij,cbj->cb", first, gram, second)
    measured = np.einsum("cb,cbi,cbj->ij", agreement, first, second) / first[..., 0].size
    expected = covariance @ gram @ covariance - 0.5 * np.asarray(
        gaussian_closure(shared, gram, 1.0)
    )
    np.testing.assert_allclose(measured, expected, atol=0.05)


def test_corrected_windows_of_all_batches_are_the_batch_operator():
    first, second = (x.reshape(4, 5, 8, 3) for x in normalized_batches(20, True))
    moments = window_moments(first.reshape(20, 8, 3), second.reshape(20, 8, 3), 5)
    batches = BatchWindows(moments.centers, first, second)
    gram, step = np.diag([0.5, 0.8, 0.3]), jnp.array(4.0)
    corrected = CorrectedWindows(moments, batches).gradient(step, gram)
    plain = moments.gradient(step, gram)
    exact = batches.gradient(step, gram)
    assert np.linalg.norm(corrected - exact) < 0.6 * np.linalg.norm(plain - exact)


def test_nulls_reorder_and_keep_what_they_say():
    windows = smooth_windows(8)
    shuffled = shuffled_windows(windows, 1)
    traces = np.trace(windows.covariances, axis1=1, axis2=2)
    moved = np.trace(shuffled.covariances, axis1=1, axis2=2)
    assert sorted(moved) == sorted(traces)
    assert not np.array_equal(moved, traces)
    np.testing.assert_array_equal(shuffled.centers, windows.centers)
    np.testing.assert_array_equal(reversed_windows(windows).covariances[0], windows.covariances[-1])
    final = constant_windows(windows, "final")
    np.testing.assert_array_equal(final.covariances[0], windows.covariances[-1])
    for depth in (1, 2, 3):
        product = np.eye(3)
        layers = [np.asarray(layer) for layer in balanced_start(START, depth)]
        for lower, upper in itertools.pairwise(layers):
            np.testing.assert_allclose(upper.T @ upper, lower @ lower.T, atol=1e-12)
        for layer in layers:
            product = layer @ product
        np.testing.assert_allclose(product, START[1] @ START[0], atol=1e-12)


def test_what_does_not_fit_is_refused():
    windows = smooth_windows(8)
    with pytest.raises(InputError, match="divide"):
        driven_descent(np.full(10, 0.1), 0.9, windows, START, 0.0, num_snapshots=3)
    with pytest.raises(InputError, match="takes 2 features"):
        driven_descent(np.full(10, 0.1), 0.9, windows, (np.eye(2),), 0.0)
    with pytest.raises(InputError, match="final"):
        constant_windows(windows, "last")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"momentum": 1.0}, "momentum is 1"),
        ({"momentum": -0.5}, "momentum is -0.5"),
        ({"weight_decay": -1.0}, "weight_decay is -1"),
        ({"batches": 1}, "hold 1 batches of 3 pairs"),
        ({"pairs": 1}, "hold 2 batches of 1 pairs"),
    ],
)
def test_numbers_that_would_end_in_nan_are_refused_by_value(changes, words):
    given = {"momentum": 0.9, "weight_decay": 0.0, "batches": 2, "pairs": 3} | changes
    views = jnp.ones((1, given["batches"], given["pairs"], 2))
    moments = window_moments(views[0], views[0], 1)
    windows = CorrectedWindows(moments, BatchWindows(jnp.zeros(1), views, views))
    with pytest.raises(InputError, match=words):
        driven_descent(
            jnp.full(4, 0.1), given["momentum"], windows, (jnp.eye(2),), given["weight_decay"]
        )


def test_a_window_without_a_step_is_refused():
    with pytest.raises(InputError, match="length is 0"):
        window_moments(jnp.ones((4, 3, 1)), jnp.ones((4, 3, 1)), 0)


def test_the_correction_of_few_batches_is_on_average_that_of_all():
    """A covariance estimated without bias: the mean over all pairs of batches is that of all."""
    random = np.random.default_rng(5)
    first, second = random.normal(size=(2, 5, 6, 3)) * random.uniform(0.5, 2, (1, 5, 1, 1))
    factor = random.normal(size=(2, 3))
    gram = factor.T @ factor
    pairs = [
        batch_correction(first[list(pair)], second[list(pair)], gram)
        for pair in itertools.combinations(range(5), 2)
    ]
    np.testing.assert_allclose(
        np.mean(pairs, axis=0), batch_correction(first, second, gram), atol=1e-12
    )
