"""Augmentation policies: which random changes of an image count as the same image.

A policy is plain data. Each field is the range of one random change at strength 1; one scalar,
the strength, scales them all, so a whole family of policies is one axis of an experiment.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ssljax.system.settings import FRACTION, NONNEGATIVE, Settings, Wanted, setting

Interpolation = Literal["bilinear", "cubic"]


_SIDE = Wanted("above 0 and at most 1", lambda side: 0 < side <= 1)


@dataclass(frozen=True, kw_only=True)
class Policy(Settings):
    """Ranges at strength 1; a change whose range is 0 is off and costs nothing.

    With strength s and u drawn uniformly from [-1, 1], independently per view and per change,
    the changes are, in this order:

    Geometry, one resampling (see :mod:`ssljax.augment.geometry`). All but the crop read zero
    outside the image; the crop never reads outside its own rectangle. Then color, blur,
    solarization, what is set to 0, and noise.
    """

    prefix: ClassVar[str] = "policy"

    rotation: float = setting(0.0, "rotation by the angle rotation * s * u in radians", NONNEGATIVE)
    shift: float = setting(
        0.0, "translation shift * s * u of each axis, a fraction of that image side", NONNEGATIVE
    )
    log_scale: float = setting(
        0.0, "the region read is exp(log_scale * s * u) times the image side", NONNEGATIVE
    )
    log_aspect: float = setting(
        0.0, "its width is multiplied, its height divided, by exp(log_aspect*s*u/2)", NONNEGATIVE
    )
    crop_area: float = setting(
        0.0,
        "a random crop keeps a fraction of the area uniform in [1 - crop_area * s, 1], never"
        " less than 0.04, at a uniform position",
        NONNEGATIVE,
    )
    crop_area_min: float = setting(
        0.0,
        "fraction of the area that every crop leaves out: it keeps at most 1 - crop_area_min * s"
        " (local crops of multi-crop)",
        FRACTION,
    )
    crop_log_aspect: float = setting(
        0.0,
        "log of the crop's width over height, crop_log_aspect * s * u; a side longer than the"
        " image is cut to the image",
        NONNEGATIVE,
    )
    flip: float = setting(
        0.0,
        "probability of a left-right flip; strength 0 is the identity, any other strength flips"
        " with this probability",
        FRACTION,
    )
    jitter_brightness: float = setting(
        0.0, "color jitter, the image times f = 1 + jitter_brightness * s * u", NONNEGATIVE
    )
    jitter_contrast: float = setting(
        0.0, "blend f x + (1 - f) * (mean gray of the image)", NONNEGATIVE
    )
    jitter_saturation: float = setting(
        0.0, "blend f x + (1 - f) * (gray of the pixel)", NONNEGATIVE
    )
    jitter_hue: float = setting(
        0.0, "rotation by 2 pi * jitter_hue * s * u about the gray axis", NONNEGATIVE
    )
    jitter_probability: float = setting(
        1.0,
        "probability that the four are applied, not scaled by the strength; their order is random"
        " for each view",
        FRACTION,
    )
    grayscale: float = setting(
        0.0, "probability, times s (at most 1), of replacing color by gray", FRACTION
    )
    log_contrast: float = setting(0.0, "the image times exp(log_contrast * s * u)", NONNEGATIVE)
    brightness: float = setting(0.0, "plus brightness * s * u", NONNEGATIVE)
    cast: float = setting(
        0.0,
        "plus cast * s * u in each channel, independently (at most three channels)",
        NONNEGATIVE,
    )
    blur_variance: float = setting(
        0.0,
        "Gaussian blur of a standard deviation uniform from 0 to s * sqrt(blur_variance) pixels",
        NONNEGATIVE,
    )
    blur_probability: float = setting(
        1.0, "probability of the blur, not scaled by the strength", FRACTION
    )
    solarize: float = setting(
        0.0,
        "probability, times s (at most 1), that values of 1/2 or more become 1 minus themselves",
        FRACTION,
    )
    mask: float = setting(
        0.0,
        "a square of this fraction of each side, times s, at a uniform place, is set to 0",
        FRACTION,
    )
    pixel_drop: float = setting(
        0.0, "probability, times s (at most 1), that a pixel is set to 0, independently", FRACTION
    )
    patch_drop: float = setting(
        0.0, "probability, times s (at most 1), that a patch is set to 0, independently", FRACTION
    )
    patch_side: float = setting(
        0.25,
        "side of these patches, a fraction of the image's; they tile the image from its upper"
        " left corner",
        _SIDE,
    )
    noise: float = setting(
        0.0,
        "plus Gaussian noise of standard deviation noise * s, independent per pixel and channel",
        NONNEGATIVE,
    )
    interpolation: Interpolation = setting(
        "bilinear", 'of the resampling, "bilinear" or "cubic" (a spline with exact derivatives)'
    )


SMALLEST_CROP = 0.04
"""No crop keeps less of the area, however large the strength."""

IDENTITY = Policy()
"""Changes nothing."""

NOISE_POLICY = Policy(noise=0.25)
"""Gaussian pixel noise only: the within-orbit covariance is a multiple of the identity."""

DIGITS_POLICY = Policy(
    rotation=0.6,
    shift=1.5 / 8,
    log_scale=0.25,
    log_contrast=0.5,
    brightness=0.2,
    noise=0.25,
)
"""For handwritten digits. The noise makes the covariance of constant pixels full rank."""

SIMCLR_POLICY = Policy(
    crop_area=0.92,
    crop_log_aspect=0.29,
    flip=0.5,
    jitter_brightness=0.4,
    jitter_contrast=0.4,
    jitter_saturation=0.4,
    jitter_hue=0.2,
    jitter_probability=0.8,
    grayscale=0.2,
)
"""The recipe of SimCLR for 32x32 images at strength 1: random resized crop of area 0.08 to 1 and
aspect 3/4 to 4/3, flip, color jitter, grayscale; no blur.

Hue is a rotation about the gray axis, an exact one-parameter group, where torchvision shifts the
hue of HSV; nothing is clipped to the pixel range.
"""
