import os
import stat

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ssljax.augment.augment import augment
from ssljax.augment.policies import DIGITS_POLICY, IDENTITY, NOISE_POLICY
from ssljax.measure.moments import (
    layer_moments,
    layer_sums,
    mean_image,
    pixel_layer,
    write_moments,
)
from ssljax.system.errors import UsageError
from ssljax.training.parallel import make_local_sharding

KEY = jax.random.key(3)
IMAGES = np.random.default_rng(0).integers(0, 17, (21, 4, 4, 1)).astype(np.uint8)


def two_layers(params, statistics, images, *, train, layers):
    """A small network: pixels, and a random nonlinear layer on them."""
    assert not train
    flat = images.reshape(len(images), -1)
    outputs = {"input": flat, "feature": jax.nn.relu(flat @ params)}
    return {name: outputs[name] for name in layers}, statistics


PARAMS = jax.random.normal(jax.random.key(0), (16, 5))


def recorded_views(views, policy=DIGITS_POLICY, strength=0.4):
    """The very views that `layer_sums` draws, one image at a time, and their random halves."""
    from ssljax.data.batches import permute

    order_key, view_key = jax.random.split(KEY)
    draw = jax.jit(lambda keys, x: augment(keys, x, policy, strength))
    result = []
    for index, image in enumerate(IMAGES):
        keys = jax.random.split(jax.random.fold_in(view_key, index), views)
        pixels = jnp.repeat(jnp.asarray(image, jnp.float32)[None] / 16, views, axis=0)
        result.append(np.asarray(draw(keys, pixels), np.float64).reshape(views, -1))
    order = np.asarray(permute(order_key, jnp.arange(len(IMAGES)), len(IMAGES)))
    return np.stack(result), (order[:11], order[11:])


def pair_moments(x):
    """Both moments by the definition: a loop over images and over ordered pairs of views."""
    images, views, dim = x.shape
    covariance, cross = np.zeros((dim, dim)), np.zeros((dim, dim))
    for image in x:
        for v in range(views):
            covariance += np.outer(image[v], image[v])
            for w in range(views):
                if w != v:
                    cross += np.outer(image[v], image[w])
    return covariance / (images * views), cross / (images * views * (views - 1))


def measured(policy=DIGITS_POLICY, **options):
    options = {"views": 3, "layers": ("input", "feature"), "batch_size": 4} | options
    return layer_moments(two_layers, PARAMS, None, IMAGES, 1 / 16, KEY, policy, 0.4, **options)


@pytest.mark.parametrize("layer", ["input", "feature"])
def test_streamed_moments_equal_the_average_over_all_ordered_pairs_of_views(layer):
    ours = measured()[layer]
    x, halves = recorded_views(3)
    if layer == "feature":
        x = np.maximum(x @ np.asarray(PARAMS, np.float64), 0)
    covariance, cross = pair_moments(x)
    scale = np.abs(covariance).max()
    np.testing.assert_allclose(ours["covariance"], covariance, atol=1e-6 * scale)
    np.testing.assert_allclose(ours["cross_covariance"], cross, atol=1e-6 * scale)
    np.testing.assert_allclose(ours["mean"], x.mean(axis=(0, 1)), atol=1e-6 * np.sqrt(scale))
    for half, rows in enumerate(halves):
        covariance, cross = pair_moments(x[rows])
        np.testing.assert_allclose(ours["half_covariance"][half], covariance, atol=1e-6 * scale)
        np.testing.assert_allclose(ours["half_cross_covariance"][half], cross, atol=1e-6 * scale)
    assert ours["images"] == 21
    assert ours["views"] == 3


def test_the_file_holds_exactly_the_documented_arrays_in_float64():
    ours = measured()["feature"]
    assert {name: array.shape for name, array in ours.items()} == {
        "covariance": (5, 5),
        "cross_covariance": (5, 5),
        "mean": (5,),
        "images": (),
        "views": (),
        "half_covariance": (2, 5, 5),
        "half_cross_covariance": (2, 5, 5),
    }
    assert all(array.dtype == np.float64 for name, array in ours.items() if array.ndim)
    np.testing.assert_array_equal(ours["covariance"], ours["covariance"].T)
    np.testing.assert_array_equal(ours["cross_covariance"], ours["cross_covariance"].T)


def test_batch_size_and_device_count_do_not_change_the_moments():
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("batch"))
    # What is compared does not depend on the policy; the program of this one is small.
    reference = measured(NOISE_POLICY)["input"]
    divided = make_local_sharding(8, "data=4,model=2")  # a batch of 7 is filled up to 8
    others = (
        {"batch_size": 100},
        {"batch_size": 8, "sharding": sharding},
        {"batch_size": 7, "sharding": divided},
    )
    for other in (measured(NOISE_POLICY, **options) for options in others):
        for name, array in reference.items():
            np.testing.assert_allclose(other["input"][name], array, atol=3e-7)


def test_noise_adds_its_variance_to_the_covariance_and_nothing_to_the_cross_covariance():
    images = np.repeat(IMAGES, 20, axis=0)
    noisy = layer_moments(
        pixel_layer, None, None, images, 1 / 16, KEY, NOISE_POLICY, 1.0,
        views=8, layers=("input",),
    )["input"]  # fmt: skip
    flat = IMAGES.reshape(21, -1) / 16
    clean, count = flat.T @ flat / 21, 420 * 8
    # An entry of the sampled noise covariance has standard deviation about .25 |x| / sqrt(count).
    tolerance = 5 * 0.25 / np.sqrt(count)
    np.testing.assert_allclose(noisy["covariance"], clean + 0.0625 * np.eye(16), atol=tolerance)
    np.testing.assert_allclose(noisy["cross_covariance"], clean, atol=tolerance)


def test_subtracting_the_mean_image_leaves_the_centered_moments():
    mean = mean_image(IMAGES, 1 / 16)
    centered = layer_moments(
        pixel_layer, None, mean, IMAGES, 1 / 16, KEY, IDENTITY, 0.0,
        views=2, layers=("input",),
    )["input"]  # fmt: skip
    np.testing.assert_allclose(centered["mean"], 0, atol=1e-6)
    expected = np.cov(IMAGES.reshape(21, -1).T / 16, bias=True)
    np.testing.assert_allclose(centered["covariance"], expected, atol=1e-6)


def test_a_layer_of_rank_two_has_two_eigenvalues_down_to_the_rounding_of_its_outputs():
    """Products in float32 would leave a third eigenvalue of 1e-8; outputs are rounded to 6e-8."""

    def flat(params, statistics, images, *, train, layers):
        two = images.reshape(len(images), -1)[:, :2]
        return {"feature": jnp.concatenate([two, two[:, :1] * 0.37, two[:, 1:] * 5.1], 1)}, None

    ours = layer_moments(
        flat, None, None, IMAGES, 1 / 16, KEY, NOISE_POLICY, 1.0, views=2, layers=("feature",)
    )["feature"]
    values = np.linalg.eigvalsh(ours["covariance"])[::-1]
    assert values[1] > 0.01 * values[0]
    assert abs(values[2]) < 1e-13 * values[0]


def test_a_second_call_compiles_nothing():
    traces = []

    def counting(params, statistics, images, *, train, layers):
        traces.append(None)
        return two_layers(params, statistics, images, train=train, layers=layers)

    for seed, strength in ((0, 0.1), (1, 0.5)):
        layer_sums(
            counting, PARAMS * seed, None, IMAGES, 1 / 16, jax.random.key(seed), NOISE_POLICY,
            strength, views=2, layers=("feature",), batch_size=4,
        )  # fmt: skip
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("images", "views", "message"), [(IMAGES, 1, "at least 2"), (IMAGES[:1], 2, "two halves")]
)
def test_too_few_views_or_images_are_refused(images, views, message):
    with pytest.raises(UsageError, match=message):
        layer_moments(
            pixel_layer, None, None, images, 1.0, KEY, IDENTITY, 0.0, views=views, layers=("input",)
        )


def test_a_map_is_no_layer_for_moments():
    def maps(params, statistics, images, *, train, layers):
        return {"stem/map": images}, statistics

    with pytest.raises(UsageError, match="pooled"):
        layer_moments(
            maps, None, None, IMAGES, 1.0, KEY, IDENTITY, 0.0, views=2, layers=("stem/map",)
        )


def test_a_moments_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "m.npz"
    write_moments(path, {"covariance": np.eye(2)})
    with np.load(path) as file:
        np.testing.assert_array_equal(file["covariance"], np.eye(2))
    with pytest.raises(UsageError, match="cannot write"):
        write_moments(tmp_path / "no" / "m.npz", {"covariance": np.eye(2)})
    if os.geteuid() != 0:
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(UsageError, match="cannot write"):
            write_moments(path, {"covariance": np.zeros((2, 2))})
        tmp_path.chmod(stat.S_IRWXU)
    assert [file.name for file in tmp_path.iterdir()] == ["m.npz"]
