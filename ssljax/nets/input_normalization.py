"""What is done to pixels before the first layer: subtract a mean image, multiply by a number.

Both live among the network's statistics, so that every use of a trained network (evaluation,
moments, export, a resumed run) applies exactly what training applied.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.augment import Policy, augment
from ssljax.data.datasets import Dataset
from ssljax.nets.network import Network
from ssljax.system.arrays import Array, Float, PyTree
from ssljax.system.errors import UsageError

_LARGEST_DIM = 4096
_BATCH = 256


class InputNormalization(NamedTuple):
    """``scale * (pixels - mean)`` is what the encoder receives.

    Attributes:
      mean: Mean image, shape (height, width, channels).
      scale: Factor, shape ().
    """

    mean: Float[Array, "height width channels"]
    scale: Float[Array, ""]


def no_normalization(image_shape: tuple[int, int, int]) -> InputNormalization:
    """Return the normalization that leaves pixels as they are."""
    return InputNormalization(jnp.zeros(image_shape), jnp.ones(()))


def measure_normalization(
    dataset: Dataset,
    policy: Policy,
    strength: float,
    *,
    mean: Literal["none", "images", "views"],
    scale: float,
) -> InputNormalization:
    """Measure the mean image and the factor of a data set.

    Args:
      dataset: Images that training will see.
      policy: Augmentation per unit of strength.
      strength: Factor on its ranges.
      mean: Nothing, the mean of the clean images or of the augmented views.
      scale: The factor; 0 takes the one that makes the largest eigenvalue of the covariance of
        augmented views 1, after the mean is subtracted.

    Returns:
      Mean and factor, a function of the arguments alone (the views' keys are fixed).

    Raises:
      UsageError: The factor of images of more than 4096 numbers is asked for.
    """
    shape = dataset.images.shape[1:]
    dim = int(np.prod(shape))
    pixels = np.asarray(np.mean(dataset.images, axis=0, dtype=np.float64))
    image_mean = np.zeros(shape) if mean == "none" else dataset.pixel_scale * pixels
    if mean != "views" and scale > 0:
        return InputNormalization(
            jnp.asarray(image_mean, jnp.float32), jnp.asarray(scale, jnp.float32)
        )
    if scale == 0 and dim > _LARGEST_DIM:
        raise UsageError(
            f"input-scale 0 needs the covariance of {dim} numbers, at most {_LARGEST_DIM} are"
            " allowed: give --input-scale a positive number"
        )
    view_mean, second = _view_moments(dataset, policy, strength, with_covariance=scale == 0)
    if mean == "views":
        image_mean = np.reshape(view_mean, shape)
    if scale == 0:
        residual = view_mean - np.reshape(image_mean, -1)
        covariance = second - np.outer(view_mean, view_mean) + np.outer(residual, residual)
        scale = float(np.linalg.eigvalsh(covariance)[-1]) ** -0.5
    return InputNormalization(jnp.asarray(image_mean, jnp.float32), jnp.asarray(scale, jnp.float32))


def _view_moments(
    dataset: Dataset, policy: Policy, strength: float, *, with_covariance: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (dim,) and, if wanted, raw second moment (dim, dim) of views, else zeros."""
    count = len(dataset.images)
    views = max(1, min(16, 200_000 // count))

    @jax.jit
    def sums(key: Array, images: Array) -> tuple[Array, Array]:
        keys = jax.random.split(key, len(images))
        x = augment(keys, images * dataset.pixel_scale, policy, strength)
        x = x.reshape(len(images), -1)
        second = jnp.matmul(x.T, x, precision="highest") if with_covariance else jnp.zeros((1, 1))
        return jnp.sum(x, axis=0), second

    first, second = np.zeros((1,)), np.zeros((1, 1))
    root = jax.random.key(0, impl="threefry2x32")
    for view in range(views):
        for start in range(0, count, _BATCH):
            batch = jnp.asarray(dataset.images[start : start + _BATCH], jnp.float32)
            key = jax.random.fold_in(jax.random.fold_in(root, view), start)
            one, two = jax.device_get(sums(key, batch))
            first = first + one.astype(np.float64)
            second = second + two.astype(np.float64)
    scale = 1 / (views * count)
    return np.asarray(first * scale), np.asarray(second * scale)


def add_input_normalization(network: Network, normalization: InputNormalization) -> Network:
    """Return the network behind its input normalization, which joins the statistics.

    Args:
      network: Takes normalized pixels.
      normalization: Initial (and, untrained, final) mean and factor.

    Returns:
      A network that takes pixels; its layer ``input`` is what the encoder receives.
    """

    def init(key: Array) -> tuple[PyTree, PyTree]:
        params, statistics = network.init(key)
        first = jax.tree.leaves(params)[0]
        own = jax.tree.map(lambda leaf: leaf.astype(first.dtype), normalization._asdict())
        return params, {"network": statistics, "input": own}

    def apply(
        params: PyTree,
        statistics: PyTree,
        images: Array,
        *,
        train: bool,
        layers: tuple[str, ...] = (),
    ) -> tuple[dict[str, Array], PyTree]:
        own = statistics["input"]
        pixels = own["scale"] * (images - own["mean"][None])
        outputs, inner = network.apply(
            params, statistics["network"], pixels, train=train, layers=layers
        )
        return outputs, {"network": inner, "input": own}

    return network._replace(init=init, apply=apply)
