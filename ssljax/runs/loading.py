"""A trained network for use elsewhere: `ssljax.load`, and its encoder as a file for torch."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from ssljax.measure.features import layer_features
from ssljax.nets.named_layers import named_layers
from ssljax.runs.safetensors import write_safetensors
from ssljax.runs.saved_run import Run, load_run
from ssljax.runs.torch_names import torch_arrays
from ssljax.system.arrays import Float, UInt8
from ssljax.system.errors import UsageError


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
    """A trained network from its run folder.

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
        named_layers(run.network, tuple(name.removesuffix("/map") for name in names))
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
    """Write a run's encoder for torch; see `ssljax.runs.torch_names` for names and layout.

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
        "encoder": json.dumps({name: getattr(settings, name) for name in settings.__slots__}),
        "image_shape": json.dumps(run.description.image_shape),
        "pixel_scale": repr(run.description.pixel_scale),
        "step": str(int(run.state.step)),
    }
    write_safetensors(path, arrays | encoder, described)
    return arrays | encoder
