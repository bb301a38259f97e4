"""Random views of images: on the device, batched, inside the compiled step.

A view depends on one key alone. `two_views` derives the keys from (root key, step, identity of
the example), never from the batch: half a batch gives the same views bit for bit, and so do
eight devices, two hosts or a resumed run.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.changes import Changes as Changes
from ssljax.augment.changes import random_changes as random_changes
from ssljax.augment.color import (
    ColorMap,
    apply_color,
    compose,
    gray_map,
    identity_map,
    jitter_map,
)
from ssljax.augment.filters import blurred, masked, solarized
from ssljax.augment.policies import DIGITS_POLICY, IDENTITY, NOISE_POLICY, SIMCLR_POLICY
from ssljax.augment.policies import Policy as Policy
from ssljax.augment.resample import resample_dense, resample_separable
from ssljax.system.arrays import Array, Float, Int, PRNGKeyArray
from ssljax.system.errors import UsageError

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


def changed_images(
    images: Float[Array, "batch height width channels"], changes: Changes, policy: Policy
) -> Float[Array, "batch height width channels"]:
    r"""Images after given changes: all that a policy does except to add noise and to drop.

    Geometry first. Output pixel p (centered on the image) reads the source at

        center + exp(log_scale) diag(exp(-log_aspect/2), exp(log_aspect/2)) R p + shift

    in (row, column) order, after p has been flipped and mapped into the crop's rectangle;
    ``R = [[cos, sin], [-sin, cos]]`` turns the picture counter-clockwise for a positive angle.
    Then blur, the color map (jitter, grayscale, ``exp(log_contrast) x + brightness``, cast),
    solarization and the mask.

    Args:
        images: batch of images, float.
        changes: what to do with each; only what the policy switches on is looked at.
        policy: which changes are switched on (static: it decides what is compiled).

    Returns:
        Images of the same shape.
    """
    images = _changed_geometry(images, changes, policy)
    if policy.blur_variance:
        images = blurred(images, changes.blur_variance)
    images = _changed_color(images, changes, policy)
    if policy.solarize:
        images = solarized(images, changes.solarize > 0)
    if policy.mask:
        images = masked(images, changes.mask_top, changes.mask_left, changes.mask_side)
    return images


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
    gained = policy.log_contrast or policy.brightness or policy.cast
    if not (jittered or policy.grayscale or gained):
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
    if policy.cast:
        color = color._replace(offset=color.offset + changes.cast[:, :channels])
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
    if policy.pixel_drop:
        kept = jax.vmap(
            lambda key: jax.random.uniform(jax.random.fold_in(key, 3), images.shape[1:3])
        )(keys) >= jnp.asarray(policy.pixel_drop * strength, jnp.float32)
        changed = jnp.where(kept[..., None], changed, 0)
    if policy.patch_drop:
        changed = jnp.where(_kept_patches(keys, changed, policy, strength), changed, 0)
    if policy.noise:
        noise = jax.vmap(
            lambda key: jax.random.normal(
                jax.random.fold_in(key, 1), images.shape[1:], images.dtype
            )
        )(keys)
        changed = changed + jnp.asarray(policy.noise * strength, images.dtype) * noise
    return changed


def _kept_patches(keys, images, policy, strength):
    """Whether each pixel's patch is kept, shape (batch, height, width, 1)."""
    _, height, width, _ = images.shape
    tiles = math.ceil(1 / policy.patch_side - 1e-6)
    row, column = (
        np.minimum((np.arange(size) + 0.5) / size // policy.patch_side, tiles - 1).astype(int)
        for size in (height, width)
    )
    # 3 belongs to dropped pixels, 2 to the digit of a composite.
    chance = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 4), (tiles, tiles)))
    kept = chance(keys) >= jnp.asarray(policy.patch_drop * strength, jnp.float32)
    return kept[:, row[:, None], column[None, :], None]


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
