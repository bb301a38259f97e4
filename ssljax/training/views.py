"""How the views of a batch of images are made: values that the training step is given.

Every one is ``(key, step, identity, images, strength) -> views`` of shape
(batch, views, height, width, channels), a function of (key, step, identity) for each image. A
single view is the first of the pair.
"""

from ssljax.augment.augment import Policy, two_views
from ssljax.augment.composites import composite_views
from ssljax.system.arrays import Array, Float, Int, PRNGKeyArray
from ssljax.training.step import MakeViews


def make_views(policy: Policy, count: int = 2) -> MakeViews:
    """Random views of each image: two, a positive pair, or one.

    Args:
      policy: Augmentation per unit of strength.
      count: 1 or 2.
    """

    def views(
        key: PRNGKeyArray,
        step: Int[Array, ""],
        identity: Int[Array, "batch"],
        images: Float[Array, "batch height width channels"],
        strength: Float[Array, ""],
    ) -> Float[Array, "batch _ height width channels"]:
        # What is not returned is not computed, once compiled.
        return two_views(key, step, identity, images, policy, strength)[:, :count]

    return views


def make_composite_views(
    policy: Policy,
    count: int = 2,
    *,
    digit_strength: float,
    drop_probability: tuple[float, float] = (0.0, 0.0),
) -> MakeViews:
    """Random views of composites: the ink in the last channel is blended onto the others.

    Args:
      policy: Augmentation per unit of strength.
      count: 1 or 2.
      digit_strength: Opacity of the digit, from 0 to 1.
      drop_probability: Probability that the first, and that the second view, shows the clean
        background instead.
    """

    def views(
        key: PRNGKeyArray,
        step: Int[Array, ""],
        identity: Int[Array, "batch"],
        images: Float[Array, "batch height width parts"],
        strength: Float[Array, ""],
    ) -> Float[Array, "batch _ height width channels"]:
        pairs = composite_views(
            key,
            step,
            identity,
            images[..., :-1],
            images[..., -1],
            policy,
            strength,
            digit_strength=digit_strength,
            drop_probability=drop_probability,
        )
        return pairs[:, :count]

    return views
