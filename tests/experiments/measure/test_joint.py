"""Heads trained with their encoder: recorded steps, the account, and heads that moments drive.

A slow twin trains heads in float64 NumPy, written from the loss, on features that turn and grow.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.core.measurements import Measurement, Run, make_table
from experiments.measure.joint import driven, drives, equilibrium, ledger
from experiments.measure.network import measure_subject
from experiments.measure.subject import Subject
from experiments.networks import observers
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from experiments.networks.variant import Variant
from experiments.tools.listing import find_missing
from experiments.tools.registry import EXPERIMENTS
from ssljax.config.config import Config, EncoderConfig, HeadConfig, OptimizerConfig

STEPS, BATCH, WIDTH = 240, 32, 4
RATES = 0.01 * np.minimum(1, np.arange(1, STEPS + 1) / 20)


def make_features(seed):
    """Pairs that share one direction at first and another later."""
    rng = np.random.default_rng(seed)
    found = []
    for step in range(STEPS):
        late = step / STEPS
        scale = np.sqrt([0.2 + late, 1.2 - late, 0.3, 0.1])
        shared = rng.normal(size=(BATCH, WIDTH)) * scale
        views = [shared + 0.3 * rng.normal(size=(BATCH, WIDTH)) for _ in range(2)]
        mean = np.mean(views, axis=(0, 1))
        found.append([(view - mean).astype(np.float32) for view in views])
    first, second = np.moveaxis(np.array(found), 1, 0)
    return drives.Features(first, second)


def train_head(features, widths, momentum, weight_decay, seed):
    """Descend −2/B Σ hᵀFh' + Σ_{i≠j} (h_iᵀF h'_j)² / B(B−1), layer by layer, by the chain rule."""
    rng = np.random.default_rng(seed)
    sizes = (WIDTH, *widths)
    layers = [
        (rng.normal(size=(b, a)) / np.sqrt(a)).astype(np.float32).astype(np.float64)
        for a, b in itertools.pairwise(sizes)
    ]
    start, velocities = [layer.copy() for layer in layers], [0.0] * len(layers)
    for step in range(STEPS):
        outputs = [[views[step].astype(np.float64)] for views in features]
        for side in outputs:
            for layer in layers:
                side.append(side[-1] @ layer.T)
        products = outputs[0][-1] @ outputs[1][-1].T
        slopes = 2 * products / (BATCH * (BATCH - 1))
        np.fill_diagonal(slopes, -2 / BATCH)
        backward = [slopes @ outputs[1][-1], slopes.T @ outputs[0][-1]]
        gradients = []
        for place in reversed(range(len(layers))):
            gradients.append(sum(b.T @ o[place] for b, o in zip(backward, outputs, strict=True)))
            backward = [b @ layers[place] for b in backward]
        for place, gradient in enumerate(gradients[::-1]):
            velocities[place] = (
                momentum * velocities[place] + gradient + weight_decay * layers[place]
            )
            layers[place] = layers[place] - RATES[step] * velocities[place]
    return tuple(start), tuple(layers)


def make_subject(network="driven-gn", seed=0, momentum=None):
    training = TRAININGS[network]
    momentum = training.momentum if momentum is None else momentum
    training = dataclasses.replace(training, momentum=momentum)
    widths = {1: (3,), 2: (WIDTH, 3), 3: (WIDTH, WIDTH, 3)}[len(training.widths)]
    features = make_features(seed)
    start, end = train_head(features, widths, momentum, training.head_weight_decay, seed)
    variants = {"untrained": _only_a_head(start), "trained": _only_a_head(end)}
    rng = np.random.default_rng(seed)
    squares = rng.normal(size=(3, observers.WINDOWS, WIDTH, WIDTH))
    observed = {
        "learning_rate": RATES,
        "features/first": features.first,
        "features/second": features.second,
        "ledger_error/1": np.linspace(0, 1e-6, STEPS),
        "balance/1": np.linspace(0.2, 0.1, STEPS),
        "imbalance/1": np.linspace(2, 1, STEPS),
        "weight_norm/1": np.full(STEPS, 2.0),
        "weight_norm/2": np.full(STEPS, 3.0),
        "noise/counts": np.full(observers.WINDOWS, STEPS / observers.WINDOWS),
        **{f"noise/{n}": s for n, s in zip(("imbalance", "lower", "upper"), squares, strict=True)},
    }
    return Subject(
        network,
        seed,
        training,
        SIZES["laptop"],
        lambda task: pytest.fail(f"asked for images of {task}"),
        variants,
        observed=observed,
        steps=STEPS,
    )


@pytest.mark.parametrize("network", ["driven-one", "driven-gn", "driven-three"])
def test_every_steps_own_batch_gives_the_head_back(network):
    subject = make_subject(network)
    with jax.enable_x64(True):
        course = driven.read_course(subject)
        windows = drives.replay_batches(drives.read_features(subject))
        layers = driven.descend_driven(course, windows)
        # The weights at the end are kept in float32.
        assert driven.gram_error(layers, course.end) < 3e-7
        assert driven.gram_error(course.start, course.end) > 0.5


def test_errors_are_those_of_the_predictions_they_name():
    subject = make_subject()
    rows = {row.variant: row.value for row in _rows(driven.measure_driven(subject), "gram_error")}
    assert rows["theory"] < min(error for name, error in rows.items() if name != "theory")
    with jax.enable_x64(True):
        course = driven.read_course(subject)
        features = drives.read_features(subject)
        for name, given in (
            ("rival:no_decay", {"weight_decay": 0.0}),
            ("rival:no_momentum", {"momentum": 0.0}),
        ):
            layers = driven.descend_driven(
                course._replace(**given), drives.average_moments(features)
            )
            assert rows[name] == driven.gram_error(layers, course.end)
        grams = [np.asarray(w[0].T @ w[0]) for w in (course.start, course.end)]
        last = driven.gram_error(course.start, course.end)
    assert rows["rival:not_moved"] == last
    assert last >= np.linalg.norm(grams[0] - grams[1]) / np.linalg.norm(grams[1]) - 1e-12


def test_the_worst_layer_counts_and_divergence_is_a_number():
    one = np.eye(2)
    with jax.enable_x64(True):
        layers = [tuple(map(jnp.asarray, pair)) for pair in ((one, one), (one, 3**0.5 * one))]
        assert driven.gram_error(layers[1], layers[0]) == pytest.approx(2.0)
        lost = (layers[0][0], layers[0][1] * jnp.nan)
        assert driven.gram_error(lost, layers[0]) == driven.DIVERGED


def test_without_momentum_ignoring_it_is_no_rival():
    subject = make_subject("joint-spectral")
    variants = {row.variant for row in _rows(driven.measure_driven(subject), "gram_error")}
    assert len(variants) == 8
    assert "rival:no_momentum" not in variants


def test_other_batches_are_near_and_not_their_own():
    count = np.arange(50, dtype=np.float32)[:, None, None] + np.zeros((1, 2, 1), np.float32)
    with jax.enable_x64(True):
        found = drives.exchange_batches(drives.Features(count, count), 3)
        away = np.abs(np.asarray(found.first)[:, 0, 0, 0] - np.arange(50))
    assert away.min() >= 1
    assert away.max() <= drives.NEAR
    np.testing.assert_array_equal(found.first, found.second)


def test_rivals_have_the_moments_of_their_names():
    features = make_features(1)
    with jax.enable_x64(True):
        windows = drives.average_moments(features)
        moments = [
            (h.T.astype(float) @ h + g.T.astype(float) @ g) / (2 * BATCH)
            for h, g in zip(*features, strict=True)
        ]
        means = np.array(moments).reshape(-1, drives.WINDOW, WIDTH, WIDTH).mean(axis=1)
        np.testing.assert_allclose(windows.covariances, means, rtol=1e-6)
        np.testing.assert_allclose(
            drives.average_time(windows).covariances[0], np.mean(moments, axis=0), rtol=1e-6
        )
        final = drives.keep_moments(windows, jnp.array([len(means) - 1]))
        np.testing.assert_allclose(final.covariances[0], means[-1], rtol=1e-6)
        shuffled = np.asarray(drives.shuffle_time(features, 0).covariances)
        blocks = np.asarray(drives.average_moments(features, drives.BLOCK).covariances)
        operators = drives.average_operators(features)
        # Away from the windows' centers the operator is a mean of means, at them it is exact.
        gram = jnp.eye(WIDTH)
        gradient = np.asarray(operators.gradient(operators.centers[2], gram))
        expected = np.mean([_loss_gradient(features, step) for step in range(40, 60)], axis=0)
    assert np.abs(shuffled - blocks).max() > 0.05
    np.testing.assert_allclose(np.sort(shuffled, axis=0), np.sort(blocks, axis=0), rtol=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


def test_sizes_of_modes_are_read_along_the_trained_head():
    subject = make_subject()
    still = dataclasses.replace(
        subject, variants={**subject.variants, "trained": subject.variants["untrained"]}
    )
    found = {row.variant: row for row in _rows(driven.measure_driven(still), "size_error")}
    assert found["rival:not_moved"].value < 1e-12 < found["theory"].value
    curves = [item for item in driven.measure_driven(subject) if not isinstance(item, Measurement)]
    predicted, measured = (curve.values for curve in curves)
    last = np.concatenate(
        [
            views[-drives.LAST_STEPS :].reshape(-1, WIDTH)
            for views in (subject.observed["features/first"], subject.observed["features/second"])
        ]
    )
    covariance = last.T.astype(float) @ last / len(last)
    whole = np.linalg.multi_dot(subject.variants["trained"].head_weights()[::-1])
    sizes = np.sort(np.linalg.eigvals(covariance @ whole.T @ whole).real)[::-1]
    np.testing.assert_allclose(measured, sizes[sizes > driven.ALIVE], rtol=1e-5)
    assert np.abs(np.log(predicted / measured)).max() < 0.2


def test_the_account_is_off_by_rounding_under_plain_descent():
    audit = ledger.audit_account(_descend_by_hand(momentum=0.0), 8, weight_decay=0.1)
    assert 0.1 * audit.bound < audit.error < audit.bound < 1e-4


def test_the_account_breaks_under_momentum():
    assert ledger.audit_account(_descend_by_hand(momentum=0.9), 8, 0.1).error > 1e-3


def test_the_bound_is_that_of_the_worst_step():
    observed = {
        "ledger_error/1": np.array([0.0, 1e-7, 1e-7, 1e-8]),
        "balance/1": np.array([0.1, 0.1, 0.05, 0.1]),
        "imbalance/1": np.array([1.0, 1.0, 0.5, 1.0]),
        "weight_norm/1": np.array([1.0, 1.0, 1.0, 9.0]),
        "weight_norm/2": np.array([2.0, 2.0, 2.0, 9.0]),
        "learning_rate": np.full(4, 0.5),
    }
    error, bound = ledger.audit_account(observed, hidden=12, weight_decay=0.2)
    assert error == pytest.approx(2e-6, rel=1e-12)
    # 2 · 2 · 2⁻²⁴ √(Σ 1⁴ + 2⁴) / (√(3 n) ‖D‖), n = 12, ‖D‖ = ½; of the first of two updates, at
    # ηλ = 0.1, 0.9² is left in D.
    rounding = np.sqrt(17 * (1 + 0.9**4))
    assert bound == pytest.approx(4 * 2.0**-24 * rounding / (6 * 0.5), rel=1e-12)


def test_noise_and_decay_settle_where_theory_says():
    rate, decay, steps = 0.05, 0.1, 4000
    observed = _descend_by_hand(momentum=0.0, rate=rate, decay=decay, steps=steps)
    training = dataclasses.replace(
        TRAININGS["joint-cosine"], learning_rate=rate, head_weight_decay=decay
    )
    subject = dataclasses.replace(make_subject(), training=training, observed=observed)
    found = {row.variant: row.value for row in equilibrium.measure_equilibrium(subject)}
    assert found["theory"] < 0.2
    # Noise is four times as loud at the start.
    assert found["rival:first_gradients"] > 1.0


def test_features_are_kept_as_the_loss_saw_them():
    config = _config(steps=3)
    observer = observers.make_observers(config, ("features",))["features"]
    views = np.random.default_rng(0).normal(size=(3, BATCH, 2, 16)).astype(np.float32)
    state, rates = observer.initial_state, []
    for step in range(3):
        outputs = {"feature": jnp.asarray(views[step])}
        state, scalars = observer.observe({}, {}, outputs, state)
        rates.append(float(scalars["learning_rate"]))
    np.testing.assert_array_equal(state["first"], views[:, :, 0])
    np.testing.assert_array_equal(state["second"], views[:, :, 1])
    np.testing.assert_allclose(rates, 0.05, rtol=1e-6)


@pytest.mark.parametrize(
    "network",
    ["joint-spectral", "joint-cosine", "driven-gn", "driven-one", "driven-three", "driven-bn"],
)
def test_rows_are_complete(network):
    found = measure_subject(make_subject(network), "laptop")
    table = make_table(found.rows, [Run(network, 0, "laptop")], found.curves)
    assert find_missing(network, 0, table, EXPERIMENTS) == ()


def _only_a_head(weights):
    kernels = {f"layer{n}": {"kernel": w.T.astype(np.float32)} for n, w in enumerate(weights, 1)}
    found = object.__new__(Variant)
    object.__setattr__(found, "params", {"head": kernels})
    return found


def _rows(found, quantity):
    return [item for item in found if isinstance(item, Measurement) and item.quantity == quantity]


def _loss_gradient(features, step):
    """Of the batch's loss in F, at F = I, symmetric; by the definition, pair by pair."""
    first, second = (views[step].astype(np.float64) for views in features)
    gradient = np.zeros((WIDTH, WIDTH))
    for i in range(BATCH):
        gradient += -2 / BATCH * np.outer(first[i], second[i])
        for j in range(BATCH):
            if i != j:
                size = first[i] @ second[j]
                gradient += 2 / (BATCH * (BATCH - 1)) * size * np.outer(first[i], second[j])
    return 0.5 * (gradient + gradient.T)


def _config(momentum=0.0, rate=0.05, decay=0.1, steps=300):
    return Config(
        num_steps=steps,
        batch_size=BATCH,
        encoder=EncoderConfig(width=4),
        head=HeadConfig(widths=(8, 8)),
        optimizer=OptimizerConfig(
            learning_rate=rate, momentum=momentum, final_fraction=1.0, head_weight_decay=decay
        ),
    )


def _descend_by_hand(momentum, rate=0.05, decay=0.1, steps=300):
    """Descend ½‖W₂W₁ − T‖² in float32, under noise that is louder in the first tenth."""
    config = _config(momentum, rate, decay, steps)
    watched = observers.make_observers(config, ("ledger", "noise"))
    target, columns = jnp.diag(jnp.linspace(1.0, 2.0, 8)), jnp.linspace(0.1, 1.0, 8)

    def move(carry, step):
        (first, second), velocities, states = carry
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), step), (8, 8))
        pull = (
            second @ first
            - target
            + jnp.where(step < steps // 10, 2.0, 0.5) * noise * columns[None]
        )
        gradients = jnp.stack([second.T @ pull, pull @ first.T])
        layers = jnp.stack([first, second])
        params, slopes = (
            {"head": {f"layer{n}": {"kernel": pair[n - 1].T} for n in (1, 2)}}
            for pair in (layers, gradients)
        )
        found = [
            observer.observe(params, slopes, {}, state)
            for observer, state in zip(watched.values(), states, strict=True)
        ]
        velocities = momentum * velocities + gradients + decay * layers
        states = tuple(state for state, _ in found)
        return (layers - rate * velocities, velocities, states), found[0][1]

    layers = jax.random.normal(jax.random.key(1), (2, 8, 8)) * jnp.array([0.6, 0.2])[:, None, None]
    initial = tuple(observer.initial_state for observer in watched.values())
    start = (layers, jnp.zeros_like(layers), initial)
    (_, _, states), scalars = jax.jit(lambda s: jax.lax.scan(move, s, jnp.arange(steps)))(start)
    observed = {name: np.asarray(values) for name, values in scalars.items()}
    observed["learning_rate"] = np.full(steps, rate)
    for name, state in zip(watched, states, strict=True):
        if name == "noise":
            observed |= {f"{name}/{key}": np.asarray(value) for key, value in state.items()}
    return observed
