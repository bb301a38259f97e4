r"""Second moments of augmented views, streamed on the device: what `theory` predicts from.

For n images with V views each, x_iv a layer's output and m_i = sum_v x_iv,

    covariance        = sum_iv x_iv x_iv^T / (n V)
    cross_covariance  = (sum_i m_i m_i^T - n V covariance) / (n V (V - 1)),

the average over all V (V - 1) ordered pairs of different views, at the cost of one extra Gram
matrix. Layers are computed in float32, their products and sums in float64: the products of float32
numbers rounded to float32 would put a floor of relative size 1e-8 under every eigenvalue, which
hides what a collapsed layer lacks.
"""

import os
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.augment import Policy, augment
from ssljax.data.batches import permute
from ssljax.system.arrays import Array, Float, PRNGKeyArray, PyTree, UInt8
from ssljax.system.errors import UsageError
from ssljax.training.parallel import MODEL_AXIS, round_up_batch

__all__ = ["layer_moments", "layer_sums", "mean_image", "pixel_layer", "write_moments"]


class MomentSums(NamedTuple):
    """Sums over images, float64 on the host; the first axis holds two disjoint halves.

    Attributes:
        second: sum over images and views of ``x x^T``.
        pairs: sum over images of ``m m^T``, m the sum of an image's views.
        total: sum over images of m.
        images: images in each half.
        views: views of each image.
    """

    second: Float[np.ndarray, "2 dim dim"]
    pairs: Float[np.ndarray, "2 dim dim"]
    total: Float[np.ndarray, "2 dim"]
    images: Float[np.ndarray, "2"]
    views: int


def moment_arrays(sums: MomentSums) -> dict[str, np.ndarray]:
    """Return the arrays of a moments file (see :func:`layer_moments`) from sums."""
    half_covariance, half_cross = _moments(
        sums.second, sums.pairs, sums.images[:, None, None], sums.views
    )
    covariance, cross = _moments(
        sums.second.sum(0), sums.pairs.sum(0), sums.images.sum(), sums.views
    )
    return {
        "covariance": covariance,
        "cross_covariance": cross,
        "mean": sums.total.sum(0) / (sums.images.sum() * sums.views),
        "images": np.array(int(sums.images.sum())),
        "views": np.array(sums.views),
        "half_covariance": half_covariance,
        "half_cross_covariance": half_cross,
    }


def _moments(second, pairs, images, views):
    return second / (images * views), (pairs - second) / (images * views * (views - 1))


def write_moments(path: str | os.PathLike, moments: dict[str, np.ndarray]) -> None:
    """Write a moments file in one step: a reader sees the old file or the new one.

    Raises:
        UsageError: if the folder does not exist or cannot be written.
    """
    path = Path(path)
    partial_path = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial_path.open("wb") as file:
            np.savez(file, **moments)  # pyright: ignore[reportArgumentType]
        os.replace(partial_path, path)
    except OSError as error:
        partial_path.unlink(missing_ok=True)
        raise UsageError(
            f"cannot write {path} ({error.strerror}); name a file in a folder that exists and "
            "can be written"
        ) from error


def pixel_layer(
    params: PyTree,
    statistics: PyTree,
    images: Float[Array, "batch height width channels"],
    *,
    train: bool = False,
    layers: tuple[str, ...] = ("input",),
) -> tuple[dict[str, Float[Array, "batch dim"]], PyTree]:
    """Return the data in the form of a network's `apply`: its only layer is `input`.

    Args:
        params: not looked at.
        statistics: image to subtract (see :func:`mean_image`), or None.
        images: pixels.
        train: not looked at.
        layers: not looked at.

    Returns:
        The flattened pixels, minus the mean image, and the statistics unchanged.
    """
    del params, train, layers
    pixels = images if statistics is None else images - statistics[None]
    return {"input": jnp.reshape(pixels, (len(pixels), -1))}, statistics


def mean_image(
    images: UInt8[np.ndarray, "n height width channels"], pixel_scale: float
) -> Float[np.ndarray, "height width channels"]:
    """Return the mean of a data set's images, float32 pixels: what centring subtracts."""
    return np.asarray(np.mean(images, axis=0, dtype=np.float64) * pixel_scale, np.float32)


def layer_moments(
    apply: Callable[..., Any],
    params: PyTree,
    statistics: PyTree,
    images: UInt8[np.ndarray, "n height width channels"],
    pixel_scale: float,
    key: PRNGKeyArray,
    policy: Policy,
    strength: float | int | Float[Array, ""],
    *,
    views: int,
    layers: tuple[str, ...],
    batch_size: int = 64,
    sharding: jax.sharding.Sharding | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Return moments of named layers over fresh augmented views, in evaluation mode.

    Arguments as for :func:`layer_sums`.

    Returns:
        For each layer the arrays of a moments file: `covariance`, `cross_covariance` (dim, dim),
        `mean` (dim,), `images` (), `views` (), `half_covariance`, `half_cross_covariance`
        (2, dim, dim) of two disjoint random halves of the images; float64.
    """
    sums = layer_sums(
        apply,
        params,
        statistics,
        images,
        pixel_scale,
        key,
        policy,
        strength,
        views=views,
        layers=layers,
        batch_size=batch_size,
        sharding=sharding,
        progress=progress,
    )
    return {name: moment_arrays(layer) for name, layer in sums.items()}


def layer_sums(
    apply: Callable[..., Any],
    params: PyTree,
    statistics: PyTree,
    images: UInt8[np.ndarray, "n height width channels"],
    pixel_scale: float,
    key: PRNGKeyArray,
    policy: Policy,
    strength: float | int | Float[Array, ""],
    *,
    views: int,
    layers: tuple[str, ...],
    batch_size: int = 64,
    sharding: jax.sharding.Sharding | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, MomentSums]:
    """Return the sums behind the moments of named layers, over fresh augmented views.

    Two compiled functions, of outputs and of donated sums, are called again and again without
    waiting for the device; a second call with another key, strength, parameters or images of the
    same shape compiles nothing.

    Args:
        apply: ``apply(params, statistics, images, *, train, layers) -> (dict, statistics)``, a
            network's or :func:`pixel_layer`; every layer asked for is (batch, dim).
        params: its parameters.
        statistics: its running statistics (for :func:`pixel_layer` the mean image).
        images: the data set.
        pixel_scale: factor from uint8 to floats.
        key: root key of these views; keep it apart from training's.
        policy: ranges at strength 1.
        strength: scale of all ranges.
        views: views per image, at least 2; 8 or more to see weak modes.
        layers: names of the layers.
        batch_size: images per step; a step holds ``batch_size * views`` views.
        sharding: how the devices share a step's images, as
            `ssljax.training.parallel.make_local_sharding` gives it; by default the first device.
            Where the mesh has an axis of the model, the sums' columns are divided over it.
        progress: called with (images submitted, images in all).

    Returns:
        Sums of each layer, in two halves of the images drawn at random.

    Raises:
        UsageError: for fewer than two views or two images, or a layer that is not (batch, dim).

    Accuracy:
        The sums are those of the float32 outputs to float64 rounding; on TPUs, whose matrix units
        have no float64, each batch's products are float32 (1e-7 of the largest entry).
    """
    if views < 2:
        raise UsageError(f"{views} views per image; pairs need at least 2")
    if len(images) < 2:
        raise UsageError(f"{len(images)} images; two halves need at least 2")
    order_key, view_key = jax.random.split(key)
    order = np.asarray(_permutation(order_key, len(images)))
    middle = (len(images) + 1) // 2
    batch_size = min(batch_size, middle)
    strength = jnp.asarray(strength, jnp.float32)
    mesh = None
    if isinstance(sharding, jax.sharding.NamedSharding):
        mesh = sharding.mesh
        batch_size = round_up_batch(batch_size, sharding)
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        params, statistics, view_key = jax.device_put((params, statistics, view_key), whole)
    halves = []
    for start, stop in ((0, middle), (middle, len(images))):
        sums = None
        for first in range(start, stop, batch_size):
            rows = order[first : min(first + batch_size, stop)]
            weights = np.ones((batch_size,), np.float32)
            weights[len(rows) :] = 0
            # The last batch repeats an image with weight 0, so that one shape is compiled.
            rows = np.concatenate([rows, np.full((batch_size - len(rows),), rows[0])])
            batch = jax.device_put((images[rows], rows, weights), sharding)
            outputs = _outputs(
                apply,
                policy,
                views,
                layers,
                params,
                statistics,
                batch,
                pixel_scale,
                view_key,
                strength,
            )
            # Only here: random draws in the first function would change with the context.
            with jax.enable_x64(True):
                sums = _zeros(outputs, mesh) if sums is None else sums
                sums = _add(mesh, sums, outputs)
            if progress is not None:
                progress(min(first + batch_size, stop), len(images))
        halves.append(jax.device_get(sums))
    counts = np.array([middle, len(images) - middle], np.float64)
    return {name: _stack(halves, name, counts, views) for name in layers}


@partial(jax.jit, static_argnums=1)
def _permutation(key, size):
    return permute(key, jnp.arange(size), size)


class _Sums(NamedTuple):
    """Running sums of one layer over one half of the images, as in `MomentSums`."""

    second: Array
    pairs: Array
    total: Array


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
@jax.default_matmul_precision("highest")
def _outputs(
    apply, policy, views, layers, params, statistics, batch, pixel_scale, key, strength
) -> dict[str, Float[Array, "batch views dim"]]:
    images, rows, weights = batch
    keys = jax.vmap(lambda row: jax.random.split(jax.random.fold_in(key, row), views))(rows)
    pixels = jnp.repeat(images.astype(jnp.float32) * pixel_scale, views, axis=0)
    pixels = augment(jnp.reshape(keys, (-1,)), pixels, policy, strength)
    outputs, _ = apply(params, statistics, pixels, train=False, layers=layers)
    result = {}
    for name in layers:
        if outputs[name].ndim != 2:
            raise UsageError(
                f"layer {name} has shape {outputs[name].shape}; moments need (batch, dim): name "
                "the pooled layer"
            )
        x = outputs[name] * jnp.repeat(weights, views)[:, None].astype(outputs[name].dtype)
        result[name] = jnp.reshape(x, (len(rows), views, -1))
    return result


def _zeros(outputs, mesh):
    """Return sums of no images, each whole on the devices or divided by columns over the model."""

    def zeros(x):
        dim = x.shape[-1]
        sums = _Sums(jnp.zeros((dim, dim)), jnp.zeros((dim, dim)), jnp.zeros(dim))
        return sums if mesh is None else jax.device_put(sums, _columns(sums, mesh))

    return {name: zeros(x) for name, x in outputs.items()}


def _columns(sums, mesh):
    model = mesh.shape.get(MODEL_AXIS, 1)

    def sharding(leaf):
        is_divided = model > 1 and leaf.ndim == 2 and leaf.shape[1] % model == 0
        spec = jax.sharding.PartitionSpec(*((None, MODEL_AXIS) if is_divided else ()))
        return jax.sharding.NamedSharding(mesh, spec)

    return jax.tree.map(sharding, sums)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _add(mesh, sums, outputs):
    factors = jnp.float32 if jax.default_backend() == "tpu" else jnp.float64

    def gram(x):
        x = x.astype(factors)
        return jnp.matmul(x.T, x, precision="highest").astype(jnp.float64)

    result = {}
    for name, x in outputs.items():
        image_sums = jnp.sum(x, axis=1, dtype=jnp.float64)
        before = sums[name]
        result[name] = _Sums(
            before.second + gram(x.reshape(-1, x.shape[-1])),
            before.pairs + gram(image_sums),
            before.total + jnp.sum(image_sums, axis=0),
        )
    if mesh is None:
        return result
    return jax.lax.with_sharding_constraint(result, _columns(result, mesh))


def _stack(halves, name, counts, views):
    second, pairs, total = (np.stack(parts) for parts in zip(*(half[name] for half in halves)))
    return MomentSums(_symmetric(second), _symmetric(pairs), total, counts, views)


def _symmetric(matrices):
    return (matrices + np.swapaxes(matrices, -1, -2)) / 2
