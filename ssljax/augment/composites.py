"""Views of digits on natural images: each view may lose its digit before it is augmented.

What the images are, and how they are blended, is in :mod:`ssljax.data.composites`.
"""

import jax
import jax.numpy as jnp

from ssljax.augment.augment import Policy, augment
from ssljax.system.arrays import Array, Bool, Float, Int, PRNGKeyArray


def blended(
    backgrounds: Float[Array, "batch height width 3"],
    digits: Float[Array, "batch height width"],
    digit_strength: float | int | Float[Array, ""],
    present: Bool[Array, " batch"],
) -> Float[Array, "batch height width 3"]:
    """Composites: ``(1 - s) background + s digit`` where a present digit has ink.

    Args:
        backgrounds: color images.
        digits: ink, on the same scale.
        digit_strength: s, from 0 (invisible) to 1 (opaque).
        present: whether each image shows its digit.

    Returns:
        Blended images; exactly the backgrounds where the digit is absent or has no ink.
    """
    ink = digits[..., None]
    inside = (ink > 0) & present[:, None, None, None]
    return jnp.where(inside, (1 - digit_strength) * backgrounds + digit_strength * ink, backgrounds)


def composite_views(
    key: PRNGKeyArray,
    step: int | Int[Array, ""],
    indices: Int[Array, " batch"],
    backgrounds: Float[Array, "batch height width 3"],
    digits: Float[Array, "batch height width"],
    policy: Policy,
    strength: float | int | Float[Array, ""],
    *,
    digit_strength: float | int | Float[Array, ""],
    drop_probability: tuple[float, float] = (0.0, 0.0),
) -> Float[Array, "batch 2 height width 3"]:
    """Two augmented views of each composite, each without its digit by chance.

    Args:
        key: root key, as for :func:`ssljax.augment.augment.two_views`.
        step: training step.
        indices: what identifies each example within the step.
        backgrounds: color images.
        digits: ink.
        policy: ranges at strength 1.
        strength: scale of all ranges.
        digit_strength: opacity of the digit.
        drop_probability: probability that the first view, and that the second view, loses its
            digit, independently.

    Returns:
        Views, a function of (key, step, index) alone.
    """
    step_key = jax.random.fold_in(key, step)
    keys = jax.vmap(lambda index: jax.random.split(jax.random.fold_in(step_key, index)))(indices)

    def view(which):
        view_keys = keys[:, which]
        drop_keys = jax.vmap(lambda k: jax.random.fold_in(k, 2))(view_keys)
        chance = jax.vmap(jax.random.uniform)(drop_keys)
        images = blended(backgrounds, digits, digit_strength, chance >= drop_probability[which])
        return augment(view_keys, images, policy, strength)

    return jnp.stack([view(0), view(1)], axis=1)
