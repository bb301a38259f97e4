r"""Augmentations as a Lie group: exact tangents of an image's orbit under them.

The continuous changes of :mod:`ssljax.augment.augment` form one-parameter groups (rotation,
translation, scale and aspect by the exponential map; gains as exp of their logarithm; hue as a
rotation about the gray axis); blur, by its variance, is half a group: the heat flow.
`group_element` is the training pipeline's own code at given coordinates, so that tangents are
those of the policy that was trained on; only the interpolation is always the cubic spline: at the
identity every sample of the hat kernel sits on a kink, where forward-mode derivatives are wrong.
Flip, grayscale, solarization and masks have no tangent; crops are covered by shift, scale and
aspect.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.augment.augment import Changes, apply_changes
from ssljax.augment.policies import Policy
from ssljax.system.arrays import Array, Float

GENERATORS = (
    "rotation",
    "shift_y",
    "shift_x",
    "log_scale",
    "log_aspect",
    "log_jitter_brightness",
    "log_jitter_contrast",
    "log_jitter_saturation",
    "jitter_hue",
    "log_contrast",
    "brightness",
    "blur_variance",
)
"""Names of the group's coordinates, all 0 at the identity; units as in `Changes`, factors as
their logarithm."""

# Which code is compiled, nothing else: every continuous change is switched on.
_ALL = Policy(
    rotation=1.0,
    shift=1.0,
    log_scale=1.0,
    log_aspect=1.0,
    jitter_brightness=1.0,
    jitter_contrast=1.0,
    jitter_saturation=1.0,
    jitter_hue=1.0,
    log_contrast=1.0,
    brightness=1.0,
    blur_variance=1.0,
    interpolation="cubic",
)


def group_element(
    images: Float[Array, "batch height width channels"],
    coordinates: Float[Array, "batch generators"],
) -> Float[Array, "batch height width channels"]:
    """Return images moved along their orbits, differentiable in the coordinates everywhere.

    Args:
        images: batch of images.
        coordinates: of each image, in the order of :data:`GENERATORS`.

    Returns:
        The moved images; the images themselves, to rounding, at coordinates 0.
    """
    value = dict(zip(GENERATORS, coordinates.T, strict=True))
    zeros = jnp.zeros_like(coordinates[:, 0])
    changes = Changes(
        rotation=value["rotation"],
        shift_y=value["shift_y"],
        shift_x=value["shift_x"],
        log_scale=value["log_scale"],
        log_aspect=value["log_aspect"],
        crop_height=zeros + 1,
        crop_width=zeros + 1,
        crop_top=zeros,
        crop_left=zeros,
        flip=zeros,
        jitter_brightness=jnp.exp(value["log_jitter_brightness"]),
        jitter_contrast=jnp.exp(value["log_jitter_contrast"]),
        jitter_saturation=jnp.exp(value["log_jitter_saturation"]),
        jitter_hue=value["jitter_hue"],
        jitter_order=jnp.zeros(len(images), jnp.int32),
        grayscale=zeros,
        log_contrast=value["log_contrast"],
        brightness=value["brightness"],
        cast=jnp.zeros((len(images), 3), coordinates.dtype),
        blur_variance=value["blur_variance"],
        solarize=zeros,
        mask_top=zeros,
        mask_left=zeros,
        mask_side=zeros,
    )
    return apply_changes(images, changes, _ALL)


def generator_scales(policy: Policy) -> Float[np.ndarray, " generators"]:
    """Return each coordinate's half-range at strength 1, to first order in the strength.

    A crop of area ``1 - a`` has sides shorter by a/2 in the logarithm and its center anywhere
    within +-a/4 of the side: uniform areas down to ``1 - crop_area`` count as a scale half-range
    of ``crop_area / 4`` and, on average over the areas, a shift half-range of ``crop_area / 8``.

    Args:
        policy: ranges at strength 1; what is random per pixel or discrete has no coordinate.

    Returns:
        One number per generator: what to multiply unit tangents with, times the strength.
    """
    shift = policy.shift + policy.crop_area / 8
    scales = {
        "rotation": policy.rotation,
        "shift_y": shift,
        "shift_x": shift,
        "log_scale": policy.log_scale + policy.crop_area / 4,
        "log_aspect": policy.log_aspect + policy.crop_log_aspect,
        "log_jitter_brightness": policy.jitter_brightness,
        "log_jitter_contrast": policy.jitter_contrast,
        "log_jitter_saturation": policy.jitter_saturation,
        "jitter_hue": 2 * np.pi * policy.jitter_hue,
        "log_contrast": policy.log_contrast,
        "brightness": policy.brightness,
        # Half of a one-sided range.
        "blur_variance": policy.blur_variance / 2,
    }
    return np.array([scales[name] for name in GENERATORS], np.float32)


def orbit_tangents(
    function: Callable[[Array], Array],
    images: Float[Array, "batch height width channels"],
    scales: Float[Array, " generators"],
) -> Float[Array, "batch generators dim"]:
    r"""Return derivatives of a representation along each generator, at the identity.

    ``T[i, k] = scales[k] * d function(group_element(image_i, theta)) / d theta_k`` at theta = 0,
    by forward-mode differentiation: one evaluation and one JVP per generator, no sampling.

    Args:
        function: images (batch, ...) to a representation (batch, dim) that treats every image
            alone (a network in evaluation mode: batch normalization in training mode couples
            images and would mix their tangents).
        images: batch of images.
        scales: unit of each coordinate, for instance ``strength * generator_scales(policy)``.

    Returns:
        Tangents, to the floating-point accuracy of `function`. ReLU's derivative at exactly 0
        is taken as 0.
    """
    origin = jnp.zeros((len(images), len(GENERATORS)), images.dtype)
    _, pushforward = jax.linearize(lambda theta: function(group_element(images, theta)), origin)

    def push_along(direction):
        return pushforward(jnp.broadcast_to(direction[None], origin.shape))

    directions = jnp.diag(scales.astype(images.dtype))
    return jnp.swapaxes(jax.vmap(push_along)(directions), 0, 1)
