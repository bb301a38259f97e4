"""Networks are named by what decides them, trained once, by one process at a time."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.networks import cache
from experiments.networks.cache import digest_run, find_cache, load_network, name_run, train_network
from experiments.networks.configs import make_config
from experiments.networks.images import load_training_images
from experiments.networks.sizes import SIZES
from experiments.networks.trainings import TRAININGS
from ssljax.config.config import EncoderConfig
from ssljax.runs.fit import StopRequested
from ssljax.runs.folder import hold_folder
from ssljax.training.observers import Observer

CONFIG = dataclasses.replace(
    make_config(TRAININGS["base"], SIZES["smoke"], 0),
    encoder=EncoderConfig(kind="mlp", widths=(8,)),
    keep_checkpoints=2,
    checkpoint_every=3,
    steps_per_call=3,
)


@pytest.fixture(scope="module")
def images():
    return load_training_images("base", "smoke")


def _seeded(seed):
    return dataclasses.replace(CONFIG, seed=seed)


def test_a_digest_changes_with_everything_that_decides_the_result(images):
    other = dataclasses.replace(images, labels=images.labels[::-1])
    observer = Observer(lambda *given: (given[-1], {}), initial_state=jnp.zeros(3))
    digests = {
        digest_run(CONFIG, images),
        digest_run(_seeded(1), images),
        digest_run(dataclasses.replace(CONFIG, strength=0.7), images),
        digest_run(CONFIG, other),
        digest_run(CONFIG, images, (observer,)),
    }
    assert len(digests) == 5
    assert name_run(_seeded(3), images).startswith("cifar10-nt_xent-seed3-")


def test_a_second_request_loads_what_the_first_trained(trained_cache, images, monkeypatch):
    folder = train_network(CONFIG, images)
    assert folder.parent == find_cache() == trained_cache / "ssljax" / "trained"
    monkeypatch.setattr(cache, "fit", None)
    assert train_network(CONFIG, images) == folder
    last, middle = load_network(folder, images), load_network(folder, images, 3)
    assert (int(last.state.step), int(middle.state.step)) == (6, 3)
    assert last.network is middle.network


def test_a_network_that_another_process_trains_is_waited_for(trained_cache, images):
    config, found = _seeded(7), []
    with hold_folder(find_cache() / name_run(config, images)):
        thread = threading.Thread(target=lambda: found.append(train_network(config, images)))
        thread.start()
        thread.join(1.0)
        assert thread.is_alive()
    thread.join(120.0)
    assert int(load_network(found[0], images).state.step) == config.num_steps


def test_a_network_whose_last_checkpoint_is_damaged_is_finished_again(trained_cache, images):
    folder = train_network(_seeded(8), images)
    whole = load_network(folder, images).state.params
    for path in (folder / "checkpoints" / "6").rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            path.write_bytes(path.read_bytes()[:-1])
    again = load_network(train_network(_seeded(8), images), images)
    assert int(again.state.step) == 6
    jax.tree.map(np.testing.assert_array_equal, again.state.params, whole)


def test_a_request_to_stop_ends_all_networks_and_not_this_one_alone(
    trained_cache, images, monkeypatch
):
    def stop(*given, **named):
        raise StopRequested("stopped by SIGTERM after step 3")

    monkeypatch.setattr(cache, "fit", stop)
    with pytest.raises(KeyboardInterrupt, match="after step 3"):
        train_network(_seeded(11), images)
