"""Random changes of each image of a batch: drawn from keys, scaled by the strength."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ssljax.augment.color import NUM_ORDERS
from ssljax.augment.policies import SMALLEST_CROP, Policy
from ssljax.system.arrays import Array, Float, Int


class Changes(NamedTuple):
    """What happens to each image of a batch.

    Angles in radians; `shift_y`, `shift_x` in fractions of the image side; `crop_*` and `mask_*`
    rectangles as fractions of the image; `blur_variance` in square pixels; crop sides and jitter
    factors are 1 and everything else 0 for no change.
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
    cast: Float[Array, "batch 3"]
    blur_variance: Float[Array, " batch"]
    solarize: Float[Array, " batch"]
    mask_top: Float[Array, " batch"]
    mask_left: Float[Array, " batch"]
    mask_side: Float[Array, " batch"]


_NUM_DRAWS = 32


def draw_changes(
    keys: Array,
    policy: Policy,
    strength: float | int | Float[Array, ""],
    *,
    log_aspect: Float[Array, " batch"] | None = None,
) -> Changes:
    """Draw the changes of a policy for each key.

    Every change reads its own random number whether or not another one is switched on: two
    policies that differ in one field agree in all other changes.

    Args:
        keys: typed keys of shape (batch,).
        policy: ranges at strength 1.
        strength: scale of all ranges, at least 0; may be traced.
        log_aspect: logarithm of the width over the height of pictures that are stored squeezed
            into a square. The crop then has its aspect in the picture as it was; one that does not
            fit is made smaller (where an ordinary crop is cut to the image), and below strength 1
            it stays near the middle: at strength 0 it is the largest square in the middle.

    Returns:
        One set of changes per key.
    """
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (_NUM_DRAWS,), minval=-1.0))(keys)
    u = uniform.T
    chance = (uniform.T + 1) / 2
    strength = jnp.asarray(strength, uniform.dtype)

    least = jnp.maximum(1 - policy.crop_area * strength, SMALLEST_CROP)
    most = 1.0
    if policy.crop_area_min:
        most = jnp.maximum(1 - policy.crop_area_min * strength, least)
    area = most - (most - least) * chance[5]
    aspect = jnp.exp(policy.crop_log_aspect * strength * u[6])
    top, left = chance[7], chance[8]
    if log_aspect is None:
        crop_height = jnp.minimum(1, jnp.sqrt(area / aspect))
        crop_width = jnp.minimum(1, jnp.sqrt(area * aspect))
    else:
        # In units of the square that the picture was squeezed into.
        squeezed = aspect * jnp.exp(-log_aspect)
        crop_height, crop_width = jnp.sqrt(area / squeezed), jnp.sqrt(area * squeezed)
        fit = jnp.minimum(1, 1 / jnp.maximum(crop_height, crop_width))
        crop_height, crop_width = crop_height * fit, crop_width * fit
        freedom = jnp.minimum(1, strength)
        top, left = (0.5 + freedom * (place - 0.5) for place in (top, left))

    jittered = (chance[14] < policy.jitter_probability) * strength

    mask_side = jnp.minimum(1, policy.mask * strength)

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
        crop_top=top * (1 - crop_height),
        crop_left=left * (1 - crop_width),
        flip=((chance[9] < policy.flip) & (strength > 0)).astype(uniform.dtype),
        jitter_brightness=factor(policy.jitter_brightness, u[10]),
        jitter_contrast=factor(policy.jitter_contrast, u[11]),
        jitter_saturation=factor(policy.jitter_saturation, u[12]),
        jitter_hue=2 * math.pi * policy.jitter_hue * jittered * u[13],
        jitter_order=jnp.clip((chance[15] * NUM_ORDERS).astype(int), 0, NUM_ORDERS - 1),
        grayscale=(chance[16] < policy.grayscale * strength).astype(uniform.dtype),
        log_contrast=policy.log_contrast * strength * u[17],
        brightness=policy.brightness * strength * u[18],
        cast=policy.cast * strength * u[19:22].T,
        blur_variance=(policy.blur_variance * strength**2 * chance[22] ** 2)
        * (chance[23] < policy.blur_probability),
        solarize=(chance[24] < policy.solarize * strength).astype(uniform.dtype),
        mask_top=chance[25] * (1 - mask_side),
        mask_left=chance[26] * (1 - mask_side),
        mask_side=jnp.broadcast_to(mask_side, chance[25].shape),
    )
