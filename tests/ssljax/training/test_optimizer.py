"""Optimizers against hand-written recursions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.system.errors import UsageError
from ssljax.training.optimizer import (
    adam,
    byol_decay,
    constant,
    lamb,
    lars,
    moving_average,
    sgd,
    warmup_cosine,
)

STEPS = 6


def make_params(rng):
    return {
        "encoder": {
            "conv": {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)},
            "norm": {"scale": rng.normal(size=2), "bias": rng.normal(size=2)},
        },
        "head": {"layer1": {"kernel": rng.normal(size=(2, 2))}},
    }


def trajectory(optimizer, params, grads):
    params = jax.tree.map(jnp.float32, params)
    state = optimizer.init(params)
    for grad in grads:
        updates, state = optimizer.update(jax.tree.map(jnp.float32, grad), state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return params


def leaves_with_names(tree):
    return [
        ([part.key for part in path], np.asarray(leaf, np.float64))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def twin(params, grads, decay_of, update):
    """Runs `update(weight, gradient, decay, memory, step)` leaf by leaf in float64."""
    result = {}
    for number, (path, weight) in enumerate(leaves_with_names(params)):
        memory = {}
        for step, grad in enumerate(grads):
            gradient = leaves_with_names(grad)[number][1]
            weight = update(weight, gradient, decay_of(path, step), memory, step)
        result["/".join(path)] = weight
    return result


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return make_params(rng), [make_params(rng) for _ in range(STEPS)]


def assert_same(params, expected):
    for path, leaf in leaves_with_names(params):
        np.testing.assert_allclose(leaf, expected["/".join(path)], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_adds_the_decay_of_each_subtree_to_the_gradient_before_momentum(problem, nesterov):
    params, grads = problem
    rate = warmup_cosine(0.3, STEPS, 2, 0.1)

    def decay_of(path, step):
        if path[-1] != "kernel":
            return 0.0
        return 0.2 if path[0] == "encoder" else 0.05 * (step + 1)

    def update(weight, gradient, decay, memory, step):
        gradient = gradient + decay * weight
        memory["v"] = 0.9 * memory.get("v", 0) + gradient
        direction = 0.9 * memory["v"] + gradient if nesterov else memory["v"]
        return weight - float(rate(step)) * direction

    decay = {"encoder": 0.2, "head": lambda step: 0.05 * (step + 1)}
    optimizer = sgd(rate, 0.9, decay, nesterov=nesterov)
    assert_same(trajectory(optimizer, params, grads), twin(params, grads, decay_of, update))


def test_sgdw_adds_the_decay_after_momentum(problem):
    params, grads = problem

    def update(weight, gradient, decay, memory, step):
        memory["v"] = 0.9 * memory.get("v", 0) + gradient
        return weight - 0.1 * (memory["v"] + decay * weight)

    expected = twin(params, grads, lambda path, _: 0.3 * (path[-1] == "kernel"), update)
    assert_same(trajectory(sgd(constant(0.1), 0.9, 0.3, decoupled=True), params, grads), expected)


def test_adam_adds_the_decay_before_the_rescaling(problem):
    params, grads = problem

    def update(weight, gradient, decay, memory, step):
        gradient = gradient + decay * weight
        memory["m"] = 0.8 * memory.get("m", 0) + 0.2 * gradient
        memory["v"] = 0.99 * memory.get("v", 0) + 0.01 * gradient**2
        mean = memory["m"] / (1 - 0.8 ** (step + 1))
        square = memory["v"] / (1 - 0.99 ** (step + 1))
        return weight - 0.1 * mean / (np.sqrt(square) + 1e-8)

    expected = twin(params, grads, lambda path, _: 0.3 * (path[-1] == "kernel"), update)
    assert_same(trajectory(adam(constant(0.1), 0.3, b1=0.8, b2=0.99), params, grads), expected)


def test_decay_of_norms_and_biases_is_off_by_default_and_on_when_asked(problem):
    params, _ = problem
    still = [jax.tree.map(np.zeros_like, params)]
    kept = trajectory(sgd(constant(1.0), 0.0, 0.5), params, still)
    shrunk = trajectory(sgd(constant(1.0), 0.0, 0.5, decay_all=True), params, still)
    for path, leaf in leaves_with_names(kept):
        start = dict(("/".join(p), w) for p, w in leaves_with_names(params))["/".join(path)]
        factor = 0.5 if path[-1] == "kernel" else 1.0
        np.testing.assert_allclose(leaf, factor * start, rtol=1e-6)
    for path, leaf in leaves_with_names(shrunk):
        start = dict(("/".join(p), w) for p, w in leaves_with_names(params))["/".join(path)]
        np.testing.assert_allclose(leaf, 0.5 * start, rtol=1e-6)


def test_adamw_decays_after_the_rescaling(problem):
    params, grads = problem

    def update(weight, gradient, decay, memory, step):
        memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * gradient
        memory["v"] = 0.99 * memory.get("v", 0) + 0.01 * gradient**2
        mean = memory["m"] / (1 - 0.9 ** (step + 1))
        square = memory["v"] / (1 - 0.99 ** (step + 1))
        return weight - 0.1 * (mean / (np.sqrt(square) + 1e-8) + decay * weight)

    expected = twin(params, grads, lambda path, _: 0.3 * (path[-1] == "kernel"), update)
    assert_same(
        trajectory(adam(constant(0.1), 0.3, b2=0.99, decoupled=True), params, grads), expected
    )


def norm_ratio(weight, update):
    return np.linalg.norm(weight) / np.linalg.norm(update)


@pytest.mark.parametrize("clip", [False, True])
def test_lars_gives_kernels_alone_a_decay_and_a_trust_ratio(problem, clip):
    params, grads = problem
    rate = warmup_cosine(0.3, STEPS, 0, 0.2)

    def update(weight, gradient, decay, memory, step):
        change = gradient
        if decay:
            gradient = gradient + decay * weight
            ratio = 0.1 * norm_ratio(weight, gradient)
            change = gradient * (min(ratio / float(rate(step)), 1) if clip else ratio)
        memory["v"] = 0.9 * memory.get("v", 0) + float(rate(step)) * change
        return weight - memory["v"]

    expected = twin(params, grads, lambda path, _: 0.3 * (path[-1] == "kernel"), update)
    optimizer = lars(rate, 0.9, 0.3, trust_coefficient=0.1, clip=clip)
    assert_same(trajectory(optimizer, params, grads), expected)


def test_lamb_gives_kernels_alone_a_decay_and_a_trust_ratio(problem):
    params, grads = problem

    def update(weight, gradient, decay, memory, step):
        memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * gradient
        memory["v"] = 0.99 * memory.get("v", 0) + 0.01 * gradient**2
        mean = memory["m"] / (1 - 0.9 ** (step + 1))
        square = memory["v"] / (1 - 0.99 ** (step + 1))
        change = mean / (np.sqrt(square) + 1e-6) + decay * weight
        if decay:
            change = change * norm_ratio(weight, change)
        return weight - 0.1 * change

    expected = twin(params, grads, lambda path, _: 0.3 * (path[-1] == "kernel"), update)
    assert_same(trajectory(lamb(constant(0.1), 0.3, b2=0.99), params, grads), expected)


def test_a_trust_ratio_of_a_zero_kernel_or_gradient_is_one():
    params = {"head": {"layer1": {"kernel": jnp.zeros((2, 2))}}}
    grads = {"head": {"layer1": {"kernel": jnp.ones((2, 2))}}}
    optimizer = lars(constant(0.5), 0.0)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["head"]["layer1"]["kernel"], -0.5 * np.ones((2, 2)))
    updates, _ = optimizer.update(params, optimizer.init(params), grads)
    np.testing.assert_array_equal(updates["head"]["layer1"]["kernel"], np.zeros((2, 2)))


def test_the_moving_average_is_the_geometric_sum_and_its_decay_ends_at_one():
    average = {"w": jnp.float32(1.0)}
    for value in (2.0, 3.0):
        average = moving_average(average, {"w": jnp.float32(value)}, 0.75)
    np.testing.assert_allclose(average["w"], 0.75**2 + 0.25 * 0.75 * 2 + 0.25 * 3, rtol=1e-6)
    decay = byol_decay(0.9, 100)
    np.testing.assert_allclose([float(decay(s)) for s in (0, 50, 100)], [0.9, 0.95, 1.0], rtol=1e-6)


def test_plain_decayed_descent_is_descent_on_the_penalized_loss():
    weight = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    params = {"head": {"layer1": {"kernel": weight}}}

    def penalized(params):
        kernel = params["head"]["layer1"]["kernel"]
        return jnp.sum(jnp.sin(kernel)) + 0.35 * jnp.sum(kernel**2)

    loss_grad = {"head": {"layer1": {"kernel": jnp.cos(weight)}}}
    optimizer = sgd(constant(0.1), 0.0, 0.7)
    updates, _ = optimizer.update(loss_grad, optimizer.init(params), params)
    np.testing.assert_allclose(
        updates["head"]["layer1"]["kernel"],
        -0.1 * jax.grad(penalized)(params)["head"]["layer1"]["kernel"],
        rtol=1e-6,
    )


def test_warmup_cosine_passes_through_zero_peak_and_final_fraction():
    rate = warmup_cosine(2.0, 110, 10, 0.25)
    values = [float(rate(step)) for step in (0, 5, 10, 60, 110, 500)]
    np.testing.assert_allclose(values, [0.0, 1.0, 2.0, 1.25, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(float(warmup_cosine(2.0, 10)(0)), 2.0)


def test_update_is_compiled_once(problem):
    params, _ = problem
    optimizer = sgd(warmup_cosine(0.3, STEPS), 0.9, {"encoder": 0.1, "head": 0.2})
    update = jax.jit(optimizer.update)
    params = jax.tree.map(jnp.float32, params)
    state = optimizer.init(params)
    _, state = update(params, state, params)
    with jax.no_tracing():
        update(params, state, params)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: warmup_cosine(1.0, 10, 10), "shorter than the run"),
        (lambda: warmup_cosine(-1.0, 10), "peak -1.0"),
        (lambda: warmup_cosine(1.0, 10, 0, 1.5), "final fraction 1.5"),
        (lambda: sgd(constant(0.1), 1.0), "momentum 1.0"),
        (lambda: sgd(constant(0.1), 0.9, -0.1), "weight decay -0.1"),
        (lambda: lars(constant(0.1), -0.5), "momentum -0.5"),
        (lambda: byol_decay(1.5, 10), "decay 1.5"),
        (lambda: adam(constant(0.1), {"head": float("nan")}, decoupled=True), "weight decay nan"),
    ],
)
def test_a_number_out_of_range_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_a_subtree_without_decay_is_refused(problem):
    params = jax.tree.map(jnp.float32, problem[0])
    optimizer = sgd(constant(0.1), 0.9, {"encoder": 0.1})
    with pytest.raises(UsageError, match="subtree 'head'"):
        optimizer.update(params, optimizer.init(params), params)
