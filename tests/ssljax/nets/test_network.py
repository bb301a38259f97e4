"""The adapter: plain dictionaries, explicit modes, one result on one device and on eight."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ssljax.nets.head import LinearHead, MLPHead, NoHead
from ssljax.nets.linear import LinearEncoder
from ssljax.nets.network import make_network
from ssljax.nets.resnet import ResNet
from ssljax.system.errors import UsageError

SHAPE = (8, 8, 3)


def filled(network, seed=0):
    """Parameters and statistics drawn by NumPy: no compilation, and no bias left at zero."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        value = rng.normal(size=leaf.shape)
        if path[-1].key == "kernel":
            value *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
        elif path[-1].key in ("scale", "var"):
            value = 1 + 0.1 * np.abs(value)
        else:
            value *= 0.1
        return jnp.asarray(value, leaf.dtype)

    abstract = jax.eval_shape(network.init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(draw, abstract)


def applied(network):
    return jax.jit(network.apply, static_argnames=("train", "layers"))


def small_network(axis_name=None, **options):
    return make_network(
        partial(ResNet, SHAPE, stage_sizes=(1, 1), width=4, feature_centering=True, **options),
        partial(MLPHead, widths=(8, 4), norm="batch"),
        axis_name=axis_name,
    )


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def state(network):
    return filled(network)


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(1), (16, *SHAPE))


def test_parameters_and_statistics_are_nested_dictionaries_with_string_keys(state):
    def check(tree):
        assert type(tree) is dict
        for key, value in tree.items():
            assert type(key) is str
            if isinstance(value, dict):
                check(value)
            else:
                assert isinstance(value, jax.Array)

    for tree in state:
        check(tree)
    assert set(state[0]) == {"encoder", "head"}
    assert state[0]["head"]["layer1"]["kernel"].shape == (8, 8)


def test_every_named_layer_comes_out_and_nothing_else(network, state, images):
    layers = (*network.layers, "stage2/map")
    outputs, _ = applied(network)(*state, images, train=False, layers=layers)
    assert {name: value.shape for name, value in outputs.items()} == {
        "input": (16, 192),
        "stem": (16, 4),
        "stage1": (16, 4),
        "stage2": (16, 8),
        "stage2/map": (16, 4, 4, 8),
        "feature": (16, 8),
        "head1": (16, 8),
        "head2": (16, 4),
        "embedding": (16, 4),
    }
    np.testing.assert_array_equal(outputs["embedding"], outputs["head2"])
    np.testing.assert_allclose(outputs["stage2"], outputs["stage2/map"].mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(outputs["input"], images.reshape(16, -1))
    assert set(network.apply(*state, images, train=False)[0]) == {"embedding"}


def test_order_of_layers_is_from_input_to_embedding(network):
    names = ("input", "stem", "stage1", "stage2", "feature", "head1", "head2", "embedding")
    assert network.layers == names


def test_training_moves_statistics_a_tenth_of_the_way_and_evaluation_leaves_them(
    network, state, images
):
    params, statistics = state
    _, kept = applied(network)(params, statistics, images, train=False)
    jax.tree.map(np.testing.assert_array_equal, kept, statistics)
    outputs, moved = applied(network)(
        params, statistics, images, train=True, layers=("feature", "stage2")
    )
    batch_mean = outputs["stage2"].mean(0)
    np.testing.assert_allclose(
        moved["encoder"]["centering"]["mean"],
        0.9 * statistics["encoder"]["centering"]["mean"] + 0.1 * batch_mean,
        rtol=1e-5,
        atol=1e-6,
    )
    expected = outputs["stage2"] - batch_mean[None, :]
    np.testing.assert_allclose(outputs["feature"], expected, atol=1e-6)


def test_running_statistics_reach_those_of_a_repeated_batch(network, state, images):
    params, statistics = state
    trained, _ = applied(network)(params, statistics, images, train=True)
    step = jax.jit(lambda s: network.apply(params, s, images, train=True)[1])
    for _ in range(150):
        statistics = step(statistics)
    evaluated, _ = applied(network)(params, statistics, images, train=False)
    np.testing.assert_allclose(evaluated["embedding"], trained["embedding"], rtol=1e-3, atol=1e-4)


def test_statistics_are_those_of_the_global_batch_by_the_definition(network, state, images):
    params, statistics = state
    # The norm of the stem sees the convolved images, computed here.
    kernel = params["encoder"]["stem_conv"]["kernel"]
    before = jax.lax.conv_general_dilated(
        images, kernel, (1, 1), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    before = np.asarray(before, np.float64)
    _, moved = applied(network)(params, statistics, images, train=True)
    found, start = moved["encoder"]["stem_norm"], statistics["encoder"]["stem_norm"]
    np.testing.assert_allclose(
        found["mean"], 0.9 * start["mean"] + 0.1 * before.mean((0, 1, 2)), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        found["var"], 0.9 * start["var"] + 0.1 * before.var((0, 1, 2)), rtol=1e-5
    )


def test_one_device_eight_devices_and_pmap_give_the_same_gradient_and_statistics(
    network, state, images
):
    params, statistics = state

    def loss_of(embedding):
        gram = jnp.matmul(embedding, embedding.T, precision="highest")
        return jnp.mean(gram**2) - jnp.mean(embedding[:, 0])

    def loss(params, statistics, images):
        outputs, moved = network.apply(params, statistics, images, train=True)
        return loss_of(outputs["embedding"]), moved

    gradient = jax.jit(jax.grad(loss, has_aux=True))
    one = gradient(params, statistics, images)

    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    split = jax.device_put(images, NamedSharding(mesh, PartitionSpec("batch")))
    whole = jax.device_put((params, statistics), NamedSharding(mesh, PartitionSpec()))
    eight = gradient(*whole, split)

    twin = small_network(axis_name="devices")

    def gathered_loss(params, statistics, images):
        outputs, moved = twin.apply(params, statistics, images, train=True)
        everything = jax.lax.all_gather(outputs["embedding"], "devices", tiled=True)
        return loss_of(everything), moved

    def per_device(params, statistics, images):
        grads, moved = jax.grad(gathered_loss, has_aux=True)(params, statistics, images)
        return jax.lax.pmean(grads, "devices"), moved

    mapped = jax.pmap(per_device, "devices", in_axes=(None, None, 0))
    many = mapped(params, statistics, images.reshape(8, 2, *SHAPE))
    many = jax.tree.map(lambda x: x[0], many)

    size = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(one[0])))
    for other in (eight, many):
        for mine, theirs in zip(jax.tree.leaves(one[0]), jax.tree.leaves(other[0])):
            assert np.linalg.norm(np.asarray(mine) - np.asarray(theirs)) <= 2e-5 * size
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), one[1], other[1])


def test_batch_norm_in_groups_is_batch_norm_of_each_part_with_averaged_statistics(images):
    def build(**options):
        return make_network(
            partial(ResNet, SHAPE, stage_sizes=(1,), width=4, **options),
            partial(MLPHead, widths=(5, 3), norm="batch", **options),
        )

    whole, grouped = build(), build(batch_groups=2)
    params, statistics = filled(whole)
    found, moved = applied(grouped)(params, statistics, images, train=True)
    halves = [
        applied(whole)(params, statistics, part, train=True) for part in (images[:8], images[8:])
    ]
    expected = jnp.concatenate([outputs["embedding"] for outputs, _ in halves])
    np.testing.assert_allclose(found["embedding"], expected, rtol=1e-4, atol=1e-5)
    averaged = jax.tree.map(lambda a, b: (a + b) / 2, halves[0][1], halves[1][1])
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), moved, averaged)
    with pytest.raises(UsageError, match=r"15 views given to batch norm in 2 groups"):
        grouped.apply(params, statistics, images[:15], train=True)


def test_recomputing_blocks_changes_neither_gradient_nor_statistics(network, state, images):
    def gradient(net):
        def loss(params):
            outputs, moved = net.apply(params, state[1], images, train=True)
            return jnp.sum(outputs["embedding"][:, 0] ** 3), moved

        return jax.jit(jax.grad(loss, has_aux=True))(state[0])

    same = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(same, gradient(network), gradient(small_network(remat=True)))


def test_a_compiled_step_is_traced_once(network, state, images):
    step = jax.jit(partial(network.apply, train=True))
    _, moved = step(*state, images)
    with jax.no_tracing():
        step(state[0], moved, images)


def test_a_float64_model_stays_float64_and_keeps_the_types_of_its_state():
    with jax.enable_x64(True):
        net = make_network(
            partial(ResNet, SHAPE, stage_sizes=(1,), width=4, param_dtype=jnp.float64),
            partial(LinearHead, widths=(3,), param_dtype=jnp.float64),
        )
        state = filled(net)
        outputs, moved = applied(net)(*state, jnp.ones((4, *SHAPE)), train=True)
        assert outputs["embedding"].dtype == jnp.float64
        assert {leaf.dtype for leaf in jax.tree.leaves((state, moved))} == {jnp.dtype("float64")}


def test_a_bfloat16_model_keeps_parameters_statistics_and_features_in_float32(images):
    net = small_network(dtype=jnp.bfloat16)
    state = filled(net)
    outputs, moved = applied(net)(*state, images, train=True, layers=("feature", "stem/map"))
    assert outputs["stem/map"].dtype == jnp.bfloat16
    assert outputs["feature"].dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves((state, moved))} == {jnp.dtype("float32")}


def test_a_predictor_sits_on_the_embedding():
    net = make_network(
        partial(LinearEncoder, (2, 2, 1), widths=(3,)),
        NoHead,
        predictor_builder=partial(LinearHead, widths=(5, 3)),
    )
    params, statistics = filled(net)
    assert set(params) == {"encoder", "predictor"}
    assert net.layers == ("input", "feature", "embedding", "predictor")
    images = jnp.arange(8.0).reshape(2, 2, 2, 1)
    outputs, _ = applied(net)(params, statistics, images, train=True, layers=("predictor",))
    kernels = [params["predictor"][name]["kernel"] for name in ("layer1", "layer2")]
    expected = outputs["embedding"] @ kernels[0] @ kernels[1]
    np.testing.assert_allclose(outputs["predictor"], expected, rtol=1e-5)


def test_unknown_layers_and_wrong_images_are_refused_in_one_line(network, state, images):
    with pytest.raises(UsageError, match=r"no layer 'head3'.*head2"):
        network.apply(*state, images, train=False, layers=("head3",))
    with pytest.raises(UsageError, match=r"\(4, 4, 3\) given"):
        network.apply(*state, images[:, :4, :4], train=False)
