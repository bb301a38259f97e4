"""Networks that experiments share: named by what decides them, trained once, by one at a time."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.sizes import SIZES
from experiments.small_data import fingerprint, first
from experiments.trained import run_folder, run_name, trained
from experiments.training_images import images_of
from experiments.trainings import seeded, trainings
from ssljax.data.datasets import Dataset
from ssljax.runs.fit import fit
from ssljax.runs.folder import hold_folder
from ssljax.runs.saved_run import load_run
from ssljax.training.observers import Observer

TRAINING = trainings(SIZES["smoke"])["strength-0.5"]


def _dataset(side=8, channels=3, count=5):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, channels), np.uint8)
    return Dataset(images, np.arange(count, dtype=np.int32), 1 / 255, count, "random")


@pytest.fixture(scope="module")
def images():
    return images_of("cifar10", "smoke").train


def _assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one.state.params, other.state.params)


def test_the_name_of_a_run_changes_with_everything_that_decides_it():
    table, dataset = trainings(SIZES["smoke"]), _dataset()
    training = table["strength-0.5"]
    other_pixel = dataclasses.replace(dataset, images=dataset.images ^ np.uint8(1))
    other_label = dataclasses.replace(dataset, labels=dataset.labels[::-1].copy())
    names = {
        run_name(training.config, dataset),
        run_name(seeded(training, 1), dataset),
        run_name(table["strength-1"].config, dataset),
        run_name(training.config, other_pixel),
        run_name(training.config, other_label),
        run_name(training.config, first(dataset, 4)),
    }
    assert len(names) == 6
    assert run_name(training.config, dataset) == run_name(training.config, _dataset())
    assert fingerprint(dataset) != fingerprint(dataclasses.replace(dataset, groups=dataset.labels))


def test_networks_of_one_architecture_are_one_and_others_are_not(tmp_path, trained_cache):
    table, images = trainings(SIZES["smoke"]), images_of("cifar10", "smoke").train
    runs = [
        trained(config, images)
        for config in (
            seeded(table["strength-0.5"], 0),
            seeded(table["strength-0.5"], 1),
            seeded(table["strength-1"], 0),
            seeded(table["head-none"], 0),
        )
    ]
    first, *others = (run.network for run in runs)
    assert [network is first for network in others] == [True, True, False]
    kernels = [np.asarray(run.state.params["head"]["layer1"]["kernel"]) for run in runs[:3]]
    assert not np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])
    alone = load_run(run_folder(seeded(table["strength-0.5"], 0), images))
    shown = jnp.asarray(images.images[:8], jnp.float32) / 255
    for run in (runs[0], alone):
        outputs, _ = run.network.apply(
            run.state.params, run.state.statistics, shown, train=False, layers=("embedding",)
        )
        kernels.append(np.asarray(outputs["embedding"]))
    np.testing.assert_array_equal(kernels[3], kernels[4])


def test_a_training_with_what_another_seed_or_strength_compiled_is_that_of_fit_alone(
    tmp_path, trained_cache, images
):
    traced = []

    def observe(params, gradients, outputs, state):
        traced.append(1)
        return state, {}

    observers = (Observer(observe, initial_state=jnp.zeros(3)),)
    configs = [seeded(TRAINING, 0), seeded(TRAINING, 1)]
    configs.append(dataclasses.replace(configs[1], strength=0.8))
    runs, counts = [], []
    for config in configs:
        runs.append(trained(config, images, observers=observers))
        counts.append(len(traced))
    assert counts[0] == counts[1] == counts[2]
    for config, run in zip(configs, runs, strict=True):
        folder = tmp_path / f"{config.seed}-{config.strength}"
        fit(config, folder, progress=False, dataset=images)
        _assert_same(run, load_run(folder))


def test_a_mean_image_is_that_of_the_strength_trained_at(tmp_path, trained_cache, images):
    config = dataclasses.replace(TRAINING.config, mean_image="views")
    trained(config, images)
    stronger = dataclasses.replace(config, strength=1.0)
    run = trained(stronger, images)
    fit(stronger, tmp_path, progress=False, dataset=images)
    _assert_same(run, load_run(tmp_path))


def test_a_network_that_another_process_trains_is_waited_for(trained_cache, images):
    config = seeded(TRAINING, 7)
    found = []
    with hold_folder(run_folder(config, images)):
        thread = threading.Thread(target=lambda: found.append(trained(config, images)))
        thread.start()
        thread.join(1.0)
        assert thread.is_alive()
    thread.join(120.0)
    assert [int(run.state.step) for run in found] == [config.num_steps]


def test_a_network_whose_last_checkpoint_is_damaged_is_finished_again(trained_cache, images):
    config = dataclasses.replace(seeded(TRAINING, 8), keep_checkpoints=2, steps_per_call=5)
    whole = trained(config, images)
    last = run_folder(config, images) / "checkpoints" / str(config.num_steps)
    for path in last.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            path.write_bytes(path.read_bytes()[:-1])
    _assert_same(trained(config, images), whole)
