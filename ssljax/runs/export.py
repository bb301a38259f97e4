r"""A trained network for use elsewhere: `ssljax.load`, and its encoder as a file for torch.

Of an encoder's arrays under the names and in the layout of torchvision's ResNets,
``torchvision.models.resnet18().load_state_dict(arrays, strict=False)`` takes them as they are; the
only keys it misses are those of its classifier, ``fc``. What differs by configuration:

* ImageNet stem: as torchvision. CIFAR stem: set ``model.conv1 = nn.Conv2d(channels, width, 3, 1, 1,
  bias=False)`` and ``model.maxpool = nn.Identity()`` first.
* Three stages (ResNet-20 and the like): also ``model.layer4 = nn.Identity()``.
* Group norm and none use the same names; a model built with ``norm_layer`` takes them.
* ``input.mean`` (channels, height, width) and ``input.scale`` () are there where training
  subtracted a mean image or rescaled: the encoder wants ``scale * (pixels - mean)``.
* ``feature.mean`` and ``feature.scale`` are there where the feature is centered or rescaled: it is
  ``scale * (pooled - mean)``.

Other encoders and heads keep their own names, with ``.weight`` (out, in) as in ``nn.Linear``.
"""

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ssljax.measure.features import layer_features
from ssljax.nets.network import resolve_layers
from ssljax.runs.saved_run import Run, load_run
from ssljax.system.arrays import Float, UInt8
from ssljax.system.errors import UsageError
from ssljax.system.files import write_bytes

Tree = dict[str, Any]

_PLAIN = {"stem_conv": "conv1", "stem_norm": "bn1", "centering": "feature"}
_IN_BLOCK = {
    "conv1": "conv1",
    "conv2": "conv2",
    "conv3": "conv3",
    "norm1": "bn1",
    "norm2": "bn2",
    "norm3": "bn3",
    "shortcut_conv": "downsample.0",
    "shortcut_norm": "downsample.1",
}


class Pretrained(NamedTuple):
    """A trained network, compiled on first use.

    Images are uint8 (n, height, width, channels) as the data set stores them, of any number; they
    go through in batches. Scaling, mean image and factor of training are applied inside, the
    network is in evaluation mode.

    Attributes:
      encoder: ``encoder(images)``, the features (n, dim), before the projection head.
      layers: ``layers(images, names)``, outputs of named layers, all in one pass.
      names: Names of the layers; convolutional ones also answer to ``NAME/map``.
      run: Configuration, network, state and description.
    """

    encoder: Callable[[UInt8[np.ndarray, "n h w c"]], Float[np.ndarray, "n dim"]]
    layers: Callable[..., dict[str, Float[np.ndarray, "n ..."]]]
    names: tuple[str, ...]
    run: Run


def load(workdir: str | Path, *, batch_size: int = 256) -> Pretrained:
    """Load a trained network from its run folder.

    Args:
      workdir: Folder of a run, finished or not; its newest readable checkpoint is used.
      batch_size: Images at a time.

    Returns:
      The network.

    Raises:
      UsageError: The folder holds no run; later, images of another shape or type.

    Example:
      >>> import ssljax
      >>> encoder = ssljax.load("runs/digits_smoke").encoder  # doctest: +SKIP
      >>> features = encoder(images)  # doctest: +SKIP
    """
    run = load_run(workdir)
    shape = run.description.image_shape

    def layers(images: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise UsageError(
                f"images of {images.dtype} {images.shape} given; wanted uint8 (n, {shape[0]},"
                f" {shape[1]}, {shape[2]}), pixels from 0 as in the data set trained on"
            )
        resolve_layers(run.network, tuple(name.removesuffix("/map") for name in names))
        return layer_features(
            run.network.apply,
            run.state.params,
            run.state.statistics,
            images,
            run.description.pixel_scale,
            layers=tuple(names),
            batch_size=batch_size,
        )

    def encoder(images: np.ndarray) -> np.ndarray:
        return layers(images, ("feature",))["feature"]

    return Pretrained(encoder, layers, run.network.layers, run)


def export_safetensors(run: Run, path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Write a run's encoder for torch; see above for names and layout.

    Args:
      run: A trained run.
      path: File to write. Its metadata say what the encoder is, how pixels become its input and
        which step it is of.

    Returns:
      The arrays written.

    Raises:
      UsageError: The file cannot be written.
    """
    params, statistics = jax.device_get((run.state.params, run.state.statistics))
    arrays = {}
    inner = statistics
    if "input" in statistics and "network" in statistics:
        normalization, inner = statistics["input"], statistics["network"]
        mean = np.asarray(normalization["mean"])
        arrays["input.mean"] = np.ascontiguousarray(np.transpose(mean, (2, 0, 1)))
        arrays["input.scale"] = np.asarray(normalization["scale"])
    encoder = torch_arrays(params.get("encoder", {}), inner.get("encoder", {}))
    settings = run.config.encoder
    if settings.feature_scale != 1.0:
        encoder["feature.scale"] = np.asarray(settings.feature_scale, np.float32)
    if not encoder:
        raise UsageError(
            f"the {settings.kind} encoder of this run has no arrays of its own: export its head,"
            " which is all of it, with --out FILE.npz"
        )
    described = {
        "format": "pt",
        "encoder": json.dumps(dataclasses.asdict(settings)),
        "image_shape": json.dumps(run.description.image_shape),
        "pixel_scale": repr(run.description.pixel_scale),
        "step": str(int(run.state.step)),
    }
    write_safetensors(path, arrays | encoder, described)
    return arrays | encoder


def write_safetensors(
    path: str | os.PathLike, arrays: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Write named arrays in one step: a reader sees the old file or the new, never half of it.

    Args:
      path: The file.
      arrays: By name.
      metadata: Text by name.

    Raises:
      UsageError: The file cannot be written.
    """
    from safetensors.numpy import save  # noqa: PLC0415 (only exports need it)

    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata)
    try:
        write_bytes(Path(path), content)
    except OSError as error:
        raise UsageError(
            f"cannot write {path} ({error.strerror}); name a file in a folder that exists and can"
            " be written"
        ) from error


def read_safetensors(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays and metadata of a file.

    Args:
      path: The file.

    Returns:
      Arrays by name, and text by name.

    Raises:
      UsageError: The file is missing, or not a complete one of this format.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except OSError as error:
        raise UsageError(
            f"cannot read {path} ({error.strerror or 'no such file'}); name a .safetensors file"
        ) from error
    except SafetensorError as error:
        raise UsageError(
            f"{path} is no complete safetensors file ({error}); write or copy it again"
        ) from error


def torch_arrays(params: Tree, statistics: Tree) -> dict[str, np.ndarray]:
    """Return parameters and running statistics of one part of a network under torch's names.

    Args:
      params: Nested dictionary of an encoder (or head), as in ``params["encoder"]``.
      statistics: Its running statistics.

    Returns:
      Arrays by name: convolutions (out, in, height, width), matrices (out, in).
    """
    arrays = {}
    for path, value in _flatten(params):
        module, leaf = path.rpartition(".")[::2]
        array = np.asarray(value)
        if leaf == "kernel":
            arrays[f"{_translate(module)}.weight"] = np.ascontiguousarray(
                np.transpose(array, (3, 2, 0, 1) if array.ndim == 4 else (1, 0))
            )
        else:
            torch_leaf = {"scale": "weight"}.get(leaf, leaf)
            arrays[f"{_translate(module)}.{torch_leaf}"] = array
    for path, value in _flatten(statistics):
        module, leaf = path.rpartition(".")[::2]
        name = _translate(module)
        if module == "centering":
            arrays[f"{name}.{leaf}"] = np.asarray(value)
            continue
        torch_leaf = {"mean": "running_mean", "var": "running_var"}[leaf]
        arrays[f"{name}.{torch_leaf}"] = np.asarray(value)
        arrays[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)
    return arrays


def network_arrays(arrays: dict[str, np.ndarray]) -> tuple[Tree, Tree]:
    """Return the inverse of `torch_arrays`.

    Args:
      arrays: By torch's names; classifiers, ``input.*`` and ``feature.scale`` are left out.

    Returns:
      Parameters and statistics as nested dictionaries.

    Raises:
      UsageError: A name is none of those that `torch_arrays` writes.
    """
    params: Tree = {}
    statistics: Tree = {}
    for name, array in arrays.items():
        module, leaf = name.rpartition(".")[::2]
        if leaf == "num_batches_tracked" or module in ("fc", "input") or name == "feature.scale":
            continue
        if not module:
            raise UsageError(f"no array of an encoder is called {name!r}; give torchvision's names")
        own = _translate_back(module)
        if leaf in ("running_mean", "running_var") or own == "centering":
            own_leaf = {"running_mean": "mean", "running_var": "var"}.get(leaf, leaf)
            _put(statistics, f"{own}.{own_leaf}", array)
        elif leaf == "weight" and array.ndim == 4:
            _put(params, f"{own}.kernel", np.transpose(array, (2, 3, 1, 0)))
        elif leaf == "weight" and array.ndim == 2:
            _put(params, f"{own}.kernel", array.T)
        else:
            _put(params, f"{own}.{'scale' if leaf == 'weight' else leaf}", array)
    return params, statistics


def _translate(module: str) -> str:
    """Return torchvision's name: ``stage2.block1.norm1`` becomes ``layer2.0.bn1``."""
    match = re.fullmatch(r"stage(\d+)\.block(\d+)\.(\w+)", module)
    if match is None:
        return _PLAIN.get(module, module)
    stage, block, part = match.groups()
    return f"layer{stage}.{int(block) - 1}.{_IN_BLOCK[part]}"


def _translate_back(module: str) -> str:
    match = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)", module)
    if match is None:
        return {theirs: own for own, theirs in _PLAIN.items()}.get(module, module)
    stage, block, part = match.groups()
    parts = {theirs: own for own, theirs in _IN_BLOCK.items()}
    if part not in parts:
        raise UsageError(f"no part of a ResNet is called {module!r}; give torchvision's names")
    return f"stage{stage}.block{int(block) + 1}.{parts[part]}"


def _flatten(tree: Tree, prefix: str = ""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _put(tree: Tree, path: str, value: np.ndarray) -> None:
    *folders, leaf = path.split(".")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[leaf] = value
