"""What a configuration may ask of the trainer: averages, optimizers, labels, composites, norms."""

import dataclasses
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.augment.policies import IDENTITY, NOISE_POLICY
from ssljax.config.config import (
    Config,
    EncoderConfig,
    EvaluationConfig,
    HeadConfig,
    LossConfig,
    OptimizerConfig,
)
from ssljax.data.composites import overlay_digits
from ssljax.data.datasets import Dataset
from ssljax.runs.checkpoint import Checkpoints, abstract, restore_newest
from ssljax.runs.fit import fit
from ssljax.runs.saved_run import load_run
from ssljax.system.errors import UsageError
from ssljax.training.build import build_optimizer, build_views
from ssljax.training.observers import Observer
from ssljax.training.training import make_training

RNG = np.random.default_rng(0)


def _config(**changes) -> Config:
    config = Config(
        policy=NOISE_POLICY,
        sampling="replacement",
        encoder=EncoderConfig(kind="linear", widths=()),
        head=HeadConfig(widths=(4,)),
        optimizer=OptimizerConfig(learning_rate=0.05, final_fraction=1.0),
        batch_size=8,
        num_steps=4,
        steps_per_call=1,
        devices=1,
        evaluation=EvaluationConfig(layers=()),
    )
    return dataclasses.replace(config, **changes)


def _dataset(num_classes: int = 3, shape=(3, 3, 1)) -> Dataset:
    images = np.random.default_rng(1).integers(0, 17, (24, *shape)).astype(np.uint8)
    labels = (np.arange(24) % num_classes).astype(np.int32)
    return Dataset(images, labels, 1 / 16, num_classes, "random")


def test_the_average_of_the_weights_follows_its_recursion_and_is_what_is_loaded(tmp_path):
    optimizer = OptimizerConfig(learning_rate=0.05, final_fraction=1.0, average_decay=0.75)
    config, dataset = _config(optimizer=optimizer), _dataset()
    training = make_training(config, dataset)
    state = training.init(0)
    kernel = np.asarray(state.params["head"]["layer1"]["kernel"], np.float64)
    average = kernel
    for _ in range(4):
        state, _ = training.run(state, 1.0, 1)
        kernel = np.asarray(state.params["head"]["layer1"]["kernel"], np.float64)
        average = 0.75 * average + 0.25 * kernel
    found = state.average.params["head"]["layer1"]["kernel"]
    np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-7)
    assert np.abs(average - kernel).max() > 1e-3
    result = fit(config, tmp_path, progress=False, dataset=dataset)
    np.testing.assert_array_equal(result.state.average.params["head"]["layer1"]["kernel"], found)
    loaded = load_run(tmp_path).state.params["head"]["layer1"]["kernel"]
    np.testing.assert_array_equal(loaded, found)


OPTIMIZERS = get_args(OptimizerConfig.__annotations__["name"])


def test_every_optimizer_resumes_from_its_checkpoint_bit_for_bit(tmp_path):
    rules = {
        name: build_optimizer(
            _config(
                optimizer=OptimizerConfig(
                    name=name, learning_rate=0.1, warmup_steps=2, weight_decay=0.1, nesterov=True
                )
            )
        )
        for name in OPTIMIZERS
    }
    params = {"encoder": {"layer1": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}}}

    @jax.jit
    def step(states, key):
        moved = {}
        for name, (weights, state) in states.items():
            gradients = jax.tree.map(lambda x: x * jax.random.normal(key, x.shape), weights)
            updates, state = rules[name].update(gradients, state, weights)
            moved[name] = jax.tree.map(jnp.add, weights, updates), state
        return moved

    keys = jax.random.split(jax.random.key(0), 4)
    states = {name: (params, rule.init(params)) for name, rule in rules.items()}
    for key in keys[:2]:
        states = step(states, key)
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save(2, states)
    checkpoints.close()
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    restored = restore_newest(tmp_path, abstract(states, sharding))
    assert restored is not None
    resumed = restored.state
    for key in keys[2:]:
        states, resumed = step(states, key), step(resumed, key)
    for first, second in zip(jax.tree.leaves(states), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(first, second)
    ends = [np.asarray(weights["encoder"]["layer1"]["kernel"]) for weights, _ in states.values()]
    assert len({end.tobytes() for end in ends}) == len(OPTIMIZERS)


def test_composites_are_blended_on_the_fly_and_lose_their_digit_as_asked():
    gray, color = (
        Dataset(RNG.integers(0, 256, shape).astype(np.uint8), np.arange(8), 1.0, 8, "noise")
        for shape in ((8, 28, 28, 1), (8, 16, 16, 3))
    )
    dataset = dataclasses.replace(overlay_digits(color, gray), pixel_scale=1 / 255)

    def look(params, gradients, outputs, state):
        return (outputs["input"], outputs["label"]), {}

    seen = jnp.zeros((8, 2, 768)), jnp.zeros(8, jnp.int32)
    config = _config(policy=IDENTITY, sampling="epoch", digit_strength=0.6, digit_drop=(1.0, 0.0))
    observer = Observer(look, initial_state=seen, layers=("input",))
    training = make_training(config, dataset, observers=(observer,))
    state, _ = training.run(training.init(0), 1.0, 1)
    views, labels = jax.device_get(state.observer_states[0])
    assert sorted(labels) == list(range(8))
    background = dataset.images[labels][..., :3] / 255
    ink = dataset.images[labels][..., 3:] / 255
    np.testing.assert_allclose(views[:, 0], background.reshape(8, -1), rtol=1e-6)
    blend = np.where(ink > 0, 0.4 * background + 0.6 * ink, background)
    np.testing.assert_allclose(views[:, 1], blend.reshape(8, -1), rtol=1e-5)
    training = make_training(
        dataclasses.replace(config, digit_redraw=1.0), dataset, observers=(observer,)
    )
    state, _ = training.run(training.init(0), 1.0, 1)
    views = jax.device_get(state.observer_states[0])[0][:, 0]
    pool = dataset.images[..., :3].reshape(8, -1) / 255
    drawn = np.argmin(np.abs(views[:, None] - pool).sum(axis=2), axis=1)
    np.testing.assert_allclose(views, pool[drawn], rtol=1e-6)
    assert (drawn != labels).any()


def test_a_single_view_is_the_first_of_the_pair():
    config = _config(loss=LossConfig(name="cross_entropy"), head=HeadConfig(widths=(3,)))
    images = jnp.asarray(_dataset().images, jnp.float32)
    arguments = jax.random.key(0), jnp.zeros((), jnp.int32), jnp.arange(24), images, 0.5
    dataset = _dataset()
    makers = [build_views(c, dataset) for c in (config, dataclasses.replace(config, views=1))]
    (pair,), (one,) = jax.jit(lambda *given: [make(*given) for make in makers])(*arguments)
    assert (pair.shape, one.shape) == ((24, 2, 3, 3, 1), (24, 1, 3, 3, 1))
    np.testing.assert_array_equal(one[:, 0], pair[:, 0])


def test_losses_of_labels_refuse_data_without_them_and_too_few_scores():
    unlabeled = dataclasses.replace(_dataset(), labels=np.full(24, -1, np.int32))
    with pytest.raises(UsageError, match="images without a class, the loss supervised_contr"):
        make_training(_config(loss=LossConfig(name="supervised_contrastive")), unlabeled)
    with pytest.raises(UsageError, match=r"4 scores for the 7 classes .* --head.classes 7"):
        make_training(_config(loss=LossConfig(name="cross_entropy")), _dataset(num_classes=7))
    head = HeadConfig(widths=(4,), classes=7)
    make_training(_config(loss=LossConfig(name="cross_entropy"), head=head), _dataset(7))


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"views": 1}, "views must be at least 2 for the loss nt_xent"),
        ({"accumulate": 3}, "accumulate must be a divisor of the batch size 8"),
        ({"head": HeadConfig(classes=3)}, "head.classes must be 0 for the loss nt_xent"),
        ({"digit_drop": (0.5,)}, "digit-drop must be two probabilities"),
        (
            {
                "loss": LossConfig(name="byol"),
                "optimizer": OptimizerConfig(average_decay=0.9),
            },
            "optimizer.average-decay must be 0 for byol",
        ),
    ],
)
def test_choices_that_exclude_each_other_are_refused(changes, flag):
    with pytest.raises(UsageError, match=flag):
        _config(**changes)


def test_a_linear_head_starts_at_the_matrices_of_a_file(tmp_path):
    path = tmp_path / "weights.npz"
    matrices = {"W1": RNG.normal(size=(6, 9)), "W2": RNG.normal(size=(4, 6))}
    np.savez(path, **matrices)
    config = _config(head=HeadConfig(widths=(6, 4), weights=str(path)))
    state = make_training(config, _dataset()).init(0)
    for number in (1, 2):
        kernel = state.params["head"][f"layer{number}"]["kernel"]
        np.testing.assert_allclose(kernel, matrices[f"W{number}"].T, rtol=1e-6)
    wrong = _config(head=HeadConfig(widths=(5, 4), weights=str(path)))
    with pytest.raises(UsageError, match=r"shapes \(\(6, 9\), \(4, 6\)\) given for a head of"):
        make_training(wrong, _dataset()).init(0)
    path.write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"cannot be read; wanted an \.npz file of matrices"):
        make_training(config, _dataset())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_batch_norm_per_device_is_batch_norm_of_parts(mode):
    encoder = EncoderConfig(kind="mlp", widths=(8, 6), norm="batch_per_device")
    config = _config(encoder=encoder, batch_size=16, devices=4, parallel=mode)
    training = make_training(config, _dataset())
    whole = make_training(
        dataclasses.replace(config, encoder=dataclasses.replace(encoder, norm="batch")), _dataset()
    )
    ends = []
    for made in (training, whole):
        state, metrics = made.run(made.init(0), 1.0, 1)
        ends.append((jax.device_get(made.parallel.single_state(state)), float(metrics["loss"][0])))
    assert abs(ends[0][1] - ends[1][1]) > 1e-3
    # Means over equal parts average to the mean of the batch; variances lose what is between.
    per_device, batch = (end[0].statistics["encoder"]["perceptron"]["norm1"] for end in ends)
    np.testing.assert_allclose(per_device["mean"], batch["mean"], rtol=1e-4, atol=1e-6)
    assert np.all(per_device["var"] < batch["var"])


def test_local_views_of_a_smaller_size_join_the_others():
    images = np.random.default_rng(0).integers(0, 256, (8, 14, 14, 3)).astype(np.uint8)
    dataset = Dataset(images, np.zeros(8, np.int32), 1 / 255, 1, "random")
    config = _config(
        encoder=EncoderConfig(kind="resnet", stage_sizes=(1,), width=2),
        head=HeadConfig(widths=(3,)),
        policy=IDENTITY,
        sampling="epoch",
        batch_size=8,
        local_views=2,
    )

    def look(params, gradients, outputs, own):
        return {name: outputs[name] for name in own}, {}

    shapes = {"embedding": jnp.zeros((8, 4, 3)), "input": jnp.zeros((8, 2, 14 * 14 * 3))}
    observer = Observer(look, initial_state=shapes, layers=("input", "embedding"))
    training = make_training(config, dataset, observers=(observer,))
    state, metrics = training.run(training.init(0), 1.0, 1)
    embedding = np.asarray(state.observer_states[0]["embedding"])
    np.testing.assert_allclose(embedding[:, 0], embedding[:, 1], atol=1e-6)  # the same image
    assert np.abs(embedding[:, 2:] - embedding[:, :1]).max(axis=2).min() > 0  # crops of it
    assert np.isfinite(metrics["loss"]).all()
