"""A network ready to be measured: its variants, its views, what it saw."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.networks.configs import make_config
from experiments.networks.images import load_task, load_training_images
from experiments.networks.random_heads import draw_heads
from experiments.networks.sizes import SIZES
from experiments.networks.trained import load_trained
from experiments.networks.trainings import TRAININGS
from experiments.networks.variant import Variant
from experiments.networks.views import make_view, show_examples
from ssljax.augment.policies import SIMCLR_POLICY
from ssljax.config.config import EncoderConfig, HeadConfig
from ssljax.nets.head import MLPHead
from ssljax.nets.network import make_head_map
from ssljax.training.build import build_network
from ssljax.training.observers import Observer
from ssljax.training.training import make_training

IMAGES = load_task("cifar10", "base", "smoke").test.images
SMALL = dataclasses.replace(
    make_config(TRAININGS["digits-dropped"], SIZES["smoke"], 3),
    encoder=EncoderConfig(kind="mlp", widths=(8,)),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("networks")))
        return load_trained("base", 0, "smoke")


def test_variants_are_the_network_at_other_parameters(network):
    assert list(network.variants) == [
        "trained",
        "untrained",
        *(f"random_head:{number}" for number in range(5)),
    ]
    found = {name: variant(IMAGES) for name, variant in network.variants.items()}
    trained, untrained = found.pop("trained"), found.pop("untrained")
    layers = ["stem", "stage1", "stage2", "stage3", "feature", "head1", "embedding"]
    assert list(trained) == layers
    assert np.abs(trained["feature"] - untrained["feature"]).max() > 1e-3
    embeddings = [trained["embedding"]]
    for other in found.values():
        np.testing.assert_array_equal(other["feature"], trained["feature"])
        embeddings.append(other["embedding"])
    for place, one in enumerate(embeddings):
        for other in embeddings[:place]:
            assert np.abs(one - other).max() > 1e-3
    scalars = network.observed
    np.testing.assert_array_equal(scalars["step"], np.arange(1, 7))
    assert np.isfinite(scalars["loss"]).all()


def test_an_untrained_network_is_the_training_at_its_step_0(network):
    observer = Observer(lambda params, *given: (params, {}), network.variants["untrained"].params)
    training = make_training(network.config, network.dataset, observers=(observer,))
    start = training.make_state(0)
    untrained = network.variants["untrained"]
    jax.tree.map(np.testing.assert_array_equal, start.params, untrained.params)
    jax.tree.map(np.testing.assert_array_equal, start.statistics, untrained.statistics)


def test_maps_in_jax_are_the_layers_and_have_derivatives(network):
    trained = network.variants["trained"]
    features = trained(IMAGES[:7])
    shown = jnp.asarray(IMAGES[:7], jnp.float32) / 255
    np.testing.assert_allclose(trained.map_to("feature")(shown), features["feature"], atol=1e-5)
    embeddings = trained.head_map()(jnp.asarray(features["feature"]))
    np.testing.assert_allclose(embeddings, features["embedding"], atol=1e-5)
    _, tangent = jax.jvp(trained.map_to("embedding"), (shown,), (jnp.ones_like(shown),))
    assert np.abs(tangent).max() > 0
    first, second = trained.head_weights()
    assert (first.shape, second.shape) == ((16, 16), (16, 16))
    np.testing.assert_allclose(
        trained(shown[:3].__array__())["feature"], features["feature"][:3], atol=1e-5
    )


def test_a_view_is_a_function_of_seed_place_and_number():
    view = make_view(SIMCLR_POLICY, 0, 1 / 255)
    first = view(IMAGES[:6], 0.5, 0)
    assert (first.dtype, first.shape) == (np.float32, (6, 16, 16, 3))
    np.testing.assert_array_equal(first, view(IMAGES[:6], 0.5, 0))
    np.testing.assert_allclose(first[:4], view(IMAGES[:4], 0.5, 0), atol=1e-6)
    for other in (
        view(IMAGES[:6], 0.5, 1),
        view(IMAGES[:6], 0.6, 0),
        make_view(SIMCLR_POLICY, 1, 1 / 255)(IMAGES[:6], 0.5, 0),
    ):
        assert np.abs(first - other).max() > 0.01
    np.testing.assert_allclose(view(IMAGES[:6], 0.0, 0), IMAGES[:6] / 255, atol=1e-5)


def test_examples_are_the_views_of_the_first_step():
    dataset = load_training_images("digits-dropped", "smoke")
    size = SMALL.batch_size
    observer = Observer(
        lambda params, gradients, outputs, state: ((outputs["input"], outputs["label"]), {}),
        (jnp.zeros((size, 2, 768)), jnp.zeros(size, jnp.int32)),
        ("input",),
    )
    few = dataclasses.replace(
        dataset,
        images=dataset.images[:size],
        labels=np.arange(size, dtype=np.int32),
        num_classes=size,
        groups=None,
    )
    training = make_training(SMALL, few, observers=(observer,))
    start = training.init(SMALL.seed)
    shown = show_examples(SMALL, few, start.key, size)
    state, _ = training.run(start, SMALL.strength, 1)
    views, order = jax.device_get(state.observer_states[0])
    levels = np.floor(255 * np.clip(views, 0, 1) + 0.5).reshape(size, 2, 16, 16, 3)
    assert np.abs(shown[order].astype(int) - levels).max() <= 1


def test_a_random_head_that_normalizes_gets_statistics_of_its_own():
    config = dataclasses.replace(
        SMALL,
        encoder=EncoderConfig(kind="mlp", widths=(8, 8), norm="batch"),
        head=HeadConfig(kind="mlp", widths=(6, 4), norm="batch"),
    )
    network = build_network(config, (16, 16, 3))
    params, statistics = network.init(jax.random.key(0))
    # A training has left its encoder other statistics than those of the start.
    encoder = jax.tree.map(lambda leaf: 2.0 * leaf + 0.1, statistics["encoder"])
    statistics = {**statistics, "encoder": encoder}
    head = make_head_map(partial(MLPHead, widths=(6, 4), norm="batch"), 8)
    # Views far from zero mean: the statistics at the start, 0 and 1, would be far off.
    views = np.random.default_rng(0).uniform(0.5, 1.0, (64, 16, 16, 3)).astype(np.float32)
    trained = Variant(network, params, statistics, 1 / 255, head)
    drawn = draw_heads(trained, config, views)
    for variant in drawn.values():
        feature = variant(views)["feature"]
        np.testing.assert_array_equal(feature, trained(views)["feature"])
        kernel = np.asarray(variant.params["head"]["layer1"]["kernel"], np.float64)
        hidden = feature.astype(np.float64) @ kernel
        found = jax.tree.leaves(variant.statistics["head"])
        expected = (hidden.mean(axis=0), hidden.var(axis=0))
        for values in expected:
            error = min(np.abs(np.asarray(leaf) - values).max() for leaf in found)
            assert error < 0.1 * np.abs(values).max()
