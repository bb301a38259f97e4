import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.policies import IDENTITY, NOISE_POLICY, Policy
from ssljax.config.config import Config, EncoderConfig, HeadConfig, LossConfig, OptimizerConfig
from ssljax.data.datasets import Dataset
from ssljax.nets.input_normalization import measure_normalization
from ssljax.system.errors import UsageError
from ssljax.training.observers import Observer
from ssljax.training.training import make_training, split_steps


def _config(**changes) -> Config:
    config = Config(
        policy=NOISE_POLICY,
        strength=0.5,
        sampling="replacement",
        encoder=EncoderConfig(kind="linear", widths=()),
        head=HeadConfig(widths=(6, 5), init="balanced", init_scale=0.5),
        loss=LossConfig(name="spectral"),
        optimizer=OptimizerConfig(learning_rate=0.05, final_fraction=1.0, momentum=0.0),
        batch_size=8,
        num_steps=6,
        steps_per_call=1,
        devices=1,
    )
    return dataclasses.replace(config, **changes)


def _dataset(count: int = 40) -> Dataset:
    images = np.random.default_rng(1).integers(0, 17, (count, 3, 3, 1)).astype(np.uint8)
    return Dataset(images, np.zeros(count, np.int32), 1 / 16, 1, "random")


@functools.cache
def _training(config: Config):
    return make_training(config, _dataset())


def _trained(config: Config, steps: int = 6, seed: int = 0, **options):
    training = make_training(config, _dataset(), **options) if options else _training(config)
    state, metrics = training.run(training.init(seed), config.strength, steps)
    return jax.device_get((state, metrics))


def _assert_equal(first, second):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_a_step_without_augmentation_is_gradient_descent_written_out():
    # Whole data set in one batch, identical views: nothing is left to chance.
    config = _config(policy=IDENTITY, sampling="epoch", batch_size=40)
    training = make_training(config, _dataset())
    start = jax.device_get(training.init(0))
    state, metrics = jax.device_get(training.run(training.init(0), 1.0, 1))
    x = _dataset().images.reshape(40, -1).astype(np.float64) / 16
    first, second = (
        start.params["head"][f"layer{layer}"]["kernel"].astype(np.float64) for layer in (1, 2)
    )
    z = x @ first @ second
    products = z @ z.T
    others = ~np.eye(40, dtype=bool)
    loss = -2 * np.mean(np.sum(z * z, axis=1)) + np.sum(products[others] ** 2) / (40 * 39)
    np.testing.assert_allclose(metrics["loss"], [loss], rtol=1e-5)
    # d loss / d z with both views moving together: z enters as first and as second view.
    gradient_z = -4 * z / 40 + 4 * (products * others) @ z / (40 * 39)
    gradient_second = (x @ first).T @ gradient_z
    gradient_first = x.T @ gradient_z @ second.T
    new = state.params["head"]
    np.testing.assert_allclose(
        new["layer1"]["kernel"], first - 0.05 * gradient_first, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        new["layer2"]["kernel"], second - 0.05 * gradient_second, rtol=1e-4, atol=1e-6
    )
    norm = np.sqrt(np.sum(gradient_first**2) + np.sum(gradient_second**2))
    np.testing.assert_allclose(metrics["gradient_norm"], [norm], rtol=1e-5)


def test_steps_in_one_call_are_the_steps_one_by_one():
    one, one_metrics = _trained(_config(steps_per_call=1))
    six, six_metrics = _trained(_config(steps_per_call=6))
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(six.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(one_metrics["loss"], six_metrics["loss"], rtol=1e-4)
    assert int(one.step) == int(six.step) == 6


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    run = _trained(_config())
    _assert_equal(run, _trained(_config(), observers=()))  # of a step compiled once more
    assert np.all(run[1]["loss"] != _trained(_config(), seed=1)[1]["loss"])


def test_stopping_between_calls_changes_nothing():
    training = _training(_config(steps_per_call=2))
    state, _ = training.run(training.init(0), 0.5, 4)
    state = training.parallel.place_state(jax.device_get(state))
    state, _ = training.run(state, 0.5, 2)
    _assert_equal(jax.device_get(state), _trained(_config(steps_per_call=2))[0])


def test_a_sweep_is_the_runs_it_is_made_of():
    training = _training(_config())
    seeds, strengths = np.array([0, 1, 0]), np.array([0.5, 0.5, 2.0])
    states, metrics = jax.device_get(training.sweep(seeds, strengths, 6))
    for index, (seed, strength) in enumerate(zip(seeds, strengths)):
        state, alone = jax.device_get(training.run(training.init(int(seed)), strength, 6))
        np.testing.assert_allclose(metrics["loss"][index], alone["loss"], rtol=1e-4)
        kernel = state.params["head"]["layer2"]["kernel"]
        np.testing.assert_allclose(
            states.params["head"]["layer2"]["kernel"][index], kernel, rtol=1e-3, atol=1e-5
        )


def test_another_strength_compiles_nothing():
    traces = []

    def count(params, gradients, outputs, state):
        traces.append(1)
        return state, {}

    training = make_training(_config(), _dataset(), observers=(Observer(count),))
    for strength in (0.1, 0.5, 0.9):
        training.run(training.init(0), strength, 3)
    assert len(traces) == 1


def test_observers_carry_their_own_state_and_add_to_the_metrics():
    def running(params, gradients, outputs, state):
        first = outputs["head1"]
        assert first.shape == (8, 2, 6)
        state = state + jnp.mean(first)
        return state, {"running_mean": state}

    observer = Observer(running, initial_state=jnp.zeros(()), layers=("head1",))
    state, metrics = _trained(_config(), observers=(observer,))
    assert metrics["running_mean"].shape == (6,)
    assert state.observer_states[0] == metrics["running_mean"][-1]


def test_an_observer_of_a_layer_that_does_not_exist_is_refused():
    observer = Observer(lambda params, gradients, outputs, state: (state, {}), layers=("head9",))
    with pytest.raises(UsageError, match="no layer 'head9'"):
        _trained(_config(), observers=(observer,))


def test_an_image_drawn_twice_in_a_batch_gets_different_views():
    seen = []

    def look(params, gradients, outputs, state):
        return outputs["input"], {}

    shape = jnp.zeros((8, 2, 9))
    observer = Observer(look, initial_state=shape, layers=("input",))
    training = make_training(_config(), _dataset(count=8), observers=(observer,))
    state = training.init(0)
    for _ in range(3):
        state, _ = training.run(state, 0.5, 1)
        seen.append(np.asarray(state.observer_states[0]))
    for views in seen:
        flat = views.reshape(16, 9)
        assert len(np.unique(flat, axis=0)) == 16


def test_the_network_input_is_centered_and_scaled_as_asked():
    config = _config(mean_image="views", input_scale=0.0, policy=Policy(shift=0.2, noise=0.3))

    def moments(params, gradients, outputs, state):
        rows = outputs["input"].reshape(-1, 9)
        mean, second = state
        return (mean + jnp.mean(rows, axis=0), second + rows.T @ rows / len(rows)), {}

    observer = Observer(moments, initial_state=(jnp.zeros(9), jnp.zeros((9, 9))), layers=("input",))
    config = dataclasses.replace(config, num_steps=2000, steps_per_call=100)
    state, _ = _trained(config, steps=2000, observers=(observer,))
    mean, second = (value / 2000 for value in state.observer_states[0])
    # 32 000 views here, 640 in the normalization: a few percent.
    assert np.linalg.norm(mean) < 0.1
    np.testing.assert_allclose(np.linalg.eigvalsh(second)[-1], 1.0, rtol=0.1)


def test_the_clean_mean_image_is_subtracted_exactly():
    normalization = measure_normalization(_dataset(), NOISE_POLICY, 1.0, mean="images", scale=2.0)
    wanted = _dataset().images.astype(np.float64).mean(axis=0) / 16
    np.testing.assert_allclose(normalization.mean, wanted, rtol=1e-6)
    assert normalization.scale == 2.0


@pytest.mark.parametrize("mean", ["none", "images", "views"])
def test_scale_zero_makes_the_largest_eigenvalue_about_the_mean_one(mean):
    normalization = measure_normalization(_dataset(), IDENTITY, 1.0, mean=mean, scale=0.0)
    pixels = _dataset().images.reshape(40, 9).astype(np.float64) / 16
    if mean != "none":
        pixels = pixels - pixels.mean(axis=0)
    largest = np.linalg.eigvalsh(pixels.T @ pixels / 40)[-1]
    np.testing.assert_allclose(normalization.scale, largest**-0.5, rtol=1e-5)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UsageError, match="batch-size 64 exceeds the 40 images"):
        make_training(_config(batch_size=64), _dataset())


def test_float64_outside_its_context_is_refused():
    with pytest.raises(UsageError, match="enable_x64"):
        make_training(_config(precision="float64"), _dataset())


def test_calls_are_as_long_as_they_may_be_and_end_on_the_multiples_asked_for():
    assert split_steps(250, 100) == [100, 100, 50]
    assert split_steps(250, 100, start=200) == [50]
    assert split_steps(300, 100, every=(97, 0)) == [97, 97, 97, 9]
    assert split_steps(30, 20, every=(4, 10)) == [4, 4, 2, 2, 4, 4, 4, 4, 2]
    assert split_steps(0, 5) == []


def test_a_short_call_takes_the_steps_of_a_long_one_and_shares_one_program():
    traces = []

    def count(params, gradients, outputs, state):
        traces.append(1)
        return state, {}

    config = _config(steps_per_call=6, num_steps=12)
    training = make_training(config, _dataset(), observers=(Observer(count),))
    strength = training.place(0.5)
    whole, metrics = training.step(training.init(0), strength, 6)
    state, pieces = training.init(0), []
    for length in (4, 1, 1):
        state, piece = training.step(state, strength, length, longest=6)
        pieces.append(piece["loss"])
    assert [len(piece) for piece in pieces] == [4, 1, 1]
    np.testing.assert_array_equal(np.concatenate(pieces), metrics["loss"])
    _assert_equal(state, whole)
    assert len(traces) == 3  # once for six, twice (shapes, then the loop) for all shorter calls
