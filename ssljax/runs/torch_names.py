r"""An encoder's arrays under the names and in the layout of torchvision's ResNets, and back.

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

import re
from typing import Any

import numpy as np

from ssljax.system.errors import UsageError

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


def torch_arrays(params: Tree, statistics: Tree) -> dict[str, np.ndarray]:
    """Parameters and running statistics of one part of a network under torch's names.

    Args:
      params: Nested dictionary of an encoder (or head), as in ``params["encoder"]``.
      statistics: Its running statistics.

    Returns:
      Arrays by name: convolutions (out, in, height, width), matrices (out, in).
    """
    arrays = {}
    for path, value in _flattened(params):
        module, leaf = path.rpartition(".")[::2]
        array = np.asarray(value)
        if leaf == "kernel":
            arrays[f"{_torch_name(module)}.weight"] = np.ascontiguousarray(
                np.transpose(array, (3, 2, 0, 1) if array.ndim == 4 else (1, 0))
            )
        else:
            torch_leaf = {"scale": "weight"}.get(leaf, leaf)
            arrays[f"{_torch_name(module)}.{torch_leaf}"] = array
    for path, value in _flattened(statistics):
        module, leaf = path.rpartition(".")[::2]
        name = _torch_name(module)
        if module == "centering":
            arrays[f"{name}.{leaf}"] = np.asarray(value)
            continue
        torch_leaf = {"mean": "running_mean", "var": "running_var"}[leaf]
        arrays[f"{name}.{torch_leaf}"] = np.asarray(value)
        arrays[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)
    return arrays


def network_arrays(arrays: dict[str, np.ndarray]) -> tuple[Tree, Tree]:
    """The inverse of `torch_arrays`.

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
        own = _own_name(module)
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


def _torch_name(module: str) -> str:
    """``stage2.block1.norm1`` becomes ``layer2.0.bn1``; what is no part of a ResNet stays."""
    match = re.fullmatch(r"stage(\d+)\.block(\d+)\.(\w+)", module)
    if match is None:
        return _PLAIN.get(module, module)
    stage, block, part = match.groups()
    return f"layer{stage}.{int(block) - 1}.{_IN_BLOCK[part]}"


def _own_name(module: str) -> str:
    match = re.fullmatch(r"layer(\d+)\.(\d+)\.(.+)", module)
    if match is None:
        return {theirs: own for own, theirs in _PLAIN.items()}.get(module, module)
    stage, block, part = match.groups()
    parts = {theirs: own for own, theirs in _IN_BLOCK.items()}
    if part not in parts:
        raise UsageError(f"no part of a ResNet is called {module!r}; give torchvision's names")
    return f"stage{stage}.block{int(block) + 1}.{parts[part]}"


def _flattened(tree: Tree, prefix: str = ""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _put(tree: Tree, path: str, value: np.ndarray) -> None:
    *folders, leaf = path.split(".")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[leaf] = value
