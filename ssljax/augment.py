"""Random views of images: on the device, batched, inside the compiled step.

A view depends on one key alone. `two_views` derives the keys from (root key, step, identity of
the example), never from the batch: half a batch gives the same views bit for bit, and so do
eight devices, two hosts or a resumed run.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ssljax.arrays import Array, Float, Int, PRNGKeyArray
from ssljax.color import (
    NUM_ORDERS,
    ColorMap,
    apply_color,
    compose,
    gray_map,
    identity_map,
    jitter_map,
)
from ssljax.errors import UsageError
from ssljax.policies import DIGITS_POLICY, IDENTITY, NOISE_POLICY, SIMCLR_POLICY, SMALLEST_CROP
from ssljax.policies import Policy as Policy
from ssljax.resample import resample_dense, resample_separable

__all__ = [
    "DIGITS_POLICY",
    "IDENTITY",
    "NOISE_POLICY",
    "SIMCLR_POLICY",
    "Changes",
    "Policy",
    "augment",
    "changed_images",
    "random_changes",
    "two_views",
]


class Changes(NamedTuple):
    """What happens to each image of a batch; every field has shape (batch,).

    Angles in radians; `shift_y`, `shift_x` in fractions of the image side; `crop_*` the crop's
    rectangle as fractions of the image; factors are 1 and everything else 0 for no change.
    """

    rotation: Float[Array, " batch"]
    shift_y: Float[Array, " batch"]
    shift_x: Float[Array, " batch"]
    log_scale: Float[Array, " batch"]
    log_aspect: Float[Array, " batch"]
    crop_height: Float[Array, " batch"]
    crop_width: Float[Array, " batch"]
    crop_top: Float[Array, " batch"]
    crop_left: Float[Array, " batch"]
    flip: Float[Array, " batch"]
    jitter_brightness: Float[Array, " batch"]
    jitter_contrast: Float[Array, " batch"]
    jitter_saturation: Float[Array, " batch"]
    jitter_hue: Float[Array, " batch"]
    jitter_order: Int[Array, " batch"]
    grayscale: Float[Array, " batch"]
    log_contrast: Float[Array, " batch"]
    brightness: Float[Array, " batch"]


_NUM_DRAWS = 20


def random_changes(
    keys: Array, policy: Policy, strength: float | int | Float[Array, ""]
) -> Changes:
    """The changes that a policy draws for each key.

    Every change reads its own random number whether or not another one is switched on: two
    policies that differ in one field agree in all other changes.

    Args:
        keys: typed keys of shape (batch,).
        policy: ranges at strength 1.
        strength: scale of all ranges, at least 0; may be traced.

    Returns:
        One set of changes per key.
    """
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (_NUM_DRAWS,), minval=-1.0))(keys)
    u = uniform.T
    chance = (uniform.T + 1) / 2
    strength = jnp.asarray(strength, uniform.dtype)

    area = 1 - (1 - jnp.maximum(1 - policy.crop_area * strength, SMALLEST_CROP)) * chance[5]
    aspect = jnp.exp(policy.crop_log_aspect * strength * u[6])
    crop_height = jnp.minimum(1, jnp.sqrt(area / aspect))
    crop_width = jnp.minimum(1, jnp.sqrt(area * aspect))

    jittered = (chance[14] < policy.jitter_probability) * strength

    def factor(scale, draw):
        return jnp.maximum(0, 1 + scale * draw * jittered)

    return Changes(
        rotation=policy.rotation * strength * u[0],
        shift_y=policy.shift * strength * u[1],
        shift_x=policy.shift * strength * u[2],
        log_scale=policy.log_scale * strength * u[3],
        log_aspect=policy.log_aspect * strength * u[4],
        crop_height=crop_height,
        crop_width=crop_width,
        crop_top=chance[7] * (1 - crop_height),
        crop_left=chance[8] * (1 - crop_width),
        flip=((chance[9] < policy.flip) & (strength > 0)).astype(uniform.dtype),
        jitter_brightness=factor(policy.jitter_brightness, u[10]),
        jitter_contrast=factor(policy.jitter_contrast, u[11]),
        jitter_saturation=factor(policy.jitter_saturation, u[12]),
        jitter_hue=2 * math.pi * policy.jitter_hue * jittered * u[13],
        jitter_order=jnp.clip((chance[15] * NUM_ORDERS).astype(int), 0, NUM_ORDERS - 1),
        grayscale=(chance[16] < policy.grayscale * strength).astype(uniform.dtype),
        log_contrast=policy.log_contrast * strength * u[17],
        brightness=policy.brightness * strength * u[18],
    )


def changed_images(
    images: Float[Array, "batch height width channels"], changes: Changes, policy: Policy
) -> Float[Array, "batch height width channels"]:
    r"""Images after given changes: everything a policy does except the noise.

    Geometry first. Output pixel p (centered on the image) reads the source at

        center + exp(log_scale) diag(exp(-log_aspect/2), exp(log_aspect/2)) R p + shift

    in (row, column) order, after p has been flipped and mapped into the crop's rectangle;
    ``R = [[cos, sin], [-sin, cos]]`` turns the picture counter-clockwise for a positive angle.
    Then the color map (jitter,
    grayscale), then ``exp(log_contrast) x + brightness``.

    Args:
        images: batch of images, float.
        changes: what to do with each; only what the policy switches on is looked at.
        policy: which changes are switched on (static: it decides what is compiled).

    Returns:
        Images of the same shape.
    """
    images = _changed_geometry(images, changes, policy)
    return _changed_color(images, changes, policy)


def _changed_geometry(images, changes, policy):
    moved = policy.shift or policy.log_scale or policy.log_aspect
    cropped = policy.crop_area or policy.crop_log_aspect
    if not (policy.rotation or moved or cropped or policy.flip):
        return images
    _, height, width, _ = images.shape

    def crop(size, start, length, flip):
        centered = jnp.arange(size, dtype=images.dtype)[None, :] - (size - 1) / 2
        out = centered * (1 - 2 * flip)[:, None]
        if not cropped:
            return out
        middle = (start + length / 2 - 0.5)[:, None] * size
        # Not beyond the centers of the crop's border pixels, nor of the image's.
        reach = jnp.maximum(0, (length[:, None] * size - 1) / 2)
        return middle + jnp.clip(out * length[:, None], -reach, reach)

    rows = crop(height, changes.crop_top, changes.crop_height, jnp.zeros_like(changes.flip))
    columns = crop(width, changes.crop_left, changes.crop_width, changes.flip)
    scale_y = jnp.exp(changes.log_scale - changes.log_aspect / 2)[:, None]
    scale_x = jnp.exp(changes.log_scale + changes.log_aspect / 2)[:, None]
    origin_y = (changes.shift_y * height + (height - 1) / 2)[:, None]
    origin_x = (changes.shift_x * width + (width - 1) / 2)[:, None]
    if not policy.rotation:
        return resample_separable(
            images, scale_y * rows + origin_y, scale_x * columns + origin_x, policy.interpolation
        )

    cosine = jnp.cos(changes.rotation)[:, None, None]
    sine = jnp.sin(changes.rotation)[:, None, None]
    rows, columns = rows[:, :, None], columns[:, None, :]
    return resample_dense(
        images,
        scale_y[..., None] * (cosine * rows + sine * columns) + origin_y[..., None],
        scale_x[..., None] * (cosine * columns - sine * rows) + origin_x[..., None],
        policy.interpolation,
    )


def _changed_color(images, changes, policy):
    batch, _, _, channels = images.shape
    jittered = (
        policy.jitter_brightness
        or policy.jitter_contrast
        or policy.jitter_saturation
        or policy.jitter_hue
    )
    if not (jittered or policy.grayscale or policy.log_contrast or policy.brightness):
        return images
    color = identity_map(batch, channels)
    if jittered:
        color = jitter_map(
            jnp.mean(images, axis=(1, 2)),
            changes.jitter_brightness,
            changes.jitter_contrast,
            changes.jitter_saturation,
            changes.jitter_hue,
            changes.jitter_order,
        )
    if policy.grayscale:
        gray = compose(gray_map(batch, channels), color)
        chosen = changes.grayscale[:, None] > 0
        color = ColorMap(
            jnp.where(chosen[:, :, None], gray.matrix, color.matrix),
            jnp.where(chosen, gray.offset, color.offset),
        )
    gain = jnp.exp(changes.log_contrast)[:, None]
    color = ColorMap(
        color.matrix * gain[:, :, None], color.offset * gain + changes.brightness[:, None]
    )
    return apply_color(images, color)


def augment(
    keys: Array,
    images: Float[Array, "batch height width channels"],
    policy: Policy,
    strength: float | int | Float[Array, ""],
) -> Float[Array, "batch height width channels"]:
    """One random view of each image.

    Args:
        keys: typed threefry keys of shape (batch,), one per image.
        images: batch of images in float, on any scale (the policy's brightness and noise are in
            its unit; the shipped policies expect pixels from 0 to 1).
        policy: ranges at strength 1; static under `jax.jit`.
        strength: scale of all ranges, at least 0; traced, so that a sweep compiles once.

    Returns:
        Views of the same shape and type. At strength 0 these are the images, to rounding.

    Raises:
        UsageError: for keys that are not threefry keys.

    Accuracy:
        Zero padding, no clipping of values. Compiled calls agree bit for
        bit however the batch is divided into parts of 2, 4, 8, ... images; one
        image alone, an odd part or an eager call may differ by a rounding.
    """
    _require_threefry(keys)
    changed = changed_images(images, random_changes(keys, policy, strength), policy)
    if not policy.noise:
        return changed
    noise_keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], images.dtype))(noise_keys)
    return changed + jnp.asarray(policy.noise * strength, images.dtype) * noise


def two_views(
    key: PRNGKeyArray,
    step: int | Int[Array, ""],
    indices: Int[Array, " batch"],
    images: Float[Array, "batch height width channels"],
    policy: Policy,
    strength: float | int | Float[Array, ""],
) -> Float[Array, "batch 2 height width channels"]:
    """Two random views of each image: a batch of positive pairs.

    Args:
        key: root key of the run's augmentations, typed threefry, shape ().
        step: training step.
        indices: what identifies each example within this step, the only thing (besides `key`
            and `step`) that its views depend on: the data set index when a step's examples are
            distinct; the position in the global batch when they are drawn with replacement, so
            that an example drawn twice gets different views.
        images: the examples.
        policy: ranges at strength 1; static under `jax.jit`.
        strength: scale of all ranges; traced.

    Returns:
        Views, first and second of each pair along axis 1.
    """
    _require_threefry(key)
    step_key = jax.random.fold_in(key, step)
    keys = jax.vmap(lambda index: jax.random.split(jax.random.fold_in(step_key, index)))(indices)
    return jax.vmap(
        lambda view_keys: augment(view_keys, images, policy, strength), in_axes=1, out_axes=1
    )(keys)


def _require_threefry(key):
    if str(jax.random.key_impl(key)) != "threefry2x32":
        raise UsageError(
            f"augmentation needs threefry keys, got {jax.random.key_impl(key)}, whose numbers "
            "depend on the batch under vmap: make the root key with jax.random.key(seed, "
            "impl='threefry2x32')"
        )
