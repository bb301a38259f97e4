"""Encoders for torch: the file's format, the names, and features equal to ours."""

from functools import partial

import jax
import numpy as np
import pytest

from ssljax.nets.head import NoHead
from ssljax.nets.mlp import MLPEncoder
from ssljax.nets.network import make_network
from ssljax.nets.resnet import ResNet
from ssljax.runs.export import network_arrays, read_safetensors, torch_arrays, write_safetensors
from ssljax.system.errors import UsageError


def _network(image_shape=(8, 8, 3), **options):
    return make_network(partial(ResNet, image_shape, **options), NoHead)


def _arrays(network, seed=0):
    """Random parameters and statistics of the right shapes; nothing is compiled."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        values = rng.normal(size=leaf.shape)
        # Kernels about as large as He's; variances positive.
        scale = np.prod(leaf.shape[:-1]) ** -0.5 if len(leaf.shape) > 1 else 0.3
        return np.asarray(scale * values, np.float32)

    params, statistics = jax.tree.map(draw, jax.eval_shape(network.init, jax.random.key(0)))
    named = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.exp(leaf) if "var" in str(path[-1]) else leaf, statistics
    )
    return params, named


def _convolved(x, weight, stride):
    """Of images (n, h, w, c) with torch's (out, in, k, k), padding (k - 1) / 2."""
    size = weight.shape[-1]
    pad = (size - 1) // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return np.einsum("nhwcij,ocij->nhwo", windows[:, ::stride, ::stride], weight)


def _pooled(x):
    """Maximum over 3 x 3, stride 2, padding 1."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return windows[:, ::2, ::2].max(axis=(-1, -2))


def _resnet_twin(arrays, images, stem):
    """A forward pass written from torchvision's description of the names, in float64."""

    def norm(x, name):
        weight, bias, mean, var = (
            arrays[f"{name}.{leaf}"].astype(float)
            for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * weight + bias

    def conv(x, name, stride):
        return _convolved(x, arrays[f"{name}.weight"].astype(float), stride)

    x = conv(images.astype(float), "conv1", 2 if stem == "imagenet" else 1)
    x = np.maximum(norm(x, "bn1"), 0)
    if stem == "imagenet":
        x = _pooled(x)
    stage = 1
    while f"layer{stage}.0.conv1.weight" in arrays:
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in arrays:
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            bottleneck = f"{name}.conv3.weight" in arrays
            strides = (1, stride, 1) if bottleneck else (stride, 1)
            y = x
            for i, step in enumerate(strides, start=1):
                y = norm(conv(y, f"{name}.conv{i}", step), f"{name}.bn{i}")
                y = np.maximum(y, 0) if i < len(strides) else y
            if f"{name}.downsample.0.weight" in arrays:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = np.maximum(x + y, 0)
            block += 1
        stage += 1
    return x.mean(axis=(1, 2))


@pytest.mark.parametrize(
    ("block", "stem", "sizes"), [("basic", "cifar", (1, 2)), ("bottleneck", "imagenet", (2, 1))]
)
def test_a_twin_written_for_torchs_names_gives_the_same_features(block, stem, sizes):
    network = _network((16, 16, 3), stage_sizes=sizes, width=4, block=block, stem=stem)
    params, statistics = _arrays(network)
    images = np.random.default_rng(1).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    run = jax.jit(lambda *given: network.apply(*given, train=False, layers=("feature",))[0])
    ours = np.asarray(run(params, statistics, images)["feature"])
    theirs = _resnet_twin(torch_arrays(params["encoder"], statistics["encoder"]), images, stem)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(
    "options",
    [
        {"stage_sizes": (1, 1, 2, 1)},
        {"stage_sizes": (1, 2), "block": "bottleneck", "stem": "imagenet"},
        {"stage_sizes": (1, 1), "norm": "group", "width": 8},
        {"stage_sizes": (1, 1), "norm": "none", "feature_centering": True, "width": 8},
    ],
)
def test_names_go_there_and_back_for_every_kind_of_encoder(options):
    network = _network((32, 32, 3), **({"width": 4} | options))
    params, statistics = _arrays(network)
    arrays = torch_arrays(params["encoder"], statistics.get("encoder", {}))
    # What torchvision would have beside them is passed over.
    arrays |= {"fc.weight": np.zeros((10, 4)), "fc.bias": np.zeros(10), "input.scale": np.ones(())}
    back = network_arrays(arrays)
    jax.tree.map(np.testing.assert_array_equal, back[0], params["encoder"])
    jax.tree.map(np.testing.assert_array_equal, back[1], statistics.get("encoder", {}))


def test_a_perceptrons_matrices_are_those_of_torchs_linear_layers():
    network = make_network(partial(MLPEncoder, (2, 2, 1), widths=(5, 3), norm="batch"), NoHead)
    params, statistics = _arrays(network)
    arrays = torch_arrays(params["encoder"], statistics["encoder"])
    shapes = {name.split(".", 1)[-1]: array.shape for name, array in arrays.items()}
    assert shapes["layer1.weight"] == (5, 4)
    assert shapes["norm1.running_var"] == (5,)
    back = network_arrays(arrays)
    jax.tree.map(np.testing.assert_array_equal, back, (params["encoder"], statistics["encoder"]))


def test_a_file_is_read_back_as_it_was_written(tmp_path):
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(7, np.int64),
        "turned": np.arange(6, dtype=np.uint8).reshape(2, 3).T,
    }
    path = tmp_path / "x.safetensors"
    write_safetensors(path, arrays, {"step": "3"})
    read, metadata = read_safetensors(path)
    assert metadata == {"step": "3"}
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    with pytest.raises(UsageError, match="cannot write"):
        write_safetensors(tmp_path / "no" / "x.safetensors", arrays, {})
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95pickle", b"\0" * 7 + b"\x40{}"])
def test_a_file_of_another_format_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no complete safetensors file") as error:
        read_safetensors(path)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="cannot read"):
        read_safetensors(tmp_path / "nowhere")


def test_names_that_are_no_part_of_a_network_are_refused():
    with pytest.raises(UsageError, match=r"layer1\.0\.attention"):
        network_arrays({"layer1.0.attention.weight": np.zeros((2, 2))})


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_torchvision_gives_the_same_features(stem, tmp_path):
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    network = _network((32, 32, 3), stage_sizes=(2, 2, 2, 2), stem=stem)
    params, statistics = _arrays(network)
    path = tmp_path / "encoder.safetensors"
    write_safetensors(path, torch_arrays(params["encoder"], statistics["encoder"]), {})
    arrays, _ = read_safetensors(path)
    model = torchvision.models.resnet18()
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    answer = model.load_state_dict(state, strict=False)
    assert answer.missing_keys == ["fc.weight", "fc.bias"]
    assert answer.unexpected_keys == []
    model.fc = torch.nn.Identity()
    images = np.random.default_rng(1).uniform(size=(2, 32, 32, 3)).astype(np.float32)
    with torch.no_grad():
        theirs = model.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    run = jax.jit(lambda *given: network.apply(*given, train=False, layers=("feature",))[0])
    ours = np.asarray(run(params, statistics, images)["feature"])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
