"""One random view of each image: on the device, batched, inside the compiled step."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.changes import Changes as Changes
from ssljax.augment.changes import draw_changes as draw_changes
from ssljax.augment.color import (
    ColorMap,
    apply_color,
    compose,
    gray_map,
    identity_map,
    jitter_map,
)
from ssljax.augment.filters import blur, mask_square, solarize
from ssljax.augment.geometry import apply_geometry
from ssljax.augment.policies import Policy as Policy
from ssljax.system.arrays import Array, Float
from ssljax.system.errors import UsageError


def apply_changes(
    images: Float[Array, "batch height width channels"],
    changes: Changes,
    policy: Policy,
    *,
    side: int | None = None,
    log_aspect: Float[Array, " batch"] | None = None,
) -> Float[Array, "batch out_height out_width channels"]:
    """Apply given changes to images: all that a policy does except to add noise and to drop.

    Geometry first (see :func:`ssljax.augment.geometry.apply_geometry`), then blur, the color map
    (jitter, grayscale, ``exp(log_contrast) x + brightness``, cast), solarization and the mask.

    Args:
        images: batch of images, float.
        changes: what to do with each; only what the policy switches on is looked at.
        policy: which changes are switched on (static: it decides what is compiled).
        side: height and width of the result; those of the images by default.
        log_aspect: where the images are squeezed pictures, their log width over height.

    Returns:
        The changed images.
    """
    images = apply_geometry(images, changes, policy, side=side, log_aspect=log_aspect)
    if policy.blur_variance:
        images = blur(images, changes.blur_variance)
    images = _apply_color_changes(images, changes, policy)
    if policy.solarize:
        images = solarize(images, changes.solarize > 0)
    if policy.mask:
        images = mask_square(images, changes.mask_top, changes.mask_left, changes.mask_side)
    return images


def _apply_color_changes(images, changes, policy):
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
    *,
    side: int | None = None,
    log_aspect: Float[Array, " batch"] | None = None,
) -> Float[Array, "batch out_height out_width channels"]:
    """Make one random view of each image.

    Args:
        keys: typed threefry keys of shape (batch,), one per image.
        images: batch of images in float, on any scale (the policy's brightness and noise are in
            its unit; the shipped policies expect pixels from 0 to 1).
        policy: ranges at strength 1; static under `jax.jit`.
        strength: scale of all ranges, at least 0; traced, so that a sweep compiles once.
        side: height and width of the views; those of the images by default.
        log_aspect: where the images are pictures squeezed into a square, the logarithm of each
            one's width over its height.

    Returns:
        Views of the same type. At strength 0 these are the images, to rounding; of squeezed
        pictures the largest square in the middle.

    Raises:
        UsageError: for keys that are not threefry keys.

    Accuracy:
        Zero padding, no clipping of values. Compiled calls agree bit for
        bit however the batch is divided into parts of 2, 4, 8, ... images; one
        image alone, an odd part or an eager call may differ by a rounding.
    """
    require_threefry(keys)
    changes = draw_changes(keys, policy, strength, log_aspect=log_aspect)
    changed = apply_changes(images, changes, policy, side=side, log_aspect=log_aspect)
    shape = changed.shape[1:]
    if policy.pixel_drop:
        kept = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 3), shape[:2]))(
            keys
        ) >= jnp.asarray(policy.pixel_drop * strength, jnp.float32)
        changed = jnp.where(kept[..., None], changed, 0)
    if policy.patch_drop:
        changed = jnp.where(_draw_kept_patches(keys, changed, policy, strength), changed, 0)
    if policy.noise:
        noise = jax.vmap(
            lambda key: jax.random.normal(jax.random.fold_in(key, 1), shape, images.dtype)
        )(keys)
        changed = changed + jnp.asarray(policy.noise * strength, images.dtype) * noise
    return changed


def _draw_kept_patches(keys, images, policy, strength):
    """Draw which pixels' patches are kept, shape (batch, height, width, 1)."""
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


def require_threefry(key: Array) -> None:
    """Refuse keys whose random numbers depend on the batch they are drawn in."""
    if str(jax.random.key_impl(key)) != "threefry2x32":
        raise UsageError(
            f"augmentation needs threefry keys, got {jax.random.key_impl(key)}, whose numbers "
            "depend on the batch under vmap: make the root key with jax.random.key(seed, "
            "impl='threefry2x32')"
        )
