"""Views of a batch of images: what the training step is given to compare.

A view depends on one key alone, derived from (root key, step, identity of the example), never from
the batch: half a batch gives the same views bit for bit, and so do eight devices, two hosts or a
resumed run.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ssljax.augment.augment import Policy, augment, require_threefry
from ssljax.data.decoding import split_squeezed
from ssljax.system.arrays import Array, Bool, Float, Int, Key, PRNGKeyArray

Views = Float[Array, "batch views height width channels"]
MakeViews = Callable[
    [
        PRNGKeyArray,
        int | Int[Array, ""],
        Int[Array, "batch"],
        Float[Array, "batch stored_height stored_width parts"],
        float | int | Float[Array, ""],
    ],
    tuple[Views, ...],
]
"""``(key, step, identity, images, strength) -> views``, one array for each group of views that have
a size of their own: a function of (key, step, identity) alone for each image, so that views do not
depend on how the batch is spread."""


class ViewGroup(NamedTuple):
    """Views of one size and one policy.

    Attributes:
        policy: augmentation at strength 1.
        number: views of each image.
        side: height and width of the views; None: those of the images.
    """

    policy: Policy
    number: int = 2
    side: int | None = None


class Ink(NamedTuple):
    """How the ink in the last channel of a composite is shown (:mod:`ssljax.data.composites`).

    Attributes:
        strength: opacity, from 0 (invisible) to 1.
        drop_probability: probability that the first view, and that every later view, shows the
            clean background instead, independently.
        redraw_probability: probability that a view stands before a background of the pool instead
            of its own, independently.
        pool: backgrounds to draw from; none are needed where the probability is 0.
    """

    strength: float | Float[Array, ""]
    drop_probability: tuple[float, float] = (0.0, 0.0)
    redraw_probability: float = 0.0
    pool: Float[Array, "backgrounds height width 3"] | None = None


def make_views(
    groups: Sequence[ViewGroup], *, ink: Ink | None = None, squeezed: bool = False
) -> MakeViews:
    """Return the function that makes the views of a training step.

    Args:
        groups: what views there are. Two of the images' own size are a positive pair; multi-crop
            adds a second group of more, smaller ones.
        ink: for images whose last channel is ink.
        squeezed: whether images are stored as :func:`ssljax.data.decoding.squeeze_photograph`
            makes them.

    Returns:
        ``(key, step, identity, images, strength) -> views``. `identity` is what tells the examples
        of a step apart, the only thing (besides `key` and `step`) that their views depend on: the
        data set index when a step's examples are distinct; the position in the global batch when
        they are drawn with replacement, so that an example drawn twice gets different views. The
        first two views have the same keys however many views there are.

    Raises:
        UsageError: when called with a key that is not threefry.
    """

    def views(
        key: PRNGKeyArray,
        step: int | Int[Array, ""],
        identity: Int[Array, " batch"],
        images: Float[Array, "batch stored_height stored_width parts"],
        strength: float | int | Float[Array, ""],
    ) -> tuple[Views, ...]:
        log_aspect = None
        if squeezed:
            images, log_aspect = split_squeezed(images)
        made, first = [], 0
        for group in groups:
            keys = view_keys(key, step, identity, first, group.number)
            made.append(_make_group(keys, images, log_aspect, group, strength, ink, first))
            first += group.number
        return tuple(made)

    return views


def view_keys(
    key: PRNGKeyArray,
    step: int | Int[Array, ""],
    identity: Int[Array, " batch"],
    first: int,
    count: int,
) -> Array:
    """Return the keys of `count` consecutive views of each example, from number `first` on.

    Args:
        key: root key of the run's augmentations, typed threefry, shape ().
        step: training step.
        identity: of each example within the step.
        first: number of the first view, from 0.
        count: how many.

    Returns:
        Keys of shape (batch, count).

    Raises:
        UsageError: for a key that is not threefry.
    """
    require_threefry(key)
    step_key = jax.random.fold_in(key, step)

    def keys_of(index):
        own = jax.random.fold_in(step_key, index)
        later = [jax.random.fold_in(own, number)[None] for number in range(2, first + count)]
        return jnp.concatenate([jax.random.split(own), *later])[first : first + count]

    return jax.vmap(keys_of)(identity)


def make_view_pair(
    key: PRNGKeyArray,
    step: int | Int[Array, ""],
    identity: Int[Array, " batch"],
    images: Float[Array, "batch height width channels"],
    policy: Policy,
    strength: float | int | Float[Array, ""],
) -> Float[Array, "batch 2 height width channels"]:
    """Make two random views of each image: a batch of positive pairs.

    Args:
        key: root key of the run's augmentations, typed threefry, shape ().
        step: training step.
        identity: what tells the examples apart, as in `make_views`.
        images: the examples.
        policy: ranges at strength 1; static under `jax.jit`.
        strength: scale of all ranges; traced.

    Returns:
        Views, first and second of each pair along axis 1.
    """
    return make_views((ViewGroup(policy),))(key, step, identity, images, strength)[0]


def blend_ink(
    backgrounds: Float[Array, "batch height width 3"],
    digits: Float[Array, "batch height width"],
    digit_strength: float | int | Float[Array, ""],
    present: Bool[Array, " batch"],
) -> Float[Array, "batch height width 3"]:
    """Blend digits onto images: ``(1 - s) background + s digit`` where a present digit has ink.

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


def redraw_backgrounds(
    keys: Key[Array, " batch"],
    backgrounds: Float[Array, "batch height width 3"],
    pool: Float[Array, "images height width 3"] | None,
    probability: float,
) -> Float[Array, "batch height width 3"]:
    """Put images of a fixed pool in place of some backgrounds.

    Two views of an image then share its background less often than its digit, so that a contrast
    has to learn the digit.

    Args:
        keys: of the views, typed, one for each background.
        backgrounds: color images.
        pool: what is drawn from, uniformly; not looked at where the probability is 0.
        probability: of a redraw, for each background by itself.

    Returns:
        The backgrounds, some of them replaced: a function of each key alone.
    """
    if pool is None or probability == 0:
        return backgrounds

    def redrawn(key, background):
        chosen = jax.random.uniform(jax.random.fold_in(key, 5)) < probability
        place = jax.random.randint(jax.random.fold_in(key, 6), (), 0, len(pool))
        return jnp.where(chosen, pool[place].astype(background.dtype), background)

    return jax.vmap(redrawn)(keys, backgrounds)


def _make_group(keys, images, log_aspect, group, strength, ink, first):
    def view(keys, drop_probability):
        shown = images
        if ink is not None:
            drop_keys = jax.vmap(lambda key: jax.random.fold_in(key, 2))(keys)
            present = jax.vmap(jax.random.uniform)(drop_keys) >= drop_probability
            backgrounds = redraw_backgrounds(
                keys, images[..., :-1], ink.pool, ink.redraw_probability
            )
            shown = blend_ink(backgrounds, images[..., -1], ink.strength, present)
        return augment(keys, shown, group.policy, strength, side=group.side, log_aspect=log_aspect)

    chances = jnp.zeros(group.number)
    if ink is not None:
        chances = jnp.asarray(
            [ink.drop_probability[number > 0] for number in range(first, first + group.number)]
        )
    return jax.vmap(view, in_axes=(1, 0), out_axes=1)(keys, chances)
