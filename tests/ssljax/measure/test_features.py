import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssljax.measure.features import layer_features
from ssljax.measure.neighbors import cosine_knn
from ssljax.system.errors import UsageError
from ssljax.training.parallel import make_local_sharding

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 3, 4, 2)).astype(np.uint8)


def apply(params, statistics, images, *, train, layers):
    assert not train
    outputs = {
        "stem/map": images * params,
        "feature": jnp.mean(images, axis=(1, 2)) + statistics[None],
        "unused": images,
    }
    return {name: outputs[name] for name in layers} | {"embedding": images}, statistics + 1


@pytest.mark.parametrize("batch_size", [1, 4, 11, 500])
def test_features_keep_the_order_of_the_images_for_every_batch_size(batch_size):
    steps = []
    ours = layer_features(
        apply,
        jnp.float32(2),
        jnp.ones(2),
        IMAGES,
        1 / 255,
        layers=("feature", "stem/map"),
        batch_size=batch_size,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert set(ours) == {"feature", "stem/map"}
    np.testing.assert_allclose(ours["stem/map"], IMAGES / 255 * 2, rtol=1e-6)
    np.testing.assert_allclose(ours["feature"], IMAGES.mean((1, 2)) / 255 + 1, rtol=1e-6)
    assert steps[-1] == (11, 11)


def test_devices_share_a_batch_and_the_features_are_the_same():
    options = {"layers": ("feature", "stem/map"), "batch_size": 5}
    one = layer_features(apply, jnp.float32(2), jnp.ones(2), IMAGES, 1 / 255, **options)
    sharding = make_local_sharding(4)
    four = layer_features(
        apply, jnp.float32(2), jnp.ones(2), IMAGES, 1 / 255, sharding=sharding, **options
    )
    for name, value in one.items():
        np.testing.assert_allclose(four[name], value, rtol=1e-6)


def test_no_images_are_refused():
    with pytest.raises(UsageError, match="no images"):
        layer_features(apply, None, jnp.ones(2), IMAGES[:0], 1.0, layers=("feature",))


def test_accuracy_over_twelve_images_in_batches_of_ten_counts_each_once():
    images = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)

    def one_hot(params, statistics, images, *, train, layers):
        return {"feature": jax.nn.one_hot(images[:, 0, 0, 0].astype(int), 12)}, statistics

    features = layer_features(one_hot, None, None, images, 1.0, layers=("feature",), batch_size=10)[
        "feature"
    ]
    labels = np.where(np.arange(12) < 10, np.arange(12), 0)  # the first 10 right
    accuracy = cosine_knn(features, np.arange(12), features, labels, neighbors=1)
    assert accuracy == pytest.approx(10 / 12)
