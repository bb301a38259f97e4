"""How the views of a batch of images are made: values that the training step is given.

Every one is ``(key, step, identity, images, strength) -> views`` of shape
(batch, views, height, width, channels), a function of (key, step, identity) for each image.
"""

from ssljax.arrays import Array, Float, Int, PRNGKeyArray
from ssljax.augment import Policy, two_views
from ssljax.step import MakeViews


def make_view_pairs(policy: Policy) -> MakeViews:
    """Two random views of each image, a positive pair."""

    def views(
        key: PRNGKeyArray,
        step: Int[Array, ""],
        identity: Int[Array, "batch"],
        images: Float[Array, "batch height width channels"],
        strength: Float[Array, ""],
    ) -> Float[Array, "batch 2 height width channels"]:
        return two_views(key, step, identity, images, policy, strength)

    return views
